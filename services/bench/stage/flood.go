package stage

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/vendors"
)

const (
	strangerPart = 200 * time.Millisecond // between two parts of what a stranger sends
	strangerRest = time.Second            // between two of its connections
	perSource    = 4                      // connections of each vendor that is verified

	lowestPriority = 19 // setpriority(2)
)

// strangerKinds are what strangers do with a connection, one after the other. An
// answer or the connection's end ends it.
func strangerKinds() []func(ctx context.Context, conn net.Conn) {
	forged := func(path string, length int) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Hub-Signature: sha1=%040d\r\nStripe-Signature: t=%d,v1=%064d\r\nContent-Length: %d\r\n\r\n",
			path, 7, time.Now().Unix(), 7, length)
	}
	write := func(ctx context.Context, conn net.Conn, parts ...string) {
		for _, part := range parts {
			if _, err := io.WriteString(conn, part); err != nil {
				return
			}
			pause(ctx, strangerPart)
		}
	}
	return []func(context.Context, net.Conn){
		func(context.Context, net.Conn) {}, // silent
		func(ctx context.Context, conn net.Conn) { // a slow header
			write(ctx, conn, strings.SplitAfter("POST /webhooks/stripe HTTP/1.1\r\nHost: x\r\nX-Pad: 0123456789", "")...)
		},
		func(ctx context.Context, conn net.Conn) { // a body that is announced and never sent
			write(ctx, conn, forged("/webhooks/stripe", 9000))
		},
		func(ctx context.Context, conn net.Conn) { // a slow body
			write(ctx, conn, append([]string{forged("/webhooks/intercom", 9000)}, strings.Split(strings.Repeat("x", 100), "")...)...)
		},
		func(ctx context.Context, conn net.Conn) { // a huge one
			write(ctx, conn, forged("/webhooks/stripe", 1<<20), strings.Repeat("x", 200<<10))
		},
		func(ctx context.Context, conn net.Conn) { // a wrong signature
			write(ctx, conn, forged("/webhooks/intercom", 4000)+strings.Repeat("x", 4000))
		},
		func(ctx context.Context, conn net.Conn) { // a wrong path
			write(ctx, conn, forged("/webhooks/faxes", 9000))
		},
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// runStrangers holds Connections connections to Address, each stranger from an address
// of its own in 127.0.0.0/8, until ctx ends. It is ready when each has begun. It runs
// at the lowest priority, because strangers do not work on the receiver's cores.
func runStrangers(ctx context.Context, job Job, ready func(string)) (Result, error) {
	if err := syscall.Setpriority(syscall.PRIO_PROCESS, 0, lowestPriority); err != nil {
		return Result{}, fmt.Errorf("lowering the priority: %w", err)
	}
	kinds := strangerKinds()
	var opened atomic.Int64
	var all, first sync.WaitGroup
	first.Add(job.Connections)
	for i := range job.Connections {
		all.Go(func() {
			from := netip.AddrFrom4([4]byte{127, byte(1 + i%200), byte(i / 200), 1})
			dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), Timeout: strangerRest}
			pause(ctx, time.Duration(i)*strangerRest/time.Duration(job.Connections))
			for begun := false; ctx.Err() == nil; begun = true {
				conn, err := dialer.DialContext(ctx, "tcp", job.Address)
				if !begun {
					first.Done()
				}
				if err == nil {
					opened.Add(1)
					attackOn(ctx, conn, kinds[i%len(kinds)])
				}
				pause(ctx, strangerRest)
			}
		})
	}
	all.Go(func() { first.Wait(); ready("") })
	all.Wait()
	return Result{Sent: int(opened.Load())}, nil
}

// attackOn ends with the connection, or with ctx.
func attackOn(ctx context.Context, conn net.Conn, do func(context.Context, net.Conn)) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer conn.Close() //nolint:errcheck // nothing is left to do about it
	defer stop()
	do(ctx, conn)
	_, _ = io.Copy(io.Discard, conn) // until the receiver has had enough
}

// runVerified posts the deliveries of every source at Rate, signed, for Duration, each
// over perSource connections. The time is from when one was due to its answer. One
// that is refused is an error.
func runVerified(ctx context.Context, job Job, _ func(string)) (Result, error) {
	names := catalog.Set().Names()
	lanes := len(names) * perSource
	every := time.Duration(lanes) * time.Second / time.Duration(job.Rate)
	begin := time.Now()
	took := make([][]time.Duration, lanes)
	group, ctx := errgroup.WithContext(ctx)
	for lane := range lanes {
		name := names[lane%len(names)]
		request, err := example(job.Address, name)
		if err != nil {
			return Result{}, err
		}
		group.Go(func() error {
			c, err := dial(ctx, job.Address)
			if err != nil {
				return err
			}
			defer c.Close() //nolint:errcheck // nothing is left to do about it
			due := begin.Add(every * time.Duration(lane) / time.Duration(lanes))
			for ; due.Before(begin.Add(job.Warm + job.Duration)); due = due.Add(every) {
				pause(ctx, time.Until(due))
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err := c.post(request); err != nil {
					return fmt.Errorf("a verified delivery of %s: %w", name, err)
				}
				if due.Sub(begin) >= job.Warm {
					took[lane] = append(took[lane], time.Since(due))
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return Result{}, err
	}
	answered := slices.Concat(took...)
	return Result{Requests: len(answered), Sent: len(answered), Answered: latencyOf(answered)}, nil
}

// example is a signed request of a source.
func example(address, name string) ([]byte, error) {
	set := catalog.Set()
	simulator, err := vendors.New(set, 0)
	if err != nil {
		return nil, err
	}
	d, err := simulator.Delivery(name)
	if err != nil {
		return nil, err
	}
	sender := vendors.Sender{Sources: set, URL: "http://" + address, PublicURL: publicURL, Secrets: map[string]string{name: secret}}
	return wire(&sender, d, address)
}
