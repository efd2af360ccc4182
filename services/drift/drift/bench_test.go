package drift_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/bench/traffic"
	"github.com/throughline-dev/throughline/services/drift/drift"
)

// BenchmarkWrite is what a full batch costs between polling and committing, with its
// transaction: of four vendors' events; of those when no two that follow each other are
// alike, and of events whose names are all different.
func BenchmarkWrite(b *testing.B) {
	events, err := traffic.Accounts(1000).Traffic()
	require.NoError(b, err)
	usual := func(i int) *kgo.Record {
		src, rec, _, err := events.Raw(i)
		require.NoError(b, err)
		return stream.RawRecord(src.Name(), rec, "")
	}
	for name, record := range map[string]func(i int) *kgo.Record{
		"usual": usual,
		"varied": func(i int) *kgo.Record {
			rec := usual(i)
			rec.Value = slices.Concat([]byte(`{"varied":[`+strings.Repeat("0,", i/4%5)), []byte("1],"), rec.Value[1:])
			return rec
		},
		"strange": strange,
	} {
		b.Run(name, func(b *testing.B) {
			const batchRecords = 8000
			w := newWorld(b)
			s := drift.New(w.deps(w.pool), drift.Options{}) // without a setting
			batch := make([]*kgo.Record, batchRecords)
			for i := range batch {
				batch[i] = record(i)
			}
			var from int64
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				placed(batch, from)
				from += batchRecords
				b.StartTimer()
				require.NoError(b, s.Write(b.Context(), batch))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/batchRecords, "ns/event")
		})
	}
}

// strange is an event of Stripe's with names that no other event has.
func strange(i int) *kgo.Record {
	value := fmt.Appendf(nil, `{"id":"evt_strange_%d","object":"event","type":"customer.updated","livemode":true,"created":1760000000,"data":{"object":{"id":"cus_%[1]d","object":"customer"`, i)
	for n := range 15 {
		value = fmt.Appendf(value, `,"name %d of %d":{"x%d":[%d]}`, n, i, i, n)
	}
	value = fmt.Appendf(value, `,"a%d":{"b%[1]d":{"c%[1]d":{"d%[1]d":{"e%[1]d":null}}}}}}}`, i)
	return &kgo.Record{Topic: stream.RawTopic("stripe"), Value: value, Timestamp: time.Now(), Headers: []kgo.RecordHeader{{Key: stream.HeaderDelivery, Value: []byte("webhook")}}}
}
