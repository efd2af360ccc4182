package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Refusal is a record of the output that the brokers refuse for what it holds.
type Refusal struct {
	Topic string
	Err   error // Permanent: Oversized, else Unsupported
}

// transaction is one batch's output and offsets.
type transaction struct {
	session *kgo.GroupTransactSession
	user    string
	timeout time.Duration
	batch   []*kgo.Record
	replace func(ctx context.Context, batch []*kgo.Record, refused map[int][]Refusal) ([]*kgo.Record, error)
	refused map[int][]Refusal // by place in the output
}

// run produces out and commits the session's offsets, or neither. Not committed
// without an error means that partitions moved: the batch comes again. An error is
// not classified. What it does not end before ctx, or its own timeout, the brokers abort.
func (t *transaction) run(ctx context.Context, out []*kgo.Record) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	if err := t.session.Begin(); err != nil {
		return false, fmt.Errorf("beginning a transaction: %w", err)
	}
	produced := t.write(ctx, out)
	committed, err := t.session.End(ctx, kgo.TransactionEndTry(produced == nil))
	if err := errors.Join(produced, err); err != nil {
		return false, fmt.Errorf("committing a transaction: %w", err)
	}
	return committed, nil
}

// write produces out, and what replaces those of it that are refused.
func (t *transaction) write(ctx context.Context, out []*kgo.Record) error {
	for pending := slices.DeleteFunc(slices.Clone(out), isNil); ; {
		guilty, err := t.settle(ctx, pending)
		if err != nil || len(guilty) == 0 {
			return err
		}
		if t.refused == nil {
			t.refused = map[int][]Refusal{}
		}
		var places []int
		for i, r := range out {
			if err := guilty[r]; r != nil && err != nil {
				t.refused[i] = append(t.refused[i], Refusal{r.Topic, err})
				places = append(places, i)
			}
		}
		if t.replace == nil {
			return guilty[out[places[0]]]
		}
		replaced, err := t.replace(ctx, t.batch, t.refused)
		if err != nil {
			return fmt.Errorf("replacing %d records that the brokers refuse: %w", len(places), err)
		}
		pending = nil
		for _, i := range places {
			if out[i] = replaced[i]; out[i] != nil {
				pending = append(pending, out[i])
			}
		}
	}
}

func isNil(r *kgo.Record) bool { return r == nil }

// settle produces records until each is either written or refused alone, and
// gives the latter. The brokers refuse batches, and the client all that waits
// behind one for the same partition, so those that are refused together are
// produced again by halves.
func (t *transaction) settle(ctx context.Context, records []*kgo.Record) (guilty map[*kgo.Record]error, err error) {
	refused, err := t.produce(ctx, records)
	if err != nil || len(refused) == 0 || len(records) == 1 {
		return refused, err
	}
	guilty = map[*kgo.Record]error{}
	again := slices.DeleteFunc(slices.Clone(records), func(r *kgo.Record) bool { return refused[r] == nil })
	for part := range slices.Chunk(again, (len(again)+1)/2) {
		found, err := t.settle(ctx, part)
		if err != nil {
			return nil, err
		}
		for r, err := range found {
			guilty[r] = err
		}
	}
	return guilty, nil
}

// produce produces records together, waits for all of them, and gives those that
// are refused.
func (t *transaction) produce(ctx context.Context, records []*kgo.Record) (map[*kgo.Record]error, error) {
	p := production{client: t.session.Client(), user: t.user}
	p.wait.Add(len(records))
	promise := p.promise
	for _, r := range records {
		t.session.Produce(ctx, r, promise)
	}
	// Nothing lingers any longer. Its error is ctx's end, with which the promises fail too.
	_ = t.session.Client().Flush(ctx)
	p.wait.Wait()
	return p.refused, p.failed
}

// production is what the brokers answer to records that are produced together.
type production struct {
	client *kgo.Client
	user   string
	wait   sync.WaitGroup

	mu      sync.Mutex
	refused map[*kgo.Record]error
	failed  error // the first that is no refusal of a record
}

func (p *production) promise(r *kgo.Record, err error) {
	defer p.wait.Done()
	if err == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	refused := refusal(err)
	switch {
	case refused != nil:
		if p.refused == nil {
			p.refused = map[*kgo.Record]error{}
		}
		p.refused[r] = refused
	case p.failed == nil:
		p.failed = toTopic(err, p.user, r.Topic)
		// The transaction is lost: the others need not be waited for.
		p.wait.Go(func() { _ = p.client.AbortBufferedRecords(context.Background()) }) // only its context could fail it
	}
}
