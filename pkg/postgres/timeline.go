package postgres

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// maxTimelineLimit is the largest page, and the size of the page when none is asked for.
const maxTimelineLimit = 10_000

// TimelineEvent is one row of account_events. Times are UTC, to the microsecond.
type TimelineEvent struct {
	ID            int64
	AccountID     uuid.UUID
	EventType     string
	Source        string
	SourceEventID string
	Subject       string    // the payload's subject; "" when it has none
	Payload       []byte    // JSON as Postgres prints it: key order and spacing are not the vendor's
	OccurredAt    time.Time // when it happened, by the vendor
	IngestedAt    time.Time // when Throughline first had it
}

// Cursor is the event's place in the timeline, for the next page.
func (e TimelineEvent) Cursor() Cursor {
	return Cursor{OccurredAt: e.OccurredAt, IngestedAt: e.IngestedAt, ID: e.ID}
}

// Cursor is a place in a timeline: occurred_at, then ingested_at, then id.
type Cursor struct {
	OccurredAt time.Time
	IngestedAt time.Time
	ID         int64
}

// TimelineQuery says which events of one account to read.
type TimelineQuery struct {
	AccountID uuid.UUID
	Since     time.Time // only events that occurred after it; zero for all
	From      time.Time // only events that occurred at it or later; zero for all
	Until     time.Time // only events that occurred before it; zero for all
	Source    string    // "" for all
	Type      string    // an event_type; "" for all
	Limit     int       // 1 to 10,000 events; 0 for 10,000
	After     *Cursor   // only events behind it, in the order that is read: the last event of the page before
	Newest    bool      // from the newest to the oldest
	// WithoutPayloads leaves Payload nil.
	WithoutPayloads bool
}

const eventColumns = `id, account_id, event_type, source, source_event_id, coalesce(payload->>'subject', ''),
  payload::text, occurred_at, ingested_at`

// lineColumns are eventColumns without the payload.
const lineColumns = `id, account_id, event_type, source, source_event_id, coalesce(payload->>'subject', ''),
  NULL::text, occurred_at, ingested_at`

// Timeline reads one page of an account's events in timeline order. Fewer events than the limit means the end.
// Errors are marked by Classify.
func Timeline(ctx context.Context, db DB, q TimelineQuery) ([]TimelineEvent, error) {
	if q.Limit < 1 || q.Limit > maxTimelineLimit {
		q.Limit = maxTimelineLimit
	}
	c := newConditions(q)
	columns, order, behind := eventColumns, "occurred_at, ingested_at, id", ">"
	if q.Newest {
		order, behind = "occurred_at DESC, ingested_at DESC, id DESC", "<"
	}
	if q.WithoutPayloads {
		columns = lineColumns
	}
	if q.After != nil {
		c.add("(occurred_at, ingested_at, id) "+behind+" (?, ?, ?)", q.After.OccurredAt, q.After.IngestedAt, q.After.ID)
	}
	rows, err := db.Query(ctx, fmt.Sprintf("SELECT %s FROM account_events WHERE %s ORDER BY %s LIMIT %d", columns, c.text(), order, q.Limit), c.values...)
	if err != nil {
		return nil, Classify(fmt.Errorf("reading the timeline: %w", err))
	}
	events, err := pgx.CollectRows(rows, scanEvent)
	if err != nil {
		return nil, Classify(fmt.Errorf("reading the timeline: %w", err))
	}
	return events, nil
}

func scanEvent(row pgx.CollectableRow) (TimelineEvent, error) {
	var e TimelineEvent
	err := row.Scan(&e.ID, &e.AccountID, &e.EventType, &e.Source, &e.SourceEventID, &e.Subject, &e.Payload, &e.OccurredAt, &e.IngestedAt)
	e.OccurredAt, e.IngestedAt = e.OccurredAt.UTC(), e.IngestedAt.UTC()
	return e, err
}

// conditions collects the terms of a WHERE clause and their values.
type conditions struct {
	terms  []string
	values []any
}

// newConditions has what every read of a timeline has in common.
func newConditions(q TimelineQuery) *conditions {
	c := &conditions{}
	c.add("account_id = ?", q.AccountID)
	if !q.Since.IsZero() {
		c.add("occurred_at > ?", q.Since)
	}
	if !q.From.IsZero() {
		c.add("occurred_at >= ?", q.From)
	}
	if !q.Until.IsZero() {
		c.add("occurred_at < ?", q.Until)
	}
	if q.Source != "" {
		c.add("source = ?", q.Source)
	}
	if q.Type != "" {
		c.add("event_type = ?", q.Type)
	}
	return c
}

// add appends a term; each ? in it stands for the next value.
func (c *conditions) add(term string, values ...any) {
	for _, value := range values {
		c.values = append(c.values, value)
		term = strings.Replace(term, "?", fmt.Sprintf("$%d", len(c.values)), 1)
	}
	c.terms = append(c.terms, term)
}

// addOperator appends a term with one value, for operators that have a question mark of their own; %d in it is the value's
// number.
func (c *conditions) addOperator(term string, value any) {
	c.values = append(c.values, value)
	c.terms = append(c.terms, fmt.Sprintf(term, len(c.values)))
}

func (c *conditions) text() string { return strings.Join(c.terms, " AND ") }
