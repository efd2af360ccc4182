package event

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/schemas"
)

func registry(t testing.TB) *Registry {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	r, err := NewRegistry(RegistryConfig{URL: settings.URL(fake.URL())})
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
		Payload: `{"id":"evt_1","é":"ü"}`, OccurredAt: at, IngestedAt: at.Add(time.Second), Tenant: "acct_1", Delivery: source.ModeWebhook,
	}
}

func aLetter() DeadLetter {
	return DeadLetter{
		Value: []byte("not json\x00\xff"), Topic: "raw.stripe", Partition: 3, Offset: 1 << 40, Key: []byte("k"),
		Headers: []Header{{"tl-source", []byte("stripe")}, {"odd", nil}}, Reason: "malformed", Error: "not valid JSON",
		References: []source.Reference{{Source: "stripe", Kind: "customer", ID: "cus_1"}},
		FirstSeen:  time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), Attempts: 2, Source: "stripe", Tenant: "t", Type: "a.b", SourceEventID: "evt_1",
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
	ev := anEvent()
	value, err := enc.AccountEvent(&ev)
	require.NoError(t, err)
	for name, bad := range map[string][]byte{
		"nothing":       nil,
		"no header":     []byte(`{"a":1}`),
		"cut off":       value[:len(value)-3],
		"trailing byte": append(append([]byte(nil), value...), 0),
		"unknown id":    append([]byte{0, 0, 0, 9, 9}, value[5:]...),
		"another type":  append([]byte{0, 0, 0, 0, 2}, value[5:]...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got AccountEvent
			err := dec.AccountEvent(t.Context(), bad, &got)
			require.Error(t, err)
			require.True(t, fault.IsPermanent(err), err)
		})
	}
}

func TestRegistryThatIsDownIsTransient(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	r, err := NewRegistry(RegistryConfig{URL: settings.URL(server.URL), Timeout: time.Second})
	require.NoError(t, err)
	_, err = NewEncoder(t.Context(), r, "a", "b")
	require.Error(t, err)
	require.False(t, fault.IsPermanent(err))

	dec, err := NewDecoder(r)
	require.NoError(t, err)
	err = dec.AccountEvent(t.Context(), []byte{0, 0, 0, 0, 1, 2}, new(AccountEvent))
	require.Error(t, err)
	require.False(t, fault.IsPermanent(err), "an event must not die because the registry does")
}

// A reader of today meets a record of a schema that lacks what was added since.
func TestOlderWriterIsRead(t *testing.T) {
	t.Parallel()
	r := registry(t)
	older := strings.Replace(schemas.AccountEvent, `,
    {"name": "delivery", "type": "string", "default": "", "doc": "How it came: webhook, poll, backfill or replay."}`, "", 1)
	require.NotEqual(t, schemas.AccountEvent, older)
	id, err := r.register(t.Context(), "account-events", older)
	require.NoError(t, err)

	enc, err := NewEncoder(t.Context(), r, "account-events", "account-events.dlq")
	require.NoError(t, err)
	ev := anEvent()
	ev.Delivery = ""
	value, err := enc.AccountEvent(&ev)
	require.NoError(t, err)
	asOld := append([]byte{0, 0, 0, 0, byte(id)}, value[5:len(value)-1]...) // without the empty string at its end

	dec, err := NewDecoder(r)
	require.NoError(t, err)
	var got AccountEvent
	require.NoError(t, dec.AccountEvent(t.Context(), asOld, &got))
	require.Equal(t, ev, got)
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

func FuzzDecode(f *testing.F) {
	r := registry(f)
	enc, err := NewEncoder(context.Background(), r, "account-events", "account-events.dlq")
	require.NoError(f, err)
	dec, err := NewDecoder(r)
	require.NoError(f, err)
	ev, letter := anEvent(), aLetter()
	for _, encode := range []func() ([]byte, error){
		func() ([]byte, error) { return enc.AccountEvent(&ev) },
		func() ([]byte, error) { return enc.DeadLetter(&letter) },
	} {
		value, err := encode()
		require.NoError(f, err)
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if len(value) >= headerSize {
			value[1], value[2], value[3] = 0, 0, 0 // stay with ids that exist
			value[4] %= 3
		}
		var ev AccountEvent
		if dec.AccountEvent(t.Context(), value, &ev) == nil {
			_, err := enc.AccountEvent(&ev)
			require.NoError(t, err)
		}
		var letter DeadLetter
		_ = dec.DeadLetter(t.Context(), value, &letter) // must only not panic
	})
}

func BenchmarkEncode(b *testing.B) {
	enc, _, _ := pair(b)
	ev := anEvent()
	ev.Payload = strings.Repeat("x", 1000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := enc.AccountEvent(&ev); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	enc, dec, _ := pair(b)
	ev := anEvent()
	ev.Payload = strings.Repeat("x", 1000)
	value, err := enc.AccountEvent(&ev)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if err := dec.AccountEvent(b.Context(), value, &ev); err != nil {
			b.Fatal(err)
		}
	}
}
