package prove

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// DB is a connection or a pool to a database that takes no more events.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Quarantine is the place of events that belong to nobody.
var Quarantine = uuid.Nil

// Kind is what is wrong with an event.
type Kind string

// What Check looks for.
const (
	Lost      Kind = "lost"      // acknowledged, and neither on a timeline nor in quarantine
	Doubled   Kind = "doubled"   // there more than once: on timelines, in quarantine, or on both
	Moved     Kind = "moved"     // in another place than where it belongs
	Stranger  Kind = "strangers" // a row of an event that nobody sent
	Altered   Kind = "altered"   // with other content than was sent
	Misdated  Kind = "misdated"  // at another time than it happened
	Orphan    Kind = "orphans"   // a row without its origin, or an origin without its row
	Unsettled Kind = "unsettled" // a release or a move of history that is still under way
)

// Kinds are all of them, the worst first.
var Kinds = []Kind{Lost, Doubled, Moved, Stranger, Altered, Misdated, Orphan, Unsettled}

// mostExamples bounds what a Verdict names of each kind.
const mostExamples = 10

// Verdict is what a comparison found.
type Verdict struct {
	Events      int // acknowledged
	OnTimelines int // rows
	Quarantined int // records that are open or discarded
	Counts      map[Kind]int
	Examples    map[Kind][]string // of each kind the first, for people
}

// Kept says that the promise was kept, and nothing else is wrong either.
func (v Verdict) Kept() bool {
	for _, n := range v.Counts {
		if n != 0 {
			return false
		}
	}
	return true
}

// String is one line: "0 lost, 0 doubled over 1234 events", and what else is wrong.
func (v Verdict) String() string {
	var parts []string
	for _, kind := range Kinds {
		if n := v.Counts[kind]; n != 0 || kind == Lost || kind == Doubled {
			parts = append(parts, fmt.Sprintf("%d %s", n, kind))
		}
	}
	return fmt.Sprintf("%s over %d events", strings.Join(parts, ", "), v.Events)
}

// Details names examples of all that is wrong, a line each; "" when nothing is.
func (v Verdict) Details() string {
	var lines []string
	for _, kind := range Kinds {
		for _, example := range v.Examples[kind] {
			lines = append(lines, string(kind)+": "+example)
		}
		if more := v.Counts[kind] - len(v.Examples[kind]); more > 0 {
			lines = append(lines, fmt.Sprintf("%s: and %d more", kind, more))
		}
	}
	return strings.Join(lines, "\n")
}

func (v *Verdict) add(kind Kind, example string, args ...any) {
	v.Counts[kind]++
	if len(v.Examples[kind]) < mostExamples {
		v.Examples[kind] = append(v.Examples[kind], fmt.Sprintf(example, args...))
	}
}

// Check compares the promises with the tables account_events, account_event_origins and quarantine. places says which
// account each Promise.Whose means; Quarantine is one of them. An event that was sent and never acknowledged may be there,
// once, where it belongs: its answer was lost. Records in quarantine without a mark are not looked at: others send those.
//
// An error is of the database, or of a promise whose place is not known.
func Check(ctx context.Context, db DB, promises Promises, places map[string]uuid.UUID) (Verdict, error) {
	v := Verdict{Counts: map[Kind]int{}, Examples: map[Kind][]string{}}
	found := map[string][]string{} // by mark: where
	err := errorsOf(
		func() error { return v.timelines(ctx, db, promises, places, found) },
		func() error { return v.quarantine(ctx, db, promises, places, found) },
		func() error { return v.rest(ctx, db) },
	)
	if err != nil {
		return Verdict{}, err
	}
	for mark, promise := range promises {
		if _, known := places[promise.Whose]; !known {
			return Verdict{}, fmt.Errorf("%s belongs to %q, which is no place", mark, promise.Whose)
		}
		if promise.Acked {
			v.Events++
		}
		switch at := found[mark]; {
		case len(at) == 0 && promise.Acked:
			v.add(Lost, "%s, acknowledged at %s", mark, promise.AckedAt.Format(time.RFC3339Nano))
		case len(at) > 1:
			v.add(Doubled, "%s is %s", mark, strings.Join(at, " and "))
		}
	}
	for _, examples := range v.Examples {
		slices.Sort(examples)
	}
	return v, nil
}

func errorsOf(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// timelines looks at each row of account_events.
func (v *Verdict) timelines(ctx context.Context, db DB, promises Promises, places map[string]uuid.UUID, found map[string][]string) error {
	rows, err := db.Query(ctx, "SELECT id, account_id, payload::text, occurred_at FROM account_events ORDER BY id")
	if err != nil {
		return fmt.Errorf("reading the timelines: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var account uuid.UUID
		var payload []byte
		var occurred time.Time
		if err := rows.Scan(&id, &account, &payload, &occurred); err != nil {
			return fmt.Errorf("reading the timelines: %w", err)
		}
		v.OnTimelines++
		mark := MarkOf(payload)
		promise, sent := promises[mark]
		if !sent {
			v.add(Stranger, "row %d with the mark %q", id, mark)
			continue
		}
		found[mark] = append(found[mark], fmt.Sprintf("row %d of account %s", id, account))
		if want := places[promise.Whose]; account != want {
			v.add(Moved, "%s is on account %s, not %s", mark, account, place(want))
		}
		if promise.Digest != "" && storedDigest(payload) != promise.Digest {
			v.add(Altered, "%s: row %d has other content than was sent", mark, id)
		}
		if !promise.OccurredAt.IsZero() && !occurred.Equal(promise.OccurredAt) {
			v.add(Misdated, "%s: row %d is at %s, not %s", mark, id, occurred.UTC().Format(time.RFC3339Nano), promise.OccurredAt.UTC().Format(time.RFC3339Nano))
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the timelines: %w", err)
	}
	return nil
}

// quarantine looks at each record that is not resolved.
func (v *Verdict) quarantine(ctx context.Context, db DB, promises Promises, places map[string]uuid.UUID, found map[string][]string) error {
	rows, err := db.Query(ctx, "SELECT id, status, raw FROM quarantine WHERE status <> 'resolved' ORDER BY id")
	if err != nil {
		return fmt.Errorf("reading the quarantine: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id int64
		var status string
		var raw []byte
		if err := rows.Scan(&id, &status, &raw); err != nil {
			return fmt.Errorf("reading the quarantine: %w", err)
		}
		v.Quarantined++
		mark := MarkOf(raw)
		if mark == "" {
			continue
		}
		if status == "replaying" {
			v.add(Unsettled, "%s: record %d is being released", mark, id)
		}
		promise, sent := promises[mark]
		if !sent {
			v.add(Stranger, "record %d in quarantine with the mark %q", id, mark)
			continue
		}
		found[mark] = append(found[mark], fmt.Sprintf("record %d in quarantine", id))
		if want := places[promise.Whose]; want != Quarantine {
			v.add(Moved, "%s is in quarantine, not on account %s", mark, want)
		}
		if promise.Digest != "" && Digest(raw) != promise.Digest {
			v.add(Altered, "%s: record %d in quarantine has other content than was sent", mark, id)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the quarantine: %w", err)
	}
	return nil
}

// rest looks at what must agree without any ledger.
func (v *Verdict) rest(ctx context.Context, db DB) error {
	for sql, kind := range map[string]Kind{
		"SELECT 'row ' || e.id || ' has no origin' FROM account_events e WHERE NOT EXISTS (SELECT FROM account_event_origins o WHERE o.event_id = e.id)":                       Orphan,
		"SELECT 'origin of row ' || o.event_id || ', which is not there' FROM account_event_origins o WHERE NOT EXISTS (SELECT FROM account_events e WHERE e.id = o.event_id)": Orphan,
		"SELECT 'move ' || id || ' of history is not finished' FROM history_moves WHERE finished_at IS NULL":                                                                   Unsettled,
		"SELECT 'change ' || id || ' is not published' FROM account_changes WHERE published_at IS NULL":                                                                        Unsettled,
	} {
		rows, err := db.Query(ctx, sql)
		if err != nil {
			return fmt.Errorf("looking at what must agree: %w", err)
		}
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return fmt.Errorf("looking at what must agree: %w", err)
		}
		for _, text := range texts {
			v.add(kind, "%s", text)
		}
	}
	return nil
}

func place(account uuid.UUID) string {
	if account == Quarantine {
		return "in quarantine"
	}
	return account.String()
}
