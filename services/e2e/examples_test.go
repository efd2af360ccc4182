package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// The file of the examples' test.
const (
	fileEvents  = 3000
	fileUnknown = 10 // of the events, those of a customer that nobody knows
	fileBatch   = 100
)

// TestExamples runs the programs of services/examples as their users would: a
// file is published by a job that is killed half-way and started again; a
// consumer reads what becomes of it, is killed, stopped and started again.
func TestExamples(t *testing.T) {
	t.Parallel()
	cluster := streamtest.Fake(t)
	p := newPlace(t, cluster.ListenAddrs())
	p.link("stripe:customer:cus_file", p.account("From a file", ""))

	// The broker hangs up after a few batches, so that the job is surely killed half-way.
	var produced, most atomic.Int64
	most.Store(20)
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if produced.Add(1) > most.Load() {
			return nil, io.ErrClosedPipe, true
		}
		return nil, nil, false
	})
	file := eventsFile(t)
	job := newChild(t, "backfill", program(t, "backfill"), "THROUGHLINE_KAFKA_BROKERS="+strings.Join(p.brokers, ","))
	job.args = []string{"-batch", fmt.Sprint(fileBatch), file}
	job.start()
	await(t, patience, "the job to come half-way", func() (bool, string) { return produced.Load() > most.Load(), job.died() })
	job.kill()
	var checkpoint struct{ Lines int }
	text, err := os.ReadFile(file + ".checkpoint")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &checkpoint))
	require.Positive(t, checkpoint.Lines)
	require.Less(t, checkpoint.Lines, fileEvents)

	most.Store(1 << 60)
	job.start()
	await(t, patience, "the job to end", func() (bool, string) { return !job.running(), "" })
	require.NoError(t, job.process.Err(), "the job's log: %s", readFile(t, job.log))
	require.Contains(t, readFile(t, job.log), fmt.Sprintf("published %d events to raw.stripe", fileEvents-checkpoint.Lines))

	startEmbedded(t, p)
	p.tap.settle(patience)
	require.Len(t, p.tap.raw, fileEvents, "events of the file in the raw topic")
	require.LessOrEqual(t, p.tap.rawRecords, fileEvents+fileBatch, "one batch at most comes twice")
	require.Equal(t, fileEvents-fileUnknown, p.onTimelines())
	require.Equal(t, fileUnknown, p.open())
	consumeAll(t, p)
}

// consumeAll runs the consumer beside what is on the timelines.
func consumeAll(t *testing.T, p *place) {
	t.Helper()
	abortTransaction(t, p)
	c := newChild(t, "consumer", program(t, "consumer"), "THROUGHLINE_KAFKA_BROKERS="+strings.Join(p.brokers, ","), "THROUGHLINE_SCHEMA_REGISTRY_URL="+p.registry)
	c.args = []string{"-json"}
	var err error
	c.out, err = os.Create(filepath.Join(t.TempDir(), "events.jsonl"))
	require.NoError(t, err)
	defer c.out.Close()
	read := func(atLeast int) map[string]int {
		var seen map[string]int
		await(t, patience, fmt.Sprintf("the consumer to print %d events", atLeast), func() (bool, string) {
			require.Empty(t, c.died())
			seen = printed(t, c.out.Name())
			return len(seen) >= atLeast, fmt.Sprint(len(seen))
		})
		return seen
	}
	c.start()
	read(1)
	c.kill()
	c.start()
	all := read(fileEvents - fileUnknown)
	onTimelines := map[string]int{}
	for _, id := range p.strings("SELECT source || ' ' || source_event_id FROM account_events") {
		onTimelines[id]++
	}
	require.Empty(t, difference(onTimelines, distinct(all)), "what the consumer printed, beside the timelines")

	// Stopped in order and started again, it prints what is new, and nothing else.
	c.interrupt()
	before := bytes.Count([]byte(readFile(t, c.out.Name())), []byte("\n"))
	p.publish("stripe", []byte(fileEvent("new", "cus_file")))
	c.start()
	read(fileEvents - fileUnknown + 1)
	c.interrupt()
	require.Equal(t, before+1, bytes.Count([]byte(readFile(t, c.out.Name())), []byte("\n")))
}

// abortTransaction writes to each partition of account-events what no reader of
// committed records may ever see.
func abortTransaction(t *testing.T, p *place) {
	t.Helper()
	client, err := stream.NewClient(stream.Config{Brokers: p.brokers}, stream.Deps{Name: "aborts"},
		kgo.TransactionalID("aborts"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.BeginTransaction())
	for partition := range int32(3) {
		require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: stream.AccountEvents, Partition: partition, Value: []byte("never happened")}).FirstErr())
	}
	require.NoError(t, client.EndTransaction(t.Context(), kgo.TryAbort))
}

func fileEvent(mark, customer string) string {
	return fmt.Sprintf(`{"id":"evt_file_%s","object":"event","created":1700000000,"data":{"object":{"id":"ch_1","object":"charge","customer":%q}},"type":"charge.succeeded","e2e":"file-%s"}`,
		mark, customer, mark)
}

// eventsFile writes the events, with what files from elsewhere have: blank
// lines, other line ends, no end after the last.
func eventsFile(t *testing.T) string {
	t.Helper()
	var text strings.Builder
	for i := range fileEvents {
		customer, end := "cus_file", "\n"
		if i%(fileEvents/fileUnknown) == 0 {
			customer, end = "cus_unknown", "\r\n\n"
		}
		if i == fileEvents-1 {
			end = ""
		}
		text.WriteString(fileEvent(fmt.Sprint(i), customer) + end)
	}
	path := filepath.Join(t.TempDir(), "stripe.jsonl")
	require.NoError(t, os.WriteFile(path, []byte(text.String()), 0o600))
	return path
}

// printed gives how often each event stands in the consumer's output. A kill
// may have cut a line off, which the next run's first line then follows.
func printed(t *testing.T, path string) map[string]int {
	t.Helper()
	seen := map[string]int{}
	lines := bufio.NewScanner(strings.NewReader(readFile(t, path)))
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		line := lines.Text()
		if last := strings.LastIndex(line, `{"account_id"`); last > 0 {
			line = line[last:]
		}
		var e struct {
			Source string `json:"source"`
			ID     string `json:"source_event_id"`
		}
		if json.Unmarshal([]byte(line), &e) == nil {
			seen[e.Source+" "+e.ID]++
		}
	}
	return seen
}

// distinct counts each once: a consumer that was killed prints its last batch again.
func distinct(seen map[string]int) map[string]int {
	once := map[string]int{}
	for name := range seen {
		once[name] = 1
	}
	return once
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}
