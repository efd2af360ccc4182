package sink

import (
	"cmp"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
)

// breaker tells a bad record from a bad deployment: when Postgres refuses limit
// records of a partition in a row, without a good one between them, no more of
// that partition are dead-lettered until one is stored again. What is no event
// does not count: it says nothing about the database. It is safe for concurrent
// use by writers that share no partition.
type breaker struct {
	limit int // 0: never opens

	mu      sync.Mutex
	refused map[int32]int // in a row, by partition, in batches that went through
}

func newBreaker(limit int) *breaker {
	return &breaker{limit: limit, refused: map[int32]int{}}
}

// tally counts a batch's records by partition.
type tally map[int32]count

// count has the records that Postgres refused, and (at best) those that it stores.
type count struct{ stored, refused int }

// tallyOf counts all entries as stored.
func tallyOf(entries []entry) tally {
	t := tally{}
	for i := range entries {
		n := t[entries[i].rec.Partition]
		n.stored++
		t[entries[i].rec.Partition] = n
	}
	return t
}

func (t tally) refuse(partition int32) {
	n := t[partition]
	n.stored--
	n.refused++
	t[partition] = n
}

// check gives a Transient error when the partition's breaker is open; refusal is
// Postgres' newest.
func (b *breaker) check(partition int32, n count, refusal error) error {
	if b.limit == 0 || n.refused <= n.stored {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	inARow := n.refused
	if n.stored == 0 {
		inARow += b.refused[partition]
	}
	if inARow < b.limit {
		return nil
	}
	advice := "look for a migration or a deployment that went wrong; if the records are bad, THROUGHLINE_SINK_BREAKER_ROWS=0 dead-letters them"
	if known := cmp.Or(fault.Advice(refusal), postgres.Advice(refusal)); known != "" {
		advice = known + "; if the records are bad, THROUGHLINE_SINK_BREAKER_ROWS=0 dead-letters them"
	}
	return fault.Advise(fault.Transient(fault.Unavailable, fmt.Errorf(
		"the breaker is open: Postgres refused %d records of partition %d in a row (%s), so none of it is dead-lettered", inARow, partition, kindOf(refusal))), advice)
}

// kindOf names a refusal without its text, which may quote the record.
func kindOf(refusal error) string {
	var p *pgconn.PgError
	switch {
	case !errors.As(refusal, &p):
		return string(fault.ReasonOf(refusal))
	case p.ConstraintName != "":
		return "SQLSTATE " + p.Code + ", constraint " + p.ConstraintName
	default:
		return "SQLSTATE " + p.Code
	}
}

// note counts a batch that went through, but for the partitions that are open.
func (b *breaker) note(o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for partition, n := range o.counts {
		switch {
		case o.open[partition] != nil:
		case n.stored > 0:
			delete(b.refused, partition)
		default:
			b.refused[partition] += n.refused
		}
	}
}
