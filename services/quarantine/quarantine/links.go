package quarantine

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/retry"
	"github.com/throughline-dev/throughline/pkg/source"
)

// pageSize is how many waiting records are resolved in one query.
const pageSize = 1000

// maxChanged is how many keys are looked at one by one; with more, looking at everything is cheaper.
const maxChanged = 2000

// changes collects what the watcher hears until the releasing loop takes it.
type changes struct {
	mu         sync.Mutex
	keys       map[string]bool
	everything bool
	ready      chan struct{}
}

func newChanges() *changes {
	return &changes{keys: map[string]bool{}, ready: make(chan struct{}, 1)}
}

// add is resolve.Watch's callback.
func (c *changes) add(keys []string) {
	c.mu.Lock()
	for _, key := range keys {
		if key == resolve.Everything || len(c.keys) >= maxChanged {
			c.everything = true
			break
		}
		c.keys[key] = true
	}
	c.mu.Unlock()
	wake(c.ready)
}

func (c *changes) take() (keys []string, everything bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.keys {
		keys = append(keys, key)
	}
	everything = c.everything
	clear(c.keys)
	c.everything = false
	return keys, everything
}

// takeKeys gives the keys alone; that everything is to be looked at stays.
func (c *changes) takeKeys() (keys []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key := range c.keys {
		keys = append(keys, key)
	}
	clear(c.keys)
	return keys
}

// wake leaves a token for a loop that will look; one is enough.
func wake(ready chan struct{}) {
	select {
	case ready <- struct{}{}:
	default:
	}
}

// releaseLinked releases what new links and accounts resolve, and sweeps now and then.
func (q *Quarantine) releaseLinked(ctx context.Context) error {
	told := q.deps.Told("quarantine-releasing")
	sweep := time.NewTicker(q.tuning.SweepEvery)
	defer sweep.Stop()
	for {
		var keys []string
		var everything bool
		select {
		case <-ctx.Done():
			return nil
		case <-sweep.C:
			everything = true
		case <-q.changed.ready:
			keys, everything = q.changed.take()
		}
		var work func(context.Context) error
		switch {
		case everything:
			work = q.sweep
		case len(keys) > 0:
			work = func(ctx context.Context) error {
				return q.releaseFor(ctx, keys)
			}
		default:
			continue
		}
		if err := retry.Forever(ctx, retry.Policy{}, "releasing linked records", told, work); err != nil {
			return nil // ctx has ended
		}
	}
}

// sweep looks at everything: what waits for an account or has come to the timeline otherwise, and what could not be
// read.
func (q *Quarantine) sweep(ctx context.Context) error {
	err := q.releasePages(ctx, func(after int64) ([]quarantine.Waiting, error) {
		if err := q.releaseHeard(ctx); err != nil {
			return nil, err
		}
		page, err := q.store.WaitingPage(ctx, after, pageSize)
		if err != nil {
			return nil, err
		}
		ids := make([]int64, len(page))
		for i := range page {
			ids[i] = page[i].ID
		}
		_, err = q.store.SettleStored(ctx, ids)
		return page, err
	})
	if err != nil {
		return err
	}
	if _, err := q.store.ResolveStored(ctx); err != nil {
		return err
	}
	if err := q.rereadAll(ctx); err != nil {
		return err
	}
	return nil
}

// releaseFor releases what a change of these keys resolves. However many wait, a page costs the same.
func (q *Quarantine) releaseFor(ctx context.Context, keys []string) error {
	ids, err := q.store.WaitingIDs(ctx, keys)
	if err != nil {
		return err
	}
	for page := range slices.Chunk(ids, pageSize) {
		if err := q.releaseHeard(ctx); err != nil {
			return err
		}
		waiting, err := q.store.WaitingAmong(ctx, page)
		if err != nil {
			return err
		}
		if err := q.release(ctx, waiting); err != nil {
			return err
		}
	}
	return nil
}

// releaseHeard releases what was heard of meanwhile: a new link does not wait for a sweep, or another link's records,
// to end.
func (q *Quarantine) releaseHeard(ctx context.Context) error {
	keys := q.changed.takeKeys()
	if len(keys) == 0 {
		return nil
	}
	err := q.releaseFor(ctx, keys)
	if err != nil {
		q.changed.add(keys)
	}
	return err
}

// releasePages resolves page after page and releases what has an account.
func (q *Quarantine) releasePages(ctx context.Context, page func(after int64) ([]quarantine.Waiting, error)) error {
	for after := int64(0); ; {
		waiting, err := page(after)
		if err != nil || len(waiting) == 0 {
			return err
		}
		if err := q.release(ctx, waiting); err != nil {
			return err
		}
		if len(waiting) < pageSize {
			return nil
		}
		after = waiting[len(waiting)-1].ID
	}
}

// release resolves waiting records in one query and releases those that have an account.
func (q *Quarantine) release(ctx context.Context, waiting []quarantine.Waiting) error {
	if len(waiting) == 0 {
		return nil
	}
	batch := make([][]source.Reference, len(waiting))
	for i, w := range waiting {
		batch[i] = w.References
	}
	found, err := q.resolver.Resolve(ctx, batch)
	if err != nil {
		return err
	}
	var rulings []quarantine.Ruling
	for i, f := range found {
		if f.Found {
			note := fmt.Sprintf("%s leads to account %s (rule %s)", f.Reference.Key(), f.AccountID, f.Rule)
			if note == waiting[i].Held {
				continue // it was released so, and came back
			}
			rulings = append(rulings, quarantine.Ruling{ID: waiting[i].ID, Note: note})
		}
	}
	released, err := q.store.ReleaseByLink(ctx, rulings)
	if err != nil {
		return err
	}
	if released > 0 {
		wake(q.released)
	}
	return nil
}
