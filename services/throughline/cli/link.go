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

// How often --wait looks: for many events a look costs more, and they take longer.
const (
	waitEvery     = 100 * time.Millisecond
	waitEveryMany = time.Second
)

type linkCommand struct {
	Reference   reference     `arg:"" help:"The vendor's id: stripe:cus_1, hubspot/62515:contact:901, email:kim@acme.example, domain:acme.example."`
	Account     string        `arg:"" help:"The account: its id, domain or name."`
	EveryTenant bool          `name:"every-tenant" help:"An id that is unique within one tenant of the vendor (portal, workspace, instance) is meant for every tenant."`
	Wait        bool          `name:"wait" help:"Return when the quarantined events are on the timeline."`
	Timeout     time.Duration `name:"timeout" default:"30s" help:"How long --wait waits while no event arrives."`
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
	waiting, err := records.WaitingIDs(ctx, []string{ref.Key()})
	if err != nil {
		return err
	}
	effect, err := m.store.Decide(ctx, accounts.Decision{Verb: accounts.VerbLink, Reference: ref, To: account.ID, Author: c.author(), Reason: c.Reason,
		EveryTenant: c.EveryTenant, DryRun: c.DryRun})
	if err != nil {
		return orRelink(err, account)
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
		var releasing []int64 // by an earlier link
		if releasing, err = records.ReleasingIDs(ctx, []string{ref.Key()}); err != nil {
			return err
		}
		ids := slices.Concat(waiting, releasing) // some are in both by now
		slices.Sort(ids)
		var left int64
		left, waitErr = c.wait(ctx, s, records, slices.Compact(ids))
		view.Waiting = &left
	}
	if c.JSON {
		waitErr = errors.Join(writeJSON(s, view), waitErr)
	}
	return errors.Join(waitErr, m.finish(ctx, s, effect.MoveIDs))
}

// orRelink says how a link is moved, where there is one already.
func orRelink(err error, to accounts.Account) error {
	var linked *accounts.LinkedError
	if errors.As(err, &linked) {
		return fmt.Errorf("%w; `throughline relink %s %s` moves the link, and the events with it", err, shellWord(linked.Reference.String()), to.ID)
	}
	return err
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

// wait returns when no event of ids waits any more, and how many do if none arrives for too long.
func (c *linkCommand) wait(ctx context.Context, s *session, records *quarantine.Store, ids []int64) (int64, error) {
	all := len(ids)
	bar := s.newProgress("releasing", int64(all))
	defer bar.end()
	late := time.NewTimer(c.Timeout)
	defer late.Stop()
	every := waitEvery
	if all > waitingPage {
		every = waitEveryMany
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for everywhere := false; ; {
		left, err := stillWaiting(ctx, records, ids, everywhere)
		if err != nil {
			return int64(len(ids)), err
		}
		if len(left) < len(ids) {
			late.Reset(c.Timeout)
		} else if everywhere {
			return int64(len(left)), fmt.Errorf("%s still in quarantine, and none has left it for %s: do the quarantine service, the normalizer and the sink run? `throughline quarantine list` says more",
				plural(int64(len(left)), "event"), c.Timeout)
		}
		if ids = left; len(ids) == 0 {
			if all > 0 && !c.JSON {
				bar.end()
				s.say("%s released from quarantine", plural(int64(all), "event"))
			}
			return 0, nil
		}
		bar.at(int64(all-len(ids)), fmt.Sprintf("%d of %d", all-len(ids), all))
		everywhere = false
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return int64(len(ids)), ctx.Err()
		case <-late.C:
			everywhere = true
		}
	}
}

// stillWaiting gives those of ids that have not come to an end. They leave about in the order of their ids: it looks
// no further than a page of which none has left, unless it looks everywhere.
func stillWaiting(ctx context.Context, records *quarantine.Store, ids []int64, everywhere bool) (left []int64, err error) {
	for from := 0; from < len(ids); from += waitingPage {
		page := ids[from:min(from+waitingPage, len(ids))]
		unsettled, err := records.Unsettled(ctx, page)
		if err != nil {
			return nil, err
		}
		left = append(left, unsettled...)
		if len(unsettled) == len(page) && !everywhere {
			return append(left, ids[from+len(page):]...), nil
		}
	}
	return left, nil
}

// waitingTenants gives the tenants whose object of this kind and id waits in quarantine, each once.
func waitingTenants(ctx context.Context, pool *pgxpool.Pool, ref source.Reference) ([]string, error) {
	records := quarantine.NewStore(pool)
	ids, err := records.WaitingIDs(ctx, []string{ref.Key()})
	if err != nil {
		return nil, err
	}
	waiting, err := records.WaitingAmong(ctx, ids[:min(len(ids), waitingPage)])
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
