package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/api"
)

// maxImportProblems is how many lines of a wrong file are named: a file with
// another separator has as many problems as lines.
const maxImportProblems = 20

type accountsImportCommand struct {
	File        string `arg:"" help:"The CSV file; - reads standard input."`
	EveryTenant bool   `name:"every-tenant" help:"Ids that are unique within one tenant of a vendor, in columns that name none, are meant for every tenant."`
	Anyway      bool   `name:"anyway" help:"Add new accounts even when another account has the domain."`
	movingFlags
	byFlags
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*accountsImportCommand) Help() string {
	return "The first line names the columns: name (needed), id (a UUID), domain, and any number that are named like the beginning of " +
		"a reference (stripe, hubspot/62515:contact, zendesk/1234:organization, email), whose cells hold the account's ids there, separated by ';'. " +
		"A file is imported whole or, when any line is wrong, not at all. Importing it again changes names and domains and adds what is new."
}

func (*accountsImportCommand) needs() need { return needsPostgres | needsSources }

// Run is kong's.
func (c *accountsImportCommand) Run(ctx context.Context, s *session) error {
	from := s.In
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("opening the file: %w", err)
		}
		defer file.Close()
		from = file
	}
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error { return c.load(ctx, s, pool, from) })
}

func (c *accountsImportCommand) load(ctx context.Context, s *session, pool *pgxpool.Pool, from io.Reader) error {
	moving, err := c.moving(s, pool)
	if err != nil {
		return err
	}
	bar := s.newProgress("importing", 0)
	result, err := moving.store.Import(ctx, from, accounts.ImportOptions{By: c.author(), EveryTenant: c.EveryTenant, Anyway: c.Anyway, Progress: func(done, total int) {
		bar.total = int64(total)
		bar.at(int64(done), fmt.Sprintf("%d of %d accounts and links", done, total))
	}})
	bar.end()
	var wrong *accounts.ImportError
	switch {
	case errors.As(err, &wrong):
		return c.problems(s, wrong)
	case err != nil:
		return err
	case c.JSON:
		return errors.Join(writeJSON(s, api.NewImported(result)), moving.finish(ctx, s, result.MoveIDs))
	}
	_, err = fmt.Fprintf(s.Out, "%s read: %s added, %d changed; %s added, %d already there\n", plural(int64(result.Lines), "line"),
		plural(int64(result.AccountsAdded), "account"), result.AccountsChanged,
		plural(int64(result.LinksAdded), "link"), result.LinksPresent)
	return errors.Join(err, moving.finish(ctx, s, result.MoveIDs))
}

func (c *accountsImportCommand) problems(s *session, wrong *accounts.ImportError) error {
	for i, p := range wrong.Problems {
		if i == maxImportProblems {
			s.say("… and %d more", len(wrong.Problems)-i)
			break
		}
		s.say("%s:%d: %s", c.File, p.Line, p.Problem)
	}
	return fmt.Errorf("nothing was imported: fix %s and import again", plural(int64(len(wrong.Problems)), "problem"))
}
