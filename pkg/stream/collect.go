package stream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/retry"
)

const (
	// maxBatchBytes ends a batch early: 5,000 records of a megabyte would not fit
	// into a stage's memory. One fetch may go beyond it.
	maxBatchBytes = 8 << 20
	// settleAfter is how long polls must be free of errors to count as working.
	settleAfter = 5 * time.Second
	// rejoinAfter is how long errors may go on before another client takes over.
	rejoinAfter = 10 * time.Second
	// maxPollPause bounds the pause after a poll that gave errors only. Without
	// one a deleted topic makes millions of them a minute.
	maxPollPause = 2 * time.Second
	// lossQuiet is the least time between two lines about lost records.
	lossQuiet = 30 * time.Second
)

// collect gathers a batch: at least one record, at most MaxRecords or about
// maxBatchBytes, waiting MaxWait after the first, unless it is Enough. It gives an empty batch only
// when ctx has ended, and an error when another client must take over.
//
// allow, if there is one, lets rebalances happen, which a poll holds back. It is
// called while there is no batch: a poll that gives nothing holds them back too,
// and the group may have to be joined anew before there is anything to poll.
func (l *loop) collect(ctx context.Context, poll func(context.Context, int) kgo.Fetches, allow func()) ([]*kgo.Record, error) {
	var batch []*kgo.Record
	wait := ctx
	for bytes := 0; len(batch) < l.MaxRecords && bytes < maxBatchBytes; {
		fetches, pause, err := l.poll(wait, poll, l.MaxRecords-len(batch))
		if ctx.Err() != nil {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		fetches.EachPartition(l.fetched)
		got := append(fetches.Records(), l.skipped...)
		l.skipped = nil
		batch = append(batch, got...)
		for _, r := range got {
			bytes += len(r.Value)
		}
		if len(batch) == 0 && allow != nil {
			allow()
		}
		if len(batch) > 0 && (l.MaxWait <= 0 || wait.Err() != nil || l.Enough > 0 && len(batch) >= l.Enough) {
			break
		}
		if len(got) > 0 && wait == ctx {
			var cancel context.CancelFunc
			wait, cancel = context.WithTimeout(ctx, l.MaxWait) //nolint:fatcontext // once: wait is ctx no longer
			defer cancel()
		}
		if len(got) == 0 && pause > 0 {
			sleep(wait, pause)
		}
	}
	return batch, nil
}

// sleep ends after pause, or with ctx.
func sleep(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// pollState is what one client's polls have brought.
type pollState struct {
	up      func() // the session works
	pauses  *backoff.ExponentialBackOff
	settled bool      // the client works
	since   time.Time // of the first error; zero: none since polls settled
	newest  time.Time // of the newest error, else of the session's first poll
}

func newPollState(up func()) pollState {
	return pollState{up: up, pauses: retry.Policy{First: 50 * time.Millisecond, Most: maxPollPause}.BackOff(), newest: time.Now()}
}

// poll polls once, no longer than settleAfter: a poll that waits for records says
// nothing, neither that the client works nor that it stands still. With errors comes
// the pause before the next poll, so that a client that answers with errors alone is
// no busy loop; it gives an error when they go on, or when the client stands still.
func (l *loop) poll(ctx context.Context, poll func(context.Context, int) kgo.Fetches, most int) (kgo.Fetches, time.Duration, error) {
	bounded, cancel := context.WithTimeout(ctx, settleAfter)
	defer cancel()
	fetches := poll(bounded, most)
	if fetches.IsClientClosed() {
		return nil, 0, errClosed
	}
	pause, err := l.note(l.firstError(bounded, fetches), fetches.NumRecords())
	if err == nil {
		err = l.stopped.polled(time.Now())
	}
	return fetches, pause, err
}

// firstError gives the first error of a poll that the client does not get over
// by itself.
func (l *loop) firstError(polling context.Context, fetches kgo.Fetches) error {
	var first error
	fetches.EachError(func(topic string, partition int32, err error) {
		var loss *kgo.ErrDataLoss
		var bomb *kgo.ErrDecompressTooLarge
		switch {
		case polling.Err() != nil && (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)):
		case errors.As(err, &loss):
			l.lost(loss)
		case errors.As(err, &bomb):
			l.stopped.forget(topic, partition)
			l.skipped = append(l.skipped, skipped(bomb))
		case errors.Is(err, errFetchFull): // it comes again
		case first == nil && topic == "": // of the group
			first = l.classify(err)
		case first == nil:
			first = denied(l.classify(fmt.Errorf("fetching %s/%d: %w", topic, partition, err)), kerr.TopicAuthorizationFailed, l.Config.User, "READ", "topic", topic)
		}
	})
	return first
}

// lost: the client goes on where the partition goes on. That need not be a loss:
// a broker that is not in sync yet says the same.
func (l *loop) lost(loss *kgo.ErrDataLoss) {
	if now := time.Now(); now.Sub(l.lossAt) > lossQuiet {
		l.lossAt = now
		l.Deps.Log.Warn("a partition ends before what was read of it; its replica may not be in sync yet, else the brokers lost records",
			zap.String("topic", loss.Topic), zap.Int32("partition", loss.Partition), zap.Int64("read_to", loss.ConsumedTo), zap.Int64("reset_to", loss.ResetTo))
	}
}

// note takes in what a poll brought, and gives the pause before the next one.
func (l *loop) note(err error, records int) (time.Duration, error) {
	p, now := &l.polled, time.Now()
	if err == nil {
		if !p.settled && (records > 0 && p.since.IsZero() || now.Sub(p.newest) >= settleAfter) {
			p.settled, p.since = true, time.Time{}
			p.pauses.Reset()
			p.up()
			l.told[inFetches].Succeeded("fetching")
		}
		return 0, nil
	}
	p.settled, p.newest = false, now
	if p.since.IsZero() {
		p.since = now
	}
	if fatal(err) || now.Sub(p.since) > rejoinAfter {
		return 0, err
	}
	pause := p.pauses.NextBackOff()
	l.told[inFetches].Failed("fetching", err, pause)
	return pause, nil
}

// fatal: no further try of this member can succeed.
func fatal(err error) bool {
	return is(err, kerr.FencedInstanceID, kerr.FencedMemberEpoch, kerr.UnreleasedInstanceID)
}
