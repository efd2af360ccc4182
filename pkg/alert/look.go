package alert

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/shape"
	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	// lookTimeout bounds each statement of a look.
	lookTimeout = 10 * time.Second
	// mostFindings is how many findings of drift are looked at, the newest first.
	mostFindings = 500
	// firstLooks is how many looks a Looker takes at first to know the silences of 7 days.
	firstLooks = 5
)

// Looker makes snapshots. It keeps what it saw of hours that are over, and of counters: make one and keep it. One
// goroutine at a time may use it.
type Looker struct {
	pool     *pgxpool.Pool
	activity *postgres.Activity
	pages    *pages
	first    bool
}

// NewLooker makes a Looker on a migrated database, whose user is alerter or may do more, and on the services' admin
// addresses; a name that leads to several addresses is read at each of them.
func NewLooker(pool *pgxpool.Pool, metrics []string) *Looker {
	return &Looker{pool: pool, activity: postgres.NewActivityTimes(), pages: newPages(metrics), first: true}
}

// Look makes a snapshot. It reads indexes and some thousands of rows, whatever the size of the timeline, in one read-only
// transaction. Errors are the database's, marked by Classify; of metrics there are none.
func (l *Looker) Look(ctx context.Context, now time.Time) (Snapshot, error) {
	snap := Snapshot{At: now, Sources: map[string]Seen{}}
	err := postgres.Reading(ctx, l.pool, lookTimeout, func(tx pgx.Tx) error {
		activity, err := l.activity.Look(ctx, tx, now)
		for range firstLooks {
			if err != nil || !l.first || l.activity.Complete() {
				break
			}
			activity, err = l.activity.Look(ctx, tx, now)
		}
		if err != nil {
			return err
		}
		l.first = false
		for name, a := range activity {
			if a.Last != nil {
				snap.Sources[name] = Seen{Last: a.Last.IngestedAt, Normal: a.Normal}
			}
		}
		open, err := quarantine.NewStore(l.pool).In(tx).Open(ctx, []string{})
		if err != nil {
			return err
		}
		snap.Open, snap.Oldest = open[""].Records, open[""].Oldest
		return l.pulls(ctx, pull.NewStore(l.pool).In(tx), &snap)
	})
	if err != nil {
		return Snapshot{}, fmt.Errorf("looking how everything is: %w", err)
	}
	found, err := postgres.NewDrift(l.pool).Findings(ctx, postgres.FindingQuery{
		States: []postgres.FindingState{postgres.FindingOpen}, Read: true, Limit: mostFindings,
		Changes: []shape.Change{shape.Vanished, shape.TypeChanged, shape.NullRate, shape.Silent},
	})
	if err != nil {
		return Snapshot{}, err
	}
	for _, f := range found {
		one := Finding{ID: f.ID, Source: f.Source, EventType: f.EventType, Path: f.Path, Found: string(f.Change)}
		for _, r := range f.Readers {
			one.Readers = append(one.Readers, r.Name)
		}
		snap.Findings = append(snap.Findings, one)
	}
	snap.Metrics = l.pages.look(ctx, now)
	return snap, nil
}

func (l *Looker) pulls(ctx context.Context, store *pull.Store, snap *Snapshot) error {
	reports, err := store.Reports(ctx, "")
	if err != nil {
		return err
	}
	for _, r := range reports {
		snap.Gaps = append(snap.Gaps, Gap{Source: r.Source, Stream: r.Stream, Missing: r.StillMissing(), Failed: r.Status == "failed"})
	}
	unfinished, err := store.Unfinished(ctx, "")
	if err != nil {
		return err
	}
	var asked []int64
	for _, p := range unfinished {
		asked = append(asked, p.Request)
	}
	cancelled, err := store.Cancelled(ctx, asked)
	if err != nil {
		return err
	}
	for _, p := range unfinished {
		if slices.Contains(cancelled, p.Request) {
			continue // as somebody meant it
		}
		snap.Pulls = append(snap.Pulls, Pull{ID: p.ID, Source: p.Source, Stream: p.Stream, Backfill: p.Mode == source.ModeBackfill, Status: p.Status, Updated: p.UpdatedAt})
	}
	pauses, err := store.Pauses(ctx, "")
	for _, p := range pauses {
		snap.Pauses = append(snap.Pauses, Pause{Source: p.Source, Until: p.Until})
	}
	return err
}
