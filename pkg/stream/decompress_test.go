package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
)

// compressing gives a client that writes each record as one batch of this codec,
// whatever its size.
func compressing(t *testing.T, c Config, codec kgo.CompressionCodec, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.Brokers...), kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(200<<20), kgo.MaxBufferedBytes(1<<30), kgo.BrokerMaxWriteBytes(300<<20), kgo.MaxDecompressBatchBytes(1<<30))...)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

// got is what a loop was handed, by place.
type got struct {
	mu    sync.Mutex
	reads map[string]error // nil: it could be read
	times map[string]int
}

func (g *got) add(batch []*kgo.Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.reads == nil {
		g.reads, g.times = map[string]error{}, map[string]int{}
	}
	for _, r := range batch {
		place := fmt.Sprintf("%d/%d", r.Partition, r.Offset)
		g.reads[place] = Unreadable(r)
		g.times[place]++
	}
}

func (g *got) count() (all, unreadable int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, err := range g.reads {
		if all++; err != nil {
			unreadable++
		}
	}
	return all, unreadable
}

// Some kilobytes that decompress to 32 MiB are skipped with a record of their place,
// wherever they lie, and what is behind them goes on, in both loops and for all codecs.
func TestADecompressionBombIsSkipped(t *testing.T) {
	t.Parallel()
	codecs := map[string]kgo.CompressionCodec{
		"gzip": kgo.GzipCompression(), "zstd": kgo.ZstdCompression(), "lz4": kgo.Lz4Compression(), "snappy": kgo.SnappyCompression(),
	}
	loops := map[string]func(ctx context.Context, o LoopOptions, g *got) error{
		"batches": func(ctx context.Context, o LoopOptions, g *got) error {
			return RunBatches(ctx, o, func(_ context.Context, batch []*kgo.Record) error { g.add(batch); return nil })
		},
		"transform": func(ctx context.Context, o LoopOptions, g *got) error {
			return RunTransform(ctx, TransformOptions{LoopOptions: o, TransactionalID: "t" + o.Group}, func(_ context.Context, batch []*kgo.Record) ([]*kgo.Record, error) {
				g.add(batch)
				return nil, nil
			})
		},
	}
	for codec, compression := range codecs {
		t.Run(codec, func(t *testing.T) {
			t.Parallel()
			c, _, _ := ready(t, kfake.BrokerConfigs(map[string]string{"message.max.bytes": "104857600"}))
			client := compressing(t, c, compression)
			put := func(partition int32, value []byte) {
				require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: RawTopic("stripe"), Partition: partition, Value: value}).FirstErr())
			}
			bomb := make([]byte, 32<<20)
			put(0, bomb) // the first of its partition
			put(0, []byte("behind"))
			put(1, []byte("before"))
			put(1, bomb)
			put(1, bomb)
			put(1, []byte("behind"))
			put(2, []byte("beside"))
			for name, run := range loops {
				t.Run(name, func(t *testing.T) {
					g := &got{}
					o := LoopOptions{Config: c, Group: name, Topics: []string{RawTopic("stripe")}}
					stop := servicetest.Run(t, func(ctx context.Context) error { return run(ctx, o, g) })
					require.Eventually(t, func() bool { all, _ := g.count(); return all == 7 }, patience, 5*time.Millisecond)
					adm := kadm.NewClient(client)
					require.Eventually(t, func() bool {
						offsets, err := adm.FetchOffsets(t.Context(), name)
						require.NoError(t, err)
						zero, _ := offsets.Lookup(RawTopic("stripe"), 0)
						one, _ := offsets.Lookup(RawTopic("stripe"), 1)
						return zero.At == 2 && one.At == 4
					}, patience, 5*time.Millisecond)
					stop()
					for _, place := range []string{"0/0", "1/1", "1/2"} {
						err := g.reads[place]
						require.Error(t, err)
						require.Equal(t, fault.Oversized, fault.ReasonOf(err))
						require.Contains(t, err.Error(), "raw.stripe/"+place[:1]+" offset "+place[2:])
					}
					require.Equal(t, 1, g.times["1/2"], "a bomb is not come back to")
					_, unreadable := g.count()
					require.Equal(t, 3, unreadable)
				})
			}
		})
	}
}

// failures counts the batches of partitions that could not be decompressed.
type failures struct {
	mu sync.Mutex
	of map[int32]int
}

// OnFetchBatchRead is called with each batch of a fetch.
func (f *failures) OnFetchBatchRead(_ kgo.BrokerMetadata, _ string, partition int32, m kgo.FetchBatchMetrics) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m.NumRecords == 0 {
		f.of[partition]++
	}
}

func (f *failures) all(partitions ...int32) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !slices.ContainsFunc(partitions, func(p int32) bool { return f.of[p] == 0 })
}

// apart gives three brokers, each with one partition of a topic that takes bombs, and a function that puts one there with
// a record behind it. A client fetches from all of them at once.
func apart(t *testing.T, f *failures) (o LoopOptions, put func(partition int32, values ...[]byte)) {
	t.Helper()
	c, _, cluster := ready(t, kfake.NumBrokers(3), kfake.BrokerConfigs(map[string]string{"message.max.bytes": "104857600"}))
	for p := range int32(3) {
		require.NoError(t, cluster.MoveTopicPartition(RawTopic("stripe"), p, p))
	}
	client := compressing(t, c, kgo.ZstdCompression())
	return LoopOptions{Config: c, Group: "g", Topics: []string{RawTopic("stripe")}, Opts: []kgo.Opt{kgo.WithHooks(f), kgo.MaxConcurrentFetches(3)}},
		func(partition int32, values ...[]byte) {
			for _, value := range values {
				require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: RawTopic("stripe"), Partition: partition, Value: value}).FirstErr())
			}
		}
}

// The client drops what it has fetched when a partition is set behind a bomb, or moves, and keeps quiet of the bombs that
// were in it; their partitions would stand still.
func TestABombThatWasFetchedAndDropped(t *testing.T) {
	t.Parallel()
	bomb := make([]byte, 32<<20)
	for name, committed := range map[string]bool{"of a partition that has begun": true, "of a partition where nothing is committed": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, g := &failures{of: map[int32]int{}}, &got{}
			o, put := apart(t, f)
			met, goOn := make(chan struct{}), make(chan struct{})
			meet := sync.OnceFunc(func() { close(met) })
			servicetest.Run(t, func(ctx context.Context) error {
				return RunBatches(ctx, o, func(ctx context.Context, batch []*kgo.Record) error {
					g.add(batch)
					if _, bombs := g.count(); bombs > 0 {
						meet()
						select {
						case <-goOn:
						case <-ctx.Done():
						}
					}
					return nil
				})
			})
			want := 6
			if committed {
				for p := range int32(3) {
					put(p, []byte("first"))
				}
				want += 3
				require.Eventually(t, func() bool { all, _ := g.count(); return all == 3 }, patience, 5*time.Millisecond)
			}
			put(0, bomb, []byte("behind"))
			<-met
			for p := range int32(2) {
				put(1+p, bomb, []byte("behind"))
			}
			require.Eventually(t, func() bool { return f.all(1, 2) }, patience, 5*time.Millisecond)
			close(goOn)
			require.Eventually(t, func() bool { all, bombs := g.count(); return all == want && bombs == 3 }, patience, 5*time.Millisecond)
		})
	}
}

// Whatever else makes the client drop what it has fetched, here that a partition is held.
func TestABombThatIsDroppedWithoutAWord(t *testing.T) {
	t.Parallel()
	f, g := &failures{of: map[int32]int{}}, &got{}
	o, put := apart(t, f)
	met, goOn := make(chan struct{}), make(chan struct{})
	begun := false
	servicetest.Run(t, func(ctx context.Context) error {
		return RunBatches(ctx, o, func(ctx context.Context, batch []*kgo.Record) error {
			if !begun {
				begun = true
				close(met)
				select {
				case <-goOn:
				case <-ctx.Done():
				}
				return &HeldError{Partitions: map[string][]int32{RawTopic("stripe"): {0}}, Err: errors.New("not yet")}
			}
			g.add(batch)
			return nil
		})
	})
	put(0, []byte("first"))
	<-met
	for p := range int32(2) {
		put(1+p, make([]byte, 32<<20), []byte("behind"))
	}
	require.Eventually(t, func() bool { return f.all(1, 2) }, patience, 5*time.Millisecond)
	close(goOn)
	require.Eventually(t, func() bool { all, bombs := g.count(); return all == 5 && bombs == 2 }, patience, 5*time.Millisecond)
}

// Batches that each keep to the bound are a bomb together: a fetch holds a hundred.
func TestManySmallBombsAreReadInTurn(t *testing.T) {
	t.Parallel()
	c, _, _ := ready(t)
	client := compressing(t, c, kgo.GzipCompression())
	const bombs = 40
	for i := range int32(bombs) {
		require.NoError(t, client.ProduceSync(t.Context(), &kgo.Record{Topic: RawTopic("stripe"), Partition: i % 3, Value: make([]byte, maxBatchDecompressed-1000)}).FirstErr())
	}
	most, largest := 0, 0
	g := &got{}
	o := LoopOptions{Config: c, Group: "g", Topics: []string{RawTopic("stripe")}}
	servicetest.Run(t, func(ctx context.Context) error {
		return RunBatches(ctx, o, func(_ context.Context, batch []*kgo.Record) error {
			bytes := 0
			for _, r := range batch {
				largest = max(largest, len(r.Value))
				bytes += len(r.Value)
			}
			most = max(most, bytes)
			g.add(batch)
			return nil
		})
	})
	require.Eventually(t, func() bool { all, _ := g.count(); return all == bombs }, patience, 5*time.Millisecond)
	_, unreadable := g.count()
	require.Zero(t, unreadable)
	require.Greater(t, largest, maxBatchDecompressed/2)
	require.LessOrEqual(t, most, maxFetchHeld+maxBatchBytes, "of one fetch, and what was there before it")
}

// A record may be of seven bytes and a header of two, which become a hundred times
// as much in memory.
func TestManyRecordsAndHeadersAreABombToo(t *testing.T) {
	t.Parallel()
	c, _, _ := ready(t)
	headers := make([]kgo.RecordHeader, 1_000_000)
	records := make([]*kgo.Record, 200_000)
	for i := range records {
		records[i] = &kgo.Record{Topic: RawTopic("stripe"), Partition: 1, Value: []byte{}}
	}
	client := compressing(t, c, kgo.ZstdCompression(), kgo.ProducerLinger(time.Minute), kgo.MaxBufferedRecords(len(records)))
	produce := func(records ...*kgo.Record) {
		for _, r := range records {
			client.Produce(t.Context(), r, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
		require.NoError(t, client.Flush(t.Context()))
	}
	produce(&kgo.Record{Topic: RawTopic("stripe"), Headers: headers, Value: []byte("x")})
	produce(&kgo.Record{Topic: RawTopic("stripe"), Headers: headers[:20_000], Value: []byte("x")})
	produce(records...)
	produce(&kgo.Record{Topic: RawTopic("stripe"), Partition: 1, Value: []byte("x")})
	g := &got{}
	o := LoopOptions{Config: c, Group: "g", Topics: []string{RawTopic("stripe")}}
	servicetest.Run(t, func(ctx context.Context) error {
		return RunBatches(ctx, o, func(_ context.Context, batch []*kgo.Record) error { g.add(batch); return nil })
	})
	require.Eventually(t, func() bool { all, _ := g.count(); return all == 4 }, patience, 5*time.Millisecond)
	require.Error(t, g.reads["0/0"])
	require.NoError(t, g.reads["0/1"])
	require.ErrorContains(t, g.reads["1/199999"], "offsets 0 to 199999")
	require.NoError(t, g.reads["1/200000"])
}

func FuzzWeigh(f *testing.F) {
	f.Add([]byte{14, 0, 0, 0, 1, 1, 0, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, records []byte) {
		weight := weigh(records)
		require.GreaterOrEqual(t, weight, int64(len(records)))
		require.LessOrEqual(t, weight, int64(len(records))*(recordBytes+headerBytes+1))
	})
}

func TestDecompressorKeepsToAFetchsBound(t *testing.T) {
	t.Parallel()
	d := &decompressor{inner: padding(12 << 20)}
	d.OnBrokerRead(kgo.BrokerMetadata{}, 1, 0, 0, 0, nil)
	for _, want := range []error{nil, nil, errFetchFull, errFetchFull} {
		_, err := d.Decompress(nil, kgo.CodecGzip)
		require.ErrorIs(t, err, want)
	}
	d.OnBrokerRead(kgo.BrokerMetadata{}, 3, 0, 0, 0, nil)
	_, err := d.Decompress(nil, kgo.CodecGzip)
	require.ErrorIs(t, err, errFetchFull, "metadata is no fetch")
	d.OnBrokerRead(kgo.BrokerMetadata{}, 1, 0, 0, 0, nil)
	_, err = d.Decompress(nil, kgo.CodecGzip)
	require.NoError(t, err)
	d.inner = failing{}
	_, err = d.Decompress(nil, kgo.CodecGzip)
	require.EqualError(t, err, "broken")
}

// padding decompresses everything to this many bytes.
type padding int

func (p padding) Decompress([]byte, kgo.CompressionCodecType) ([]byte, error) {
	return append(bytes.Repeat([]byte{0xff}, 10), make([]byte, p-10)...), nil // no record
}

type failing struct{}

func (failing) Decompress([]byte, kgo.CompressionCodecType) ([]byte, error) {
	return nil, errors.New("broken")
}
