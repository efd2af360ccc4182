package receiver

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

const (
	calmFor      = 1500 * time.Millisecond
	floodFor     = 4 * time.Second
	senderPause  = 10 * time.Millisecond
	strangerWait = 200 * time.Millisecond // between two parts of what it sends
	strangerRest = time.Second            // between two connections
)

// attack is what one stranger does with a connection, until it is closed.
type attack func(ctx context.Context, conn net.Conn)

// forged has headers that only the body's bytes show to be wrong.
func forged(path string, length int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Hub-Signature: sha1=%040d\r\n"+
		"Stripe-Signature: t=%d,v1=%064d\r\nContent-Length: %d\r\n\r\n", path, 7, time.Now().Unix(), 7, length)
}

// attacks are the strangers of the flood.
func attacks() map[string]attack {
	write := func(ctx context.Context, conn net.Conn, parts ...string) {
		for _, part := range parts {
			if _, err := io.WriteString(conn, part); err != nil {
				return
			}
			wait(ctx, strangerWait)
		}
	}
	// untilClosed reads until the server has had enough.
	untilClosed := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	return map[string]attack{
		"silent": func(_ context.Context, conn net.Conn) { untilClosed(conn) },
		"slow header": func(ctx context.Context, conn net.Conn) {
			write(ctx, conn, strings.SplitAfter("POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nX-Pad: 0123456789", "")...)
		},
		"announced and never sent": func(ctx context.Context, conn net.Conn) {
			write(ctx, conn, forged("/webhooks/stripe", 9000))
			untilClosed(conn)
		},
		"slow body": func(ctx context.Context, conn net.Conn) {
			write(ctx, conn, append([]string{forged("/webhooks/intercom", 9000)}, strings.Split(strings.Repeat("x", 100), "")...)...)
		},
		"huge": func(ctx context.Context, conn net.Conn) {
			write(ctx, conn, forged("/webhooks/stripe", 1<<20), strings.Repeat("x", 200<<10))
			untilClosed(conn)
		},
		"wrong signature": func(ctx context.Context, conn net.Conn) {
			write(ctx, conn, forged("/webhooks/intercom", 4000)+strings.Repeat("x", 4000))
			untilClosed(conn)
		},
		"wrong path": func(ctx context.Context, conn net.Conn) {
			write(ctx, conn, forged("/webhooks/faxes", 9000))
			untilClosed(conn)
		},
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// stranger attacks from its own address, again and again, until ctx ends.
func stranger(ctx context.Context, target string, from netip.Addr, do attack) {
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: time.Second}
	for ctx.Err() == nil {
		conn, err := dialer.DialContext(ctx, "tcp", target)
		if err == nil {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			do(ctx, conn)
			stop()
			_ = conn.Close()
		}
		wait(ctx, strangerRest)
	}
}

// dialFrom connects from an address of this machine; the test's end closes it.
func dialFrom(t *testing.T, from netip.Addr, target string) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	conn, err := dialer.DialContext(t.Context(), "tcp", target)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// flood begins the strangers' attacks; they end with ctx.
func flood(ctx context.Context, target string, from func(i int) netip.Addr) *sync.WaitGroup {
	kinds := attacks()
	var names []string
	for name := range kinds {
		names = append(names, name)
	}
	slices.Sort(names)
	var all sync.WaitGroup
	for i := range strangerCount {
		all.Go(func() {
			wait(ctx, time.Duration(i)*time.Second/strangerCount)
			stranger(ctx, target, from(i), kinds[names[i%len(names)]])
		})
	}
	return &all
}

// sendAll posts the example of every source, each by a sender of its own, until
// ctx ends. It gives each delivery's time, and fails for one that is refused.
func (r *rig) sendAll(ctx context.Context) (times []time.Duration) {
	r.t.Helper()
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, name := range catalog.Set().Names() {
		body := example(r.t, name)
		all.Go(func() {
			for ctx.Err() == nil {
				req, began := r.signed(name, body), time.Now()
				resp, err := r.client.Do(req)
				if err != nil {
					r.t.Errorf("%s: %v", name, err)
					return
				}
				answer, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					r.t.Errorf("%s was answered %d: %s", name, resp.StatusCode, answer)
					return
				}
				mu.Lock()
				times = append(times, time.Since(began))
				mu.Unlock()
				wait(ctx, senderPause)
			}
		})
	}
	all.Wait()
	slices.Sort(times)
	return times
}

func p99(sorted []time.Duration) time.Duration { return sorted[len(sorted)*99/100] }

// Thousands of strangers, from as many addresses or all from the vendors' own
// (a proxy's): no verified delivery is refused, and what is held stays within its
// bounds. Times are measured where the strangers have a process of their own:
// services/bench --only flood.
func TestAFloodOfStrangers(t *testing.T) { //nolint:paralleltest // it takes all there is
	collections := debug.SetGCPercent(100) // as the service has it: the heap is looked at
	defer debug.SetGCPercent(collections)
	for what, from := range map[string]func(i int) netip.Addr{
		"many addresses":       func(i int) netip.Addr { return netip.AddrFrom4([4]byte{127, byte(1 + i%200), 0, 1}) },
		"the vendors' address": func(int) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) },
	} {
		t.Run(what, func(t *testing.T) { //nolint:paralleltest // as above
			r := newRig(t, func(o *Options) {
				o.Config.MaxUnverified, o.Config.MaxUnverifiedBytes = strangerCount/10, 9<<20
				o.Config.MaxConnections, o.Config.MaxFailures = strangerCount/2, 1
			})
			calm, end := context.WithTimeout(t.Context(), calmFor)
			defer end()
			before := r.sendAll(calm)
			flooded, end := context.WithTimeout(t.Context(), patience)
			defer end()
			all := flood(flooded, r.receiver.Addr(), from)
			all.Go(func() {
				for wait(flooded, floodFor); flooded.Err() == nil && !r.struck(); wait(flooded, floodFor/20) {
				}
				end()
			})
			peak := r.watch(flooded)
			during := r.sendAll(flooded)
			all.Wait()
			most := peak()
			t.Logf("%d deliveries before, p99 %v; %d during, p99 %v; at most %d connections, %d requests and %d bytes unverified, %d MiB of heap with the strangers' own",
				len(before), p99(before), len(during), p99(during), most.connections, most.requests, most.bytes, most.heap>>20)
			require.LessOrEqual(t, most.connections, r.options.Config.MaxConnections+50, "but for those that are being closed")
			require.LessOrEqual(t, most.requests, r.options.Config.MaxUnverified)
			require.LessOrEqual(t, most.bytes, int64(r.options.Config.MaxUnverifiedBytes))
			require.Less(t, most.heap, int64(256<<20))
			require.True(t, r.struck())
			require.Eventually(t, func() bool { return r.metric("unverified_requests")+r.metric("unverified_bytes") == 0 }, patience, time.Millisecond)
		})
	}
}

// struck: all limits that the flood should reach have cut something.
func (r *rig) struck() bool {
	return r.metric("limited_total", "source", "stripe", "cause", "bytes")+r.metric("limited_total", "source", "stripe", "cause", "requests") > 0 &&
		r.metric("rejected_total", "source", "intercom", "reason", "limited") > 0 && r.metric("connections_closed_total", "cause", "requests") > 0
}

// held are the most of what a receiver held.
type held struct{ connections, requests, bytes, heap int64 }

// watch looks at what the receiver holds until ctx ends; peak gives the most.
func (r *rig) watch(ctx context.Context) (peak func() held) {
	var most held
	var done atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil && !done.Load() {
			l := r.receiver.load.admission
			most.connections = max(most.connections, r.receiver.conns.Count())
			most.requests, most.bytes = max(most.requests, l.heldRequests()), max(most.bytes, l.heldBytes())
			var memory runtime.MemStats
			runtime.ReadMemStats(&memory)
			most.heap = max(most.heap, int64(memory.HeapInuse+memory.StackInuse))
			wait(ctx, 20*time.Millisecond)
		}
	}()
	return func() held {
		done.Store(true)
		<-ended
		return most
	}
}
