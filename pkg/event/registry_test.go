package event

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/schemas"
)

// A registry that was lost and made anew gives other ids: ours then stand for
// nothing, or for another schema.
func TestARegistryMadeAnew(t *testing.T) {
	t.Parallel()
	enc, _, old := pair(t)
	ev, letter := anEvent(), aLetter()
	event, err := enc.AccountEvent(&ev)
	require.NoError(t, err)
	dead, err := enc.DeadLetter(&letter)
	require.NoError(t, err)
	first, err := schemas.History.ReadFile("history/account-events/1.avsc")
	require.NoError(t, err)
	text, err := old.schema(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, schemas.AccountEvent, text, "the event's schema is number 1 in the old registry, the letter's 2")

	for name, registered := range map[string][]string{
		"it knows none":            nil,
		"in the other order":       {schemas.DeadLetter, schemas.AccountEvent},
		"a version before":         {string(first), schemas.DeadLetter},
		"of somebody else's":       {`{"type":"record","name":"Order","fields":[{"name":"n","type":"long"}]}`, `"string"`},
		"what is no schema at all": {`{"type":"record"}`, `{"type":"odd"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := registry(t)
			for i, schema := range registered {
				_, err := r.register(t.Context(), string(rune('a'+i)), schema)
				require.NoError(t, err)
			}
			dec, err := NewDecoder(r)
			require.NoError(t, err)
			for range 2 { // the second from what is remembered
				var gotEvent AccountEvent
				require.NoError(t, dec.AccountEvent(t.Context(), event, &gotEvent))
				require.Equal(t, ev, gotEvent)
				var gotLetter DeadLetter
				require.NoError(t, dec.DeadLetter(t.Context(), dead, &gotLetter))
				require.Equal(t, letter.Value, gotLetter.Value)
			}
		})
	}
}

// What nobody can read must not hold a partition back, because anybody can write it:
// it is a dead letter, which is read later if its schema becomes known.
func TestAnUnknownSchemaIsMalformed(t *testing.T) {
	t.Parallel()
	enc, dec, r := pair(t)
	ev, letter := anEvent(), aLetter()
	event, err := enc.AccountEvent(&ev)
	require.NoError(t, err)
	dead, err := enc.DeadLetter(&letter)
	require.NoError(t, err)
	newer := func(value []byte) []byte { return append([]byte{0, 0, 0, 0, 3}, append(value[headerSize:], 2)...) }
	event, dead = newer(event), newer(dead)
	for _, err := range []error{
		dec.AccountEvent(t.Context(), event, new(AccountEvent)),
		dec.DeadLetter(t.Context(), dead, new(DeadLetter)),
	} {
		require.ErrorContains(t, err, "schema 3")
		require.Equal(t, fault.Malformed, fault.ReasonOf(err))
	}
	const more = `{"name": "livemode", "type": "boolean", "default": true, "doc": "False for a vendor's test data."}`
	require.Contains(t, schemas.AccountEvent, more)
	id, err := r.register(t.Context(), "account-events", strings.Replace(schemas.AccountEvent, more, more+`, {"name": "more", "type": "int", "default": 0}`, 1))
	require.NoError(t, err)
	require.Equal(t, 3, id)
	clear(dec.asked) // as a second later
	var got AccountEvent
	require.NoError(t, dec.AccountEvent(t.Context(), event, &got))
	require.Equal(t, ev, got)
}

// While a service runs the registry is made anew, and gives an id that the service
// knows to a newer version.
func TestAnIDComesToStandForANewerSchema(t *testing.T) {
	t.Parallel()
	enc, dec, _ := pair(t)
	ev := anEvent()
	value, err := enc.AccountEvent(&ev)
	require.NoError(t, err)
	require.NoError(t, dec.AccountEvent(t.Context(), value, new(AccountEvent)))

	anew := registry(t)
	newer := append(value, 2) // under the id that stands for the current version
	dec.registry = anew
	err = dec.AccountEvent(t.Context(), newer, new(AccountEvent))
	require.ErrorContains(t, err, "does not know schema")
	require.True(t, fault.IsPermanent(err))

	const more = `{"name": "livemode", "type": "boolean", "default": true, "doc": "False for a vendor's test data."}`
	id, err := anew.register(t.Context(), "account-events", strings.Replace(schemas.AccountEvent, more, more+`, {"name": "more", "type": "int", "default": 0}`, 1))
	require.NoError(t, err)
	require.EqualValues(t, value[headerSize-1], id)
	clear(dec.asked) // as a second later
	for _, record := range [][]byte{newer, value} {
		var got AccountEvent
		require.NoError(t, dec.AccountEvent(t.Context(), record, &got))
		require.Equal(t, ev, got)
	}
	require.True(t, fault.IsPermanent(dec.AccountEvent(t.Context(), append(newer, 2), new(AccountEvent))), "the registry says that it is garbage")
}

// Garbage costs the registry nothing.
func TestGarbageIsNotAskedFor(t *testing.T) {
	t.Parallel()
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	r, err := NewRegistry(RegistryConfig{URL: settings.URL(server.URL)})
	require.NoError(t, err)
	dec, err := NewDecoder(r)
	require.NoError(t, err)
	for _, garbage := range [][]byte{{0, 1, 2, 3, 4}, []byte("\x00abcdefgh"), append([]byte{0, 1, 2, 3, 4, 72}, make([]byte, 36)...)} {
		require.True(t, fault.IsPermanent(dec.AccountEvent(t.Context(), garbage, new(AccountEvent))))
		require.True(t, fault.IsPermanent(dec.DeadLetter(t.Context(), garbage, new(DeadLetter))))
	}
	require.Zero(t, requests.Load())
}

// A registry that may only be read is enough once it has the schemas.
func TestARegistryThatMayOnlyBeRead(t *testing.T) {
	t.Parallel()
	var refused atomic.Int32
	proxied := registryURL(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/versions") {
			refused.Add(1)
			w.WriteHeader(http.StatusForbidden)
			return
		}
		httputil.NewSingleHostReverseProxy(proxied).ServeHTTP(w, req)
	}))
	defer server.Close()
	readOnly, err := NewRegistry(RegistryConfig{URL: settings.URL(server.URL)})
	require.NoError(t, err)
	_, err = NewEncoder(t.Context(), readOnly, "account-events", "account-events.dlq")
	require.Error(t, err)
	require.False(t, fault.IsPermanent(err), "a person may fix it")
	require.Equal(t, int32(1), refused.Load())

	admin, err := NewRegistry(RegistryConfig{URL: settings.URL(proxied.String())})
	require.NoError(t, err)
	want, err := NewEncoder(t.Context(), admin, "account-events", "account-events.dlq")
	require.NoError(t, err)
	got, err := NewEncoder(t.Context(), readOnly, "account-events", "account-events.dlq")
	require.NoError(t, err)
	require.Equal(t, *want.headers.Load(), *got.headers.Load())
}

func registryURL(t *testing.T) *url.URL {
	t.Helper()
	u, err := url.Parse(registryAt(t))
	require.NoError(t, err)
	return u
}
