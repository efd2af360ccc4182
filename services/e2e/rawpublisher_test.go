package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// attack is a record that somebody with the right to write publishes, and what
// becomes of it: a dead letter's reason, timeline, ignored, or nothing, where what
// counts is what does not happen.
type attack struct {
	name    string
	record  kgo.Record
	codec   kgo.CompressionCodec
	becomes string
}

const nothing = ""

// publisher publishes one record at a time, each as a batch of its own, as large as
// the broker takes it.
type publisher struct {
	t       *testing.T
	brokers []string
}

func (p publisher) publish(codec kgo.CompressionCodec, records ...*kgo.Record) {
	p.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(p.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(codec),
		kgo.ProducerBatchMaxBytes(200<<20), kgo.MaxBufferedBytes(1<<30), kgo.BrokerMaxWriteBytes(300<<20))
	require.NoError(p.t, err)
	defer client.Close()
	for _, r := range records {
		require.NoError(p.t, client.ProduceSync(p.t.Context(), r).FirstErr())
	}
}

// victim is an event that waits in quarantine, and its record's id.
type victim struct {
	id    int64
	event string
}

// header claims to be a release of the record.
func (v victim) header() []kgo.RecordHeader {
	return []kgo.RecordHeader{{Key: stream.HeaderQuarantineID, Value: strconv.AppendInt(nil, v.id, 10)}}
}

// forged has the event's identity, but is of a customer that is linked.
func (v victim) forged() []byte { return []byte(strings.Replace(v.event, "cus_victim", "cus_bad", 1)) }

// rawAttacks are those on a raw topic. waiting is what they try to close or to move,
// contradicted what they put another event on the timeline for.
func rawAttacks(t *testing.T, stripeEvent func(mark, more string) string, waiting, contradicted victim) []attack {
	t.Helper()
	header := func(key string, value []byte) []kgo.RecordHeader { return []kgo.RecordHeader{{Key: key, Value: value}} }
	quarantineID := waiting.header()
	headers := make([]kgo.RecordHeader, 20_000)
	for i := range headers {
		headers[i] = kgo.RecordHeader{Key: fmt.Sprintf("h%d", i), Value: []byte("v")}
	}
	spaces := bytes.Repeat([]byte(" "), 100<<20)
	five := bytes.Repeat([]byte("0"), 5<<20)
	var nested bytes.Buffer
	zip := gzip.NewWriter(&nested)
	_, err := zip.Write(spaces)
	require.NoError(t, err)
	require.NoError(t, zip.Close())
	plain, packed := kgo.NoCompression(), kgo.GzipCompression()
	event := func(mark, more string) []byte { return []byte(stripeEvent(mark, more)) }
	return []attack{
		{"5 MiB in tl-attempts", kgo.Record{Value: event("a-attempts", ""), Headers: header(stream.HeaderAttempts, five)}, plain, timeline},
		{"5 MiB in tl-attempts, gzipped", kgo.Record{Value: event("a-attempts-gz", ""), Headers: header(stream.HeaderAttempts, five)}, packed, timeline},
		{"5 MiB in an unknown header", kgo.Record{Value: event("a-unknown", ""), Headers: header("x", five)}, packed, timeline},
		{"5 MiB in a header's name", kgo.Record{Value: event("a-name", ""), Headers: header(string(five), nil)}, packed, timeline},
		{"5 MiB in each of ours, of garbage", kgo.Record{Value: []byte("garbage"), Headers: append(header(stream.HeaderTenant, five), header(stream.HeaderTraceparent, five)...)}, packed, "malformed"},
		{"20,000 headers", kgo.Record{Value: event("a-headers", ""), Headers: headers}, plain, timeline},
		{"20,000 headers of garbage", kgo.Record{Value: []byte("garbage 2"), Headers: headers}, plain, "malformed"},
		{"100 MiB of spaces, gzip", kgo.Record{Value: spaces}, kgo.GzipCompression(), "oversized"},
		{"100 MiB of spaces, zstd", kgo.Record{Value: spaces}, kgo.ZstdCompression(), "oversized"},
		{"100 MiB of spaces, lz4", kgo.Record{Value: spaces}, kgo.Lz4Compression(), "oversized"},
		{"100 MiB of spaces, snappy", kgo.Record{Value: spaces}, kgo.SnappyCompression(), "oversized"},
		{"12 MiB of spaces before an event", kgo.Record{Value: append(spaces[:12<<20:12<<20], event("a-spaces", "")...)}, packed, "oversized"},
		{"gzip in gzip", kgo.Record{Value: nested.Bytes()}, packed, "malformed"},
		{"numbers that grow", kgo.Record{Value: event("a-numbers", `,"x":[`+strings.Repeat("1e15980,", 68_000)+"1]")}, packed, "unstorable"},
		{"fractions that grow", kgo.Record{Value: event("a-fractions", `,"x":[`+strings.Repeat("1e-15980,", 60_000)+"1]")}, packed, "unstorable"},
		{"many numbers, each within its bound", kgo.Record{Value: event("a-many", `,"x":[`+strings.Repeat("1e399,", 100_000)+"1]")}, packed, "unstorable"},
		{"a million brackets", kgo.Record{Value: bytes.Repeat([]byte("["), 1_000_000)}, packed, "malformed"},
		{"129 deep", kgo.Record{Value: event("a-deep", `,"x":`+strings.Repeat("[", 129)+strings.Repeat("]", 129))}, plain, "malformed"},
		{"a page of a million elements", kgo.Record{Value: []byte("[" + strings.Repeat("1,", 1_000_000) + "1]")}, packed, "oversized"},
		{"a key of 5 MiB", kgo.Record{Key: five, Value: event("a-key", "")}, packed, timeline},
		{"a key of 5 MiB of garbage", kgo.Record{Key: five, Value: []byte("garbage 3")}, packed, "malformed"},
		{"an empty value", kgo.Record{Value: []byte{}}, plain, "malformed"},
		{"a tombstone", kgo.Record{Headers: quarantineID}, plain, ignored},
		{"Avro", kgo.Record{Value: []byte{0, 0, 0, 0, 1, 2, 3}}, plain, "malformed"},
		{"another's quarantine id", kgo.Record{Value: event("a-foreign", ""), Headers: quarantineID}, plain, timeline},
		{"another's quarantine id, of garbage", kgo.Record{Value: []byte("garbage 4"), Headers: quarantineID}, plain, "malformed"},
		{"another's identity, unresolved", kgo.Record{Value: []byte(strings.Replace(waiting.event, "cus_victim", "cus_nobody", 1)), Headers: quarantineID}, plain, "unresolved_account"},
		{"another's identity, with other bytes", kgo.Record{Value: contradicted.forged(), Headers: contradicted.header()}, plain, nothing},
	}
}

// TestRawPublisher lets somebody who may write to our topics do their worst, on
// Apache Kafka: each attack is dead-lettered alone or harmless, an honest event
// behind it goes on, and nothing of another is closed or moved.
func TestRawPublisher(t *testing.T) {
	t.Parallel()
	p := newPlace(t, streamtest.Kafka(t, 1).Brokers())
	account := p.account("Bad Input Ltd", "")
	p.link("stripe:customer:cus_bad", account)
	startEmbedded(t, p)
	stripeEvent := stripeEvents(t)
	quarantined := func(mark string) victim {
		v := victim{event: strings.Replace(stripeEvent(mark, ""), "cus_bad", "cus_victim", 1)}
		require.NotEqual(t, v.event, string(v.forged()))
		p.publish("stripe", []byte(v.event))
		await(t, patience, "the event to wait", func() (bool, string) {
			v.id = int64(p.count("SELECT coalesce(max(id), 0) FROM quarantine WHERE raw = convert_to($1, 'UTF8')", v.event))
			return v.id > 0, ""
		})
		return v
	}
	waiting, contradicted := quarantined("victim"), quarantined("victim-2")
	state := func(v victim) string {
		return p.strings(`SELECT status || ' ' || reason || ' ' || attempts || ' ' || "references"::text || ' ' || encode(sha256(raw), 'hex') || ' ' || topic || "offset" FROM quarantine WHERE id = $1`, v.id)[0]
	}
	before := state(waiting)

	t.Run("raw topic", func(t *testing.T) {
		p.attacked(t, stream.RawTopic("stripe"), rawAttacks(t, stripeEvent, waiting, contradicted), func(i int) *kgo.Record {
			return &kgo.Record{Value: []byte(stripeEvent(fmt.Sprintf("honest-raw-%d", i), ""))}
		}, "honest-raw-")
		require.Equal(t, before, state(waiting))
	})
	honest := func(i int) *kgo.Record {
		mark := fmt.Sprintf("honest-events-%d", i)
		return p.accountEvent(t, account, mark, []byte(stripeEvent(mark, "")))
	}
	t.Run("account-events", func(t *testing.T) {
		forged := p.accountEvent(t, account, "victim", contradicted.forged())
		forged.Headers = contradicted.header()
		p.attacked(t, stream.AccountEvents, eventAttacks(p, t, stripeEvent, account, forged), honest, "honest-events-")
		require.Equal(t, before, state(waiting))
	})
	t.Run("dead letters", func(t *testing.T) {
		for _, a := range letterAttacks(p, t, waiting) {
			a.record.Topic = stream.DeadLetters
			publisher{t, p.brokers}.publish(a.codec, &a.record)
		}
		p.publish("stripe", []byte(`{"behind":"the letters"}`))
		await(t, patience, "the letter behind the forged ones", func() (bool, string) {
			n := p.count(`SELECT count(*) FROM quarantine WHERE raw = '{"behind":"the letters"}'`)
			return n == 1, fmt.Sprint(n)
		})
		require.Equal(t, before, state(waiting))
	})
	t.Run("the one that waited is stored when it is linked", func(t *testing.T) {
		p.link("stripe:customer:cus_victim", account)
		await(t, patience, "the release", func() (bool, string) { s := state(waiting); return strings.HasPrefix(s, "resolved"), s })
	})
	t.Run("the one that the timeline contradicts stays open, as a conflict", func(t *testing.T) {
		const want = "open conflict"
		await(t, patience, want, func() (bool, string) { s := state(contradicted); return strings.HasPrefix(s, want), s })
		require.Equal(t, 1, p.count("SELECT count(*) FROM quarantine WHERE id = $1 AND raw = convert_to($2, 'UTF8')", contradicted.id, contradicted.event))
	})
	require.Zero(t, p.sum("throughline_sink_held_partitions"))
}

// attacked publishes each attack to one partition of a topic, an honest record behind
// it, and looks at what became of all.
func (p *place) attacked(t *testing.T, topic string, attacks []attack, honest func(i int) *kgo.Record, mark string) {
	t.Helper()
	for i := range attacks {
		a := &attacks[i]
		a.record.Topic = topic
		behind := honest(i)
		behind.Topic = topic
		publisher{t, p.brokers}.publish(a.codec, &a.record)
		publisher{t, p.brokers}.publish(kgo.NoCompression(), behind)
	}
	await(t, patience, "the honest events", func() (bool, string) {
		n := p.count("SELECT count(*) FROM account_events WHERE starts_with("+markSQL+", $1)", mark)
		return n == len(attacks), fmt.Sprint(n, " of ", len(attacks))
	})
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			var reasons []string
			await(t, patience, "its dead letter", func() (bool, string) {
				reasons = p.strings(`SELECT reason FROM quarantine WHERE topic = $1 AND partition = $2 AND "offset" = $3`, topic, a.record.Partition, a.record.Offset)
				return len(reasons) > 0 || a.becomes == timeline || a.becomes == ignored || a.becomes == nothing, ""
			})
			switch a.becomes {
			case nothing:
			case timeline:
				require.Empty(t, reasons)
				require.Equal(t, 1, p.count("SELECT count(*) FROM account_events WHERE "+markSQL+" = $1", markOf(a.record.Value)))
			case ignored:
				require.Empty(t, reasons)
			default:
				require.Equal(t, []string{a.becomes}, reasons)
			}
		})
	}
}

// accountEvent is a record of account-events as the normalizer writes it.
func (p *place) accountEvent(t *testing.T, account uuid.UUID, mark string, payload []byte) *kgo.Record {
	t.Helper()
	ev := p.eventOf(t, payload)
	ev.AccountID, ev.Subject = account, mark
	value, err := p.encoder(t).AccountEvent(&ev)
	require.NoError(t, err)
	return &kgo.Record{Value: value}
}

// eventOf describes a Stripe event.
func (p *place) eventOf(t *testing.T, payload []byte) event.AccountEvent {
	t.Helper()
	stripe, _ := catalog.Set().Find("stripe")
	_, described, err := source.Keyed(stripe, source.Record{Value: payload, Mode: source.ModeWebhook, ReceivedAt: time.Now()})
	require.NoError(t, err)
	return event.AccountEvent{
		Type: described.Type, Source: "stripe", SourceEventID: described.ID, Payload: payload, OccurredAt: described.OccurredAt, IngestedAt: described.OccurredAt,
		Delivery: source.ModeWebhook, Rule: "links", Reference: "stripe:customer:cus_bad", RawTopic: "raw.stripe", RawIndex: -1, Livemode: true,
	}
}

func (p *place) encoder(t *testing.T) *event.Encoder {
	t.Helper()
	registry, err := event.NewRegistry(event.RegistryConfig{URL: settings.URL(p.registry)})
	require.NoError(t, err)
	encoder, err := event.NewEncoder(t.Context(), registry, stream.AccountEvents, stream.DeadLetters)
	require.NoError(t, err)
	return encoder
}

// unknownSchema is a value in the wire format whose schema nobody has registered.
func unknownSchema() []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, 1<<30), 1, 2, 3)
}

// halfOfUnknownSchema begins like one of ours, and nobody can read it.
func halfOfUnknownSchema(value []byte) []byte {
	half := append(unknownSchema()[:5:5], value[5:]...)
	return half[:len(half)-20]
}

// garbage are the attacks that fit every topic of ours.
func garbage(reason string) []attack {
	plain, packed := kgo.NoCompression(), kgo.GzipCompression()
	return []attack{
		{"garbage", kgo.Record{Value: []byte("garbage")}, plain, reason},
		{"an unknown schema", kgo.Record{Value: unknownSchema()}, plain, nothing},
		{"an empty value", kgo.Record{Value: []byte{}}, plain, reason},
		{"a tombstone", kgo.Record{Key: []byte("k")}, plain, ignored},
		{"a length that is not there", kgo.Record{Value: []byte{0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x0f}}, plain, reason},
		{"a key and a header of 3 MiB", kgo.Record{Key: make([]byte, 3<<20), Value: []byte("garbage 5"), Headers: []kgo.RecordHeader{{Key: "x", Value: make([]byte, 3<<20)}}}, packed, reason},
		{"a bomb", kgo.Record{Value: make([]byte, 100<<20)}, packed, "oversized"},
	}
}

func eventAttacks(p *place, t *testing.T, stripeEvent func(mark, more string) string, account uuid.UUID, forged *kgo.Record) []attack {
	t.Helper()
	simple := func(change func(*event.AccountEvent)) kgo.Record {
		ev := p.eventOf(t, []byte(stripeEvent("forged", "")))
		ev.AccountID = account
		change(&ev)
		value, err := p.encoder(t).AccountEvent(&ev)
		require.NoError(t, err)
		return kgo.Record{Value: value}
	}
	plain, packed := kgo.NoCompression(), kgo.GzipCompression()
	half := simple(func(*event.AccountEvent) {})
	return append(garbage("malformed"), []attack{
		{"half an event of an unknown schema", kgo.Record{Value: halfOfUnknownSchema(half.Value)}, plain, "malformed"},
		{"a type of 100 kB", simple(func(ev *event.AccountEvent) { ev.Type = strings.Repeat("x", 100_000) }), plain, "oversized"},
		{"the year 9999", simple(func(ev *event.AccountEvent) { ev.OccurredAt = ev.OccurredAt.AddDate(7973, 0, 0) }), plain, "malformed"},
		{"an account that nobody has", simple(func(ev *event.AccountEvent) { ev.AccountID = uuid.New() }), plain, nothing},
		{"numbers that grow", simple(func(ev *event.AccountEvent) {
			ev.Payload = []byte(`{"x":[` + strings.Repeat("1e15980,", 68_000) + "1]}")
		}), packed, "unstorable"},
		{"no JSON", simple(func(ev *event.AccountEvent) { ev.Payload = []byte("not JSON") }), plain, "malformed"},
		{"another's identity and quarantine id", *forged, plain, nothing},
	}...)
}

func letterAttacks(p *place, t *testing.T, waiting victim) []attack {
	t.Helper()
	ev := p.eventOf(t, []byte(waiting.event))
	letter := func(change func(*event.DeadLetter)) kgo.Record {
		l := event.DeadLetter{
			Value: []byte(`{"forged":true}`), Topic: "raw.stripe", Partition: 0, Offset: 1 << 40, RawIndex: -1, Reason: "malformed", Error: "forged",
			Source: "stripe", Type: ev.Type, SourceEventID: ev.SourceEventID, FirstSeen: ev.OccurredAt, Attempts: 1 << 30, References: []source.Reference{},
			Headers: []event.Header{{Key: stream.HeaderQuarantineID, Value: strconv.AppendInt(nil, waiting.id, 10)}},
		}
		change(&l)
		value, err := p.encoder(t).DeadLetter(&l)
		require.NoError(t, err)
		return kgo.Record{Value: value}
	}
	plain := kgo.NoCompression()
	half := letter(func(*event.DeadLetter) {})
	return append(garbage(nothing), []attack{
		{"half a letter of an unknown schema", kgo.Record{Value: halfOfUnknownSchema(half.Value)}, plain, nothing},
		{"another's identity and quarantine id", letter(func(*event.DeadLetter) {}), plain, nothing},
		{"… of another topic", letter(func(l *event.DeadLetter) { l.Topic = "account-events.dlq" }), plain, nothing},
		{"a reason of its own", letter(func(l *event.DeadLetter) { l.Reason, l.Value = strings.Repeat("r", 100_000), []byte("r") }), plain, nothing},
		{"text that Postgres refuses", letter(func(l *event.DeadLetter) { l.Type, l.Tenant, l.Value = "a\x00b", "\xff", []byte("\x00") }), plain, nothing},
	}...)
}
