package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// A person is erased from a running system, and then nothing has them: no table, no log line, no metric, no record that is
// written afterwards; a replay of the raw topic, in which they still are, does not bring them back. Then Postgres is lost
// and restored from a base backup from before: the erasure is repeated, and a replay closes the gap, nothing twice.
func TestErasedAndRestored(t *testing.T) {
	t.Parallel()
	node := postgrestest.NewNode(t)
	p := newPlaceOn(t, streamtest.Embedded(t), node.URL())
	core, lines := observer.New(zapcore.DebugLevel)
	startEmbeddedAs(t, p, stream.Config{Brokers: p.brokers}, zap.New(core))
	acme, nimbus := p.account("Acme", "acme.example"), p.account("Nimbus Lab", "nimbus.example")
	p.throughline("link", "stripe:cus_Acme", acme.String())
	p.throughline("link", "stripe:cus_Nimbus", nimbus.String())
	const kim, name = "kim.lindqvist@nimbus.example", "Kim Lindqvist"
	send := func(from, to int) {
		for i := from; i < to; i++ {
			customer, email, who := "cus_Acme", "bob@acme.example", "Bob"
			switch i % 5 {
			case 0: // Acme's invoice names her
				email, who = strings.ToUpper(kim), name
			case 1:
				customer, email, who = "cus_Nimbus", kim, name
			case 2: // nobody's yet
				customer, email, who = "cus_Unknown", "somebody@other.test", "Somebody"
			}
			p.publish("stripe", fmt.Appendf(nil, `{"id":"evt_%d","object":"event","type":"charge.succeeded","livemode":true,"created":%d,"data":{"object":{"id":"ch_%d","object":"charge","customer":%q,"billing_details":{"email":%q,"name":%q}}}}`,
				i, time.Now().Unix()-1000, i, customer, email, who))
		}
	}
	began := time.Now().Add(-time.Minute)
	send(0, 20)
	p.onTimelinesBecome(16)
	p.openBecomes(4)
	backup := node.BaseBackup()
	send(20, 30)
	p.onTimelinesBecome(24)
	p.openBecomes(6)

	p.throughline("erase", "email:"+kim, "--yes", "--reason", "request 17")
	gone := func() {
		t.Helper()
		require.Equal(t, 12, p.onTimelines())
		require.Empty(t, p.grep(kim, name))
	}
	gone()
	require.Equal(t, 6, p.open(), "others'")
	ends, err := stream.Ends(t.Context(), p.kafka, stream.AccountEvents, stream.DeadLetters, stream.AccountChanges)
	require.NoError(t, err)
	published := p.sum("throughline_normalizer_erased_events_total")
	p.throughline("replay", "--source", "stripe", "--since", began.UTC().Format(time.RFC3339), "--rate", "0")
	await(t, patience, "the replay to pass the normalizer", func() (bool, string) {
		n := p.sum("throughline_normalizer_erased_events_total") - published
		return n == 12, fmt.Sprint(n)
	})
	p.through()
	gone()
	for _, record := range p.since(ends) {
		require.NotContains(t, strings.ToLower(string(record.Value)+string(record.Key)), "lindqvist", record.Topic)
	}
	for _, line := range lines.All() {
		require.NotContains(t, strings.ToLower(fmt.Sprint(line.Message, line.ContextMap())), "lindqvist")
	}
	families, err := p.runtime.Registry.Gather()
	require.NoError(t, err)
	var page strings.Builder
	for _, family := range families {
		_, err := expfmt.MetricFamilyToText(&page, family)
		require.NoError(t, err)
	}
	require.NotContains(t, strings.ToLower(page.String()), "lindqvist")
	require.Contains(t, p.throughline("erasures", "list"), "email")

	// Lost, and restored from before the erasure.
	node.Crash()
	node.Restore(backup)
	await(t, patience, "the restored database", func() (bool, string) { return p.onTimelines() == 16, fmt.Sprint(p.onTimelines()) })
	p.throughline("erase", "email:"+kim, "--yes", "--reason", "request 17, again")
	p.throughline("replay", "--source", "stripe", "--since", began.UTC().Format(time.RFC3339), "--rate", "0", "--reason", "restored")
	p.onTimelinesBecome(12)
	p.through()
	gone()
	require.Equal(t, 12, p.count("SELECT count(DISTINCT source_event_id) FROM account_events WHERE account_id = $1", acme), "each once")
	require.Zero(t, p.count("SELECT count(*) FROM account_events WHERE account_id = $1", nimbus))

	// Back.
	p.throughline("erasures", "lift", "email:"+kim)
	p.throughline("replay", "--source", "stripe", "--since", began.UTC().Format(time.RFC3339), "--types", "charge.succeeded", "--rate", "0")
	p.onTimelinesBecome(24)
}

// through waits until all that the topics have now has gone through the services.
func (p *place) through() {
	p.t.Helper()
	for _, stage := range []struct {
		group  string
		topics []string
	}{
		{stream.Normalizer, []string{stream.RawTopic("stripe")}}, {stream.Sink, []string{stream.AccountEvents}}, {stream.Quarantine, []string{stream.DeadLetters}},
	} {
		marks, err := stream.Ends(p.t.Context(), p.kafka, stage.topics...)
		require.NoError(p.t, err)
		await(p.t, patience, "the "+stage.group+" to have read all", func() (bool, string) {
			passed, err := stream.Passed(p.t.Context(), p.kafka, stream.Names{}.Group(stage.group), marks)
			return passed && err == nil, fmt.Sprint(err)
		})
	}
}

// grep gives the rows of all tables that hold one of the texts, bytes read as text too.
func (p *place) grep(texts ...string) (found []string) {
	p.t.Helper()
	for _, table := range postgres.Tables() {
		columns := p.strings("SELECT attname::text FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND atttypid = 'bytea'::regtype", table)
		row := "t::text"
		for _, column := range columns {
			row += " || coalesce(encode(t." + column + ", 'escape'), '')"
		}
		for _, text := range texts {
			for _, hit := range p.strings("SELECT "+row+" FROM "+table+" t WHERE "+row+" ILIKE '%' || $1 || '%'", text) {
				found = append(found, table+": "+hit)
			}
		}
	}
	return found
}

// since gives the records that were written behind the marks.
func (p *place) since(marks stream.Marks) (records []*kgo.Record) {
	p.t.Helper()
	offsets := map[string]map[int32]kgo.Offset{}
	for topic, partitions := range marks {
		offsets[topic] = map[int32]kgo.Offset{}
		for partition, at := range partitions {
			offsets[topic][partition] = kgo.NewOffset().At(at)
		}
	}
	reader, err := stream.NewClient(stream.Config{Brokers: p.brokers}, stream.Deps{Name: "grep"}, kgo.ConsumePartitions(offsets), kgo.KeepControlRecords())
	require.NoError(p.t, err)
	defer reader.Close()
	ends, err := kadm.NewClient(p.kafka).ListEndOffsets(p.t.Context(), stream.AccountEvents, stream.DeadLetters, stream.AccountChanges)
	require.NoError(p.t, err)
	left := func() (n int64) {
		ends.Each(func(o kadm.ListedOffset) { n += max(0, o.Offset-marks[o.Topic][o.Partition]) })
		return n
	}
	for left() > 0 {
		fetches := reader.PollFetches(p.t.Context())
		require.NoError(p.t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			marks[r.Topic][r.Partition] = r.Offset + 1
			records = append(records, r)
		})
	}
	return records
}
