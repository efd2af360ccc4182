package stream

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/retry"
)

// watchEvery is how often the topics are looked at for the log.
const watchEvery = 15 * time.Second

// TopicWatch is a TopicCheck, with a client of its own, that also tells the log what
// is wrong, once. Close it.
type TopicWatch struct {
	*TopicCheck
	part   string
	doing  string
	log    *zap.Logger
	told   *retry.Told
	unsafe atomic.Pointer[map[string]error] // by topic, as seen last; nil: not yet
	asking sync.WaitGroup                   // questions, also those whose answers nobody waits for any more
}

// NewTopicWatch makes the watch of a part of a service that reads inputs and writes
// outputs. It does not connect. log may be nil.
func NewTopicWatch(c Config, part string, log *zap.Logger, inputs, outputs []string) (*TopicWatch, error) {
	client, err := NewClient(c, Deps{Name: part + "-topics"}, kgo.MetadataMinAge(time.Second))
	if err != nil {
		return nil, fmt.Errorf("checking the topics: %w", err)
	}
	if log == nil {
		log = zap.NewNop()
	}
	return &TopicWatch{
		TopicCheck: NewTopicCheck(c, client, inputs, outputs), part: part, doing: "checking the topics of the " + part, log: log, told: &retry.Told{Log: log},
	}, nil
}

// Close ends it, and what it still asks. Nothing else may be called after it.
func (w *TopicWatch) Close() {
	w.client.Close()
	w.asking.Wait()
}

// ask puts a question to the brokers in a goroutine of its own, because the client
// ignores the context while a broker takes its connection and does not answer (one
// that is frozen, say): for ten seconds and more. Close waits for it.
func ask[T any](ctx context.Context, w *TopicWatch, question func(context.Context) (T, error)) (T, error) {
	type answer struct {
		given T
		err   error
	}
	answered := make(chan answer, 1)
	w.asking.Go(func() {
		given, err := question(ctx)
		answered <- answer{given, err}
	})
	select {
	case a := <-answered:
		return a.given, a.err
	case <-ctx.Done():
		var none T
		return none, fault.Transient(fault.Unavailable, fmt.Errorf("the brokers do not answer: %w", context.Cause(ctx)))
	}
}

// Check is TopicCheck's, which ends with ctx.
func (w *TopicWatch) Check(ctx context.Context) error {
	_, err := ask(ctx, w, func(ctx context.Context) (struct{}, error) { return struct{}{}, w.TopicCheck.Check(ctx) })
	return err
}

// AwaitSafe returns when the brokers have said that no topic is unsafe, and gives
// ctx's end as an error. Until then the part must not work. It logs the topics'
// other odd settings.
func (w *TopicWatch) AwaitSafe(ctx context.Context) error {
	err := retry.Forever(ctx, retry.Policy{First: 200 * time.Millisecond, Most: 2 * time.Second}, w.doing, w.told, w.look)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, watchEvery)
	defer cancel()
	doubts, err := ask(ctx, w, w.Doubts)
	if err != nil {
		return nil //nolint:nilerr // Run tells of it
	}
	for _, line := range doubts {
		w.log.Warn(line, zap.String("part", w.part))
	}
	return nil
}

// look is Safe, remembered.
func (w *TopicWatch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, watchEvery)
	defer cancel()
	unsafe, err := ask(ctx, w, w.Unsafe)
	if err != nil {
		return err
	}
	w.unsafe.Store(&unsafe)
	return together(slices.Collect(maps.Values(unsafe)))
}

// Refuse gives why nobody may write to the topic, as seen last; nil: nothing is known
// against it.
func (w *TopicWatch) Refuse(topic string) error {
	if unsafe := w.unsafe.Load(); unsafe != nil {
		return (*unsafe)[topic]
	}
	return nil
}

// Run tells the log, until ctx ends, what Check tells whoever asks. Its error is nil.
func (w *TopicWatch) Run(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		err := w.look(ctx)
		if err == nil {
			bounded, cancel := context.WithTimeout(ctx, watchEvery)
			err = w.Check(bounded)
			cancel()
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			w.told.Failed(w.doing, err, watchEvery)
		default:
			w.told.Succeeded(w.doing)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
