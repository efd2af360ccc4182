package pull

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	// turnsFor is how much time's turns are taken at once.
	turnsFor = 500 * time.Millisecond
	// mostWaitForTurn is how long a request waits; whoever would have to wait longer
	// is told so, and may have better things to do.
	mostWaitForTurn = time.Minute
	// mostPause bounds what an answer may ask of all callers.
	mostPause = time.Hour
	// unlimited is the rate of an API without one: then only pauses count.
	unlimited = 1000
	// tellsAfter is the longest wait that nobody is told of.
	tellsAfter = 3 * time.Second
)

// Budget shares the requests that a vendor allows among all processes that call it
// for one vendor account: replicas, backfills, polls and comparisons. Each takes turns
// for half a second at a time from Postgres (api_budgets), by its clock, so that no
// request costs a query where the vendor allows more than two a second; what it does
// not use is lost. It is safe for concurrent use, and is an egress.Turns.
type Budget struct {
	store          *Store
	source, tenant string
	rate           float64 // requests a second
	// Left, if set, hears what the vendor's headers say is left.
	Left func(remaining int64)
	// Waits, if set, hears every second of a request that has to wait for longer than
	// three: for how long still, and why. It may be called by several at once.
	Waits func(left time.Duration, why string)

	turn  chan struct{} // whoever has it may change what follows
	next  time.Time     // of the turns that are ours: the first that is free
	until time.Time     // where they end

	mu     sync.Mutex
	slower float64 // as the vendor's headers have it; 0: no slower than rate
	by     time.Time
}

// NewBudget makes a Budget of the API's rate, or of this one where it is above 0.
func NewBudget(s *Store, pager interface {
	Name() string
	API() source.API
}, tenant string, rate float64) *Budget {
	if rate <= 0 {
		rate = pager.API().Rate
	}
	if rate <= 0 {
		rate = unlimited
	}
	return &Budget{store: s, source: pager.Name(), tenant: tenant, rate: rate, turn: make(chan struct{}, 1)}
}

// Wait returns when a request may be sent. An error is that of ctx or of Postgres, or
// Transient and says after which pause (source.After) there may be a turn.
func (b *Budget) Wait(ctx context.Context) error {
	wait, err := b.mine(ctx)
	if err != nil || wait <= 0 {
		return err
	}
	return b.rest(ctx, wait, "others here ask too, and the vendor allows no more", false)
}

// Rest waits for as long as no request is to be sent, or until somebody lifts the
// vendor's pause (Store.Resume), for which it looks every second. cause is what the
// request ended with. An error is ctx's.
func (b *Budget) Rest(ctx context.Context, long time.Duration, cause error) error {
	return b.rest(ctx, long, cause.Error(), true)
}

// rest waits so long, or less where mayEnd and a pause is lifted, and tells of it.
func (b *Budget) rest(ctx context.Context, long time.Duration, why string, mayEnd bool) error {
	paused := false
	for end := time.Now().Add(long); ; {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		if mayEnd {
			pauses, err := b.store.Pauses(ctx, b.source)
			at := slices.IndexFunc(pauses, func(p Paused) bool { return p.Tenant == b.tenant })
			switch {
			case err != nil: // the database is away, which whoever needs it tells
			case at >= 0:
				paused, why = true, pauses[at].Why
			case paused:
				return nil
			}
		}
		if b.Waits != nil && long > tellsAfter {
			b.Waits(left, why)
		}
		if err := pause(ctx, min(left, time.Second)); err != nil {
			return err
		}
	}
}

// mine gives how long it is until the turn that is the caller's.
func (b *Budget) mine(ctx context.Context) (time.Duration, error) {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	each := time.Duration(float64(time.Second) / b.now())
	if now := time.Now(); b.next.Before(now) {
		b.next = now
	}
	if !b.next.Before(b.until) {
		long := time.Duration(max(1, int(turnsFor/each))) * each
		wait, err := b.take(ctx, long)
		if err != nil {
			return 0, err
		}
		b.next = time.Now().Add(wait)
		b.until = b.next.Add(long)
	}
	wait := time.Until(b.next)
	b.next = b.next.Add(each)
	return wait, nil
}

// now is how many requests a second may be sent.
func (b *Budget) now() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	rate := b.rate
	if b.slower > 0 && time.Now().Before(b.by) {
		rate = min(rate, b.slower)
	}
	return rate
}

// take takes the next turns, for so long, and gives when they begin.
func (b *Budget) take(ctx context.Context, long time.Duration) (wait time.Duration, err error) {
	var until *time.Time
	var why string
	err = b.store.pool.QueryRow(ctx, `INSERT INTO api_budgets AS b (source, tenant, free_at) VALUES ($1, $2, clock_timestamp() + $3::interval)
		ON CONFLICT (source, tenant) DO UPDATE SET updated_at = now(), free_at = CASE WHEN b.free_at > clock_timestamp() + $4::interval THEN b.free_at
			ELSE greatest(b.free_at, clock_timestamp()) + $3::interval END
		RETURNING greatest('0', free_at - $3::interval - clock_timestamp()), CASE WHEN paused_until > clock_timestamp() THEN paused_until END, pause_reason`,
		b.source, b.tenant, long, mostWaitForTurn).Scan(&wait, &until, &why)
	if err != nil {
		return 0, broken("taking turns for requests", err)
	}
	if wait > mostWaitForTurn-long {
		err := fmt.Errorf("the requests that the vendor allows are used up for %s", wait.Round(time.Second))
		if until != nil {
			err = fault.Advise(fmt.Errorf("the vendor is not asked before %s: %s", until.UTC().Format(timeLayout), why),
				"wait, or lift it with `throughline pulls resume "+b.source+"`")
		}
		return 0, source.Later(fault.Transient(fault.Unavailable, err), wait)
	}
	return wait, nil
}

// Pause lets nobody send a request for so long, an hour at most: the vendor has asked
// for it. why says how, for a person.
func (b *Budget) Pause(ctx context.Context, long time.Duration, why string) error {
	select {
	case b.turn <- struct{}{}:
		b.until = time.Time{} // turns that were taken count no more
		<-b.turn
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	_, err := b.store.pool.Exec(ctx, `INSERT INTO api_budgets AS b (source, tenant, free_at, paused_until, pause_reason)
		VALUES ($1, $2, clock_timestamp() + $3::interval, clock_timestamp() + $3::interval, $4)
		ON CONFLICT (source, tenant) DO UPDATE SET updated_at = now(), free_at = greatest(b.free_at, excluded.free_at),
			paused_until = greatest(b.paused_until, excluded.paused_until),
			pause_reason = CASE WHEN b.paused_until > excluded.paused_until THEN b.pause_reason ELSE excluded.pause_reason END`,
		b.source, b.tenant, min(long, mostPause), why)
	return broken("keeping the vendor's pause", err)
}

// Told hears what an answer's headers say is left until the vendor counts anew. Where
// that is less than the rate would use, requests are sent more slowly.
func (b *Budget) Told(ctx context.Context, left source.Left) error {
	if b.Left != nil {
		b.Left(left.Requests)
	}
	if left.Requests <= 0 && left.Resets > 0 {
		return b.Pause(ctx, left.Resets, "the API's headers say that no requests are left")
	}
	if left.Resets <= 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.slower, b.by = max(1, float64(left.Requests))/max(1, left.Resets.Seconds()), time.Now().Add(left.Resets)
	return nil
}
