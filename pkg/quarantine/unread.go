package quarantine

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
)

// Unread is an open record of a topic that is no raw one, whose bytes could not be
// read when it came.
type Unread struct {
	ID     int64
	Letter event.DeadLetter
}

// Unread gives those that failed in this topic, with ids above after, at most limit, by id. What does not begin
// like a value in the Confluent wire format is left out: it can never be read.
func (s *Store) Unread(ctx context.Context, topic string, after int64, limit int) ([]Unread, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, error, partition, "offset", raw_index, record_key, raw, first_seen, attempts
		FROM (SELECT id AS found_id FROM quarantine_states WHERE status = 'open' AND reason = $1 AND source = '' AND id > $3 ORDER BY id) AS found CROSS JOIN `+recordFound+`
		WHERE topic = $2 AND substr(raw, 1, 1) = '\x00' ORDER BY id LIMIT $4`,
		string(fault.Malformed), topic, after, limit)
	if err != nil {
		return nil, broken("reading what could not be read", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Unread, error) {
		u := Unread{Letter: event.DeadLetter{Topic: topic, Reason: string(fault.Malformed)}}
		l := &u.Letter
		return u, row.Scan(&u.ID, &l.Error, &l.Partition, &l.Offset, &l.RawIndex, &l.Key, &l.Value, &l.FirstSeen, &l.Attempts)
	})
	return list, broken("reading what could not be read", err)
}

// Reread takes in the letter that a record turns out to be and resolves the record. The letter belongs to the record of
// its event, which is released where nothing but its bytes was wrong. It may be repeated at will.
func (s *Store) Reread(ctx context.Context, id int64, l Letter, release bool) error {
	const note = "its bytes could be read later"
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		result, err := s.put(ctx, tx, []Letter{l})
		if err != nil {
			return err
		}
		if !release {
			result.Open = nil
		}
		for _, step := range []struct {
			ids []int64
			to  Status
		}{{result.Open, Replaying}, {[]int64{id}, Resolved}} {
			if _, err := changeIDs(ctx, tx, change{to: step.to, from: []string{string(Open)}, only: "true", by: ByFeed, note: note}, step.ids, "true", nil); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return postgres.Classify(fmt.Errorf("taking in a record that could not be read before: %w", err))
	}
	return nil
}
