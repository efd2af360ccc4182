package alert

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Look is a Looker's Look.
type Look func(ctx context.Context, now time.Time) (Snapshot, error)

// Deliver is a Sender's Send.
type Deliver func(ctx context.Context, receiver string, m Message, all []State) (told []State, err error)

// Engine evaluates. One goroutine at a time may use it.
type Engine struct {
	Rules     Rules
	Store     *Store
	Look      Look
	Deliver   Deliver
	Receivers []string         // that are configured
	Now       func() time.Time // nil: time.Now

	holder uuid.UUID
}

// evaluateFor bounds an evaluation before it tells, and keepFor what is kept after a receiver has taken a message, whatever
// else ends. With the longest Config.SendTimeout they are less than leaseFor.
const (
	evaluateFor = 40 * time.Second
	keepFor     = 10 * time.Second
)

// Evaluation is what came of one.
type Evaluation struct {
	At     time.Time
	States []State
	// Skipped says that another process evaluates; then there is nothing else.
	Skipped bool
	// Told is how many alerts each receiver was told of; Failed why one was not, as a *Failure; Waits that it asked to be left
	// alone for now.
	Told   map[string]int
	Failed map[string]error
	Waits  map[string]time.Time
	// Receivers is how telling them goes.
	Receivers []Receiver
}

// Evaluate looks, keeps what is alerted on, and tells the receivers. An error is the database's, or that ctx ended: receivers'
// failures stand in the Evaluation, and are tried again with the next one. A receiver that takes long holds up no other.
func (e *Engine) Evaluate(ctx context.Context) (Evaluation, error) {
	now := time.Now
	if e.Now != nil {
		now = e.Now
	}
	if e.holder == uuid.Nil {
		e.holder = uuid.New()
	}
	// Postgres keeps microseconds.
	result := Evaluation{At: now().UTC().Truncate(time.Microsecond), Told: map[string]int{}, Failed: map[string]error{}, Waits: map[string]time.Time{}}
	err := e.evaluate(ctx, &result)
	if errors.Is(err, errNotMine) {
		return Evaluation{At: result.At, Skipped: true}, nil
	}
	return result, err
}

func (e *Engine) evaluate(ctx context.Context, result *Evaluation) error {
	bounded, cancel := context.WithTimeout(ctx, evaluateFor)
	defer cancel()
	if err := e.Store.take(bounded, e.holder); err != nil {
		return err
	}
	defer func() {
		giving, done := context.WithTimeout(context.WithoutCancel(ctx), keepFor)
		defer done()
		e.Store.give(giving, e.holder)
	}()
	snapshot, err := e.Look(bounded, result.At)
	if err != nil {
		return err
	}
	old, err := e.Store.States(bounded)
	if err != nil {
		return err
	}
	found, known := e.Rules.Evaluate(snapshot)
	result.States = e.Rules.Step(result.At, old, found, known)
	if err := e.Store.save(bounded, e.holder, result.At, result.States); err != nil {
		return err
	}
	receivers, err := e.Store.meet(bounded, e.Receivers, result.At)
	if err != nil {
		return err
	}
	told, err := e.Store.told(bounded)
	if err != nil {
		return err
	}
	silences, err := e.Store.Silences(bounded, false)
	if err != nil {
		return err
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	var broken []error
	for _, name := range e.Receivers {
		receiver := receivers[name]
		if result.At.Before(receiver.RetryAt) {
			result.Waits[name] = receiver.RetryAt
			continue
		}
		d := e.Rules.due(result.At, name, receiver.KnownSince, result.States, told[name], silences)
		wait.Go(func() {
			taken, failed, err := e.tell(ctx, name, result, d, silences)
			mu.Lock()
			defer mu.Unlock()
			if taken > 0 {
				result.Told[name] = taken
			}
			if failed != nil {
				result.Failed[name] = failed
			}
			broken = append(broken, err)
		})
	}
	wait.Wait()
	if err := errors.Join(broken...); err != nil {
		return err
	}
	keeping, done := context.WithTimeout(context.WithoutCancel(ctx), keepFor)
	defer done()
	all, err := e.Store.Receivers(keeping)
	result.Receivers = slices.DeleteFunc(all, func(r Receiver) bool { return !slices.Contains(e.Receivers, r.Name) })
	return err
}

// tell tells one receiver, and keeps that it did.
func (e *Engine) tell(ctx context.Context, name string, result *Evaluation, d due, silences []Silence) (taken int, failed, err error) {
	var told []State
	if !d.empty() {
		told, failed = e.Deliver(ctx, name, Message{At: result.At, Firing: d.Firing, Resolved: d.Resolved}, e.firing(name, result, silences))
	}
	if len(told)+len(d.quiet) == 0 && failed == nil {
		return 0, nil, nil
	}
	keeping, done := context.WithTimeout(context.WithoutCancel(ctx), keepFor)
	defer done()
	why, retryAt := "", time.Time{}
	if failed != nil {
		why = Harmless(failed.Error(), maxSummary)
		var f *Failure
		if errors.As(failed, &f) && f.RetryAfter > 0 {
			retryAt = result.At.Add(f.RetryAfter)
		}
	}
	return len(told), failed, e.Store.keepTold(keeping, name, result.At, slices.Concat(told, d.quiet), len(told) > 0, why, retryAt)
}

// firing gives what fires and a receiver is told of.
func (e *Engine) firing(name string, result *Evaluation, silences []Silence) (all []State) {
	for _, s := range result.States {
		silent := slices.ContainsFunc(silences, func(q Silence) bool { return q.Covers(s.Condition, result.At) })
		if s.State == Firing && !silent && e.Rules.Tells(name, s.Rule, s.Severity) {
			all = append(all, s)
		}
	}
	return all
}

// Failures gives the names of the receivers that could not be told, sorted.
func (e Evaluation) Failures() []string { return slices.Sorted(maps.Keys(e.Failed)) }
