package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// FeedPlace is a place in the order in which events became visible. Whoever keeps it, and asks again with it, in whatever
// process, is told every event that became visible since, and none twice, although ids become visible out of order: a
// transaction may commit after one that took higher ids.
//
// What was told is everything that the snapshot Seen shows, and, where a page ended within a look, of what the snapshot
// Looking shows all up to the id Told. Whether a snapshot shows an event is asked of the transaction that wrote its origin
// (account_event_origins), which is the one that stored it, and is not changed when the event moves to another account. A
// snapshot names the transactions that were running, so that a place stays small however many events there are.
//
// Floor only saves work: at and below it nothing appears any more. It follows an id that was the highest one once every
// transaction has ended that was running then and floorAge is over, for the instant between a transaction's taking an id and
// its first write, in which Postgres does not count it as running. Only an event whose statement stood still for
// longer than that in that instant would not be told.
type FeedPlace struct {
	Floor   int64    `json:"f,omitempty"`
	Seen    Snapshot `json:"s"`
	Looking Snapshot `json:"l,omitzero"` // zero: the last look was told to its end
	Told    int64    `json:"t,omitempty"`
	Mark    FeedMark `json:"m"`
}

// FeedMark is where Floor goes once that is settled.
type FeedMark struct {
	ID   int64  `json:"i"`
	XMax uint64 `json:"x"`
	At   int64  `json:"a"` // seconds since 1970, of the server's clock
}

// Snapshot is which transactions' work is seen: those below XMin, and those below XMax that are not Running.
type Snapshot struct {
	XMin, XMax uint64
	Running    []uint64 // in order
}

const (
	// floorAge is how old a mark must be.
	floorAge = 10 * time.Second
	// feedReach is how far below the newest event a feed that begins looks for events that are not visible yet.
	feedReach = 100_000
	// mostRunning bounds a snapshot: the most connections that write at a time.
	mostRunning = 1000
)

// String is the snapshot as Postgres writes it.
func (s Snapshot) String() string {
	running := make([]string, len(s.Running))
	for i, x := range s.Running {
		running[i] = strconv.FormatUint(x, 10)
	}
	return fmt.Sprintf("%d:%d:%s", s.XMin, s.XMax, strings.Join(running, ","))
}

// MarshalText writes it as Postgres does.
func (s Snapshot) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Snapshot) UnmarshalText(text []byte) (err error) {
	*s, err = parseSnapshot(string(text))
	return err
}

// IsZero is for JSON.
func (s Snapshot) IsZero() bool { return s.XMax == 0 }

// Valid says whether Postgres would take it.
func (s Snapshot) Valid() bool {
	if s.XMin == 0 || s.XMin > s.XMax || s.XMax > 1<<62 || len(s.Running) > mostRunning {
		return false
	}
	last := s.XMin
	for i, x := range s.Running {
		if x < last || i > 0 && x == last || x >= s.XMax {
			return false
		}
		last = x
	}
	return true
}

func parseSnapshot(text string) (Snapshot, error) {
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return Snapshot{}, fmt.Errorf("the server's snapshot %q is not understood", text)
	}
	var s Snapshot
	var err, errMax error
	s.XMin, err = strconv.ParseUint(parts[0], 10, 64)
	s.XMax, errMax = strconv.ParseUint(parts[1], 10, 64)
	if err := errors.Join(err, errMax); err != nil {
		return Snapshot{}, err
	}
	for x := range strings.SplitSeq(parts[2], ",") {
		if x == "" {
			continue
		}
		n, err := strconv.ParseUint(x, 10, 64)
		if err != nil {
			return Snapshot{}, err
		}
		s.Running = append(s.Running, n)
	}
	if len(s.Running) > mostRunning {
		return Snapshot{}, fault.Transient(fault.Unavailable, fmt.Errorf("%d transactions write at the same time: more than a place in the feed can name", len(s.Running)))
	}
	return s, nil
}

// FeedEvent is an event of a feed.
type FeedEvent struct {
	TimelineEvent
	AccountName string
	Place       FeedPlace // behind it
}

// FeedQuery says which events are told.
type FeedQuery struct {
	Place           *FeedPlace // nil: what becomes visible from now on
	Source, Type    string
	AccountID       uuid.UUID // Nil: of every account
	Limit           int       // at least 1
	WithoutPayloads bool
}

// ErrFeedPlace is Permanent, Malformed: the place is not one of this database, or of what became of it since.
var ErrFeedPlace = fault.Permanent(fault.Malformed, errors.New("this place in the feed is not one of this database: begin again without it"))

// Feed gives the events that became visible behind a place, and the place behind them. tx must be of isolation REPEATABLE
// READ, as Reading gives it. Fewer events than the limit means that there are no more now. The first call gives none.
func Feed(ctx context.Context, tx pgx.Tx, q FeedQuery) ([]FeedEvent, FeedPlace, error) {
	var text string
	var highest, now int64
	if err := tx.QueryRow(ctx, `SELECT coalesce((SELECT max(id) FROM account_events), 0), pg_current_snapshot()::text, extract(epoch FROM clock_timestamp())::bigint`).
		Scan(&highest, &text, &now); err != nil {
		return nil, FeedPlace{}, feedError(err)
	}
	current, err := parseSnapshot(text)
	if err != nil {
		return nil, FeedPlace{}, feedError(err)
	}
	mark := FeedMark{ID: highest, XMax: current.XMax, At: now}
	if q.Place == nil {
		return nil, FeedPlace{Floor: max(0, highest-feedReach), Seen: current, Mark: mark}, nil
	}
	place := *q.Place
	if !place.Seen.Valid() || place.Seen.XMax > current.XMax || place.Looking.XMax > current.XMax || place.Looking.XMax != 0 && !place.Looking.Valid() {
		return nil, FeedPlace{}, ErrFeedPlace
	}
	events, err := feedEvents(ctx, tx, q, place, current)
	if err != nil {
		return nil, FeedPlace{}, err
	}
	// At the end of a look that was begun before, what became visible since is told too.
	if place.Looking.XMax != 0 && len(events) < q.Limit {
		place = place.told(place.Looking, mark)
		rest := q
		rest.Limit -= len(events)
		more, err := feedEvents(ctx, tx, rest, place, current)
		if err != nil {
			return nil, FeedPlace{}, err
		}
		events = append(events, more...)
	}
	if len(events) == q.Limit {
		return events, events[q.Limit-1].Place, nil
	}
	return events, place.told(current, mark), nil
}

// told is the place behind all that the snapshot shows: the floor may follow.
func (p FeedPlace) told(seen Snapshot, now FeedMark) FeedPlace {
	p = FeedPlace{Floor: p.Floor, Seen: seen, Mark: p.Mark}
	if p.Mark.XMax <= seen.XMin && time.Duration(now.At-p.Mark.At)*time.Second >= floorAge {
		p.Floor, p.Mark = max(p.Floor, p.Mark.ID), now
	}
	return p
}

// feedEvents gives the events that the look shows and what was told does not, by id. The number of a transaction in a row
// has 32 bits; the others are those of the current one, or of the ones before it.
func feedEvents(ctx context.Context, tx pgx.Tx, q FeedQuery, place FeedPlace, current Snapshot) ([]FeedEvent, error) {
	look := current
	if place.Looking.XMax != 0 {
		look = place.Looking
	}
	c := &conditions{}
	c.add("e.id > ?", max(place.Floor, place.Told))
	c.add("NOT pg_visible_in_snapshot(x.whole, ?::text::pg_snapshot)", place.Seen.String())
	if place.Looking.XMax != 0 {
		c.add("pg_visible_in_snapshot(x.whole, ?::text::pg_snapshot)", look.String())
	}
	if q.Source != "" {
		c.add("e.source = ?", q.Source)
	}
	if q.Type != "" {
		c.add("e.event_type = ?", q.Type)
	}
	if q.AccountID != uuid.Nil {
		c.add("e.account_id = ?", q.AccountID)
	}
	payload := "e.payload::text"
	if q.WithoutPayloads {
		payload = "NULL::text"
	}
	c.values = append(c.values, int64(current.XMax))
	rows, err := tx.Query(ctx, fmt.Sprintf(`
SELECT e.id, e.account_id, e.event_type, e.source, e.source_event_id, coalesce(e.payload->>'subject', ''), %s, e.occurred_at, e.ingested_at, coalesce(a.name, '')
FROM account_events e
LEFT JOIN account_event_origins o ON o.event_id = e.id
LEFT JOIN accounts a ON a.id = e.account_id
CROSS JOIN LATERAL (SELECT coalesce(o.xmin, e.xmin)::text::bigint + ($%d::bigint >> 32 << 32) AS n) AS w
CROSS JOIN LATERAL (SELECT (CASE WHEN w.n > $%[2]d THEN greatest(w.n - (1::bigint << 32), 3) ELSE w.n END)::text::xid8 AS whole) AS x
WHERE %s ORDER BY e.id LIMIT %d`, payload, len(c.values), c.text(), q.Limit), c.values...)
	if err != nil {
		return nil, feedError(err)
	}
	events, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (FeedEvent, error) {
		var e FeedEvent
		err := row.Scan(&e.ID, &e.AccountID, &e.EventType, &e.Source, &e.SourceEventID, &e.Subject, &e.Payload, &e.OccurredAt, &e.IngestedAt, &e.AccountName)
		e.OccurredAt, e.IngestedAt = e.OccurredAt.UTC(), e.IngestedAt.UTC()
		e.Place = FeedPlace{Floor: place.Floor, Seen: place.Seen, Looking: look, Told: e.ID, Mark: place.Mark}
		return e, err
	})
	return events, feedError(err)
}

func feedError(err error) error {
	if err == nil || fault.IsPermanent(err) {
		return err
	}
	return Classify(fmt.Errorf("reading the feed: %w", err))
}
