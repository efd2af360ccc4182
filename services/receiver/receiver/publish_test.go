package receiver

import (
	"bytes"
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/stream"
)

// newPublisher gives one whose brokers are not there.
func newPublisher(t *testing.T) *publisher {
	t.Helper()
	client, err := stream.NewClient(stream.Config{Brokers: []string{"127.0.0.1:1"}}, stream.Deps{Name: "receiver"})
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return &publisher{kafka: stream.NewPublisher(client), refuse: func() error { return nil }, outage: &atomic.Bool{}, log: zap.NewNop()}
}

// In an outage the client is left with the records' own bytes and not with the buffers of bodies, which are larger and
// serve the next request: else so many small deliveries as it takes would hold several times its bound of memory.
func TestInAnOutageTheClientHoldsNoBodies(t *testing.T) {
	t.Parallel()
	p := newPublisher(t)
	over, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, outage := range []bool{false, true} {
		body := make([]byte, 100, largeBody)
		copy(body, `{"id":"evt_1"}`)
		rec := &kgo.Record{Topic: "raw.stripe", Value: body}
		require.Equal(t, outage, p.outage.Load(), "the first failure begins it")
		held, err := p.put(over, []*kgo.Record{rec}, false)
		require.Error(t, err)
		require.Equal(t, !outage, held)
		if !outage {
			continue
		}
		require.Equal(t, body, rec.Value)
		require.Less(t, cap(rec.Value), 2*len(rec.Value))
		clear(body)
		require.True(t, bytes.HasPrefix(rec.Value, []byte(`{"id":"evt_1"}`)), "the next body is read into the same buffer")
	}
}
