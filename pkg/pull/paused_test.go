package pull

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/source"
)

// A run that waits for a vendor's pause tells of it, and goes on as soon as somebody lifts it.
func TestAPauseIsToldAndLifted(t *testing.T) {
	t.Parallel()
	store := NewStore(postgrestest.New(t))
	a := newAtOnce(1, 1)
	budget := NewBudget(store, a, "", 0)
	var told sync.Once
	var left time.Duration
	var why string
	waits := make(chan struct{})
	budget.Waits = func(l time.Duration, w string) {
		told.Do(func() { left, why = l, w; close(waits) })
	}
	asked := 0
	a.asked = func(source.Query) error {
		if asked++; asked > 1 {
			return nil
		}
		if err := budget.Pause(t.Context(), 20*time.Minute, "the API answered 429"); err != nil {
			return err
		}
		return source.Later(fault.Transient(fault.Unavailable, errors.New("429")), 20*time.Minute)
	}
	o := a.options()
	var got into
	o.Source, o.Store, o.Publish, o.Budget = a, store, got.publish, budget
	done := make(chan error, 1)
	go func() { _, err := Run(t.Context(), o); done <- err }()
	<-waits
	require.Greater(t, left, 19*time.Minute)
	require.Equal(t, "the API answered 429", why)

	pauses, err := store.Pauses(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, pauses, 1)
	require.Equal(t, "stripe", pauses[0].Source)
	require.WithinDuration(t, time.Now().Add(20*time.Minute), pauses[0].Until, time.Minute)
	other, err := store.Resume(t.Context(), "zendesk")
	require.NoError(t, err)
	require.Empty(t, other)
	lifted, err := store.Resume(t.Context(), "stripe")
	require.NoError(t, err)
	require.Equal(t, pauses, lifted)
	require.NoError(t, <-done)
	require.Len(t, got.ids, 100)
	require.NoError(t, NewBudget(store, a, "", 0).Wait(t.Context()), "nor does the next wait")
}

// A pause that the database does not know is kept to its end.
func TestARestThatNobodyCanLift(t *testing.T) {
	t.Parallel()
	budget := NewBudget(NewStore(postgrestest.New(t)), newAtOnce(1, 1), "", 0)
	began := time.Now()
	require.NoError(t, budget.Rest(t.Context(), 100*time.Millisecond, errors.New("later")))
	require.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	require.ErrorContains(t, budget.Rest(ctx, time.Hour, errors.New("later")), "enough")
}

// Errors say what is done, which is not to ask a vendor where a file is read.
func TestErrorsSayWhatIsDone(t *testing.T) {
	t.Parallel()
	a := newAtOnce(1, 1)
	a.asked = func(source.Query) error { return fault.Permanent(fault.Malformed, errors.New("line 7: no JSON")) }
	o := a.options()
	o.Source = a
	_, err := Run(t.Context(), o)
	require.EqualError(t, err, "asking Stripe: line 7: no JSON")
	o.Doing = "reading past.jsonl"
	_, err = Run(t.Context(), o)
	require.EqualError(t, err, "reading past.jsonl: line 7: no JSON")
}
