package receiver

import (
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/source"
)

// splitting takes a delivery apart: all of it is looked at, and the records of
// its first part are kept. It is used again for the next delivery, because what
// a request makes anew for itself costs more than a small delivery's own work.
type splitting struct {
	door        *door
	delivery    source.Delivery
	traceparent string

	part  []*kgo.Record
	total int // events, beyond the part too
	size  int // bytes of the events so far
	full  bool
	err   error // of the delivery, or of one event

	add func(source.Part, error) bool // take, made into a func once
}

// splittings keeps those that are not in use.
type splittings struct{ pool sync.Pool }

// get gives one that has no delivery yet.
func (s *splittings) get(d *door) *splitting {
	one, ok := s.pool.Get().(*splitting)
	if !ok {
		one = &splitting{}
		one.add = one.take
	}
	one.door = d
	return one
}

// put keeps one for the next delivery. The records of this one go: the client
// may still hold them. Their slice it does not hold.
func (s *splittings) put(one *splitting) {
	const room = 16 // more is not usual enough to be kept
	part := one.part
	clear(part)
	if cap(part) > room {
		part = nil
	}
	*one = splitting{part: part[:0], add: one.add}
	s.pool.Put(one)
}

// run splits the delivery to its end or its first error.
func (s *splitting) run() error {
	s.door.src.Split(&s.delivery)(s.add)
	return s.err
}

// take is what Split yields to.
func (s *splitting) take(r source.Part, err error) (goOn bool) {
	if err == nil {
		err = checkRecord(r, s.total)
	}
	if err != nil {
		s.err = err
		return false
	}
	s.total++
	s.size += len(r.Value)
	s.full = s.full || len(s.part) > 0 && (len(s.part) >= partRecords || s.size > partBytes)
	if !s.full {
		s.part = append(s.part, s.door.maker.Record(s.door.raw(r, s.delivery.ReceivedAt), s.traceparent))
	}
	return true
}
