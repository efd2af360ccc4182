package accounts

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/event"
)

const (
	// changePage is how many changes are published at once.
	changePage = 1000
	// leaseFor is how long one process may publish before others may. Publishing a page takes at most half of it.
	leaseFor = 20 * time.Second
	// keepChanges is how long a published change stays in the table, for people who look.
	keepChanges = 7 * 24 * time.Hour
	// dropChanges is how many old changes are removed at once.
	dropChanges = 10_000
)

// Publisher publishes records and answers when the brokers have them (stream.Publisher).
type Publisher interface {
	Publish(ctx context.Context, records ...*kgo.Record) error
}

// Outbox publishes account_changes to the topic of that name: each change at least once, those of an account in the
// order in which they were made. Of several Outboxes, in any number of processes, one works at a time; no lock is
// held while the brokers are waited for.
type Outbox struct {
	pool      *pgxpool.Pool
	encoder   *event.ChangeEncoder
	publisher Publisher
	holder    uuid.UUID // of the lease
}

// NewOutbox makes an Outbox. The publisher must wait for all in-sync replicas.
func NewOutbox(pool *pgxpool.Pool, encoder *event.ChangeEncoder, publisher Publisher) *Outbox {
	return &Outbox{pool: pool, encoder: encoder, publisher: publisher, holder: uuid.New()}
}

// Publish publishes all changes that are there, and gives how many; 0 too when another process is at it. An error is
// Transient (what was published before it stays so), unless the brokers refuse a change for good.
func (o *Outbox) Publish(ctx context.Context) (int, error) {
	published := 0
	for {
		page, err := o.page(ctx)
		if err != nil || len(page) == 0 {
			return published, err
		}
		if err := o.publish(ctx, page); err != nil {
			return published, err
		}
		published += len(page)
	}
}

// pending is a change that is to be published.
type pending struct {
	id int64
	event.AccountChange
}

// page gives the next changes, if this process may publish now.
func (o *Outbox) page(ctx context.Context) ([]pending, error) {
	var page []pending
	err := pgx.BeginFunc(ctx, o.pool, func(tx pgx.Tx) error {
		var some bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM account_changes WHERE published_at IS NULL)").Scan(&some); err != nil || !some {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE account_changes_lease SET holder = $1, until = clock_timestamp() + $2::interval
			WHERE holder = $1 OR until < clock_timestamp()`, o.holder, leaseFor)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT id, source, source_event_id, from_account, to_account, decision_id, at FROM account_changes
			WHERE published_at IS NULL ORDER BY id LIMIT $1`, changePage)
		if err != nil {
			return err
		}
		page, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (pending, error) {
			var p pending
			var to *uuid.UUID
			err := row.Scan(&p.id, &p.Source, &p.SourceEventID, &p.FromAccount, &to, &p.DecisionID, &p.At)
			if to != nil {
				p.ToAccount = *to
			}
			return p, err
		})
		return err
	})
	return page, broken("reading changes of accounts", err)
}

// publish publishes a page and marks it. A crash in between publishes it once more.
func (o *Outbox) publish(ctx context.Context, page []pending) error {
	records, ids := make([]*kgo.Record, len(page)), make([]int64, len(page))
	for i := range page {
		value, err := o.encoder.Encode(&page[i].AccountChange)
		if err != nil {
			return err
		}
		records[i] = &kgo.Record{Topic: o.encoder.Topic(), Key: []byte(page[i].FromAccount.String()), Value: value}
		ids[i] = page[i].id
	}
	bounded, cancel := context.WithTimeout(ctx, leaseFor/2)
	defer cancel()
	if err := o.publisher.Publish(bounded, records...); err != nil {
		return fmt.Errorf("publishing changes of accounts: %w", err)
	}
	_, err := o.pool.Exec(ctx, "UPDATE account_changes SET published_at = now() WHERE id = ANY ($1)", ids)
	return broken("marking published changes", err)
}

// Drop removes changes that were published long ago (7 days), at most 10,000, and gives how many.
func (o *Outbox) Drop(ctx context.Context) (int, error) {
	tag, err := o.pool.Exec(ctx, `DELETE FROM account_changes WHERE id IN (
		SELECT id FROM (SELECT id, published_at FROM account_changes ORDER BY id LIMIT $2) AS oldest WHERE published_at < now() - $1::interval)`,
		keepChanges, dropChanges)
	if err != nil {
		return 0, broken("removing old changes", err)
	}
	return int(tag.RowsAffected()), nil
}
