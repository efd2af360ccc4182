package sourcetest

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

func describeChecks() []check {
	return []check{
		{"profile", (*suite).checkProfile},
		{"describe/sound", (*suite).checkSound},
		{"describe/identity", (*suite).checkIdentity},
		{"describe/unknown type", (*suite).checkUnknownType},
		{"reply", (*suite).checkReply},
	}
}

var nameForm = regexp.MustCompile(`^[a-z0-9]+$`)

func (s *suite) checkProfile(t require.TestingT) {
	profile := s.src.Profile()
	require.Regexp(t, nameForm, s.src.Name())
	require.NotEmpty(t, profile.Title)
	require.NotEmpty(t, profile.Kinds, "what does `throughline link` take a bare id for?")
	require.NotEmpty(t, profile.Types)
	seen := map[string]bool{}
	for _, row := range profile.Types {
		require.NotEmpty(t, row.Vendor)
		require.Equal(t, source.TypeName(row.Type), row.Type, "an event_type is lower case, with dots")
		require.False(t, seen[row.Vendor], "%s is listed twice", row.Vendor)
		seen[row.Vendor] = true
	}
	for _, name := range []string{"README.md", "doc.go"} {
		info, err := os.Stat(name)
		require.NoError(t, err, "every source folder has it")
		require.Positive(t, info.Size(), name)
	}
}

// describe is what the normalizer does with a record.
func (s *suite) describe(r source.Record) (source.Event, error) {
	_, event, err := source.Keyed(s.src, s.received(r))
	return event, err
}

// requireSound describes r if the normalizer would, and demands what holds for
// any input: no panic, the same twice, Permanent refusals, bounded references.
func (s *suite) requireSound(t require.TestingT, r source.Record) {
	event, err := s.describe(r)
	again, againErr := s.describe(r)
	require.Equal(t, event, again, "described twice")
	if err != nil {
		requirePermanent(t, err)
		require.EqualError(t, againErr, err.Error())
		require.Less(t, len(err.Error()), 1_000, "a refusal that quotes the event")
		return
	}
	require.LessOrEqual(t, len(event.References), source.MaxReferences)
	for _, ref := range event.References {
		require.Equal(t, s.src.Name(), ref.Source)
		require.NotEmpty(t, ref.ID)
		require.LessOrEqual(t, len(ref.ID), source.MaxReferenceBytes)
		require.True(t, s.knows(ref.Kind), "kind %q is not in Profile().Kinds", ref.Kind)
	}
}

func (s *suite) knows(kind string) bool {
	switch kind {
	case source.KindAccountUUID, source.KindEmail, source.KindDomain:
		return true
	}
	return slices.ContainsFunc(s.src.Profile().Kinds, func(k source.Kind) bool { return k.Name == kind })
}

// all gives every record of every delivery, and those of Dir/records.
func (s *suite) all(t require.TestingT) []source.Record {
	var out []source.Record
	for _, c := range s.deliveries {
		records, err := s.split(c.body)
		require.NoError(t, err, c.name)
		out = append(out, records...)
	}
	for _, c := range s.records {
		out = append(out, source.Record{Value: c.body})
	}
	return out
}

func (s *suite) checkSound(t require.TestingT) {
	good := 0
	for _, r := range s.all(t) {
		s.requireSound(t, r)
		if event, err := s.describe(r); err == nil {
			good++
			require.Equal(t, source.TypeName(event.Type), event.Type, "an event_type is lower case, with dots")
		}
	}
	require.Positive(t, good, "no event of testdata describes well")
}

// checkIdentity: a fact has one identity, however it came.
func (s *suite) checkIdentity(t require.TestingT) {
	for _, r := range s.all(t) {
		want, err := s.describe(r)
		if err != nil {
			continue
		}
		others := map[string]source.Record{
			"by poll":      {Value: r.Value, Key: r.Key, Tenant: r.Tenant, Mode: source.ModePoll, ReceivedAt: s.cfg.Now},
			"without key":  {Value: r.Value, Tenant: r.Tenant, ReceivedAt: s.cfg.Now},
			"a year later": {Value: r.Value, Key: r.Key, Tenant: r.Tenant, Mode: source.ModeReplay, ReceivedAt: s.cfg.Now.Add(365 * 24 * time.Hour)},
		}
		if !s.cfg.OutsideTenant {
			others["a bare value"] = source.Record{Value: r.Value, ReceivedAt: s.cfg.Now}
		}
		for how, other := range others {
			_, got, err := source.Keyed(s.src, other)
			require.NoError(t, err, how)
			require.Equal(t, want.ID, got.ID, how)
			require.Equal(t, want.Type, got.Type, how)
			require.Equal(t, want.References, got.References, how)
		}
	}
}

// checkUnknownType: what the vendor invents tomorrow is on the timeline under
// its own name.
func (s *suite) checkUnknownType(t require.TestingT) {
	if s.cfg.TypeField == "" {
		return
	}
	value := s.element(t).Value
	changed, ok := replaced(value, s.cfg.TypeField, json.RawMessage(s.cfg.UnknownType))
	require.True(t, ok, "no %s in %s", s.cfg.TypeField, value)
	event, err := s.describe(source.Record{Value: changed})
	require.NoError(t, err, "an unknown vendor type was dropped")
	require.Equal(t, source.TypeName(event.Type), event.Type)
	require.NotEqual(t, "unknown", event.Type, "the vendor's own words are kept")
}

func (s *suite) checkReply(t require.TestingT) {
	content := s.reply(nil)
	require.True(t, content.Status >= 200 && content.Status < 300, "nil: %d", content.Status)
	requireJSONOrEmpty(t, content)
	for _, reason := range fault.Reasons() {
		again := s.reply(fault.Transient(reason, errors.New("broker 10.0.0.7 is away")))
		require.False(t, again.Status >= 200 && again.Status < 300, "transient %s: %d", reason, again.Status)
		require.GreaterOrEqual(t, again.Status, 400, "transient %s", reason)
		require.NotEqual(t, http.StatusGone, again.Status, "410 ends a subscription")
		require.NotContains(t, string(again.Body), "10.0.0.7", "what is broken inside stays inside")
		requireJSONOrEmpty(t, again)

		stop := s.reply(fault.Permanent(reason, errors.New("no use")))
		require.True(t, stop.Status >= 400 && stop.Status < 500, "permanent %s: %d", reason, stop.Status)
		require.NotContains(t, []int{http.StatusGone, http.StatusTooManyRequests}, stop.Status, "permanent %s", reason)
		requireJSONOrEmpty(t, stop)
	}
	unmarked := s.reply(errors.New("nobody classified this"))
	require.GreaterOrEqual(t, unmarked.Status, 400, "unmarked counts as transient")
}

func (s *suite) reply(outcome error) source.Response {
	return s.src.Reply(s.delivery(s.deliveries[0].body), outcome)
}

func requireJSONOrEmpty(t require.TestingT, r source.Response) {
	require.True(t, len(r.Body) == 0 || json.Valid(r.Body), "the body of %d is not JSON: %s", r.Status, r.Body)
}
