package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/services/vendors/load"
)

const (
	// waitEvents is how many ids are asked for at once.
	waitEvents = 10_000
	// waitQuarantine is how often the quarantine is looked at, which has no index
	// for it.
	waitQuarantine = time.Second
	// eraseLooks is of how many events it is asked at once whether they were erased.
	eraseLooks = 500
)

// wait returns when every event has arrived, or says how many have not when that
// takes too long.
func (c *sendCommand) wait(ctx context.Context, s *session, pool *pgxpool.Pool, from string, report load.Report) (*landedView, error) {
	if len(report.IDs) == 0 {
		return nil, errors.New("the source cannot read the body, so that its event cannot be followed: `throughline quarantine list` shows it")
	}
	l := newLanding(pool, from, report.IDs)
	l.references, l.addresses = map[string][]source.Reference{}, map[string][]source.Reference{}
	for i, id := range report.IDs {
		l.references[id] = report.References[i]
		l.addresses[id] = report.Addresses[i]
	}
	bar := s.newProgress("arriving", int64(len(l.pending)))
	defer bar.end()
	total := len(l.pending)
	late := time.NewTimer(c.Timeout)
	defer late.Stop()
	ticker := time.NewTicker(waitEvery)
	defer ticker.Stop()
	var looked time.Time
	for {
		if err := l.timelines(ctx); err != nil {
			return nil, err
		}
		if len(l.pending) > 0 && time.Since(looked) >= waitQuarantine {
			if err := l.quarantine(ctx); err != nil {
				return nil, err
			}
			if err := l.erased(ctx); err != nil {
				return nil, err
			}
			looked = time.Now()
		}
		if len(l.pending) == 0 {
			return l.view(), nil
		}
		bar.at(int64(total-len(l.pending)), fmt.Sprintf("%d of %d", total-len(l.pending), total))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return l.view(), ctx.Err()
		case <-late.C:
			return l.view(), fmt.Errorf("%s not arrived after %s: do the normalizer, the sink and the quarantine service run?",
				plural(int64(len(l.pending)), "event"), c.Timeout)
		}
	}
}

// landing looks for events where they can be.
type landing struct {
	pool    *pgxpool.Pool
	source  string
	pending map[string]bool
	on      map[timelineView]int // without Events
	reasons map[string]int
	// references are the events', addresses those that stand anywhere in what was sent, and passed how many are kept nowhere, because what they refer to was erased.
	references map[string][]source.Reference
	addresses  map[string][]source.Reference
	passed     int
}

func newLanding(pool *pgxpool.Pool, from string, ids []string) *landing {
	l := &landing{pool: pool, source: from, pending: map[string]bool{}, on: map[timelineView]int{}, reasons: map[string]int{}}
	for _, id := range ids {
		l.pending[id] = true
	}
	return l
}

// timelines finds those that are on a timeline.
func (l *landing) timelines(ctx context.Context) error {
	for ids := range slices.Chunk(sortedKeys(l.pending), waitEvents) {
		rows, err := l.pool.Query(ctx, `SELECT e.source_event_id, e.account_id, coalesce(a.name, '') FROM account_events e
			LEFT JOIN accounts a ON a.id = e.account_id WHERE e.source = $1 AND e.source_event_id = ANY ($2)`, l.source, ids)
		if err != nil {
			return fmt.Errorf("looking for the events on timelines: %w", err)
		}
		var id string
		var account [16]byte
		var name string
		_, err = pgx.ForEachRow(rows, []any{&id, &account, &name}, func() error {
			l.on[timelineView{AccountID: uuid.UUID(account), AccountName: name}]++
			delete(l.pending, id)
			return nil
		})
		if err != nil {
			return fmt.Errorf("looking for the events on timelines: %w", err)
		}
	}
	return nil
}

// quarantine finds those that wait in quarantine.
func (l *landing) quarantine(ctx context.Context) error {
	for ids := range slices.Chunk(sortedKeys(l.pending), waitEvents) {
		rows, err := l.pool.Query(ctx, `SELECT source_event_id, reason FROM quarantine
			WHERE source = $1 AND source_event_id = ANY ($2) AND status IN ('open', 'discarded')`, l.source, ids)
		if err != nil {
			return fmt.Errorf("looking for the events in quarantine: %w", err)
		}
		var id, reason string
		_, err = pgx.ForEachRow(rows, []any{&id, &reason}, func() error {
			l.reasons[reason]++
			delete(l.pending, id)
			return nil
		})
		if err != nil {
			return fmt.Errorf("looking for the events in quarantine: %w", err)
		}
	}
	return nil
}

// erased finds those that nobody keeps, because what they refer to was erased on request.
func (l *landing) erased(ctx context.Context) error {
	var some bool
	if err := l.pool.QueryRow(ctx, "SELECT EXISTS (SELECT source FROM suppressions)").Scan(&some); err != nil || !some {
		return err
	}
	resolver := resolve.Default(l.pool)
	for ids := range slices.Chunk(sortedKeys(l.pending), eraseLooks) {
		events, texts := make([][]source.Reference, len(ids)), make([]resolve.Carried, len(ids))
		for i, id := range ids {
			events[i], texts[i].All = l.references[id], l.addresses[id]
		}
		found, err := resolver.Resolve(ctx, events)
		if err != nil {
			return fmt.Errorf("looking whether the events are of somebody who was erased: %w", err)
		}
		// An address in a text is seen by whoever keeps events: the sink, and the quarantine.
		named, err := resolve.Suppressed(ctx, l.pool, func() []resolve.Carried { return texts })
		if err != nil {
			return fmt.Errorf("looking whether the events name somebody who was erased: %w", err)
		}
		for i, r := range found {
			if r.Erased || named != nil && named[i] != 0 {
				l.passed++
				delete(l.pending, ids[i])
			}
		}
	}
	return nil
}

func (l *landing) view() *landedView {
	view := &landedView{Timelines: []timelineView{}, Reasons: l.reasons, Pending: len(l.pending), Erased: l.passed}
	for _, n := range l.reasons {
		view.Quarantine += n
	}
	for t, n := range l.on {
		t.Events = n
		view.Timelines = append(view.Timelines, t)
	}
	slices.SortFunc(view.Timelines, func(a, b timelineView) int { return b.Events - a.Events })
	return view
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
