package event

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
)

// registryAt starts a registry and gives its address.
func registryAt(t testing.TB) string {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	return fake.URL()
}

func registry(t testing.TB) *Registry {
	t.Helper()
	r, err := NewRegistry(RegistryConfig{URL: settings.URL(registryAt(t))})
	require.NoError(t, err)
	return r
}

func pair(t testing.TB) (*Encoder, *Decoder, *Registry) {
	t.Helper()
	r := registry(t)
	enc, err := NewEncoder(t.Context(), r, "account-events", "account-events.dlq")
	require.NoError(t, err)
	dec, err := NewDecoder(r)
	require.NoError(t, err)
	return enc, dec, r
}

func anEvent() AccountEvent {
	at := time.Date(2025, 10, 9, 8, 53, 20, 672717000, time.UTC)
	return AccountEvent{
		AccountID: uuid.MustParse("7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01"), Type: "invoice.paid", Source: "stripe", SourceEventID: "evt_1",
		Payload: []byte(`{"id":"evt_1","é":"ü"}`), OccurredAt: at, IngestedAt: at.Add(time.Second), Tenant: "acct_1", Delivery: source.ModeWebhook,
		Subject: "Invoice 17 paid", Rule: "links", Reference: "stripe:customer:cus_1",
		RawTopic: "raw.stripe", RawPartition: 3, RawOffset: 1 << 40, RawIndex: -1, Livemode: true,
	}
}

func aLetter() DeadLetter {
	return DeadLetter{
		Value: []byte("not json\x00\xff"), Topic: "raw.stripe", Partition: 3, Offset: 1 << 40, Key: []byte("k"),
		Headers: []Header{{"tl-source", []byte("stripe")}, {"odd", nil}}, Reason: "malformed", Error: "not valid JSON",
		References: []source.Reference{{Source: "stripe", Kind: "customer", ID: "cus_1"}},
		FirstSeen:  time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), Attempts: 2, Source: "stripe", Tenant: "t", Type: "a.b", SourceEventID: "evt_1", RawIndex: 7,
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	enc, dec, _ := pair(t)

	want := anEvent()
	value, err := enc.AccountEvent(&want)
	require.NoError(t, err)
	var got AccountEvent
	require.NoError(t, dec.AccountEvent(t.Context(), value, &got))
	require.Equal(t, want, got)

	letter := aLetter()
	value, err = enc.DeadLetter(&letter)
	require.NoError(t, err)
	var back DeadLetter
	require.NoError(t, dec.DeadLetter(t.Context(), value, &back))
	letter.Headers[1].Value = []byte{}
	require.Equal(t, letter, back)

	letter.Key = nil
	value, err = enc.DeadLetter(&letter)
	require.NoError(t, err)
	require.NoError(t, dec.DeadLetter(t.Context(), value, &back))
	require.Nil(t, back.Key, "no key is not an empty key")
}

func TestDecodeRefusesGarbage(t *testing.T) {
	t.Parallel()
	enc, dec, _ := pair(t)
	ev, letter := anEvent(), aLetter()
	value, err := enc.AccountEvent(&ev)
	require.NoError(t, err)
	other, err := enc.DeadLetter(&letter)
	require.NoError(t, err)
	braces := slices.Concat(value[:headerSize], []byte{2 * 38, '{'}, value[headerSize+1:headerSize+1+uuidLength], []byte{'}'}, value[headerSize+1+uuidLength:])
	for name, bad := range map[string][]byte{
		"nothing":                       nil,
		"no header":                     []byte(`{"a":1}`),
		"cut off":                       value[:len(value)-3],
		"trailing byte":                 append(slices.Clone(value), 0),
		"nothing of ours":               append([]byte{0, 0, 0, 9, 9}, "what is this"...),
		"a length beyond all bounds":    append(slices.Clone(value[:headerSize+1+uuidLength]), 0xfe, 0xff, 0xff, 0xff, 0x0f),
		"another type":                  other,
		"another type under our id":     append(slices.Clone(value[:headerSize]), other[headerSize:]...),
		"a UUID in another text form":   braces,
		"a UUID that is none":           bytes.Replace(value, []byte("7f1c"), []byte("7fxx"), 1),
		"an unknown id and no UUID":     append([]byte{0, 0, 0, 9, 9}, other[headerSize:]...),
		"an unknown id and nothing":     {0, 0, 0, 9, 9},
		"an unknown id and half a UUID": append([]byte{0, 0, 0, 9, 9}, value[headerSize:headerSize+20]...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got AccountEvent
			err := dec.AccountEvent(t.Context(), bad, &got)
			require.Error(t, err)
			require.True(t, fault.IsPermanent(err), err)
			require.Equal(t, fault.Malformed, fault.ReasonOf(err))
		})
	}
}

// An event must not die, nor wait, because the registry does.
func TestARegistryThatIsDown(t *testing.T) {
	t.Parallel()
	enc, _, _ := pair(t)
	ev := anEvent()
	value, err := enc.AccountEvent(&ev)
	require.NoError(t, err)
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	r, err := NewRegistry(RegistryConfig{URL: settings.URL(server.URL), Timeout: time.Second})
	require.NoError(t, err)
	_, err = NewEncoder(t.Context(), r, "a", "b")
	require.Error(t, err)
	require.False(t, fault.IsPermanent(err))

	dec, err := NewDecoder(r)
	require.NoError(t, err)
	var got AccountEvent
	require.NoError(t, dec.AccountEvent(t.Context(), value, &got), "we have its schema")
	require.Equal(t, ev, got)
	value = append(append([]byte{0, 0, 0, 0, 9}, value[headerSize:]...), 2) // of a newer version
	err = dec.AccountEvent(t.Context(), value, new(AccountEvent))
	require.ErrorContains(t, err, "fetching schema 9: schema registry "+server.Listener.Addr().String())
	require.False(t, fault.IsPermanent(err))
}

func TestTheSchemasBound(t *testing.T) {
	t.Parallel()
	enc, _, _ := pair(t)
	ev := anEvent()
	ev.Payload = make([]byte, maxSlice)
	dst := []byte("kept")
	got, err := enc.AppendAccountEvent(dst, &ev)
	require.True(t, fault.IsPermanent(err))
	require.Equal(t, fault.Oversized, fault.ReasonOf(err))
	require.Equal(t, dst, got)
	ev.Payload = nil
	_, err = enc.AccountEvent(&ev)
	require.NoError(t, err, "an encoder goes on after an error")
}

func TestRegistryConfig(t *testing.T) {
	t.Parallel()
	require.NoError(t, RegistryConfig{URL: "http://localhost:8081"}.Validate())
	for _, bad := range []string{"", "localhost:8081", "ftp://x", "http://u:hunter2@x"} {
		err := RegistryConfig{URL: settings.URL(bad)}.Validate()
		require.ErrorContains(t, err, "THROUGHLINE_SCHEMA_REGISTRY_URL")
		require.NotContains(t, err.Error(), "hunter2")
	}
}
