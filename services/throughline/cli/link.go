package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source"
)

// waitEvery is how often --wait looks.
const waitEvery = 100 * time.Millisecond

type linkCommand struct {
	Reference   reference     `arg:"" help:"The vendor's id: stripe:cus_1, hubspot/62515:contact:901, email:kim@acme.example, domain:acme.example."`
	Account     string        `arg:"" help:"The account: its id, domain or name."`
	EveryTenant bool          `name:"every-tenant" help:"An id that is unique within one tenant of the vendor (portal, workspace, instance) is meant for every tenant."`
	Wait        bool          `name:"wait" help:"Return when the quarantined events are on the timeline."`
	Timeout     time.Duration `name:"timeout" default:"30s" help:"Longest wait of --wait."`
	decideFlags
}

// Help is kong's: what --help says beyond the summary.
func (*linkCommand) Help() string {
	return "A reference is a source and an id; its kind is known by the id's prefix or is the source's first (`throughline event-types` lists sources, " +
		"each source's README its kinds). Say it where that is not meant: stripe:invoice:in_1. Ids that are unique within one tenant of the vendor " +
		"need it (hubspot/62515:contact:901), unless what waits in quarantine shows it, or --every-tenant."
}

func (c *linkCommand) checkSources(set source.Set) error { return c.Reference.check(set) }

// Validate is kong's.
func (c *linkCommand) Validate() error {
	if c.Wait && c.DryRun {
		return errors.New("--dry-run releases nothing that --wait could wait for")
	}
	return nil
}

// Run is kong's.
func (c *linkCommand) Run(ctx context.Context, s *session) error {
	ref, err := c.Reference.parse(s.root.Sources.set)
	if err != nil {
		return err
	}
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		if !c.EveryTenant {
			if ref, err = tenantOf(ctx, s, pool, ref); err != nil {
				return err
			}
		}
		account, err := s.findAccount(ctx, pool, c.Account)
		if err != nil {
			return err
		}
		m, err := c.moving(s, pool)
		if err != nil {
			return err
		}
		return c.link(ctx, s, pool, m, ref, account)
	})
}

func (c *linkCommand) link(ctx context.Context, s *session, pool *pgxpool.Pool, m moving, ref source.Reference, account accounts.Account) error {
	records := quarantine.NewStore(pool)
	// Counted before the link, because the release begins with it.
	waiting, err := waitingFor(ctx, records, ref.Key())
	if err != nil {
		return err
	}
	effect, err := m.store.Decide(ctx, accounts.Decision{Verb: accounts.VerbLink, Reference: ref, To: account.ID, Author: c.author(), Reason: c.Reason,
		EveryTenant: c.EveryTenant, DryRun: c.DryRun})
	if err != nil {
		return err
	}
	view := api.Linked{Reference: ref.String(), AccountID: account.ID, AccountName: account.Name, Added: effect.Changed, DryRun: c.DryRun,
		DecisionID: effect.DecisionID, Quarantined: int64(len(waiting)), Moves: api.NewMoveCounts(effect.Moves)}
	if !c.JSON {
		if err := c.tellLinked(ctx, s, m.store, view, effect); err != nil {
			return err
		}
	}
	var waitErr error
	if c.Wait {
		var left int64
		left, waitErr = c.wait(ctx, s, records, waiting)
		view.Waiting = &left
	}
	if c.JSON {
		waitErr = errors.Join(writeJSON(s, view), waitErr)
	}
	return errors.Join(waitErr, m.finish(ctx, s, effect.MoveIDs))
}

func (c *linkCommand) tellLinked(ctx context.Context, s *session, store *accounts.Store, view api.Linked, effect accounts.Effect) error {
	verb := "linked"
	switch {
	case !view.Added:
		verb = "linked already:"
	case view.DryRun:
		verb = "would link"
	}
	fmt.Fprintf(s.Out, "%s %s to %s (%s)\n", verb, clean(view.Reference), clean(view.AccountName), view.AccountID)
	switch {
	case view.Quarantined == 0:
		s.say("nothing waits for it in quarantine")
	case !c.Wait:
		s.say("%s will be released from quarantine; `throughline timeline %s` shows them shortly", plural(view.Quarantined, "event"), view.AccountID)
	}
	if len(effect.Moves) == 0 {
		return nil
	}
	ids := []uuid.UUID{view.AccountID}
	for _, m := range effect.Moves {
		ids = append(ids, m.From, m.To)
	}
	names, err := store.Names(ctx, ids)
	telling{session: s, dryRun: c.DryRun, names: names}.moves(effect)
	return err
}

// waitingPage is how many quarantined events are looked at at once.
const waitingPage = 1000

// waitingFor gives the quarantined events that a link of this reference may release.
func waitingFor(ctx context.Context, records *quarantine.Store, key string) (ids []int64, err error) {
	for {
		var after int64
		if len(ids) > 0 {
			after = ids[len(ids)-1]
		}
		page, err := records.WaitingFor(ctx, []string{key}, after, waitingPage)
		if err != nil {
			return nil, err
		}
		for _, w := range page {
			ids = append(ids, w.ID)
		}
		if len(page) < waitingPage {
			return ids, nil
		}
	}
}

// wait returns when no event of ids waits any more, and how many do if that
// takes too long.
func (c *linkCommand) wait(ctx context.Context, s *session, records *quarantine.Store, ids []int64) (int64, error) {
	bar := s.newProgress("releasing", int64(len(ids)))
	defer bar.end()
	late := time.NewTimer(c.Timeout)
	defer late.Stop()
	ticker := time.NewTicker(waitEvery)
	defer ticker.Stop()
	for {
		left, err := stillWaiting(ctx, records, ids)
		if err != nil {
			return 0, err
		}
		done := int64(len(ids)) - left
		if left == 0 {
			if len(ids) > 0 && !c.JSON {
				bar.end()
				s.say("%s released from quarantine", plural(done, "event"))
			}
			return 0, nil
		}
		bar.at(done, fmt.Sprintf("%d of %d", done, len(ids)))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return left, ctx.Err()
		case <-late.C:
			return left, fmt.Errorf("%s still in quarantine after %s: do the quarantine service, the normalizer and the sink run? `throughline quarantine list` says more",
				plural(left, "event"), c.Timeout)
		}
	}
}

func stillWaiting(ctx context.Context, records *quarantine.Store, ids []int64) (left int64, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	list, err := records.List(ctx, quarantine.Filter{IDs: ids, Limit: len(ids)})
	if err != nil {
		return 0, err
	}
	for _, r := range list {
		if r.Status == quarantine.Open || r.Status == quarantine.Replaying {
			left++
		}
	}
	return left, nil
}

// waitingTenants gives the tenants whose object of this kind and id waits in quarantine, each once.
func waitingTenants(ctx context.Context, pool *pgxpool.Pool, ref source.Reference) ([]string, error) {
	waiting, err := quarantine.NewStore(pool).WaitingFor(ctx, []string{ref.Key()}, 0, waitingPage)
	if err != nil {
		return nil, err
	}
	var tenants []string
	for _, w := range waiting {
		for _, r := range w.References {
			if r.Source == ref.Source && r.Kind == ref.Kind && r.ID == ref.ID {
				tenants = append(tenants, r.Tenant)
			}
		}
	}
	slices.Sort(tenants)
	return slices.Compact(tenants), nil
}
