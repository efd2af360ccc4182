package receiver

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A stop goes on receiving for the drain delay: load balancers see that
// readiness has gone before a connection is refused.
func TestAStopDrainsFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Config.DrainDelay = 2 * time.Second })
	health := r.options.Runtime.Health
	require.Eventually(t, func() bool { return health.Report(t.Context()).Ready }, patience, time.Millisecond)
	require.Equal(t, 200, r.post("stripe", example(t, "stripe")).status)
	began := time.Now()
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.stop()
	}()
	require.Eventually(t, func() bool { return !health.Report(t.Context()).Ready }, patience, time.Millisecond)
	require.Eventually(t, r.receiver.load.draining.Load, patience, time.Millisecond)
	for range 2 { // on the connection that is kept, and, since that is closed then, on a new one
		resp, err := r.client.Do(r.signed("marketo", example(t, "marketo")))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, 200, resp.StatusCode)
		require.True(t, resp.Close, "the load balancer is told to leave the connection")
	}
	<-stopped
	require.GreaterOrEqual(t, time.Since(began), r.options.Config.DrainDelay)
	_, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.receiver.Addr())
	require.Error(t, err, "then it does not listen any more")
	require.EqualValues(t, 3, r.written())
}
