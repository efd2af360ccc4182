package sourcetest

import (
	"fmt"
	"slices"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

func identityChecks() []check {
	return []check{
		{"identity/however it came", (*suite).checkWays},
		{"identity/however it is written", (*suite).checkWriting},
		{"identity/volatile members", (*suite).checkVolatile},
		{"identity/contradiction", (*suite).checkContradiction},
		{"identity/tenant", (*suite).checkTenant},
		{"identity/element of a page", (*suite).checkPages},
	}
}

// good gives every record that describes well, with what it is.
func (s *suite) good(t require.TestingT, each func(name string, r source.Record, want source.Event)) {
	for i, r := range s.all(t) {
		if want, err := s.describe(r); err == nil {
			each(fmt.Sprintf("record %d, %s", i, want.ID), r, want)
		}
	}
}

// requireSame: one fact has one identity, type, time and set of references.
func (s *suite) requireSame(t require.TestingT, want source.Event, r source.Record, how string) {
	_, got, err := source.Keyed(s.src, r)
	require.NoError(t, err, how)
	require.Equal(t, want.ID, got.ID, how)
	require.Equal(t, want.Type, got.Type, how)
	require.Equal(t, want.Tenant, got.Tenant, how)
	require.Equal(t, want.References, got.References, how)
	require.True(t, want.OccurredAt.Equal(got.OccurredAt), "%s: %s, not %s", how, got.OccurredAt, want.OccurredAt)
}

// checkWays: a webhook, a poll, and a value that somebody publishes without more.
func (s *suite) checkWays(t require.TestingT) {
	s.good(t, func(name string, r source.Record, want source.Event) {
		value := s.received(source.Record{Value: r.Value, Tenant: r.Tenant})
		s.requireSame(t, want, value, name+" without the delivery's scan")
		value.Mode = source.ModePoll
		s.requireSame(t, want, value, name+" by poll")
		value.Mode, value.Key = source.ModeBackfill, []byte("a stranger's key")
		s.requireSame(t, want, value, name+" with another key")
		if !s.cfg.OutsideTenant {
			s.requireSame(t, want, source.Record{Value: r.Value, ReceivedAt: s.cfg.Now}, name+" as a bare value")
		}
		value.Mode, value.ReceivedAt = source.ModeReplay, s.cfg.Now.Add(365*24*time.Hour)
		_, later, err := source.Keyed(s.src, value)
		require.NoError(t, err, name)
		require.Equal(t, want.ID, later.ID, "%s a year later", name)
	})
}

// checkWriting: neither white space nor the order of members is part of a fact.
func (s *suite) checkWriting(t require.TestingT) {
	s.good(t, func(name string, r source.Record, want source.Event) {
		for how, value := range map[string][]byte{
			"without white space": spaced(r.Value, false), "indented": spaced(r.Value, true), "its members reversed": reversed(r.Value),
		} {
			require.NotNil(t, value, name)
			s.requireSame(t, want, s.received(source.Record{Value: value, Tenant: r.Tenant}), name+" "+how)
		}
	})
}

// checkVolatile: what differs between two deliveries of an event tells nothing.
func (s *suite) checkVolatile(t require.TestingT) {
	found := map[string]bool{}
	s.good(t, func(name string, r source.Record, want source.Event) {
		for _, pointer := range s.src.Profile().Volatile {
			for _, value := range []string{"7", `"another"`, "null"} {
				if changed := replaced(r.Value, pointer, []byte(value)); changed != nil {
					found[pointer] = true
					s.requireSame(t, want, s.received(source.Record{Value: changed, Tenant: r.Tenant}), name+" with another "+pointer)
				}
			}
		}
	})
	for _, pointer := range s.src.Profile().Volatile {
		require.True(t, found[pointer], "no event of testdata has the volatile %s", pointer)
	}
}

// checkContradiction: two tellings of one event have no difference, and where
// something else is said under the same identity, that is one.
func (s *suite) checkContradiction(t require.TestingT) {
	set, err := source.NewSet(s.src)
	require.NoError(t, err)
	seen := false
	s.good(t, func(name string, r source.Record, want source.Event) {
		alike := [][]byte{spaced(r.Value, true), reversed(r.Value)}
		for _, pointer := range s.src.Profile().Volatile {
			if changed := replaced(r.Value, pointer, []byte("7")); changed != nil {
				alike = append(alike, changed)
			}
		}
		for _, other := range alike {
			require.Empty(t, difference(t, set, s.src.Name(), r.Value, other), name)
		}
		for _, pointer := range texts(t, r.Value) {
			changed := replaced(r.Value, pointer, []byte(`"something else"`))
			_, got, err := source.Keyed(s.src, s.received(source.Record{Value: changed, Tenant: r.Tenant}))
			if err != nil || got.ID != want.ID {
				continue
			}
			found := difference(t, set, s.src.Name(), r.Value, changed)
			require.Contains(t, []string{"", pointer}, found, name)
			seen = seen || found != ""
		}
	})
	require.True(t, seen, "nothing that is said otherwise under the same identity is a difference")
}

// difference gives where two events differ, and holds their digests to that.
func difference(t require.TestingT, set source.Set, name string, a, b []byte) string {
	var c, d rawjson.Doc
	x, err := c.Parse(a)
	require.NoError(t, err)
	y, err := d.Parse(b)
	require.NoError(t, err)
	relation, pointer := set.Compare(name, x, y)
	require.Equal(t, relation == source.Same, set.Digest(name, x) == set.Digest(name, y))
	return pointer
}

// checkTenant: what the event says of its tenant counts before the setting, and
// where it says nothing the setting is as good as the delivery's word.
func (s *suite) checkTenant(t require.TestingT) {
	s.good(t, func(name string, r source.Record, want source.Event) {
		if s.cfg.OutsideTenant {
			bare := source.Record{Value: r.Value, Tenant: want.Tenant, Mode: source.ModeBackfill, ReceivedAt: s.cfg.Now}
			s.requireSame(t, want, bare, name+" with its tenant from the setting")
			return
		}
		_, got, err := source.Keyed(s.src, s.received(source.Record{Value: r.Value, Tenant: "a-tenant-that-was-set"}))
		require.NoError(t, err, name)
		if want.Tenant != "" {
			require.Equal(t, want.Tenant, got.Tenant, "%s: the event says its tenant", name)
			require.Equal(t, want.ID, got.ID, name)
			return
		}
		require.Equal(t, "a-tenant-that-was-set", got.Tenant, name)
	})
}

// checkPages: an element of a page is the event that it would be alone.
func (s *suite) checkPages(t require.TestingT) {
	_, lister := s.src.(source.Lister)
	require.Equal(t, lister, len(s.pages) > 0, "a source.Lister has its vendor's list in testdata/pages, and no other source has one")
	s.good(t, func(name string, r source.Record, want source.Event) {
		_, event := s.list(t, r.Value)
		require.False(t, event, "%s: an event is no list", name)
		pages := [][]byte{slices.Concat([]byte("[ {} ,\n "), r.Value, []byte(" ]"))}
		for _, c := range s.pages {
			elements, ok := s.list(t, c.body)
			require.True(t, ok, c.name)
			start, end := place(c.body, elements)
			pages = append(pages, slices.Concat(c.body[:start], pages[0], c.body[end:]))
		}
		for _, page := range pages {
			records := s.listed(t, page)
			require.Len(t, records, 2, name)
			records[1].Tenant = r.Tenant
			s.requireSame(t, want, records[1], name+" in a page")
		}
	})
}

// list gives the bytes of the array in the vendor's list.
func (s *suite) list(t require.TestingT, page []byte) (elements []byte, ok bool) {
	lister, is := s.src.(source.Lister)
	if !is {
		return nil, false
	}
	var doc rawjson.Doc
	top, err := doc.ParseBody(page, 0)
	require.NoError(t, err)
	found, ok := lister.List(top)
	return found.Bytes(), ok
}

// listed takes a page apart as the normalizer would: a JSON array, or the
// vendor's list.
func (s *suite) listed(t require.TestingT, page []byte) (records []source.Record) {
	var doc rawjson.Doc
	top, err := doc.ParseBody(page, 0)
	require.NoError(t, err)
	if lister, ok := s.src.(source.Lister); ok && top.Kind() == rawjson.Object {
		top, ok = lister.List(top)
		require.True(t, ok, "%s is not a list", page)
	}
	for _, element := range top.Elements() {
		records = append(records, source.Record{Value: element.Bytes(), Object: element, Mode: source.ModeBackfill, ReceivedAt: s.cfg.Now})
	}
	return records
}

// requireListed: whatever comes, List does not panic and finds only arrays.
func (s *suite) requireListed(t require.TestingT, page []byte) {
	var doc rawjson.Doc
	lister, is := s.src.(source.Lister)
	top, err := doc.ParseBody(page, 0)
	if !is || err != nil {
		return
	}
	if elements, ok := lister.List(top); ok {
		require.Equal(t, rawjson.Array, elements.Kind())
	}
}
