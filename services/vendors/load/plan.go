// Package load sends many events of a vendor as vendors do: at a pace, some
// twice, out of order, and some long after they happened.
package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/throughline-dev/throughline/services/vendors"
)

// Plan says what to send.
type Plan struct {
	Source string
	// Types of the events, in turn; none: the source's usual one.
	Types []string
	// Event is what all events have in common. Its Type, At, Serial and Attempt
	// are the plan's to choose.
	Event vendors.Event
	// Body is sent instead of made events, Count times.
	Body []byte
	// Header, beside the vendor's usual ones.
	Header map[string][]string
	// Count is how many events, each of its own; Batch is how many are in one
	// delivery, 0 for 1.
	Count, Batch int
	// Rate is events per second; 0: as fast as they are answered.
	Rate float64
	// Duplicate is the share of deliveries that the vendor sends again, 0 to 1.
	Duplicate float64
	// Late is the share of events that happened an hour to 30 days before they are
	// sent, 0 to 1.
	Late float64
	// Reorder sends neighbours in another order than that in which they happened.
	Reorder bool
	// Seed chooses the order.
	Seed uint64
	// Connections is how many deliveries are on their way at once; 0 is 1.
	Connections int
	// Tamper changes each body after it is signed (vendors.Sender.Tamper).
	Tamper bool
}

const (
	lateLeast = time.Hour
	lateMost  = 30 * 24 * time.Hour
	// window is how many deliveries are made at once, and shuffled.
	window = 64
)

func (p Plan) check() error {
	var problems []error
	if p.Count < 1 {
		problems = append(problems, fmt.Errorf("the count should be 1 or more, but is %d", p.Count))
	}
	if p.Batch < 0 || p.Connections < 0 || p.Rate < 0 {
		problems = append(problems, errors.New("the batch, the connections and the rate should not be negative"))
	}
	for name, share := range map[string]float64{"duplicate": p.Duplicate, "late": p.Late} {
		if share < 0 || share > 1 {
			problems = append(problems, fmt.Errorf("the share of %s events should be 0 to 1, but is %g", name, share))
		}
	}
	return errors.Join(problems...)
}

// shipment is a delivery on its way.
type shipment struct {
	vendors.Delivery
	events, late int
	duplicate    bool
}

// schedule makes a plan's deliveries, some at a time.
type schedule struct {
	Plan
	simulator *vendors.Simulator
	random    *rand.Rand
	began     time.Time
	made      int // events
	sent      int // deliveries that are no duplicates
	before    int // events of all deliveries that are made, duplicates too
	again     []shipment
}

func newSchedule(p Plan, simulator *vendors.Simulator, now time.Time) *schedule {
	p.Batch, p.Connections = max(p.Batch, 1), max(p.Connections, 1)
	return &schedule{Plan: p, simulator: simulator, began: now, random: rand.New(rand.NewPCG(p.Seed, p.Seed))}
}

// due says whether the n-th of a series is one of the share.
func due(n int, share float64) bool { return int(float64(n+1)*share) > int(float64(n)*share) }

// size is how many deliveries are made at once.
func (s *schedule) size() int {
	size := window
	if s.Rate > 0 { // a quarter of a second ahead, so that what is dated now is sent now
		size = min(size, int(s.Rate/float64(4*s.Batch))+1)
	}
	if s.Reorder {
		size = max(size, window/4)
	}
	return size
}

// next gives the next deliveries in the order in which to send them; none: all
// are made.
func (s *schedule) next() ([]shipment, error) {
	out := s.again
	s.again = nil
	for range s.size() {
		if s.made >= s.Count {
			break
		}
		d, again, err := s.delivery()
		if err != nil {
			return nil, err
		}
		s.before += d.events
		if due(s.sent, s.Duplicate) {
			s.again = append(s.again, again)
			s.before += again.events
		}
		s.sent++
		out = append(out, d)
	}
	if s.Reorder {
		s.random.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	}
	return out, nil
}

// delivery makes the next, and the same as it comes again.
func (s *schedule) delivery() (first, again shipment, err error) {
	if s.Body != nil {
		s.made++
		first = shipment{Delivery: vendors.Delivery{Source: s.Source, Body: s.Body, Header: s.Header}, events: 1}
		again = first
		again.duplicate = true
		return first, again, nil
	}
	events := make([]vendors.Event, min(s.Batch, s.Count-s.made))
	for i := range events {
		events[i] = s.event(s.made + i)
		if due(s.made+i, s.Late) {
			first.late++
		}
	}
	s.made += len(events)
	first.events = len(events)
	if first.Delivery, err = s.simulator.Delivery(s.Source, events...); err != nil {
		return first, again, err
	}
	for i := range events {
		events[i].Attempt++
	}
	again = shipment{events: len(events), duplicate: true}
	again.Delivery, err = s.simulator.Delivery(s.Source, events...)
	first.Header, again.Header = s.Header, s.Header
	return first, again, err
}

// event is the i-th. Late ones are spread evenly, so that no two have one time.
func (s *schedule) event(i int) vendors.Event {
	e := s.Event
	e.Serial, e.Attempt = uint64(i)+1, 0
	if len(s.Types) > 0 {
		e.Type = s.Types[i%len(s.Types)]
	}
	if !due(i, s.Late) {
		e.At = s.at(i)
		return e
	}
	total, nth := max(float64(s.Count)*s.Late, 1), float64(i)*s.Late
	e.At = s.began.Add(-lateMost + time.Duration(nth/total*float64(lateMost-lateLeast)))
	return e
}

// at is when the i-th event, which is made next, happened: each later than the one
// before, by a millisecond at least, and none after it is sent.
func (s *schedule) at(i int) time.Time {
	if s.Rate <= 0 || s.Rate > 1000 {
		return s.began.Add(-time.Duration(s.Count-1-i) * time.Millisecond)
	}
	position := s.before + i - s.made
	if s.Reorder {
		position -= s.size() * s.Batch
	}
	return s.began.Add(time.Duration(float64(position) / s.Rate * float64(time.Second)))
}

// pace waits until the delivery that has so many events before it is due.
func (s *schedule) pace(ctx context.Context, before int) error {
	if s.Rate <= 0 {
		return ctx.Err()
	}
	wait := time.Until(s.began.Add(time.Duration(float64(before) / s.Rate * float64(time.Second))))
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
