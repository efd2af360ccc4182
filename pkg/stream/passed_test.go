package stream

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A group never commits the markers of transactions, which lie behind the last record.
func TestPassed(t *testing.T) {
	t.Parallel()
	c, client, _ := ready(t)
	writer, err := NewClient(c, Deps{Name: "writer"}, kgo.TransactionalID("t"))
	require.NoError(t, err)
	t.Cleanup(writer.Close)
	write := func(end kgo.TransactionEndTry) {
		require.NoError(t, writer.BeginTransaction())
		require.NoError(t, writer.ProduceSync(t.Context(), &kgo.Record{Topic: AccountEvents, Value: []byte("x"), Partition: 0}).FirstErr())
		require.NoError(t, writer.EndTransaction(t.Context(), end))
	}
	passed := func(marks Marks) bool {
		ok, err := Passed(t.Context(), c, client, "g", marks)
		require.NoError(t, err)
		return ok
	}
	write(kgo.TryCommit)
	marks, err := Ends(t.Context(), client, AccountEvents, "none")
	require.NoError(t, err)
	require.Len(t, marks, 1)
	require.False(t, passed(marks), "the group has committed nothing")

	reader, err := NewClient(c, Deps{Name: "reader"}, kgo.ConsumerGroup("g"), kgo.ConsumeTopics(AccountEvents), kgo.DisableAutoCommit(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	require.NoError(t, err)
	t.Cleanup(reader.CloseAllowingRebalance)
	require.NoError(t, reader.CommitRecords(t.Context(), reader.PollFetches(t.Context()).Records()...))
	require.True(t, passed(marks), "only a marker is left")
	write(kgo.TryAbort)
	marks, err = Ends(t.Context(), client, AccountEvents)
	require.NoError(t, err)
	require.True(t, passed(marks), "what was aborted is nobody's")
	write(kgo.TryCommit)
	require.True(t, passed(marks), "what came later does not count")
	marks, err = Ends(t.Context(), client, AccountEvents)
	require.NoError(t, err)
	require.False(t, passed(marks))
	_, err = kadm.NewClient(client).DeleteTopic(t.Context(), AccountEvents)
	require.NoError(t, err)
	require.True(t, passed(marks), "it is gone")
}
