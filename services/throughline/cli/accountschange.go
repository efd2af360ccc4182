package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/api"
)

type accountsRenameCommand struct {
	Account string `arg:"" help:"The account: its id, domain or name."`
	Name    string `arg:"" help:"Its new name."`
	Anyway  bool   `name:"anyway" help:"Rename it even when another account has this name."`
	DryRun  bool   `name:"dry-run" help:"Print what would change, without changing it."`
	Reason  string `name:"reason" placeholder:"TEXT" help:"Why; recorded in the log of decisions."`
	byFlags
	outputFlags
}

func (*accountsRenameCommand) needs() need { return needsPostgres }

// Run is kong's.
func (c *accountsRenameCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		account, err := s.findAccount(ctx, pool, c.Account)
		if err != nil {
			return err
		}
		const insist = "--anyway gives it the name, too"
		rename := s.store(pool).RenameDistinct
		if c.Anyway {
			rename = s.store(pool).Rename
		}
		renamed, did := account, "would be renamed"
		renamed.Name = strings.TrimSpace(c.Name)
		switch {
		case !c.DryRun:
			did = "renamed"
			renamed, err = rename(ctx, account.ID, c.Name, c.author(), c.Reason)
		case !c.Anyway:
			err = s.store(pool).Distinct(ctx, renamed)
		}
		if err != nil {
			return anyway(err, insist)
		}
		return c.tell(s, account.Name, did, renamed)
	})
}

func (c *accountsRenameCommand) tell(s *session, was, did string, now accounts.Account) error {
	if c.JSON {
		return writeJSON(s, api.NewAccount(now))
	}
	_, err := fmt.Fprintln(s.Out, clean(fmt.Sprintf("%s (%s): %s to %s", was, now.ID, did, now.Name)))
	return err
}

type accountsMergeCommand struct {
	From string `arg:"" help:"The account to merge: its own id, domain or name."`
	Into string `arg:"" help:"The account to merge it into."`
	Yes  bool   `name:"yes" short:"y" help:"Do not ask for confirmation. accounts split undoes a merge, except for the account hierarchy."`
	decideFlags
}

// Run is kong's.
func (c *accountsMergeCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		from, err := s.namedAccount(ctx, pool, c.From)
		if err != nil {
			return err
		}
		into, err := s.findAccount(ctx, pool, c.Into)
		if err != nil {
			return err
		}
		if from.ID == into.ID {
			return usage("%s and %s are one account: %s (%s)", c.From, c.Into, into.Name, into.ID)
		}
		if !c.DryRun && !c.Yes {
			question := fmt.Sprintf("Merge %s (%s) into %s (%s)? (accounts split takes that back, but for the hierarchy.)", from.Name, from.ID, into.Name, into.ID)
			if err := s.confirm(ctx, question); err != nil {
				return err
			}
		}
		return c.decide(ctx, s, pool, accounts.Decision{Verb: accounts.VerbMerge, From: from.ID, To: into.ID})
	})
}

type accountsSplitCommand struct {
	Account string `arg:"" help:"The account that was merged into another: its id, domain or name."`
	decideFlags
}

// Run is kong's.
func (c *accountsSplitCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		account, err := s.store(pool).FindMerged(ctx, c.Account)
		if err != nil {
			return err
		}
		return c.decide(ctx, s, pool, accounts.Decision{Verb: accounts.VerbSplit, From: account.MergedInto, To: account.ID})
	})
}

type accountsRemoveCommand struct {
	Account string `arg:"" help:"The account: its own id, domain or name."`
	decideFlags
}

// Run is kong's.
func (c *accountsRemoveCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		account, err := s.namedAccount(ctx, pool, c.Account)
		if err != nil {
			return err
		}
		return c.decide(ctx, s, pool, accounts.Decision{Verb: accounts.VerbRemove, From: account.ID})
	})
}
