package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/postgres"
)

type rolesCommand struct {
	Apply rolesApplyCommand `cmd:"" help:"Create the Postgres roles of the services and of people, and bring their privileges to what each needs."`
}

type rolesApplyCommand struct {
	Prefix  string   `name:"prefix" default:"throughline_" placeholder:"TEXT" help:"What the names of the roles begin with (${default}). Roles belong to a whole Postgres server: give each installation on it a prefix of its own."`
	Members []string `name:"member" placeholder:"ROLE=LOGIN" sep:"none" help:"Make an existing login role a member, for example sink=throughline_sink_login. Can be repeated."`
	DryRun  bool     `name:"dry-run" help:"Print the SQL without running it."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*rolesApplyCommand) Help() string {
	return "Makes the roles PREFIXnormalizer, PREFIXsink, PREFIXquarantine, PREFIXpuller, PREFIXlearner, PREFIXdrift, PREFIXalerter, PREFIXreader (timelines and accounts), PREFIXdoctor (reads everything), PREFIXconsole (decides for people who are signed in), PREFIXoperator " +
		"(what this command line does to accounts, links and the quarantine), PREFIXeraser (erases accounts and people) and PREFIXretention (deletes what is older than it is to be kept). None can log in; the login roles that you create, with their passwords or certificates, become members. " +
		"Grants to them exactly what they need, revokes the rest, and revokes from PUBLIC what it has on the schema's objects, CREATE on the schema and TEMPORARY on the database. " +
		"Connect as the owner of the schema, with CREATEROLE unless the roles exist already; a superuser is not needed. Can be run again at any time, and should be after each `throughline migrate`."
}

func (*rolesApplyCommand) needs() need { return needsPostgres }

// Validate is kong's.
func (c *rolesApplyCommand) Validate() error {
	if c.Prefix == "" {
		return errors.Join(errors.New("--prefix is empty: leave it out for throughline_"), c.options().Validate())
	}
	return c.options().Validate()
}

func (c *rolesApplyCommand) options() postgres.RoleOptions {
	o := postgres.RoleOptions{Prefix: c.Prefix, DryRun: c.DryRun}
	for _, member := range c.Members {
		role, login, _ := strings.Cut(member, "=")
		o.Members = append(o.Members, postgres.RoleMember{Role: postgres.Role(role), Login: login})
	}
	return o
}

// Run is kong's.
func (c *rolesApplyCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		result, err := postgres.ApplyRoles(ctx, pool, c.options())
		if err != nil {
			return err
		}
		for _, warning := range result.Warnings {
			s.say("warning: %s", warning)
		}
		for _, change := range result.Changes {
			if change.Optional && change.Problem != "" {
				s.say("warning: not done, and safe without it: %s: %s", change.SQL, change.Problem)
			} else if change.Beyond {
				s.say("warning: beyond what is needed: %s", change.SQL)
			}
		}
		switch {
		case c.JSON:
			err = writeJSON(s, api.NewRoleChanges(result.Changes)...)
		case len(result.Changes) == 0:
			s.say("nothing to do: roles and privileges are as they should be")
		default:
			err = c.print(s, result.Changes)
		}
		return errors.Join(err, result.Err())
	})
}

// print writes SQL, so that it can be typed back.
func (c *rolesApplyCommand) print(s *session, changes []postgres.RoleChange) error {
	for _, change := range changes {
		line := clean(change.SQL) + ";"
		if change.Problem != "" {
			line = "-- not done: " + clean(change.Problem) + "\n" + line
		}
		if _, err := fmt.Fprintln(s.Out, line); err != nil {
			return fmt.Errorf("printing the SQL: %w", err)
		}
	}
	return nil
}
