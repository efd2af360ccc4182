package stream_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// A watch ends with its context while the brokers are frozen, and does not wait for as long as the client does.
func TestAWatchOfFrozenBrokersEnds(t *testing.T) {
	t.Parallel()
	for what, do := range map[string]func(context.Context, *stream.TopicWatch) error{
		"AwaitSafe": func(ctx context.Context, w *stream.TopicWatch) error { return w.AwaitSafe(ctx) },
		"Run":       func(ctx context.Context, w *stream.TopicWatch) error { return w.Run(ctx) },
		"Check":     func(ctx context.Context, w *stream.TopicWatch) error { return w.Check(ctx) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			broker := streamtest.Frozen(t)
			w, err := stream.NewTopicWatch(stream.Config{Brokers: []string{broker.Addr()}}, "test", nil, []string{"events"}, nil)
			require.NoError(t, err)
			defer w.Close()
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- do(ctx, w) }()
			broker.Await(t)
			cancel()
			if err := <-ended; what != "Run" {
				require.ErrorIs(t, err, context.Canceled)
			}
			require.True(t, broker.Waits(t), "the client goes on")
		})
	}
}
