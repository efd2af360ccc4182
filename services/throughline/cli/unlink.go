package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/source"
)

type unlinkCommand struct {
	Reference reference `arg:"" help:"The vendor's id, as links prints it."`
	Account   string    `arg:"" optional:"" help:"Check that it is linked to this account: its id, domain or name."`
	decideFlags
}

// Help is kong's: what --help says beyond the summary.
func (*unlinkCommand) Help() string {
	return "Events that found their account by this reference leave it. Where other references of theirs lead somewhere they come back by those, " +
		"else they wait in quarantine. Links that a program made because of this one go with it; what people linked stays. " +
		"Of an id that is not linked it takes back `links deny`."
}

func (c *unlinkCommand) checkSources(set source.Set) error { return c.Reference.check(set) }

// Run is kong's.
func (c *unlinkCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		d := accounts.Decision{Verb: accounts.VerbUnlink}
		var err error
		if d.Reference, err = linkedReference(ctx, s, pool, c.Reference); err != nil {
			return err
		}
		if c.Account != "" {
			account, err := s.findAccount(ctx, pool, c.Account)
			if err != nil {
				return err
			}
			d.From = account.ID
		}
		return c.decide(ctx, s, pool, d)
	})
}

type relinkCommand struct {
	Reference reference `arg:"" help:"The vendor's id, as links prints it."`
	Account   string    `arg:"" help:"The account that it belongs to: its id, domain or name."`
	decideFlags
}

// Help is kong's: what --help says beyond the summary.
func (*relinkCommand) Help() string {
	return "Events that found their account by this reference go with it. Links that a program made because of the old one are taken back; what people linked stays."
}

func (c *relinkCommand) checkSources(set source.Set) error { return c.Reference.check(set) }

// Run is kong's.
func (c *relinkCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		ref, err := linkedReference(ctx, s, pool, c.Reference)
		if err != nil {
			return err
		}
		account, err := s.findAccount(ctx, pool, c.Account)
		if err != nil {
			return err
		}
		return c.decide(ctx, s, pool, accounts.Decision{Verb: accounts.VerbRelink, Reference: ref, To: account.ID})
	})
}

type linksDenyCommand struct {
	Reference   reference `arg:"" help:"The vendor's id: hubspot/62515:contact:901, email:kim@agency.example."`
	Account     string    `arg:"" help:"The account that it does not belong to: its id, domain or name."`
	EveryTenant bool      `name:"every-tenant" help:"Of an id that is unique within one tenant of the vendor: in every tenant."`
	decideFlags
}

// Help is kong's: what --help says beyond the summary.
func (*linksDenyCommand) Help() string {
	return "No rule leads from this id to the account any more, and no program links it there. A link of it there is taken back. `unlink` or `link` takes this back."
}

func (c *linksDenyCommand) checkSources(set source.Set) error { return c.Reference.check(set) }

// Run is kong's.
func (c *linksDenyCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		ref, err := c.Reference.parse(s.root.Sources.set)
		if err != nil {
			return err
		}
		if !c.EveryTenant {
			if ref, err = tenantOf(ctx, s, pool, ref); err != nil {
				return err
			}
		}
		account, err := s.findAccount(ctx, pool, c.Account)
		if err != nil {
			return err
		}
		return c.decide(ctx, s, pool, accounts.Decision{Verb: accounts.VerbNotThisAccount, Reference: ref, From: account.ID})
	})
}

// linkedReference gives the reference that a person means: with its tenant, where only one tenant's is linked.
func linkedReference(ctx context.Context, s *session, pool *pgxpool.Pool, text reference) (source.Reference, error) {
	ref, err := text.parse(s.root.Sources.set)
	if err != nil || ref.Tenant != "" {
		return ref, err
	}
	links, err := s.store(pool).Links(ctx, accounts.LinkFilter{Source: ref.Source, Kind: ref.Kind, ID: ref.ID})
	if err != nil {
		return ref, err
	}
	var texts []string
	for _, l := range links {
		if l.Tenant == "" {
			return ref, nil
		}
		texts = append(texts, l.Reference.String())
	}
	if len(links) > 1 {
		return ref, usage("%s is linked for several tenants: name one of %s", ref, strings.Join(texts, ", "))
	}
	if len(links) == 1 {
		return links[0].Reference, nil
	}
	return ref, nil
}

// tenantOf gives a reference whose kind is unique within one tenant only the tenant of what waits for it in
// quarantine, where that is one.
func tenantOf(ctx context.Context, s *session, pool *pgxpool.Pool, ref source.Reference) (source.Reference, error) {
	if ref.Tenant != "" || !scoped(s.root.Sources.set, ref) {
		return ref, nil
	}
	tenants, err := waitingTenants(ctx, pool, ref)
	if err != nil {
		return ref, err
	}
	only := fmt.Sprintf("an id of kind %s is unique within one %s tenant only", ref.Kind, ref.Source)
	switch {
	case len(tenants) == 0:
		return ref, usage("%s: name the tenant (%s/TENANT:%s:%s), or use --every-tenant", only, ref.Source, ref.Kind, ref.ID)
	case len(tenants) > 1:
		return ref, usage("%s, and events of several wait in quarantine (%s): name one (%s/TENANT:%s:%s), or use --every-tenant", only, quoted(tenants), ref.Source, ref.Kind, ref.ID)
	case tenants[0] == "":
		return ref, usage("%s, and the events that wait in quarantine name none: use --every-tenant", only)
	}
	ref.Tenant = tenants[0]
	s.say("the tenant is that of the events in quarantine: %s", ref)
	return ref, nil
}

func quoted(texts []string) string {
	out := make([]string, len(texts))
	for i, text := range texts {
		out[i] = strconv.Quote(text)
	}
	return strings.Join(out, ", ")
}

func scoped(set source.Set, ref source.Reference) bool {
	for _, kind := range set.Kinds(ref.Source) {
		if kind.Name == ref.Kind {
			return kind.Scoped
		}
	}
	return false
}
