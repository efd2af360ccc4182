package retry

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/throughline-dev/throughline/pkg/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errAway = fault.Transient(fault.Unavailable, errors.New("the database is away"))

// failing gives work that fails this many times before it succeeds.
func failing(times int, err error) func(context.Context) error {
	return func(context.Context) error {
		if times--; times >= 0 {
			return err
		}
		return nil
	}
}

func watched() (*Told, *observer.ObservedLogs, *[]error) {
	core, lines := observer.New(zapcore.DebugLevel)
	states := &[]error{}
	return &Told{Log: zap.New(core), State: func(err error) { *states = append(*states, err) }}, lines, states
}

func TestForeverTriesUntilItSucceeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told, lines, states := watched()
		began := time.Now()
		require.NoError(t, Forever(t.Context(), Policy{First: time.Second, Most: 4 * time.Second}, "writing a batch", told, failing(20, errAway)))

		require.Len(t, *states, 21, "health hears of every try")
		require.ErrorIs(t, (*states)[19], errAway)
		require.NoError(t, (*states)[20])
		require.Greater(t, time.Since(began), 16*2*time.Second, "the pauses grow")
		require.Less(t, time.Since(began), 20*6*time.Second, "and are bounded")

		require.Equal(t, 2, lines.Len(), "one line when it begins, one when it is over")
		begin, over := lines.All()[0], lines.All()[1]
		require.Equal(t, "writing a batch fails and is tried again until it succeeds", begin.Message)
		require.Equal(t, zapcore.WarnLevel, begin.Level, "it will pass")
		require.Equal(t, "unavailable", begin.ContextMap()["reason"])
		require.Equal(t, "writing a batch works again", over.Message)
		require.EqualValues(t, 20, over.ContextMap()["failed_tries"])
		require.InDelta(t, time.Since(began), over.ContextMap()["after"], float64(time.Millisecond))
	})
}

func TestForeverSaysNothingOfWhatSucceedsAtOnce(t *testing.T) {
	t.Parallel()
	told, lines, states := watched()
	require.NoError(t, Forever(t.Context(), Policy{}, "writing", told, failing(0, nil)))
	require.Zero(t, lines.Len())
	require.Equal(t, []error{nil}, *states)
	require.NoError(t, Forever(t.Context(), Policy{First: 1, Most: 1}, "writing", nil, failing(3, errAway)), "nobody needs to be told")
}

func TestForeverEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told, lines, states := watched()
		cause := errors.New("the service stops")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(cause) })
		err := Forever(ctx, Policy{}, "writing", told, failing(1<<30, errAway))
		require.ErrorIs(t, err, cause)
		require.ErrorIs(t, err, errAway, "the last failure is in the chain")
		require.Equal(t, 1, lines.Len(), "a stop is no recovery")
		require.NotContains(t, *states, nil)

		tried := false
		require.ErrorIs(t, Forever(ctx, Policy{}, "writing", told, func(context.Context) error { tried = true; return nil }), cause)
		require.False(t, tried)
	})
}

func TestTheTryThatAStopInterruptsIsNoTrouble(t *testing.T) {
	t.Parallel()
	told, lines, states := watched()
	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorIs(t, Forever(ctx, Policy{}, "writing", told, func(ctx context.Context) error {
		cancel()
		return ctx.Err()
	}), context.Canceled)
	require.Zero(t, lines.Len())
	require.Empty(t, *states)
}

func TestAdviceIsLoggedAndReachesHealth(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told, lines, states := watched()
		told.Advice = func(error) string { return "run the migrations" }
		require.NoError(t, Forever(t.Context(), Policy{}, "writing", told, failing(1, errAway)))
		require.Equal(t, zapcore.ErrorLevel, lines.All()[0].Level, "a person is needed")
		require.Equal(t, "run the migrations", lines.All()[0].ContextMap()["advice"])
		require.Equal(t, "run the migrations", fault.Advice((*states)[0]))
		require.ErrorIs(t, (*states)[0], errAway)

		told, _, states = watched()
		told.Advice = func(error) string { return "wait" }
		require.NoError(t, Forever(t.Context(), Policy{}, "writing", told, failing(1, fault.Advise(errAway, "free the disk"))))
		require.Equal(t, "free the disk", fault.Advice((*states)[0]), "what the error itself says counts more")
	})
}

func TestTroubleThatChangesIsToldAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told, lines, _ := watched()
		began := time.Now()
		require.NoError(t, Forever(t.Context(), Policy{First: time.Second, Most: time.Second}, "writing", told, func(context.Context) error {
			switch since := time.Since(began); {
			case since < time.Minute:
				return errAway
			case since < 2*time.Minute:
				return fault.Advise(errAway, "run the migrations")
			default:
				return nil
			}
		}))
		require.Equal(t, 3, lines.Len())
		require.Equal(t, "run the migrations", lines.All()[1].ContextMap()["advice"])
	})
}

// Whatever the work does, the log stays readable.
func TestTheLogIsBounded(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		err  func(try int) error
		most int // lines in an hour
	}{
		"an outage of an hour":      {func(int) error { return errAway }, 8},
		"every other try fails":     {func(try int) error { return []error{errAway, nil}[try%2] }, 2 * 120},
		"another error at each try": {func(try int) error { return fault.Transient(fault.Reasons()[try%2], errAway) }, 121},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				told, lines, _ := watched()
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				try := 0
				for ctx.Err() == nil {
					_ = Forever(ctx, Policy{First: 100 * time.Millisecond, Most: 200 * time.Millisecond}, "writing", told, func(context.Context) error {
						try++
						return tt.err(try)
					})
				}
				require.Greater(t, try, 10_000)
				require.LessOrEqual(t, lines.Len(), tt.most)
				require.NotZero(t, lines.Len())
			})
		})
	}
}

func TestFlappingIsCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told, lines, _ := watched()
		for range 5 {
			require.NoError(t, Forever(t.Context(), Policy{}, "writing", told, failing(1, errAway)))
		}
		require.Equal(t, 2, lines.Len())
		wait(t.Context(), quiet)
		require.NoError(t, Forever(t.Context(), Policy{}, "writing", told, failing(1, errAway)))
		require.Equal(t, 4, lines.Len())
		require.EqualValues(t, 4, lines.All()[2].ContextMap()["more_failures_before"])
	})
}

func TestASessionThatWorkedBeginsWithShortPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told, lines, states := watched()
		var began []time.Time
		err := Sessions(t.Context(), Policy{First: 2 * time.Second, Most: time.Minute}, "listening", told, func(_ context.Context, up func()) error {
			began = append(began, time.Now())
			switch n := len(began); {
			case n == 9:
				up()
				up()
				return errAway
			case n < 11:
				return errAway
			default:
				return nil
			}
		})
		require.NoError(t, err)
		pause := func(n int) time.Duration { return began[n].Sub(began[n-1]) }
		require.Greater(t, pause(8), 15*time.Second)
		require.Less(t, pause(9), 3100*time.Millisecond, "after a session that worked")
		require.Equal(t, 4, lines.Len(), "the second trouble comes more than half a minute after the first line")
		require.NoError(t, (*states)[8])
	})
}
