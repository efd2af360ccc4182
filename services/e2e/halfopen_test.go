package e2e

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// blackhole listens for a broker whose answers can stop coming: it goes on accepting
// and taking requests, like a machine behind a broken network.
type blackhole struct {
	net.Listener
	silent atomic.Bool // for new connections too

	mu    sync.Mutex
	conns []*halfOpen
}

// halfOpen is a connection whose answers may get lost.
type halfOpen struct {
	net.Conn
	silent atomic.Bool
}

func (c *halfOpen) Write(p []byte) (int, error) {
	if c.silent.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (b *blackhole) Accept() (net.Conn, error) {
	conn, err := b.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &halfOpen{Conn: conn}
	c.silent.Store(b.silent.Load())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns = append(b.conns, c)
	return c, nil
}

// hush loses all answers from now on.
func (b *blackhole) hush() {
	b.silent.Store(true)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		c.silent.Store(true)
	}
}

// speak lets answers through on new connections; the old ones, whose answers are
// lost, end.
func (b *blackhole) speak() {
	b.silent.Store(false)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.conns {
		if c.silent.Load() {
			_ = c.Close()
		}
	}
}

// TestBrokersSayNothing is a network that takes what is sent to the brokers and
// gives nothing back: vendors are told to come again, readiness says so, and all goes
// on when it is over.
func TestBrokersSayNothing(t *testing.T) {
	t.Parallel()
	hole := &blackhole{}
	cluster := streamtest.Fake(t, kfake.ListenFn(func(network, address string) (l net.Listener, err error) {
		hole.Listener, err = net.Listen(network, address) //nolint:noctx // the cluster closes it
		return hole, err
	}))
	g := &guarded{place: newPlace(t, cluster.ListenAddrs()), events: stripeEvents(t)}
	g.link("stripe:customer:cus_bad", g.account("Acme", "acme.example"))
	var core zapcore.Core
	core, g.lines = observer.New(zapcore.InfoLevel)
	t.Cleanup(func() {
		if t.Failed() {
			for _, entry := range g.lines.All() {
				t.Log(entry.Time.Format("05.000"), entry.Level, entry.LoggerName, entry.Message, entry.ContextMap()["error"], entry.ContextMap()["err"])
			}
			for _, c := range g.runtime.Health.Report(context.Background()).Components {
				if !c.Ready {
					t.Log(c)
				}
			}
		}
	})
	g.startAs(stream.Config{Brokers: g.brokers}, zap.New(core))
	g.acknowledged(5)
	g.recovers()

	hole.hush()
	await(t, patience, "Stripe to be told to come again", func() (bool, string) {
		status, err := g.post()
		return err == nil && status == http.StatusServiceUnavailable, ""
	})
	for _, component := range []string{"kafka", "receiver-topics", "sink-topics"} {
		state, _ := servicetest.Component(g.runtime, component)
		require.False(t, state.Ready, component)
		t.Log("readyz", component, state.Error)
	}
	hole.speak()
	g.acknowledged(5)
	g.recovers()
}
