package load

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/services/vendors"
)

// Report is what was sent, and how it was answered.
type Report struct {
	Events     int // each of its own
	Deliveries int // duplicates too
	Duplicates int // deliveries
	Late       int // events
	// Answers, the most frequent first. At most ten bodies are told apart for a status.
	Answers []Answer
	// P50, P99 and Max are from the request to the whole answer.
	P50, P99, Max time.Duration
	Took          time.Duration
	// IDs are the source_event_ids that the source gives the events, where it
	// was asked for and the source can read them.
	IDs []string
	// References are those that the source gives the events, in the order of IDs.
	References [][]source.Reference
	// Addresses are the e-mail addresses that stand anywhere in what was sent with an event, in the order of IDs.
	Addresses [][]source.Reference
}

// Answer is how often a receiver answered so.
type Answer struct {
	Status int
	Body   string
	Count  int
}

// Statuses counts the answers by status.
func (r Report) Statuses() map[int]int {
	out := map[int]int{}
	for _, a := range r.Answers {
		out[a.Status] += a.Count
	}
	return out
}

// Options are what a run needs beside its plan.
type Options struct {
	Simulator *vendors.Simulator
	Sender    *vendors.Sender
	// Identify fills Report.IDs.
	Identify bool
	// Progress is told after each answer how many events are sent; nil: nobody.
	Progress func(events int)
}

// Run sends what the plan says, and returns when all of it is answered. A
// delivery without an answer ends it; the report is then of what was sent before.
// Its events have the serials from 1 on: two runs need two simulators, of
// different seeds.
func Run(ctx context.Context, p Plan, o Options) (Report, error) {
	if err := p.check(); err != nil {
		return Report{}, err
	}
	began := time.Now()
	s := newSchedule(p, o.Simulator, began)
	t := tally{progress: o.Progress, answers: map[Answer]int{}}
	answered := make(chan result)
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		for r := range answered {
			t.count(r)
		}
	}()
	work := make(chan shipment)
	group, running := errgroup.WithContext(ctx)
	for range s.Connections {
		group.Go(func() error {
			for d := range work {
				answer, err := post(running, o.Sender, d, p.Tamper)
				if err != nil {
					return err
				}
				answered <- result{d, answer}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(work)
		return s.dispatch(running, work, func(d shipment) {
			if o.Identify && !d.duplicate {
				t.identify(o.Sender, d, began)
			}
		})
	})
	err := group.Wait()
	close(answered)
	<-counted
	return t.report(time.Since(began)), err
}

// dispatch hands each delivery on when it is due. made is told of it first.
func (s *schedule) dispatch(ctx context.Context, work chan<- shipment, made func(shipment)) error {
	before := 0
	for {
		batch, err := s.next()
		if err != nil || len(batch) == 0 {
			return err
		}
		for _, d := range batch {
			made(d)
			if err := s.pace(ctx, before); err != nil {
				return err
			}
			before += d.events
			select {
			case work <- d:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

func post(ctx context.Context, sender *vendors.Sender, d shipment, tamper bool) (vendors.Answer, error) {
	if !tamper {
		return sender.Post(ctx, d.Delivery)
	}
	signed, err := sender.Tamper(d.Delivery)
	if err != nil {
		return vendors.Answer{}, err
	}
	return sender.PostSigned(ctx, d.Source, signed)
}

type result struct {
	shipment
	answer vendors.Answer
}

// tally counts answers. count is called by one goroutine, identify by another;
// they share nothing.
type tally struct {
	total Report
	ids   []string
	// references are the events', in the order of ids.
	references [][]source.Reference
	addresses  [][]source.Reference
	answers    map[Answer]int // with Count 0
	took       []time.Duration
	progress   func(int)
}

// bodies is how many bodies are told apart.
const bodies = 10

func (t *tally) count(r result) {
	t.total.Deliveries++
	if r.duplicate {
		t.total.Duplicates++
	} else {
		t.total.Events += r.events
		t.total.Late += r.late
	}
	a := Answer{Status: r.answer.Status, Body: string(r.answer.Body)}
	if _, known := t.answers[a]; !known && len(t.answers) >= bodies {
		a.Body = ""
	}
	t.answers[a]++
	t.took = append(t.took, r.answer.Took)
	if t.progress != nil {
		t.progress(t.total.Events)
	}
}

// identify keeps the ids that a delivery's events will have. What the source
// cannot read has none.
func (t *tally) identify(sender *vendors.Sender, d shipment, now time.Time) {
	events, err := sender.IdentifyParts(d.Delivery, now)
	if err != nil {
		return
	}
	for _, e := range events {
		t.addresses = append(t.addresses, resolve.Addresses(e.Value))
		t.ids = append(t.ids, e.ID)
		t.references = append(t.references, e.References)
	}
}

func (t *tally) report(took time.Duration) Report {
	r := t.total
	r.Took, r.IDs, r.References, r.Addresses = took, t.ids, t.references, t.addresses
	for a, n := range t.answers {
		a.Count = n
		r.Answers = append(r.Answers, a)
	}
	slices.SortFunc(r.Answers, func(a, b Answer) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return a.Status - b.Status
	})
	if len(t.took) > 0 {
		slices.Sort(t.took)
		at := func(share float64) time.Duration { return t.took[int(share*float64(len(t.took)-1))] }
		r.P50, r.P99, r.Max = at(0.5), at(0.99), at(1)
	}
	return r
}
