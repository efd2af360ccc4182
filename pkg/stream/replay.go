package stream

import (
	"math"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Replay is what a record says of its release from the quarantine. It travels
// with the event through every stage, so that the last one can close the
// quarantine's row and a further failure is counted. The zero Replay is none.
type Replay struct {
	QuarantineID int64     // 0: not a replay
	Attempts     int32     // how often it has failed
	FirstSeen    time.Time // zero: never dead-lettered before
}

// ReadReplay reads the headers of any record. A header that is odd is as good as
// none.
func ReadReplay(rec *kgo.Record) Replay {
	var r Replay
	for _, h := range rec.Headers {
		r.read(h, rec.Timestamp)
	}
	return r
}

func (r *Replay) read(h kgo.RecordHeader, stored time.Time) {
	if len(h.Value) > len(time.RFC3339Nano) {
		return // longer than what any of them holds
	}
	switch h.Key {
	case HeaderQuarantineID:
		if id, err := strconv.ParseInt(string(h.Value), 10, 64); err == nil && id > 0 {
			r.QuarantineID = id
		}
	case HeaderAttempts:
		if n, err := strconv.ParseInt(string(h.Value), 10, 32); err == nil && n > 0 {
			r.Attempts = int32(n)
		}
	case HeaderFirstSeen:
		if t, err := time.Parse(time.RFC3339Nano, string(h.Value)); err == nil && plausible(t, stored) {
			r.FirstSeen = t.UTC()
		}
	}
}

// Headers gives the headers that say it, in a fixed order; none for no replay.
// They are written from what was read, never copied from another record.
func (r Replay) Headers() []kgo.RecordHeader {
	if r.QuarantineID == 0 {
		return nil
	}
	headers := []kgo.RecordHeader{{Key: HeaderQuarantineID, Value: strconv.AppendInt(nil, r.QuarantineID, 10)}}
	if r.Attempts > 0 {
		headers = append(headers, kgo.RecordHeader{Key: HeaderAttempts, Value: strconv.AppendInt(nil, int64(r.Attempts), 10)})
	}
	if !r.FirstSeen.IsZero() {
		headers = append(headers, kgo.RecordHeader{Key: HeaderFirstSeen, Value: r.FirstSeen.UTC().AppendFormat(nil, time.RFC3339Nano)})
	}
	return headers
}

// Failed gives the Replay after one more failure of its record, which was
// written at this time: that stands in for now, so that a batch which comes again
// says the same.
func (r Replay) Failed(written time.Time) Replay {
	if r.Attempts < math.MaxInt32 {
		r.Attempts++
	}
	if r.FirstSeen.IsZero() {
		r.FirstSeen = written
	}
	if r.FirstSeen.IsZero() {
		r.FirstSeen = time.Now()
	}
	return r
}
