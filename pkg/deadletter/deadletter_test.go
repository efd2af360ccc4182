package deadletter

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

var (
	written = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	errOdd  = fault.Permanent(fault.Malformed, errors.New("it is odd"))
)

func pair(t testing.TB) (*event.Encoder, *event.Decoder) {
	t.Helper()
	r, err := event.NewRegistry(event.RegistryConfig{URL: settings.URL(streamtest.Registry(t))})
	require.NoError(t, err)
	enc, err := event.NewEncoder(t.Context(), r, stream.AccountEvents, stream.DeadLetters)
	require.NoError(t, err)
	dec, err := event.NewDecoder(r)
	require.NoError(t, err)
	return enc, dec
}

func record(topic string, headers ...string) *kgo.Record {
	rec := &kgo.Record{Topic: topic, Partition: 3, Offset: 41, Timestamp: written, Key: []byte("k"), Value: []byte("v\x00\xff")}
	for i := 0; i < len(headers); i += 2 {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return rec
}

// roundTrip makes a letter and reads it again.
func roundTrip(t testing.TB, rec *kgo.Record, d Described, cause error) event.DeadLetter {
	t.Helper()
	enc, dec := pair(t)
	made, err := Make(enc, rec, d, cause)
	require.NoError(t, err)
	require.Equal(t, stream.DeadLetters, made.Topic)
	again, err := Make(enc, rec, d, cause)
	require.NoError(t, err)
	require.Equal(t, made, again, "the same record gives the same letter")
	letter, err := Read(t.Context(), dec, made)
	require.NoError(t, err)
	require.Equal(t, letter.Key, made.Key)
	return letter
}

func headersOf(l event.DeadLetter) (list []string) {
	for _, h := range l.Headers {
		list = append(list, h.Key+"="+string(h.Value))
	}
	return list
}

func TestMake(t *testing.T) {
	t.Parallel()
	references := []source.Reference{{Source: "stripe", Tenant: "acct_1", Kind: "customer", ID: "cus_1"}}
	t.Run("of a raw record", func(t *testing.T) {
		t.Parallel()
		rec := record("raw.stripe", stream.HeaderTenant, "acct_1", "x", "y", stream.HeaderDelivery, "webhook", stream.HeaderTraceparent, "00-1")
		got := roundTrip(t, rec, Described{Tenant: "acct_1", Type: "invoice.paid", SourceEventID: "evt_1", References: references}, errOdd)
		require.Equal(t, []string{"tl-source=stripe", "tl-received-at=2026-11-02T09:00:00Z", "tl-delivery=webhook", "tl-tenant=acct_1", "traceparent=00-1"},
			headersOf(got), "written anew, the receipt too, and others not at all")
		got.Headers = nil
		require.Equal(t, event.DeadLetter{
			Value: rec.Value, Topic: "raw.stripe", Partition: 3, Offset: 41, Key: []byte("k"), Reason: "malformed", Error: "it is odd",
			References: references, FirstSeen: written, Attempts: 1, Source: "stripe", Tenant: "acct_1", Type: "invoice.paid", SourceEventID: "evt_1", RawIndex: -1,
		}, got)
	})
	t.Run("of a release", func(t *testing.T) {
		t.Parallel()
		got := roundTrip(t, record("raw.stripe", stream.HeaderQuarantineID, "42", stream.HeaderAttempts, "3", stream.HeaderFirstSeen, "2025-10-01T00:00:00.25Z"), Described{}, errOdd)
		require.EqualValues(t, 4, got.Attempts)
		require.Equal(t, time.Date(2025, 10, 1, 0, 0, 0, 250_000_000, time.UTC), got.FirstSeen)
		require.Equal(t, stream.Replay{QuarantineID: 42, Attempts: 3, FirstSeen: got.FirstSeen}, Replay(&got))
	})
	t.Run("of an account event", func(t *testing.T) {
		t.Parallel()
		got := roundTrip(t, record(stream.AccountEvents, stream.HeaderTraceparent, "00-1", stream.HeaderTenant, "acct_1", stream.HeaderQuarantineID, "42"), Described{Source: "stripe"}, errOdd)
		require.Equal(t, []string{"traceparent=00-1", "tl-quarantine-id=42"}, headersOf(got))
		require.Equal(t, "00-1", Traceparent(&got))
		require.Equal(t, "stripe", got.Source)
	})
	t.Run("of an element of a page", func(t *testing.T) {
		t.Parallel()
		got := roundTrip(t, record("raw.stripe"), Described{Value: []byte("part"), Index: 7}, errOdd)
		require.Equal(t, "part", string(got.Value))
		require.EqualValues(t, 7, got.RawIndex)
	})
	t.Run("of nothing", func(t *testing.T) {
		t.Parallel()
		got := roundTrip(t, &kgo.Record{Topic: "raw.stripe", Timestamp: written}, Described{}, errOdd)
		require.Nil(t, got.Key)
		require.Empty(t, got.Value)
	})
}

// Whatever a stranger publishes, its letter fits its topic and can be read.
func TestALetterAlwaysFits(t *testing.T) {
	t.Parallel()
	brokers := streamtest.Embedded(t)
	client, err := stream.NewClient(stream.Config{Brokers: brokers}, stream.Deps{Name: "test"})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	_, err = stream.ApplyTopics(t.Context(), client, stream.Names{}, nil, stream.TopicOptions{Partitions: 1, ReplicationFactor: 1, RawRetention: time.Hour, EventRetention: time.Hour})
	require.NoError(t, err)
	enc, dec := pair(t)

	huge := strings.Repeat("x", 5<<20)
	var manyHeaders []string
	for range 20_000 {
		manyHeaders = append(manyHeaders, "x", "y")
	}
	var manyReferences []source.Reference
	for i := range 20_000 {
		manyReferences = append(manyReferences, source.Reference{Source: "s", Kind: "k", ID: fmt.Sprint(i)})
	}
	tests := map[string]struct {
		rec   *kgo.Record
		d     Described
		cause error
		says  string
	}{
		"a value":         {&kgo.Record{Topic: "raw.stripe", Value: []byte(huge)}, Described{}, errOdd, "a value of 5242880 bytes"},
		"a key":           {&kgo.Record{Topic: "raw.stripe", Key: []byte(huge)}, Described{}, errOdd, "a key of 5242880 bytes"},
		"a type":          {record("raw.stripe"), Described{Type: huge}, errOdd, "event_type of 5242880 bytes"},
		"an id":           {record("raw.stripe"), Described{SourceEventID: huge}, errOdd, "source_event_id of"},
		"a sentence":      {record("raw.stripe"), Described{}, fault.Permanent(fault.Malformed, errors.New(huge)), "xxx"},
		"many headers":    {record("raw.stripe", manyHeaders...), Described{}, errOdd, "it is odd"},
		"a header's name": {record("raw.stripe", huge, "x"), Described{}, errOdd, "it is odd"},
		"many references": {record("raw.stripe"), Described{References: manyReferences}, errOdd, "19968 references"},
		"a reference":     {record("raw.stripe"), Described{References: []source.Reference{{Kind: huge}}}, errOdd, "1 references"},
		"our headers": {record("raw.stripe", stream.HeaderTenant, huge, stream.HeaderAttempts, strings.Repeat("0", 5<<20)+"1", stream.HeaderTraceparent, huge,
			stream.HeaderQuarantineID, "1", stream.HeaderFirstSeen, huge, stream.HeaderReceivedAt, huge, stream.HeaderDelivery, huge), Described{}, errOdd, "it is odd"},
		"the largest that is kept whole": {
			&kgo.Record{Topic: "raw." + strings.Repeat("t", 240), Key: []byte(huge[:maxKeyBytes]), Value: []byte(huge[:maxValueBytes])},
			Described{Source: huge[:maxSourceBytes], Tenant: huge[:200], Type: huge[:200], SourceEventID: huge[:1024]}, errOdd, "it is odd",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			made, err := Make(enc, tt.rec, tt.d, tt.cause)
			require.NoError(t, err)
			require.NoError(t, stream.NewPublisher(client).Publish(t.Context(), made))
			got, err := Read(t.Context(), dec, made)
			require.NoError(t, err)
			require.Contains(t, got.Error, tt.says)
			require.LessOrEqual(t, len(got.Error), maxErrorBytes)
			require.Equal(t, tt.rec.Offset, got.Offset)
			require.LessOrEqual(t, len(got.Headers), 8)
		})
	}
}

func TestBare(t *testing.T) {
	t.Parallel()
	l := event.DeadLetter{Value: []byte("v"), Topic: "raw.stripe", Partition: 3, Offset: 41, RawIndex: -1, Key: []byte("k"), Error: strings.Repeat("é", 1000), Source: "stripe", Reason: "malformed"}
	bare(&l, errors.New("the encoder refuses it"))
	require.Nil(t, l.Value)
	require.Equal(t, []any{"raw.stripe", int32(3), int64(41), "malformed", []byte("k")}, []any{l.Topic, l.Partition, l.Offset, l.Reason, l.Key})
	require.Contains(t, l.Error, "raw.stripe/3 offset 41: the encoder refuses it")
	require.LessOrEqual(t, len(l.Error), maxErrorBytes)
	require.True(t, utf8.ValidString(l.Error))
}

func TestTheSentenceIsCleanText(t *testing.T) {
	t.Parallel()
	got := roundTrip(t, record("raw.stripe"), Described{}, fault.Permanent(fault.Malformed, errors.New("a\x00b\xff"+strings.Repeat("é", 1000))))
	require.True(t, utf8.ValidString(got.Error))
	require.True(t, strings.HasPrefix(got.Error, "a\uFFFDb\uFFFDé"), got.Error[:20])
	require.LessOrEqual(t, len(got.Error), maxErrorBytes)
}

func TestReadTakesAnything(t *testing.T) {
	t.Parallel()
	_, dec := pair(t)
	for name, value := range map[string][]byte{"garbage": []byte("garbage"), "nothing": {}, "far too much": make([]byte, 5<<20)} {
		rec := record(stream.DeadLetters, stream.HeaderQuarantineID, "42")
		rec.Value = value
		got, err := Read(t.Context(), dec, rec)
		require.NoError(t, err, name)
		require.Equal(t, "malformed", got.Reason)
		require.Contains(t, got.Error, "not a dead letter: ")
		require.Equal(t, []any{stream.DeadLetters, int32(3), int64(41)}, []any{got.Topic, got.Partition, got.Offset})
		require.Empty(t, got.Source)
		require.Zero(t, Replay(&got).QuarantineID, "nothing is released by its word")
		require.LessOrEqual(t, len(got.Value), maxValueBytes)
	}
}

func FuzzMake(f *testing.F) {
	f.Add("raw.stripe", "tl-attempts", []byte("3"), []byte("{}"), "it is odd", "evt_1", "cus_1")
	f.Add("account-events", "traceparent", []byte("00-\xff"), []byte(nil), "a\x00", "\xff", strings.Repeat("x", 600))
	enc, dec := pair(f)
	f.Fuzz(func(t *testing.T, topic, header string, headerValue, value []byte, text, id, reference string) {
		rec := &kgo.Record{Topic: topic, Key: headerValue, Value: value, Headers: []kgo.RecordHeader{{Key: header, Value: headerValue}}}
		d := Described{Tenant: text, Type: text, SourceEventID: id, References: []source.Reference{{ID: reference, Kind: text}}}
		made, err := Make(enc, rec, d, errors.New(text))
		require.NoError(t, err)
		got, err := Read(t.Context(), dec, made)
		require.NoError(t, err)
		require.NotContains(t, got.Error, "not a dead letter: ")
		require.Positive(t, got.Attempts)
	})
}
