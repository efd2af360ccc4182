package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/learn"
)

type learningDomainsCommand struct {
	List   domainsListCommand   `cmd:"" default:"withargs" help:"List the domains that behave like free mail, those that nobody decided about first."`
	Decide domainsDecideCommand `cmd:"" help:"Decide whether a domain is public (nobody's company) or private (one company's)."`
}

// Help is kong's: what --help says beyond the summary.
func (*learningDomainsCommand) Help() string {
	return fmt.Sprintf("Once a night the learner looks for domains whose people belong to %d accounts or more that have no parent in common: an agency, a reseller, a mail provider "+
		"that no list knows. No event, and no suggestion, finds an account by such a domain, unless you decide that it is private.", learn.SharedFrom)
}

type domainsListCommand struct {
	Limit int `name:"limit" default:"100" placeholder:"N" help:"At most so many (${default})."`
	outputFlags
}

func (*domainsListCommand) needs() need { return needsPostgres }

// Validate is kong's.
func (c *domainsListCommand) Validate() error { return checkLimit(c.Limit) }

// Run is kong's.
func (c *domainsListCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		found, err := learn.NewSuspects(pool).List(ctx, c.Limit)
		if err != nil {
			return err
		}
		s.hintList(len(found), c.Limit, "domain", "")
		return list(s, c.JSON, api.NewSuspectDomains(found), []column[api.SuspectDomain]{
			{title: "domain", text: func(v api.SuspectDomain) string { return v.Domain }},
			{title: "accounts", text: func(v api.SuspectDomain) string { return fmt.Sprint(v.Accounts) }},
			{title: "examples", text: func(v api.SuspectDomain) string { return strings.Join(v.Examples, ", ") }, wide: true},
			{title: "decision", text: func(v api.SuspectDomain) string { return v.Decision }},
			{title: "decided_by", text: func(v api.SuspectDomain) string { return v.DecidedBy }, leave: 2},
			{title: "reason", text: func(v api.SuspectDomain) string { return v.Reason }, wide: true},
			{title: "found_at", text: func(v api.SuspectDomain) string { return stamp(v.FoundAt) }, leave: 1},
		})
	})
}

type domainsDecideCommand struct {
	Domain   string `arg:"" help:"The domain, found or not."`
	Decision string `arg:"" enum:"public,private" help:"public: no account is found by it; private: it is one company's."`
	Reason   string `name:"reason" placeholder:"TEXT" help:"Reason of the decision, as recorded."`
	byFlags
	outputFlags
}

func (*domainsDecideCommand) needs() need { return needsPostgres }

// Run is kong's.
func (c *domainsDecideCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		d, err := learn.NewSuspects(pool).Decide(ctx, c.Domain, c.Decision, c.author(), c.Reason)
		if err != nil {
			return err
		}
		if err := access.NewStore(pool).Record(ctx, c.actor(), "decideDomain", d.Domain, access.Done, d.Reason, false); err != nil {
			return err
		}
		if c.JSON {
			return writeJSON(s, api.NewSuspectDomain(d))
		}
		effect := "events that wait for its account are tried again"
		if d.Decision == learn.DomainPublic {
			effect = "from now on no event finds an account by it; events that did stay where they are"
		}
		_, err = fmt.Fprintf(s.Out, "%s is %s, as %s decided: %s.\n", clean(d.Domain), d.Decision, clean(d.DecidedBy), effect)
		return err
	})
}
