package receiver

import (
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/time/rate"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// burstSeconds is for how long a source may save up what it did not use: vendors
// send in bursts, and the limit is there for a bill, not for a shape.
const burstSeconds = 60

var errRate = errors.New("more events than this source may send")

// eventRate bounds what one source's verified deliveries cost further on. Nothing
// is known of a delivery's events before it is split, so a delivery is let in while
// anything is left, and its events may use up what comes later.
type eventRate struct {
	limiter *rate.Limiter // nil: no bound
}

func newEventRate(perSecond float64) eventRate {
	if perSecond == 0 {
		return eventRate{}
	}
	return eventRate{rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond*burstSeconds)))}
}

// refuse says that nothing is left at this time, and when there will be.
func (e eventRate) refuse(now time.Time) *refusal {
	if e.limiter == nil {
		return nil
	}
	left := e.limiter.TokensAt(now)
	if left >= 1 {
		return nil
	}
	wait := time.Duration((1 - left) / float64(e.limiter.Limit()) * float64(time.Second))
	return &refusal{reason: overRate, err: fault.Transient(fault.Unavailable, errRate), wait: min(max(wait, time.Second), time.Minute)}
}

// take counts the events of a delivery.
func (e eventRate) take(now time.Time, events int) {
	if e.limiter == nil {
		return
	}
	for burst := e.limiter.Burst(); events > 0; events -= burst {
		e.limiter.ReserveN(now, min(events, burst))
	}
}

// checkRate finds what is wrong with a source's limit.
func checkRate(name, title string, perSecond float64, neverRetries bool) error {
	const most = 1e6
	switch {
	case math.IsNaN(perSecond) || perSecond < 0 || perSecond > most:
		return fmt.Errorf("--%s-max-rate is %v: it should be events a second, up to %v, or 0 for no limit", name, perSecond, most)
	case perSecond > 0 && neverRetries:
		return fmt.Errorf("--%s-max-rate is set, but %s never sends a delivery twice: what is beyond the limit would be lost", name, title)
	}
	return nil
}
