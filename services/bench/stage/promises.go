package stage

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/services/bench/traffic"
)

// promise is an event that was sent, and what became of it. Times are since the load began; 0: not yet.
type promise struct {
	account            uuid.UUID
	group              uint32 // source and type: events of one customer in one group have one key, so they stay in order
	sent, acked, shown time.Duration
	found              int32 // in how many places, at the end
}

// promises is the ledger of a load, in memory: what was sent, and what was acknowledged. It is safe for concurrent use.
type promises struct {
	mu     sync.Mutex
	began  time.Time
	byID   map[uint64]int32
	all    []promise
	groups map[string]uint32

	acked, shown, quarantined int // events of their own
}

func newPromises(expected int) *promises {
	return &promises{byID: make(map[uint64]int32, expected), all: make([]promise, 0, expected), groups: map[string]uint32{}}
}

// now is never 0.
func (p *promises) now() time.Duration { return max(1, time.Since(p.began)) }

// send writes down a delivery's events before it is posted for the first time, and gives their places. One that is
// there already, because two deliveries tell of one fact, keeps its place.
func (p *promises) send(s *traffic.Shipment) []int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := make([]int32, len(s.Facts))
	for i, f := range s.Facts {
		id := traffic.Identity(s.Source, f.ID)
		known, there := p.byID[id]
		if !there {
			group, known := p.groups[s.Source+" "+f.Type]
			if !known {
				group = uint32(len(p.groups))
				p.groups[s.Source+" "+f.Type] = group
			}
			p.byID[id] = int32(len(p.all))
			at[i] = int32(len(p.all))
			p.all = append(p.all, promise{account: f.Account, group: group, sent: p.now()})
			continue
		}
		at[i] = known
	}
	return at
}

// ack writes down that these were answered with a 2xx.
func (p *promises) ack(at []int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for _, i := range at {
		if p.all[i].acked == 0 {
			p.all[i].acked = now
			p.acked++
		}
	}
}

// show writes down that an event was seen on a timeline, or in quarantine.
func (p *promises) show(source, id string, quarantined bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i, known := p.byID[traffic.Identity(source, id)]
	if !known || p.all[i].shown != 0 {
		return
	}
	p.all[i].shown = p.now()
	if quarantined {
		p.quarantined++
		return
	}
	p.shown++
}

// counts gives how many events were sent, acknowledged, seen on timelines and seen in quarantine.
func (p *promises) counts() (sent, acked, shown, quarantined int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.all), p.acked, p.shown, p.quarantined
}

// Verdict is what a load's ledger and the database say of each other.
type Verdict struct {
	OnTimelines int // rows of this load
	Quarantined int // records of it, not resolved
	Lost        int // acknowledged, and in neither
	Doubled     int // in more than one place
	Moved       int // on another's timeline, or in quarantine instead of on a timeline, or the other way round
	Strangers   int // rows and records of events that nobody sent
	Disordered  int // before another of the same customer's and type that was acknowledged before it was sent, in account-events
	Ordered     int // events of account-events of which that was looked at; 0: it was not
	Examples    []string
}

// Kept says that nothing is wrong.
func (v Verdict) Kept() bool { return v.Lost+v.Doubled+v.Moved+v.Strangers+v.Disordered == 0 }

// String is one line.
func (v Verdict) String() string {
	text := fmt.Sprintf("%d lost, %d doubled, %d on another's timeline, %d that nobody sent", v.Lost, v.Doubled, v.Moved, v.Strangers)
	if v.Ordered > 0 {
		text += fmt.Sprintf(", %d out of order (of %d in account-events)", v.Disordered, v.Ordered)
	}
	return text
}

const mostExamples = 10

func (v *Verdict) example(format string, args ...any) {
	if len(v.Examples) < mostExamples {
		v.Examples = append(v.Examples, fmt.Sprintf(format, args...))
	}
}

// find writes down where an event is: on an account's timeline, or, for uuid.Nil, in quarantine.
func (p *promises) find(v *Verdict, source, id string, account uuid.UUID) {
	if account == uuid.Nil {
		v.Quarantined++
	} else {
		v.OnTimelines++
	}
	i, known := p.byID[traffic.Identity(source, id)]
	if !known {
		v.Strangers++
		v.example("%s %s was not sent", source, id)
		return
	}
	e := &p.all[i]
	e.found++
	if e.found > 1 {
		v.Doubled++
		v.example("%s %s is there %d times", source, id, e.found)
	}
	if e.account != account {
		v.Moved++
		v.example("%s %s is on %s, not %s", source, id, account, e.account)
	}
}

// missing counts what was acknowledged and found nowhere.
func (p *promises) missing(v *Verdict) {
	groups := make([]string, len(p.groups))
	for name, group := range p.groups {
		groups[group] = name
	}
	for i := range p.all {
		if e := &p.all[i]; e.acked != 0 && e.found == 0 {
			v.Lost++
			v.example("an event of %s of account %s, acknowledged %v after the load began", groups[e.group], e.account, e.acked.Round(time.Millisecond))
		}
	}
}

// order is told the events of account-events as they follow each other in a partition, and counts those that stand
// behind one that was sent after they were acknowledged. What comes a second time is not looked at.
type order struct {
	promises *promises
	seen     map[int32]bool
	newest   map[lane]time.Duration // when the newest so far was sent
}

// lane is what stays in order.
type lane struct {
	account uuid.UUID
	group   uint32
}

func (p *promises) order() *order {
	return &order{promises: p, seen: map[int32]bool{}, newest: map[lane]time.Duration{}}
}

func (o *order) next(v *Verdict, source, id string) {
	i, known := o.promises.byID[traffic.Identity(source, id)]
	if !known || o.seen[i] {
		return
	}
	o.seen[i] = true
	v.Ordered++
	e := &o.promises.all[i]
	in := lane{e.account, e.group}
	if e.acked != 0 && e.acked < o.newest[in] {
		v.Disordered++
		v.example("%s %s was acknowledged %v before one was sent that stands before it", source, id, o.newest[in]-e.acked)
	}
	o.newest[in] = max(o.newest[in], e.sent)
}

// post is one POST that was answered with a 2xx.
type post struct{ at, took time.Duration }

// Stretch is a part of a load's time.
type Stretch struct {
	Seconds      float64 // at its end, since the load began
	Acknowledged int     // events, in it
	Visible      int     // events, in it
	Backlog      int     // events that were acknowledged and not visible, at its end
	Answered     Latency // of the POSTs that were answered in it
	Shown        Latency // of the events that were acknowledged in it, until they were seen
}

// stretches takes a load apart.
func (p *promises) stretches(posts []post, every, total time.Duration) []Stretch {
	count := int((total + every - 1) / every)
	answered, shown := make([][]time.Duration, count), make([][]time.Duration, count)
	all := make([]Stretch, count)
	in := func(at time.Duration) int { return min(int(at/every), count-1) }
	for _, post := range posts {
		answered[in(post.at)] = append(answered[in(post.at)], post.took)
	}
	for i := range p.all {
		e := &p.all[i]
		if e.acked != 0 {
			all[in(e.acked)].Acknowledged++
		}
		if e.shown == 0 {
			continue
		}
		all[in(e.shown)].Visible++
		if e.acked != 0 {
			shown[in(e.acked)] = append(shown[in(e.acked)], e.age())
		}
	}
	backlog := 0
	for i := range all {
		backlog += all[i].Acknowledged - all[i].Visible
		all[i].Seconds, all[i].Backlog = min(time.Duration(i+1)*every, total).Seconds(), max(0, backlog)
		all[i].Answered, all[i].Shown = latencyOf(answered[i]), latencyOf(shown[i])
	}
	return all
}

// age is how long the event took to be seen. One that was seen before its answer was read took no time.
func (e *promise) age() time.Duration { return max(0, e.shown-e.acked) }

// ages are those of all events, sorted.
func (p *promises) ages() (ages []time.Duration) {
	for i := range p.all {
		if e := &p.all[i]; e.acked != 0 && e.shown != 0 && e.account != uuid.Nil {
			ages = append(ages, e.age())
		}
	}
	slices.SortFunc(ages, cmp.Compare[time.Duration])
	return ages
}
