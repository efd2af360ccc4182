package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/source"
)

type linksCommand struct {
	List linksListCommand `cmd:"" default:"withargs" help:"List links, the newest first."`
	Log  linksLogCommand  `cmd:"" help:"List the decisions about links and accounts, the newest first: who, when, why."`
	Deny linksDenyCommand `cmd:"" help:"Deny that a vendor's id belongs to an account: no rule resolves it there."`
}

type linksListCommand struct {
	Account string `arg:"" optional:"" help:"Only links to this account: its id, domain or name."`
	Source  string `name:"source" help:"Only links of ids of this source (or email, domain)."`
	Kind    string `name:"kind" help:"Only links of this kind of id, like customer."`
	ID      string `name:"id" help:"Only links of exactly this id at the vendor."`
	Limit   int    `name:"limit" default:"100" placeholder:"N" help:"At most so many, the newest (${default})."`
	outputFlags
}

func (*linksListCommand) needs() need { return needsPostgres | needsSources }

// Validate is kong's.
func (c *linksListCommand) Validate() error { return checkLimit(c.Limit) }

// Run is kong's.
func (c *linksListCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		filter := accounts.LinkFilter{Source: c.Source, Kind: c.Kind, ID: c.ID, Limit: c.Limit}
		if c.Account != "" {
			account, err := s.findAccount(ctx, pool, c.Account)
			if err != nil {
				return err
			}
			filter.AccountID = account.ID
		}
		links, err := s.store(pool).Links(ctx, filter)
		if err != nil {
			return err
		}
		if len(links) == 0 {
			if err := s.knownNames(c.Source, c.Kind); err != nil {
				return err
			}
		}
		s.hintList(len(links), c.Limit, "link", "make one with `throughline link REFERENCE ACCOUNT`")
		return list(s, c.JSON, api.NewLinks(links), []column[api.Link]{
			{title: "reference", text: func(l api.Link) string { return l.Reference }},
			{title: "account", text: func(l api.Link) string { return l.AccountName }, wide: true},
			{title: "account_id", text: func(l api.Link) string { return l.AccountID.String() }, leave: 1},
			{title: "learned", text: func(l api.Link) string { return l.Learned }, leave: 4},
			{title: "created_by", text: func(l api.Link) string { return l.CreatedBy }, leave: 3},
			{title: "created_at", text: func(l api.Link) string { return stamp(l.CreatedAt) }, leave: 2},
		})
	})
}

type linksLogCommand struct {
	Account   string    `arg:"" optional:"" help:"Only decisions that concern this account: its id, domain or name."`
	Reference reference `name:"reference" placeholder:"REFERENCE" help:"Only decisions about this id, as links prints it."`
	Limit     int       `name:"limit" default:"100" placeholder:"N" help:"At most so many, the newest (${default})."`
	outputFlags
}

func (*linksLogCommand) needs() need { return needsPostgres | needsSources }

func (c *linksLogCommand) checkSources(set source.Set) error { return c.Reference.check(set) }

// Validate is kong's.
func (c *linksLogCommand) Validate() error { return checkLimit(c.Limit) }

// Run is kong's.
func (c *linksLogCommand) Run(ctx context.Context, s *session) error {
	filter := accounts.EntryFilter{Limit: c.Limit}
	if c.Reference != "" {
		ref, err := c.Reference.parse(s.root.Sources.set)
		if err != nil {
			return err
		}
		filter.Reference = &ref
	}
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		if c.Account != "" {
			account, err := s.findAccount(ctx, pool, c.Account)
			if err != nil {
				return err
			}
			filter.AccountID = account.ID
		}
		entries, err := s.store(pool).Entries(ctx, filter)
		if err != nil {
			return err
		}
		var ids []uuid.UUID
		for _, e := range entries {
			ids = append(ids, e.From, e.To)
		}
		names, err := s.store(pool).Names(ctx, ids)
		if err != nil {
			return err
		}
		s.hintList(len(entries), c.Limit, "decision", "")
		return list(s, c.JSON, api.NewDecisions(entries), entryColumns(names))
	})
}

func entryColumns(names map[uuid.UUID]string) []column[api.Decision] {
	name := func(id uuid.UUID) string {
		if id == uuid.Nil || names[id] != "" {
			return names[id]
		}
		return id.String()
	}
	number := func(n int64) string {
		if n == 0 {
			return ""
		}
		return fmt.Sprint(n)
	}
	return []column[api.Decision]{
		{title: "id", text: func(e api.Decision) string { return number(e.ID) }},
		{title: "at", text: func(e api.Decision) string { return stamp(e.At) }, leave: 3},
		{title: "verb", text: func(e api.Decision) string { return strings.ReplaceAll(e.Verb, "_", " ") }},
		{title: "reference", text: func(e api.Decision) string { return e.Reference }},
		{title: "from", text: func(e api.Decision) string { return name(e.FromAccount) }, wide: true, leave: 6},
		{title: "to", text: func(e api.Decision) string { return name(e.ToAccount) }, wide: true},
		{title: "learned", text: func(e api.Decision) string { return e.Learned }, leave: 1},
		{title: "author", text: func(e api.Decision) string { return e.Author }, leave: 5},
		{title: "undone_by", text: func(e api.Decision) string { return number(e.UndoneBy) }, leave: 2},
		{title: "reason", text: func(e api.Decision) string { return e.Reason }, wide: true, leave: 4},
	}
}

// knownNames refuses a source or a kind that does not exist. It is asked where nothing was found: events of a source
// that is not configured here are shown all the same.
func (s *session) knownNames(from, kind string) error {
	set := s.root.Sources.set
	names := append(set.Names(), source.KindEmail, source.KindDomain)
	if !slices.Contains(names, from) {
		if err := checkSource(set, from); err != nil {
			return usage("%v", err)
		}
	}
	if kind == "" {
		return nil
	}
	kinds := []string{source.KindEmail, source.KindDomain, source.KindAccountUUID}
	for _, name := range names {
		if from != "" && name != from {
			continue
		}
		for _, k := range set.Kinds(name) {
			kinds = append(kinds, k.Name)
		}
	}
	slices.Sort(kinds)
	if kinds = slices.Compact(kinds); !slices.Contains(kinds, kind) {
		of := ""
		if from != "" {
			of = " of " + from
		}
		return usage("there is no kind %q%s: the kinds are %s", kind, of, strings.Join(kinds, ", "))
	}
	return nil
}
