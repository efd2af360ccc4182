package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// ErrNothingToProbe is Probe's answer for a table without rows.
var ErrNothingToProbe = errors.New("the timeline is empty: there is no row to try")

// Probe tells whether the table takes rows at all: it writes the newest row once more, in a transaction that it rolls
// back. nil: it does, so what it refuses is the row's own fault. It takes no longer than a batch may.
func (w *Writer) Probe(ctx context.Context) error {
	_, err := Bound(ctx, w.timeout, func(ctx context.Context) (struct{}, error) { return struct{}{}, w.probe(ctx) })
	return err
}

func (w *Writer) probe(ctx context.Context) error {
	conn, begin, err := w.acquire(ctx)
	if err != nil {
		return w.classify(err)
	}
	defer conn.Release()
	errUndo := errors.New("the probe worked")
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{BeginQuery: begin}, func(tx pgx.Tx) error {
		var r Row
		err := tx.QueryRow(ctx, `SELECT account_id, event_type, source, source_event_id, payload::text, occurred_at, ingested_at
			FROM account_events ORDER BY id DESC LIMIT 1`).
			Scan(&r.AccountID, &r.EventType, &r.Source, &r.SourceEventID, &r.Payload, &r.OccurredAt, &r.IngestedAt)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNothingToProbe
		}
		if err != nil {
			return err
		}
		if err := insertAll(ctx, tx, []Row{r}, make(Inserted, 1)); err != nil {
			return err
		}
		return errUndo
	})
	if errors.Is(err, errUndo) {
		return nil
	}
	return w.classify(fmt.Errorf("trying a row: %w", err))
}

// requireKept gives a Permanent error when a row is neither new nor on the timeline: a trigger, a rule or a policy
// took it away in silence.
func requireKept(ctx context.Context, tx pgx.Tx, rows []Row, inserted Inserted) error {
	var sources, ids []string
	for _, i := range inOrder(rows) {
		if !inserted[i] {
			sources, ids = append(sources, rows[i].Source), append(ids, rows[i].SourceEventID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	// The lateral look-up with its limit is by the unique index whatever the statistics say.
	var lost int
	err := tx.QueryRow(ctx, `SELECT count(*) FROM unnest($1::text[], $2::text[]) AS r (source, id)
		LEFT JOIN LATERAL (SELECT true AS kept FROM account_events e WHERE e.source = r.source AND e.source_event_id = r.id LIMIT 1) AS e ON true
		WHERE kept IS NULL`, sources, ids).Scan(&lost)
	if err != nil {
		return fmt.Errorf("looking for the rows that were there before: %w", err)
	}
	if lost == 0 {
		return nil
	}
	return fault.Advise(fault.Permanent(fault.Unstorable, fmt.Errorf("the table kept %d of %d rows neither new nor as they were", lost, len(rows))),
		"a trigger, a rule or a policy of account_events takes rows away: look at what was deployed last")
}
