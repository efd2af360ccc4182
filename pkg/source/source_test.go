package source

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
)

func TestKeyringIsSilentAndRefusesEmpty(t *testing.T) {
	t.Parallel()
	for _, bad := range [][]string{nil, {""}, {"a", " \t"}} {
		_, err := NewKeyring(bad...)
		require.Error(t, err)
	}
	ring, err := NewKeyring("hunter2-new", "hunter2-old")
	require.NoError(t, err)
	for _, form := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		require.NotContains(t, fmt.Sprintf(form, ring), "hunter2")
	}
	key, ok := ring.Match(func(s string) bool { return s == "hunter2-old" })
	require.True(t, ok)
	require.Equal(t, 1, key)
	_, ok = ring.Match(func(string) bool { return false })
	require.False(t, ok)
}

func TestReferences(t *testing.T) {
	t.Parallel()
	refs := References{Source: "hubspot", Tenant: "62515"}
	for _, add := range [][2]string{
		{"contact", "901"}, {"contact", "901"}, {"contact", ""}, {"company", "0"}, {KindEmail, "Kim@Acme.example"},
		{KindEmail, "no address"}, {KindDomain, "www.Acme.example"}, {KindDomain, "www."}, {KindAccountUUID, "7F1C1D0E-55b1-4a0e-9d4f-1f3b5a5f0a01"},
		{KindAccountUUID, "user-42"}, {"contact", strings.Repeat("9", MaxReferenceBytes+1)}, {"contact", "9\x00"},
	} {
		refs.Add(add[0], add[1])
	}
	var keys []string
	for _, r := range refs.List() {
		keys = append(keys, r.Key())
	}
	require.Equal(t, []string{
		"hubspot/62515:contact:901", "hubspot:email:kim@acme.example", "hubspot:domain:acme.example",
		"hubspot:account_uuid:7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01",
	}, keys)
	require.Equal(t, keys[0], string(recordKey(refs.List(), "id")))
	require.Equal(t, "id", string(recordKey(nil, "id")))
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	want := time.Date(2025, 10, 9, 8, 53, 20, 0, time.UTC)
	for _, text := range []string{
		"2025-10-09T08:53:20Z", "2025-10-09T08:53:20+0000", "2025-10-09T08:53:20", "2025-10-09 08:53:20",
		"2025-10-09T10:53:20+02:00", "1760000000", "1760000000000", "1760000000000000", "1760000000000000000",
		"1760000000.0", "1.76e9", "1.76E+12", "2025-10-09 08:53:20 +0000", "2025-10-09 08:53:20 -00:00", "2025-10-09 10:53:20+02",
		"2025-10-09 08:53:20 UTC", "2025-10-09T08:53:20GMT", "2025-10-09t08:53:20z", "2025-10-09 08:53:20.000 UTC",
		"2025-10-09T08:53:20.000+0000", "2025-10-09 08:53:20.0000000000000 +0000", "2025-10-09 01:53:20 -0700",
	} {
		got, err := ParseTime(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	got, err := ParseTime("2025-10-09T08:53:20.672717030Z")
	require.NoError(t, err)
	require.Equal(t, 672717030, got.Nanosecond())
	for text, want := range map[string]string{
		"2025-10-09T08:53Z": "2025-10-09T08:53:00Z", "2025-10-09 08": "2025-10-09T08:00:00Z", "2025-10-09": "2025-10-09T00:00:00Z",
		"2016-12-31T23:59:60Z": "2017-01-01T00:00:00Z", "2016-12-31 18:59:60.5 -0500": "2017-01-01T00:00:00.5Z",
		"1760000000.25": "2025-10-09T08:53:20.25Z", "1760000000123.5": "2025-10-09T08:53:20.1235Z", "1760000000123456": "2025-10-09T08:53:20.123456Z",
		"1760000000123456789": "2025-10-09T08:53:20.123456789Z", "-1.5": "1969-12-31T23:59:58.5Z", "1760000000.123456789999": "2025-10-09T08:53:20.123456789Z",
	} {
		got, err := ParseTime(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got.Format(time.RFC3339Nano), text)
	}
	for _, text := range []string{
		"", "soon", "2025-13-01", "1.2.3", "1-2", ".5", "5.", "e", "99999999999999999999", "2025-10-09 08:53:20 PST", "2025-10-09 08:53:20 Europe/Berlin",
		"2025-10-09T08:53:61Z", "2025-10-09 25:00:00", "2025-10-09 08:53:20 + 0000", "2025-10-09  08:53:20", "2025-10-09x08:53:20", "2025-10-09 later", "2025-10",
	} {
		_, err := ParseTime(text)
		require.Equal(t, fault.Malformed, fault.ReasonOf(err), text)
	}
}

func TestInWindow(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_760_000_000, 0)
	for seconds, want := range map[int]bool{0: true, 300: true, -300: true, 301: false, -301: false} {
		require.Equal(t, want, InWindow(now.Add(time.Duration(seconds)*time.Second), now, 5*time.Minute), seconds)
	}
}

func TestTypeName(t *testing.T) {
	t.Parallel()
	for vendor, want := range map[string]string{
		"Deal / Won!": "deal.won", "ticket.created": "ticket.created", "zen:event-type:x": "zen.event.type.x",
		"…": "unknown", "": "unknown", ".a..b.": "a.b",
	} {
		require.Equal(t, want, TypeName(vendor), vendor)
	}
	require.LessOrEqual(t, len(TypeName(strings.Repeat("x", 1000))), MaxTypeBytes)
}

func TestCheckEvent(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	good := Event{ID: "evt_1", Type: "invoice.paid", OccurredAt: now.Add(-time.Hour)}
	require.NoError(t, CheckEvent(good, now))
	tests := map[string]struct {
		change func(*Event)
		reason fault.Reason
	}{
		"no id":            {func(e *Event) { e.ID = "" }, fault.Malformed},
		"no type":          {func(e *Event) { e.Type = "" }, fault.Malformed},
		"a long id":        {func(e *Event) { e.ID = strings.Repeat("x", MaxIDBytes+1) }, fault.Oversized},
		"a long tenant":    {func(e *Event) { e.Tenant = strings.Repeat("x", MaxTenantBytes+1) }, fault.Oversized},
		"NUL in the id":    {func(e *Event) { e.ID = "a\x00" }, fault.Malformed},
		"not UTF-8":        {func(e *Event) { e.Type = "\xff" }, fault.Malformed},
		"before vendors":   {func(e *Event) { e.OccurredAt = time.Unix(1_760_000, 0) }, fault.Malformed},
		"from the future":  {func(e *Event) { e.OccurredAt = now.Add(MaxClockAhead + time.Second) }, fault.Malformed},
		"without any time": {func(e *Event) { e.OccurredAt = time.Time{} }, fault.Malformed},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := good
			tt.change(&e)
			err := CheckEvent(e, now)
			require.True(t, fault.IsPermanent(err))
			require.Equal(t, tt.reason, fault.ReasonOf(err))
		})
	}
}

func TestDefaultReply(t *testing.T) {
	t.Parallel()
	require.Equal(t, Response{Status: 200, Body: []byte(`{"ok":true}`)}, DefaultReply(nil))
	refused := DefaultReply(fault.Permanent(fault.Oversized, errors.New("too large")))
	require.Equal(t, 413, refused.Status)
	require.JSONEq(t, `{"error":"oversized","detail":"too large"}`, string(refused.Body))
	later := DefaultReply(fault.Transient(fault.Unavailable, errors.New("broker 10.0.0.7 is down")))
	require.Equal(t, 503, later.Status)
	require.NotContains(t, string(later.Body), "10.0.0.7")
}
