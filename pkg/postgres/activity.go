package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// SourceActivity is how a source's events have come lately.
type SourceActivity struct {
	Last *TimelineEvent // the newest, without its payload; nil: there is none
	// Hours are events received in each of the last 24 hours, the oldest first. Of an hour with more than hourSample
	// events it is an estimate.
	Hours []int64
	// Normal is how long it is silent at most on a normal day: the second longest of the longest silences of the last 7
	// days. 0: there are not events of three days.
	Normal time.Duration
}

const (
	activityHours = 7 * 24
	// hourSample is how many events of an hour are looked at.
	hourSample = 200
	// hoursAtOnce bounds how many hours one look reads that it has not read before.
	hoursAtOnce = 24
	// beginProbes is how many ids one step looks at to find where an hour begins: more of them, and fewer steps.
	beginProbes = 15
	// lastStep is how many of the newest events are looked at for the last of each source.
	lastStep = 5_000
)

// Activity knows how events have come in the last 7 days, by source. There is no index by source and time, and none is
// wanted: it finds by the ids where each hour begins, looks at some events of it, and remembers what an hour that is over
// had. So one look reads some thousands of events at most, and the first ones do not know all of the 7 days yet.
type Activity struct {
	mu    sync.Mutex
	begin map[int64]int64 // the first id of an hour since 1970, for those that are over, and of the one after the last of them
	hours map[int64]map[string]hourOf
}

// hourOf is what a source had in an hour.
type hourOf struct {
	events      int64
	first, last time.Time
	silence     time.Duration // the longest between two that were looked at
}

// NewActivity makes an Activity that knows nothing yet.
func NewActivity() *Activity {
	return &Activity{begin: map[int64]int64{}, hours: map[int64]map[string]hourOf{}}
}

// Look gives the activity of every source of which there is an event. It is safe for concurrent use; looks wait for each other.
func (a *Activity) Look(ctx context.Context, tx pgx.Tx, now time.Time) (map[string]SourceActivity, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	all, err := lastEvents(ctx, tx)
	if err != nil {
		return nil, activityError(err)
	}
	current := now.Unix() / 3600
	if err := a.read(ctx, tx, current); err != nil {
		return nil, activityError(err)
	}
	for name, s := range all {
		s.Hours = make([]int64, 24)
		for i := range s.Hours {
			s.Hours[i] = a.hours[current-23+int64(i)][name].events
		}
		s.Normal = a.normal(name, current)
		all[name] = s
	}
	return all, nil
}

// normal is SourceActivity.Normal.
func (a *Activity) normal(name string, current int64) time.Duration {
	longest := map[int64]time.Duration{} // by day
	var before time.Time
	for hour := current - activityHours; hour <= current; hour++ {
		h, ok := a.hours[hour][name]
		if !ok || h.events == 0 {
			continue
		}
		day := (hour - current + activityHours) / 24
		if longest[day] = max(longest[day], h.silence); !before.IsZero() {
			longest[day] = max(longest[day], h.first.Sub(before))
		}
		before = h.last
	}
	var silences []time.Duration
	for _, s := range longest {
		silences = append(silences, s)
	}
	if len(silences) < 3 {
		return 0
	}
	slices.Sort(silences)
	return silences[len(silences)-2]
}

// lastEvents gives the newest event of each source: the last stored, else the last that happened, by types.
func lastEvents(ctx context.Context, tx pgx.Tx) (map[string]SourceActivity, error) {
	all := map[string]SourceActivity{}
	for _, sql := range []string{
		// Of each source one payload is read.
		fmt.Sprintf(`SELECT e.* FROM (SELECT source, max(id) AS id FROM (SELECT source, id FROM account_events ORDER BY id DESC LIMIT %d) AS newest GROUP BY source) AS few
		CROSS JOIN LATERAL (SELECT %s FROM account_events WHERE id = few.id LIMIT 1) AS e`, lastStep, lineColumns),
		// From type to type by the index (event_type, occurred_at).
		fmt.Sprintf(`WITH RECURSIVE newest AS (
			(SELECT id, event_type FROM account_events ORDER BY event_type, occurred_at DESC LIMIT 1)
			UNION ALL
			SELECT n.id, n.event_type FROM newest l CROSS JOIN LATERAL (
				SELECT id, event_type FROM account_events WHERE event_type > l.event_type ORDER BY event_type, occurred_at DESC LIMIT 1) AS n
		), few AS (SELECT id FROM newest LIMIT 2000)
		SELECT e.* FROM few CROSS JOIN LATERAL (SELECT %s FROM account_events WHERE id = few.id LIMIT 1) AS e ORDER BY e.occurred_at DESC`, lineColumns),
	} {
		rows, err := tx.Query(ctx, sql)
		if err != nil {
			return nil, err
		}
		events, err := pgx.CollectRows(rows, scanEvent)
		if err != nil {
			return nil, err
		}
		for _, e := range events {
			if all[e.Source].Last == nil {
				all[e.Source] = SourceActivity{Last: &e}
			}
		}
	}
	return all, nil
}

// read looks at the hours that are not known yet, the newest first, and at the current one.
func (a *Activity) read(ctx context.Context, tx pgx.Tx, current int64) error {
	var wanted []int64
	for hour := current; hour >= current-activityHours && len(wanted) < hoursAtOnce; hour-- {
		if _, known := a.hours[hour]; !known || hour >= current-1 { // the last one may have been read before it was over
			wanted = append(wanted, hour)
		}
	}
	for hour := range a.hours {
		if hour < current-activityHours {
			delete(a.hours, hour)
			delete(a.begin, hour)
		}
	}
	var low, high int64
	if err := tx.QueryRow(ctx, "SELECT coalesce((SELECT id FROM account_events ORDER BY id LIMIT 1), 0), coalesce((SELECT id FROM account_events ORDER BY id DESC LIMIT 1), -1)").Scan(&low, &high); err != nil {
		return err
	}
	if err := a.findBegins(ctx, tx, wanted, current, low, high); err != nil {
		return err
	}
	var probes, hours []int64
	share := map[int64]float64{} // how many events each probed one stands for
	for _, hour := range wanted {
		from, to := a.begin[hour], high+1
		if hour < current {
			to = max(from, a.begin[hour+1])
		}
		n := min(to-from, hourSample)
		a.hours[hour] = map[string]hourOf{}
		for i := range n {
			probes, hours = append(probes, from+i*(to-from)/n), append(hours, hour)
		}
		share[hour] = float64(to-from) / float64(max(1, n))
	}
	rows, err := tx.Query(ctx, `SELECT p.hour, e.source, e.ingested_at FROM unnest($1::bigint[], $2::bigint[]) AS p (id, hour)
		CROSS JOIN LATERAL (SELECT source, ingested_at FROM account_events WHERE id = p.id LIMIT 1) AS e ORDER BY e.ingested_at`, probes, hours)
	if err != nil {
		return err
	}
	found := map[int64]map[string]int64{}
	var hour int64
	var name string
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&hour, &name, &at}, func() error {
		h := a.hours[hour][name]
		if h.first.IsZero() {
			h.first = at
		} else {
			h.silence = max(h.silence, at.Sub(h.last))
		}
		h.last = at
		if found[hour] == nil {
			found[hour] = map[string]int64{}
		}
		found[hour][name]++
		h.events = int64(float64(found[hour][name])*share[hour] + 0.5)
		a.hours[hour][name] = h
		return nil
	}); err != nil {
		return err
	}
	delete(a.begin, current+1)
	return nil
}

// findBegins finds the first id of the wanted hours, and of those behind them, by looking at some between bounds that close in: ids grow with the time of
// receipt, but for what waited in quarantine.
func (a *Activity) findBegins(ctx context.Context, tx pgx.Tx, wanted []int64, current, low, high int64) error {
	type search struct {
		hour, low, high int64
		met             bool // this step has met an event of the hour or later: what waited in quarantine may come behind
	}
	var open []search
	seen := map[int64]bool{}
	for _, hour := range wanted {
		for _, h := range []int64{hour, hour + 1} {
			if _, known := a.begin[h]; known || seen[h] || h > current {
				continue
			}
			seen[h] = true
			open = append(open, search{hour: h, low: low, high: high + 1})
		}
	}
	for len(open) > 0 {
		var mids, of []int64 // ascending within each search
		for i, s := range open {
			open[i].met = false
			n := min(beginProbes, s.high-s.low)
			for k := range n {
				mids, of = append(mids, s.low+(s.high-s.low)*(k+1)/(n+1)), append(of, int64(i))
			}
		}
		rows, err := tx.Query(ctx, `SELECT p.n, e.id, e.ingested_at FROM unnest($1::bigint[]) WITH ORDINALITY AS p (id, n)
			LEFT JOIN LATERAL (SELECT id, ingested_at FROM account_events WHERE id >= p.id ORDER BY id LIMIT 1) AS e ON true ORDER BY p.n`, mids)
		if err != nil {
			return err
		}
		var n int
		var id *int64
		var at *time.Time
		if _, err := pgx.ForEachRow(rows, []any{&n, &id, &at}, func() error {
			switch s := &open[of[n-1]]; {
			case s.met:
			case id == nil || at.Unix() >= s.hour*3600:
				s.met, s.high = true, min(s.high, mids[n-1])
			default:
				s.low = max(s.low, *id+1)
			}
			return nil
		}); err != nil {
			return err
		}
		open = slices.DeleteFunc(open, func(s search) bool {
			if s.low < s.high {
				return false
			}
			a.begin[s.hour] = s.high
			return true
		})
	}
	return nil
}

func activityError(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	return Classify(fmt.Errorf("reading how events came: %w", err))
}
