package sourcetest

import (
	"bytes"
	"runtime"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

const memoryCheck = "split/memory"

// checkMemory: the largest delivery that may come, verified, split and described
// part by part, never holds more than its body a few times over and the index of
// two scans. It runs
// while nothing else of the suite does.
func (s *suite) checkMemory(t require.TestingT) {
	body := s.largest(t)
	limits := s.src.Profile().Limits
	require.LessOrEqual(t, int64(len(body)), limits.BodyBytes)
	require.Greater(t, int64(len(body)), limits.BodyBytes*9/10, "the largest delivery is not large")
	// Other tests run meanwhile: what they take they give back, what a source holds it
	// holds each time.
	const slack, tries = 32 << 20, 5
	bound := uint64(4*len(body) + 2*rawjson.MaxIndexBytes + slack)
	d := s.signed(t, body, s.cfg.Secret, s.cfg.Now)
	before, held, events := inUse(), uint64(0), 0
	for range tries {
		var peak uint64
		peak, events = s.peak(t, d, body)
		if held = max(peak, before) - before; held < bound {
			break
		}
	}
	require.Positive(t, events)
	require.Less(t, held, bound, "a delivery of %d bytes and %d events", len(body), events)
	runtime.KeepAlive(d)
}

// peak takes a delivery apart, and gives the most memory that was in use meanwhile, by
// other tests of the process too.
func (s *suite) peak(t require.TestingT, d *source.Delivery, body []byte) (peak uint64, events int) {
	made := 0
	_, err := s.verify(t, d)
	require.NoError(t, err)
	for part, err := range s.src.Split(d) {
		require.NoError(t, err)
		require.LessOrEqual(t, len(part.Value), source.MaxRecordBytes)
		_, _, _ = source.Keyed(s.src, s.record(part))
		events++
		if made += len(part.Value); made > len(body)/4 || events == 1 {
			made, peak = 0, max(peak, inUse())
		}
	}
	return peak, events
}

// inUse is what is reachable now.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// largest is a delivery as large as may come.
func (s *suite) largest(t require.TestingT) []byte {
	if s.cfg.Largest != nil {
		return s.cfg.Largest
	}
	limits := s.src.Profile().Limits
	value := s.element(t).Value
	if s.cfg.Wrap == nil {
		return padded(t, value, int(limits.BodyBytes))
	}
	const envelope = 1 << 10
	n := min(limits.Events, int(limits.BodyBytes-envelope)/(len(value)+1))
	elements := slices.Repeat([][]byte{value}, n)
	for i, left := 0, int(limits.BodyBytes)-envelope-n*(len(value)+1); left > envelope && i < n; i++ {
		elements[i] = padded(t, value, min(len(value)+left, source.MaxRecordBytes))
		left -= len(elements[i]) - len(value)
	}
	return s.cfg.Wrap(elements)
}

// padded gives an object of this size, with a member more that holds as many
// values as its bytes can.
func padded(t require.TestingT, object []byte, size int) []byte {
	const start, end = `{"padding":[1`, "],"
	room := size - len(start) - len(end) - len(object) + 1
	require.Positive(t, room)
	return slices.Concat([]byte(start), bytes.Repeat([]byte(",1"), room/2), []byte(end), bytes.TrimSpace(object)[1:])
}
