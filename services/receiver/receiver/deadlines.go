package receiver

import (
	"context"
	"sync/atomic"
	"time"
)

// shares is into how many slots a timeout is divided.
const shares = 64

// deadlines gives contexts that end when a request must be answered. Requests
// of one slot share theirs: a timer each costs more than the brokers' client
// does for a small delivery.
type deadlines struct {
	timeout time.Duration
	current atomic.Pointer[slot]
}

// slot is the context of all who ask before until.
type slot struct {
	ctx    context.Context // shared by requests, owned by none
	cancel context.CancelFunc
	until  time.Time
}

// context gives one that ends within timeout from now, but no more than a 64th
// of it (shares) earlier. It carries no values, and a client's going away does not end it.
func (d *deadlines) context(now time.Time) context.Context {
	for {
		m := d.current.Load()
		if m != nil && now.Before(m.until) {
			return m.ctx
		}
		fresh := d.begin(now)
		if d.current.CompareAndSwap(m, fresh) {
			return fresh.ctx
		}
		fresh.cancel() // another request came first: what it made serves
	}
}

// begin makes the slot that starts now.
func (d *deadlines) begin(now time.Time) *slot {
	ctx, cancel := context.WithDeadline(context.Background(), now.Add(d.timeout))
	return &slot{ctx: ctx, cancel: cancel, until: now.Add(d.timeout / shares)}
}

// close ends the current context. Earlier ones end by themselves.
func (d *deadlines) close() {
	if m := d.current.Swap(nil); m != nil {
		m.cancel()
	}
}
