package stage

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// pingWait is how long one report waits for the answer: less than a prober does.
	pingWait = time.Second
	// pingSilence is how long an answer may take. Work that takes long shows in
	// its own progress (Loop.SlowAfter); a database that is slow is not one that
	// is away.
	pingSilence = 10 * time.Second
)

// pinger asks a database whether it answers. One ping is under way at most, and
// a report that does not wait for its end tells what the one before found.
type pinger struct {
	ping    func(context.Context) error
	stopped context.Context //nolint:containedctx // it ends the ping under way
	end     context.CancelFunc
	group   sync.WaitGroup

	mu    sync.Mutex
	last  error
	under chan struct{} // closed at the end of the ping under way; nil: none is
}

func newPinger(ping func(context.Context) error) *pinger {
	p := &pinger{ping: ping}
	p.stopped, p.end = context.WithCancel(context.Background())
	return p
}

// check is a health check.
func (p *pinger) check(ctx context.Context) error {
	p.mu.Lock()
	under := p.under
	if under == nil && p.stopped.Err() == nil {
		under = make(chan struct{})
		p.under = under
		p.group.Go(func() { p.ask(under) })
	}
	p.mu.Unlock()
	timer := time.NewTimer(pingWait)
	defer timer.Stop()
	select {
	case <-under:
	case <-timer.C:
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func (p *pinger) ask(done chan struct{}) {
	ctx, cancel := context.WithTimeout(p.stopped, pingSilence)
	defer cancel()
	err := p.ping(ctx)
	if err != nil && ctx.Err() != nil && p.stopped.Err() == nil {
		err = fmt.Errorf("Postgres does not answer within %v: %w", pingSilence, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.under = advised(err), nil
	close(done)
}

// stop ends the ping under way and waits for it.
func (p *pinger) stop() {
	p.mu.Lock()
	p.end()
	p.mu.Unlock()
	p.group.Wait()
}
