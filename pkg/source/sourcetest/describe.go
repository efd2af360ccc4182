package sourcetest

import (
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

func describeChecks() []check {
	return []check{
		{"profile", (*suite).checkProfile},
		{"describe/sound", (*suite).checkSound},
		{"describe/unknown type", (*suite).checkUnknownType},
		{"describe/type alone", (*suite).checkTypeAlone},
	}
}

var nameForm = regexp.MustCompile(`^[a-z0-9]+$`)

func (s *suite) checkProfile(t require.TestingT) {
	profile := s.src.Profile()
	require.Regexp(t, nameForm, s.src.Name())
	require.NotEmpty(t, profile.Title)
	require.NotEmpty(t, profile.Kinds, "what does `throughline link` take a bare id for?")
	require.NotEmpty(t, profile.Types)
	for _, pointer := range profile.Volatile {
		require.NoError(t, rawjson.ValidPointer(pointer))
		require.NotEmpty(t, pointer, "all of an event is volatile")
	}
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
// any input: no panic, the same twice and in brief, Permanent refusals, bounded
// references.
func (s *suite) requireSound(t require.TestingT, r source.Record) {
	event, err := s.describe(r)
	again, againErr := s.describe(r)
	require.Equal(t, event, again, "described twice")
	s.requireBrief(t, r, event, err)
	s.requireTyped(t, r)
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

// requireBrief: a Brief record gives what the whole one gives but for References and
// Subject, and so counts in the same places.
func (s *suite) requireBrief(t require.TestingT, r source.Record, want source.Event, wantErr error) {
	r.Brief = true
	got, err := s.describe(r)
	want.References, want.Subject = nil, ""
	require.Equal(t, want, got, "in brief")
	if wantErr != nil {
		require.EqualError(t, err, wantErr.Error(), "in brief")
		return
	}
	require.NoError(t, err, "in brief")
}

func (s *suite) requireTyped(t require.TestingT, r source.Record) {
	RequireTyped(t, s.src, s.received(r))
}

// RequireTyped demands that a Typer says of a record what Keyed says of it, or nothing.
func RequireTyped(t require.TestingT, src source.Source, r source.Record) {
	var doc rawjson.Doc
	object, err := doc.ParseBody(r.Value, 0)
	if err != nil {
		return
	}
	r.Object, r.Brief = object, true
	eventType, test, typedErr := source.Typed(src, r)
	_, want, err := source.Keyed(src, r)
	if err != nil {
		require.EqualError(t, typedErr, err.Error(), "the type alone of %s", r.Value)
		return
	}
	require.NoError(t, typedErr, "the type alone of %s", r.Value)
	require.Equal(t, want.Type, eventType)
	require.Equal(t, want.Test, test)
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

// checkUnknownType: what the vendor invents tomorrow is on the timeline under
// its own name.
func (s *suite) checkUnknownType(t require.TestingT) {
	if s.cfg.TypeField == "" {
		return
	}
	r := s.element(t)
	changed := replaced(r.Value, s.cfg.TypeField, []byte(s.cfg.UnknownType))
	require.NotNil(t, changed, "no %s in %s", s.cfg.TypeField, r.Value)
	event, err := s.describe(source.Record{Value: changed, Tenant: r.Tenant})
	require.NoError(t, err, "an unknown vendor type was dropped")
	require.Equal(t, source.TypeName(event.Type), event.Type)
	require.NotEqual(t, "unknown", event.Type, "the vendor's own words are kept")
}

// checkTypeAlone: a Typer says what Keyed says, whatever stands in an event, and it does say something.
func (s *suite) checkTypeAlone(t require.TestingT) {
	typer, ok := s.src.(source.Typer)
	if !ok {
		return
	}
	long := strings.Repeat("x", source.MaxIDBytes)
	strange := []string{
		`""`, `" "`, `"0"`, `" a"`, `"a "`, `"a:b%|"`, `"\u0001"`, `"\u007f"`, `"\u00e9"`, `"` + long + `"`, `"` + long[:300] + `"`, `"` + strings.Repeat(":", 70) + `"`,
		`0`, `7`, `-1`, `1.5`, `1e3`, `17600000000000000000`, `1760000000`, `99999999999`, strings.Repeat("7", source.MaxTenantBytes+1), `true`, `false`, `null`, `{}`, `[]`,
		`"2999-01-01T00:00:00Z"`, `"1970-01-01T00:00:00Z"`, `"1999-01-01T00:00:00Z"`, `915148800`, `"2025-10-09T08:53:20+02:00"`, `"2025-10-09 08:53"`,
	}
	said := 0
	for _, r := range s.all(t) {
		var doc rawjson.Doc
		object, err := doc.Parse(r.Value)
		if err != nil {
			continue
		}
		scanned := s.received(r)
		scanned.Object = object
		if _, ok := typer.TypeOf(scanned); ok {
			said++
		}
		for _, pointer := range pointers(t, r.Value, func(rawjson.Kind) bool { return true }) {
			for _, value := range strange {
				s.requireTyped(t, source.Record{Value: replaced(r.Value, pointer, []byte(value)), Tenant: r.Tenant})
			}
		}
		for _, tenant := range []string{"", " ", "0", "a b", "a ", "é", "\x01", long[:source.MaxTenantBytes], long} {
			s.requireTyped(t, source.Record{Value: r.Value, Tenant: tenant})
		}
	}
	require.Positive(t, said, "it says of no event of testdata what type it is of")
}
