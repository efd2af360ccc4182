package resolve

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Carried is what an event refers to, for whoever keeps events.
type Carried struct {
	Deciding []source.Reference // those by which it has its account
	All      []source.Reference // all that it refers to
}

// Suppressed gives for each event the decision (of the ledger) by which it was erased before it came: what decides about
// its account is erased, or it mentions a person who is; 0: none. Where nothing is erased it costs one look at an empty
// index and carried is not called, else one query more. It counts what was committed before the call: whoever stores
// events calls it in his transaction, after they are written. Errors are the database's, marked by postgres.Classify.
func Suppressed(ctx context.Context, db DB, carried func() []Carried) ([]int64, error) {
	some := false
	rows, err := db.Query(ctx, "SELECT EXISTS (SELECT FROM suppressions)")
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&some}, func() error { return nil })
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("looking whether anything was erased: %w", err))
	}
	if !some {
		return nil, nil
	}
	events := carried()
	type place struct {
		event    int
		deciding bool
	}
	var places []place
	var sources, kinds, tenants, ids []string
	add := func(event int, refs []source.Reference, deciding bool) {
		for _, r := range refs {
			if source.IsText(r.Source) && source.IsText(r.Tenant) && source.IsText(r.Kind) && source.IsText(r.ID) {
				places = append(places, place{event, deciding})
				sources, kinds, tenants, ids = append(sources, r.Source), append(kinds, r.Kind), append(tenants, r.Tenant), append(ids, r.ID)
			}
		}
	}
	for i, e := range events {
		add(i, e.Deciding, true)
		add(i, e.All, false)
	}
	by := make([]int64, len(events))
	var n, decision int64
	var mentions bool
	if rows, err = db.Query(ctx, "SELECT n, decision_id, mentions FROM suppressed($1, $2, $3, $4)", sources, kinds, tenants, ids); err == nil {
		_, err = pgx.ForEachRow(rows, []any{&n, &decision, &mentions}, func() error {
			if p := places[n-1]; p.deciding || mentions {
				by[p.event] = decision
			}
			return nil
		})
	}
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("looking for what was erased: %w", err))
	}
	return by, nil
}

// Executor is what changes the database: a pool or a transaction.
type Executor interface {
	Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
}

// CountSuppressed keeps how many events of each source were passed over because what they refer to was erased: it is all that
// is left of them. Without any it costs nothing. Whoever counts within a transaction does so last, since others wait for the
// source's row until it ends. Errors are the database's, marked by postgres.Classify.
func CountSuppressed(ctx context.Context, db Executor, bySource map[string]int64) error {
	if len(bySource) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(bySource)) // one order for all processes
	counts := make([]int64, len(names))
	for i, name := range names {
		counts[i] = bySource[name]
	}
	_, err := db.Exec(ctx, `INSERT INTO suppressed_events AS s (source, events) SELECT * FROM unnest($1::text[], $2::bigint[])
		ON CONFLICT (source) DO UPDATE SET events = s.events + excluded.events, last_at = now()`, names, counts)
	if err != nil {
		return postgres.Classify(fmt.Errorf("counting events of what was erased: %w", err))
	}
	return nil
}
