package pull

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/source"
)

// into collects what is published, in order.
type into struct {
	mu  sync.Mutex
	ids []string
	at  []time.Time
	// batches are the sizes of what came at once.
	batches []int
}

func (i *into) publish(_ context.Context, records []source.Record) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.batches = append(i.batches, len(records))
	for _, r := range records {
		_, e, err := source.Keyed(newAtOnce(0, 0), source.Record{Value: r.Value, ReceivedAt: r.ReceivedAt})
		if err != nil {
			return err
		}
		i.ids, i.at = append(i.ids, e.ID), append(i.at, e.OccurredAt)
	}
	return nil
}

func (i *into) distinct() int { return len(slices.Compact(slices.Sorted(slices.Values(i.ids)))) }

// Windows are asked for side by side, no more than the stream allows, and published in their order.
func TestWindowsSideBySide(t *testing.T) {
	t.Parallel()
	a := newAtOnce(12, 5)
	a.together = 3
	var now, most atomic.Int64
	all := make(chan struct{})
	a.asked = func(source.Query) error {
		n := now.Add(1)
		defer now.Add(-1)
		for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
		}
		if n == 3 {
			select {
			case <-all:
			default:
				close(all)
			}
		}
		<-all // nobody is answered before three ask at once
		return nil
	}
	var got into
	o := a.options()
	o.Publish, o.Store = got.publish, NewStore(postgrestest.New(t))
	report, err := Run(t.Context(), o)
	require.NoError(t, err)
	require.EqualValues(t, 6000, report.Events)
	require.Equal(t, 6000, got.distinct())
	require.True(t, slices.IsSortedFunc(got.at, time.Time.Compare), "the oldest window first")
	require.EqualValues(t, 3, most.Load())
	require.Less(t, len(got.batches), 60, "several pages at once")
	require.Equal(t, report.To, report.Through)
}

// A window that fails ends the run; what lies before it is published and kept, and nothing after it is.
func TestAWindowThatFails(t *testing.T) {
	t.Parallel()
	a := newAtOnce(6, 3)
	a.together = 4
	o := a.options()
	broken := o.From.Add(3 * time.Hour).UTC()
	a.asked = func(q source.Query) error {
		if q.From.Equal(broken) && string(q.Cursor) == "2" {
			return fault.Permanent(fault.Forbidden, errors.New("not this one"))
		}
		return nil
	}
	var got into
	o.Source, o.Publish, o.Store = a, got.publish, NewStore(postgrestest.New(t))
	report, err := Run(t.Context(), o)
	require.ErrorContains(t, err, "not this one")
	require.EqualValues(t, 1100, report.Events)
	require.Len(t, got.ids, 1100)
	require.Equal(t, broken, report.Through)
	a.asked = nil
	o.Source = a
	report, err = Run(t.Context(), o)
	require.NoError(t, err)
	require.True(t, report.Resumed)
	require.EqualValues(t, 700, report.Events)
	require.Len(t, got.ids, 1800, "no more than what was left")
	require.Equal(t, 1800, got.distinct())
}

// A process that is gone after any of its batches was acknowledged, and before its checkpoint: nothing is lost, and no
// more than the batch comes again.
func TestGoneBetweenAcknowledgementAndCheckpoint(t *testing.T) {
	t.Parallel()
	a := newAtOnce(8, 4)
	a.together = 3
	var got into
	o := a.options()
	o.Source, o.Store, o.BatchEvents = a, NewStore(postgrestest.New(t)), 250
	gone := errors.New("gone")
	runs, again := 0, 0
	for {
		taken := 0
		o.Publish = func(ctx context.Context, records []source.Record) error {
			if taken++; taken == 2 {
				require.NoError(t, got.publish(ctx, records)) // acknowledged, and nobody keeps it
				again += len(records)
				return fault.Permanent(fault.Unavailable, gone)
			}
			return got.publish(ctx, records)
		}
		_, err := Run(t.Context(), o)
		runs++
		if err == nil {
			break
		}
		require.ErrorIs(t, err, gone)
	}
	require.Greater(t, runs, 3)
	require.Equal(t, 3200, got.distinct())
	require.Len(t, got.ids, 3200+again)
}

// What is fetched ahead is bounded, however far the publisher is behind.
func TestFetchingAheadIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAtOnce(2, 2000)
		a.together = 2
		var pages atomic.Int64
		a.asked = func(source.Query) error { pages.Add(1); return nil }
		o := a.options()
		ctx, cancel := context.WithCancel(t.Context())
		o.Source = a
		o.Publish = func(ctx context.Context, _ []source.Record) error {
			synctest.Wait() // until nothing more is asked for
			cancel()
			return fault.Transient(fault.Unavailable, ctx.Err())
		}
		_, err := Run(ctx, o)
		require.ErrorIs(t, err, context.Canceled)
		require.Less(t, pages.Load(), int64(600), "of 4,000, of some 90 KB each")
	})
}
