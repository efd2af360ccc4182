package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// The brokers refuse whole batches. Records that are refused alone are replaced,
// and all others are written once, in the same transaction. Their order is kept where
// the client sends them in one batch, which it need not.
func TestRefusedRecordsAreReplaced(t *testing.T) {
	t.Parallel()
	c, client, _ := ready(t)
	streamtest.SetMaxMessageBytes(t, client, AccountEvents, 2000)
	streamtest.SetMaxMessageBytes(t, client, DeadLetters, 2000)
	large := []int{3, 57, 58, 99, 100}
	var records []*kgo.Record
	const n = 200
	for i := range n {
		records = append(records, &kgo.Record{Topic: RawTopic("stripe"), Key: []byte("one"), Value: fmt.Append(nil, i)})
	}
	require.NoError(t, NewPublisher(client).Publish(t.Context(), records...))

	tooLarge := []byte(streamtest.Noise(10_000))
	output := func(batch []*kgo.Record, refused map[int][]Refusal) (out []*kgo.Record, err error) {
		for i, r := range batch {
			number := int(r.Offset)
			record := &kgo.Record{Topic: AccountEvents, Key: r.Key, Value: r.Value}
			switch times := len(refused[i]); {
			case slices.Contains(large, number) && times == 0:
				record.Value = tooLarge
			case times == 1:
				require.Equal(t, AccountEvents, refused[i][0].Topic)
				require.Equal(t, fault.Oversized, fault.ReasonOf(refused[i][0].Err))
				record.Topic, record.Value = DeadLetters, tooLarge
			case times == 2:
				require.Equal(t, DeadLetters, refused[i][1].Topic)
				record.Topic = DeadLetters
			case times > 2:
				return nil, errors.New("no more than twice")
			}
			out = append(out, record)
		}
		return out, nil
	}
	var s state
	o := TransformOptions{
		LoopOptions:     LoopOptions{Config: c, Group: "g", Topics: []string{RawTopic("stripe")}, OnState: s.set, MaxWait: 50 * time.Millisecond},
		TransactionalID: TransactionalID(c, "test", 0),
		Replace: func(_ context.Context, batch []*kgo.Record, refused map[int][]Refusal) ([]*kgo.Record, error) {
			return output(batch, refused)
		},
	}
	servicetest.Run(t, func(ctx context.Context) error {
		return RunTransform(ctx, o, func(_ context.Context, batch []*kgo.Record) ([]*kgo.Record, error) { return output(batch, nil) })
	})
	reader, err := NewClient(c, Deps{Name: "reader"}, kgo.ConsumeTopics(AccountEvents, DeadLetters),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	require.NoError(t, err)
	defer reader.Close()
	got := map[string][]string{}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for len(got[AccountEvents])+len(got[DeadLetters]) < n && ctx.Err() == nil {
		reader.PollFetches(ctx).EachRecord(func(r *kgo.Record) { got[r.Topic] = append(got[r.Topic], string(r.Value)) })
	}
	var events, letters []string
	for i := range n {
		if slices.Contains(large, i) {
			letters = append(letters, fmt.Sprint(i))
		} else {
			events = append(events, fmt.Sprint(i))
		}
	}
	require.ElementsMatch(t, events, got[AccountEvents])
	require.ElementsMatch(t, letters, got[DeadLetters])
	s.mu.Lock()
	defer s.mu.Unlock()
	require.NoError(t, errors.Join(s.errs...), "no session had to end")
}

// A stop has a bound, which brokers that do not answer must not use up: what a transaction left open they abort.
func TestAStopDoesNotWaitForBrokersThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	c, client, cluster := ready(t)
	publish(t, client, 0, 10)
	ending := make(chan struct{})
	cluster.ControlKey(int16(kmsg.EndTxn), func(kmsg.Request) (kmsg.Response, error, bool) {
		close(ending)
		<-t.Context().Done() // no broker answers anything meanwhile
		return nil, nil, false
	})
	o := TransformOptions{
		LoopOptions:     LoopOptions{Config: c, Group: "g", Topics: []string{RawTopic("stripe")}, Grace: time.Second},
		TransactionalID: TransactionalID(c, "test", 0),
	}
	stop := servicetest.Run(t, func(ctx context.Context) error {
		return RunTransform(ctx, o, func(_ context.Context, batch []*kgo.Record) (out []*kgo.Record, err error) {
			for _, r := range batch {
				out = append(out, &kgo.Record{Topic: AccountEvents, Value: r.Value})
			}
			return out, nil
		})
	})
	<-ending
	stop() // fails after servicetest.Patience; without a bound it took 91 s
}
