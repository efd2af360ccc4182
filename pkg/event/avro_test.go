package event

import (
	"bytes"
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/schemas"
)

// from is the mapping that the library's Marshal takes: what the fields written
// by hand are held against.
func (a *accountEventAvro) from(e *AccountEvent) {
	*a = accountEventAvro{
		AccountID: e.AccountID.String(), EventType: e.Type, Source: e.Source, SourceEventID: e.SourceEventID,
		Payload: string(e.Payload), OccurredAt: e.OccurredAt, IngestedAt: e.IngestedAt, Tenant: e.Tenant, Delivery: string(e.Delivery),
		Subject: e.Subject, Rule: e.Rule, Reference: e.Reference,
		RawTopic: e.RawTopic, RawPartition: e.RawPartition, RawOffset: e.RawOffset, RawIndex: e.RawIndex, Livemode: e.Livemode,
	}
}

// randomEvent makes an event of odd values: empty, long, and of any bytes.
func randomEvent(random *rand.Rand) AccountEvent {
	text := func() string {
		if random.IntN(4) == 0 {
			return ""
		}
		n := random.IntN(40)
		if random.IntN(8) == 0 {
			n = random.IntN(5000)
		}
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return string(b)
	}
	at := func() time.Time { return time.UnixMicro(int64(random.Uint64()) >> (8 + random.IntN(48))).UTC() }
	number := func() int64 { return int64(random.Uint64()) >> random.IntN(64) }
	ev := AccountEvent{
		Type: text(), Source: text(), SourceEventID: text(), Payload: []byte(text()), OccurredAt: at(), IngestedAt: at(),
		Tenant: text(), Delivery: source.Mode(text()), Subject: text(), Rule: text(), Reference: text(),
		RawTopic: text(), RawPartition: int32(number()), RawOffset: number(), RawIndex: int32(number()), Livemode: random.IntN(2) == 0,
	}
	for i := range ev.AccountID {
		ev.AccountID[i] = byte(random.Uint32())
	}
	return ev
}

// The bytes written by hand are the library's own, and both read them as the
// same event.
func TestTheHandWrittenCodecIsTheLibrarys(t *testing.T) {
	t.Parallel()
	enc, dec, _ := pair(t)
	api, schema := newAPI(), dec.event.reader
	random := rand.New(rand.NewPCG(1, 2))
	var buffer []byte
	for range 5000 {
		want := randomEvent(random)
		var mapped accountEventAvro
		mapped.from(&want)
		body, err := api.Marshal(schema, &mapped)
		require.NoError(t, err)
		buffer, err = enc.AppendAccountEvent(buffer[:0], &want)
		require.NoError(t, err)
		require.Equal(t, body, buffer[headerSize:])

		var got AccountEvent
		require.NoError(t, dec.AccountEvent(t.Context(), buffer, &got))
		require.Equal(t, want, got)
		var read accountEventAvro
		require.NoError(t, api.Unmarshal(schema, buffer[headerSize:], &read))
		require.NoError(t, read.to(&got))
		require.Equal(t, want, got)
	}
}

func TestTheEncoderAppends(t *testing.T) {
	t.Parallel()
	enc, _, _ := pair(t)
	ev := anEvent()
	value, err := enc.AccountEvent(&ev)
	require.NoError(t, err)
	appended, err := enc.AppendAccountEvent([]byte("before"), &ev)
	require.NoError(t, err)
	require.Equal(t, append([]byte("before"), value...), appended)
}

// What the reader by hand takes is what the library takes, whatever the bytes.
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
		f.Add(value[:len(value)-1])
	}
	api := newAPI()
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
		if len(value) >= headerSize {
			read := func(read func(*avro.Reader, avro.Schema) error) error {
				return whole(avro.NewReader(nil, 0, avro.WithReaderConfig(api)), value[headerSize:], dec.event.reader, read)
			}
			var byHand, byLibrary AccountEvent
			hand := read(func(r *avro.Reader, _ avro.Schema) error { return readAccountEvent(r, &byHand) })
			library := read(func(r *avro.Reader, schema avro.Schema) error {
				var a accountEventAvro
				if r.ReadVal(schema, &a); r.Error != nil {
					return r.Error
				}
				return a.to(&byLibrary)
			})
			require.Equal(t, library == nil, hand == nil, "library: %v, by hand: %v", library, hand)
			if hand == nil {
				require.Equal(t, byLibrary, byHand)
			}
		}
		var letter DeadLetter
		_ = dec.DeadLetter(t.Context(), value, &letter) // must only not panic
	})
}

// An event that version 1 wrote reads with the defaults of what came since, and
// a reader of version 1 reads an event of today.
func TestVersionsReadEachOther(t *testing.T) {
	t.Parallel()
	text, err := schemas.History.ReadFile("history/account-events/1.avsc")
	require.NoError(t, err)
	first, err := parse(string(text))
	require.NoError(t, err)
	enc, dec, r := pair(t)
	api := newAPI()
	ev := anEvent()
	var mapped accountEventAvro
	mapped.from(&ev)

	id, err := r.register(t.Context(), "other", string(text))
	require.NoError(t, err)
	body, err := api.Marshal(first, &mapped)
	require.NoError(t, err)
	var got AccountEvent
	require.NoError(t, dec.AccountEvent(t.Context(), slices.Concat([]byte{0, 0, 0, 0, byte(id)}, body), &got))
	want := ev
	want.Subject, want.Rule, want.Reference = "", "", ""
	want.RawTopic, want.RawPartition, want.RawOffset, want.RawIndex, want.Livemode = "", -1, -1, -1, true
	require.Equal(t, want, got)
	require.True(t, got.Spliced())
	require.False(t, ev.Spliced())

	value, err := enc.AccountEvent(&ev)
	require.NoError(t, err)
	forward, err := avro.NewSchemaCompatibility().Resolve(first, dec.event.reader)
	require.NoError(t, err)
	var old accountEventAvro
	require.NoError(t, api.Unmarshal(forward, value[headerSize:], &old))
	require.Equal(t, mapped.SourceEventID, old.SourceEventID)
	require.Equal(t, mapped.Payload, old.Payload)
	require.Equal(t, mapped.Delivery, old.Delivery)
}

func BenchmarkEncode(b *testing.B) {
	enc, dec, _ := pair(b)
	ev := anEvent()
	ev.Payload = bytes.Repeat([]byte("x"), 1000)
	b.Run("Append", func(b *testing.B) {
		b.ReportAllocs()
		var dst []byte
		for b.Loop() {
			var err error
			if dst, err = enc.AppendAccountEvent(dst[:0], &ev); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("New", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := enc.AccountEvent(&ev); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Library", func(b *testing.B) {
		b.ReportAllocs()
		api := newAPI()
		for b.Loop() {
			var mapped accountEventAvro
			mapped.from(&ev)
			if _, err := api.Marshal(dec.event.reader, &mapped); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	enc, dec, _ := pair(b)
	ev := anEvent()
	ev.Payload = bytes.Repeat([]byte("x"), 1000)
	value, err := enc.AccountEvent(&ev)
	require.NoError(b, err)
	b.Run("ByHand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := dec.AccountEvent(b.Context(), value, &ev); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Library", func(b *testing.B) {
		b.ReportAllocs()
		api := newAPI()
		for b.Loop() {
			var mapped accountEventAvro
			if err := api.Unmarshal(dec.event.reader, value[headerSize:], &mapped); err != nil {
				b.Fatal(err)
			}
		}
	})
}
