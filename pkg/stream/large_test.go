package stream

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/source"
)

// A record larger than what a fetch asks for, which compression does not make
// smaller, passes and does not stop what is behind it.
func TestLargeRecordsPass(t *testing.T) {
	t.Parallel()
	c, client, _ := ready(t)
	key := []byte("one partition")
	large, letter := make([]byte, source.MaxRecordBytes), make([]byte, 3<<20)
	_, _ = rand.Read(large)
	_, _ = rand.Read(letter)
	records := []*kgo.Record{
		{Topic: RawTopic("stripe"), Key: key, Value: large}, {Topic: RawTopic("stripe"), Key: key, Value: []byte("behind it")},
		{Topic: DeadLetters, Key: key, Value: letter}, {Topic: DeadLetters, Key: key, Value: []byte("behind the letter")},
	}
	require.NoError(t, NewPublisher(client).Publish(t.Context(), records...))
	var got seen
	stop := servicetest.Run(t, func(ctx context.Context) error {
		o := LoopOptions{Config: c, Group: "reader", Topics: []string{RawTopic("stripe"), DeadLetters}}
		return RunBatches(ctx, o, func(_ context.Context, batch []*kgo.Record) error { got.add(batch); return nil })
	})
	require.Eventually(t, func() bool { return got.distinct() == len(records) }, patience, 5*time.Millisecond)
	stop()
}
