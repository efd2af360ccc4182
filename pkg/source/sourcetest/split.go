package sourcetest

import (
	"bytes"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

func splitChecks() []check {
	return []check{
		{"split/exact bytes", (*suite).checkExactBytes},
		{"split/limit", (*suite).checkLimit},
		{"split/bad elements", (*suite).checkBadElements},
		{"split/hostile bodies", (*suite).checkHostile},
		{"split/early stop", (*suite).checkEarlyStop},
		{"split/again", (*suite).checkAgainSplit},
		{memoryCheck, (*suite).checkMemory},
	}
}

// checkExactBytes: each record is a part of the body, in order, without overlap.
func (s *suite) checkExactBytes(t require.TestingT) {
	if s.src.Profile().Transcodes {
		return
	}
	for _, c := range s.deliveries {
		records, err := s.split(c.body)
		require.NoError(t, err, c.name)
		rest := c.body
		for i, r := range records {
			require.NotEmpty(t, r.Value, "%s: record %d", c.name, i)
			at := bytes.Index(rest, r.Value)
			require.GreaterOrEqual(t, at, 0, "%s: record %d is not a part of the body, or out of order", c.name, i)
			rest = rest[at+len(r.Value):]
		}
	}
}

// element gives the first record that describes well, and its delivery's name.
func (s *suite) element(t require.TestingT) source.Record {
	for _, c := range s.deliveries {
		records, err := s.split(c.body)
		require.NoError(t, err, c.name)
		for _, r := range records {
			if _, err := s.describe(r); err == nil {
				return r
			}
		}
	}
	require.Fail(t, "no delivery has an event that describes well")
	return source.Record{}
}

func (s *suite) checkLimit(t require.TestingT) {
	limits := s.src.Profile().Limits
	require.Positive(t, limits.Events)
	require.Positive(t, limits.BodyBytes)
	if s.cfg.Wrap == nil {
		return
	}
	elements := slices.Repeat([][]byte{[]byte(`{}`)}, limits.Events+1)
	records, err := s.split(s.cfg.Wrap(elements[:limits.Events]))
	require.NoError(t, err)
	require.Len(t, records, limits.Events)
	_, err = s.split(s.cfg.Wrap(elements))
	require.Error(t, err, "more than %d events", limits.Events)
	requirePermanent(t, err)
	require.Equal(t, fault.Oversized, fault.ReasonOf(err))
}

// checkBadElements: one bad element is a record that Describe refuses, and its
// neighbours are as if it were not there.
func (s *suite) checkBadElements(t require.TestingT) {
	if s.cfg.Wrap == nil {
		return
	}
	good := s.element(t)
	want, err := s.describe(good)
	require.NoError(t, err)
	bad := []string{`{}`, `7`, `null`, `"text"`, `[]`, `{"nonsense":true}`, `{"a":1,"a":2}`, `{"a":"\u0000"}`, "{\"a\":\"\xff\"}"}
	elements := [][]byte{good.Value}
	for _, b := range bad {
		elements = append(elements, []byte(b), good.Value)
	}
	records, err := s.split(s.cfg.Wrap(elements))
	require.NoError(t, err, "a bad element refused the whole delivery")
	intact := 0
	for _, r := range records {
		if !bytes.Equal(r.Value, good.Value) {
			_, err := s.describe(r)
			require.Error(t, err, "%s was described", r.Value)
			requirePermanent(t, err)
			continue
		}
		intact++
		got, err := s.describe(r)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.Equal(t, len(bad)+1, intact, "good elements among %d bad ones", len(bad))
	require.Len(t, records, len(elements), "a bad element is a record too: it goes to quarantine, not away")
}

// checkHostile: no body makes Split or Describe panic, and every refusal is
// Permanent.
func (s *suite) checkHostile(t require.TestingT) {
	bodies := hostile()
	for _, c := range s.deliveries {
		for cut := 0; cut < len(c.body); cut += 1 + len(c.body)/97 {
			bodies = append(bodies, string(c.body[:cut]))
		}
	}
	for _, body := range bodies {
		records, err := s.split([]byte(body))
		if err != nil {
			requirePermanent(t, err)
		}
		for _, r := range records {
			s.requireSound(t, r)
		}
		s.requireSound(t, source.Record{Value: []byte(body)})
	}
}

func (s *suite) checkEarlyStop(t require.TestingT) {
	for _, c := range s.deliveries {
		for _, err := range s.src.Split(s.delivery(c.body)) {
			require.NoError(t, err, c.name)
			break
		}
	}
}

// checkAgainSplit: a large delivery is split twice, to find its errors first.
func (s *suite) checkAgainSplit(t require.TestingT) {
	for _, c := range s.deliveries {
		d := s.delivery(c.body)
		var first [][]byte
		for part, err := range s.src.Split(d) {
			require.NoError(t, err, c.name)
			first = append(first, bytes.Clone(part.Value))
		}
		i := 0
		for part, err := range s.src.Split(d) {
			require.NoError(t, err, c.name)
			require.Less(t, i, len(first), c.name)
			require.Equal(t, first[i], part.Value, "%s: part %d the second time", c.name, i)
			i++
		}
		require.Len(t, first, i, c.name)
	}
}
