//go:build prove

package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/stream"
)

// topicFaults are what operators and the brokers do to topics and groups.
func topicFaults() []faultCase {
	return []faultCase{
		{"a raw topic is deleted, and made anew by topics apply", 6 * time.Second, (*prover).makeTopicAnew},
		{"retention passes what was read, in all topics", 0, func(p *prover) func() { p.deleteWhatWasRead(); return nil }},
		{"retention passes what nobody has read, in a raw topic", 0, func(p *prover) func() { p.deleteUnread(); return nil }},
		{"normalizer: its group's offsets are gone", 0, func(p *prover) func() { p.forgetOffsets(p.normalizer, stream.Normalizer); return nil }},
		{"sink: its group's offsets are gone", 0, func(p *prover) func() { p.forgetOffsets(p.sink, stream.Sink); return nil }},
		{"quarantine: its group's offsets are gone", 0, func(p *prover) func() { p.forgetOffsets(p.quarantine, stream.Quarantine); return nil }},
		{"decompression bombs at every door and in topics", 0, func(p *prover) func() { p.dropBombs(); return nil }},
	}
}

// vendorTopic gives the raw topic of a vendor of whom nothing is released from quarantine.
func (p *prover) vendorTopic() string {
	return stream.RawTopic([]string{"zendesk", "intercom", "hubspot", "marketo", "looker"}[p.random.IntN(5)])
}

// drained waits, while the receiver is down, until all of a raw topic has gone through the normalizer: what nobody has read
// of a topic is gone with it, and no service can help that.
func (p *prover) drained(topic string) {
	p.t.Helper()
	await(p.t, patience, topic+" to be read to its end", func() (bool, string) {
		ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
		defer cancel()
		ends, err := stream.Ends(ctx, p.place.kafka, topic)
		if err != nil {
			return false, err.Error()
		}
		for partition, end := range ends[topic] {
			if seen := p.tap.seen(topic, partition); seen < end {
				return false, fmt.Sprintf("%d of %d are seen", seen, end)
			}
		}
		passed, err := stream.Passed(ctx, p.place.kafka, stream.Names{}.Group(stream.Normalizer), ends)
		return err == nil && passed, fmt.Sprint(ends, err)
	})
}

// makeTopicAnew deletes a raw topic of which all was read. Its vendors are refused, or spooled, until it is there again.
func (p *prover) makeTopicAnew() func() {
	p.t.Helper()
	topic := p.vendorTopic()
	p.stop(p.receiver)
	p.drained(topic)
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	admin := kadm.NewClient(p.place.kafka)
	answers, err := admin.DeleteTopics(ctx, topic)
	require.NoError(p.t, err)
	require.NoError(p.t, answers.Error())
	p.receiver.start(stable)
	return func() {
		p.throughline("topics", "apply", "--partitions", "3")
		p.tap.anew(topic)
	}
}

// deleteWhatWasRead deletes from all topics what their readers have committed: as retention does in time.
func (p *prover) deleteWhatWasRead() {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	admin := kadm.NewClient(p.place.kafka)
	for _, service := range []string{stream.Normalizer, stream.Sink, stream.Quarantine} {
		committed, err := admin.FetchOffsets(ctx, stream.Names{}.Group(service))
		require.NoError(p.t, err)
		before := kadm.Offsets{}
		committed.Each(func(o kadm.OffsetResponse) {
			// This test's own reader must have seen it, too.
			if at := min(o.At, p.tap.seen(o.Topic, o.Partition)); at > 0 {
				before.AddOffset(o.Topic, o.Partition, at, -1)
			}
		})
		p.deleteRecords(ctx, before)
	}
}

func (p *prover) deleteRecords(ctx context.Context, before kadm.Offsets) {
	p.t.Helper()
	answers, err := kadm.NewClient(p.place.kafka).DeleteRecords(ctx, before)
	require.NoError(p.t, err)
	require.NoError(p.t, answers.Error())
}

// deleteUnread deletes what a normalizer that was down had not read. That is lost, so it is not what a vendor was promised
// anything for; the normalizer names it, in its log and by a metric.
func (p *prover) deleteUnread() {
	p.t.Helper()
	const records = 60
	topic := p.vendorTopic()
	p.stop(p.receiver)
	p.drained(topic)
	p.stop(p.normalizer)
	ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
	defer cancel()
	var nothing []*kgo.Record
	// Tombstones, of which nothing becomes, in all partitions: of one that was added a
	// moment ago, where nothing is committed, no loss can be known.
	for i := range records {
		nothing = append(nothing, &kgo.Record{Topic: topic, Key: fmt.Append(nil, i)})
	}
	require.NoError(p.t, stream.NewPublisher(p.place.kafka).Publish(ctx, nothing...))
	ends, err := stream.Ends(ctx, p.place.kafka, topic)
	require.NoError(p.t, err)
	before := kadm.Offsets{}
	for partition, end := range ends[topic] {
		before.AddOffset(topic, partition, end, -1)
	}
	p.deleteRecords(ctx, before)
	p.normalizer.start(stable)
	p.receiver.start(stable)
	// It is known when the next record of the partition comes.
	await(p.t, patience, "the normalizer to name what was deleted unread", func() (bool, string) {
		n := p.metric(p.normalizer, "throughline_normalizer_deleted_unread_total")
		return n > 0, fmt.Sprint(n)
	})
	p.watch.say(fmt.Sprintf("normalizer's log: the brokers deleted records before they were read: … topic %s, from_offset, to_offset; throughline_normalizer_deleted_unread_total", topic))
}

// metric gives the sum of a metric of a service; 0 when it does not answer.
func (p *prover) metric(of *child, name string) (sum float64) {
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.admins[of]+"/metrics", http.NoBody)
	require.NoError(p.t, err)
	answer, err := p.watch.client.Do(request)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		return 0
	}
	for _, m := range families[name].GetMetric() {
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
	}
	return sum
}

// forgetOffsets deletes a service's group while it is down, as the brokers do when a group was away for longer than
// offsets.retention.minutes: all of its topics is read again.
func (p *prover) forgetOffsets(c *child, service string) {
	p.t.Helper()
	p.stop(c)
	admin, group := kadm.NewClient(p.place.kafka), stream.Names{}.Group(service)
	// A member with an instance id stays in the group until its session ends.
	await(p.t, patience, "the group to be deleted", func() (bool, string) {
		ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
		defer cancel()
		answer, err := admin.DeleteGroup(ctx, group)
		if err == nil {
			err = answer.Err
		}
		return err == nil, fmt.Sprint(err)
	})
	c.start(stable)
}

// Bombs: what is small as it travels.
const (
	bombAtDoor  = 1 << 30   // bytes of a body
	bombInTopic = 128 << 20 // of a record
)

// dropBombs posts a gigabyte to each door, as a megabyte of gzip, and publishes records that decompress to 128 MiB.
func (p *prover) dropBombs() {
	p.t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(make([]byte, 16<<20))
	require.NoError(p.t, err)
	require.NoError(p.t, w.Close())
	bomb := bytes.Repeat(packed.Bytes(), bombAtDoor/(16<<20)) // members of one stream
	answers := map[int]int{}
	for _, name := range p.sources.Names() {
		request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.url()+"/webhooks/"+name, bytes.NewReader(bomb))
		require.NoError(p.t, err)
		request.Header.Set("Content-Encoding", "gzip")
		request.Header.Set("Content-Type", "application/json")
		answer, err := p.load.sender.Client.Do(request)
		if err != nil { // it is answered before it is read, and the connection ends
			answers[0]++
			continue
		}
		answer.Body.Close()
		answers[answer.StatusCode]++
		require.Equal(p.t, 4, answer.StatusCode/100, name)
	}
	value := make([]byte, bombInTopic)
	topics := []string{stream.RawTopic("stripe"), stream.RawTopic("looker"), stream.AccountEvents, stream.DeadLetters}
	refused := 0
	for codec, compression := range map[string]kgo.CompressionCodec{"zstd": kgo.ZstdCompression(), "gzip": kgo.GzipCompression()} {
		client, err := kgo.NewClient(kgo.SeedBrokers(p.place.brokers...), kgo.ProducerBatchCompression(compression),
			kgo.ProducerBatchMaxBytes(200<<20), kgo.MaxBufferedBytes(1<<30), kgo.BrokerMaxWriteBytes(300<<20))
		require.NoError(p.t, err)
		for _, topic := range topics {
			ctx, cancel := context.WithTimeout(p.t.Context(), 30*time.Second)
			if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: value}).FirstErr(); err != nil {
				p.print("    a bomb of %s into %s: %v", codec, topic, err)
				refused++
			}
			cancel()
		}
		client.Close()
	}
	var said []string
	for status, n := range answers {
		said = append(said, fmt.Sprintf("%d × %d", status, n))
	}
	p.print("    doors answered %s; the brokers refused %d of %d records", strings.Join(said, ", "), refused, 2*len(topics))
	require.Less(p.t, refused, 2*len(topics), "some came through, or this proves nothing")
}

// betweenFaults are of the network between the brokers.
func betweenFaults() []faultCase {
	lose := func(p *prover, which ...int) func() {
		for _, i := range which {
			p.kafka.ToLeaders[i].Lose(true)
		}
		return func() {
			for _, i := range which {
				p.kafka.ToLeaders[i].Lose(false)
				p.kafka.ToLeaders[i].Cut()
			}
		}
	}
	return []faultCase{
		{"network between brokers: half-open to one of them", 20 * time.Second, func(p *prover) func() { return lose(p, p.random.IntN(3)) }},
		{"network between brokers: half-open", 15 * time.Second, func(p *prover) func() { return lose(p, 0, 1, 2) }},
		{"network between brokers: cut", 0, func(p *prover) func() {
			for _, proxy := range p.kafka.ToLeaders {
				proxy.Cut()
			}
			return nil
		}},
	}
}
