package quarantine_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

func TestListAndShow(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	malformed := quarantine.Letter{DeadLetter: event.DeadLetter{Value: []byte("{"), Topic: "raw.hubspot", Reason: "malformed", Source: "hubspot"}, At: seen.Add(time.Hour)}
	put(t, s, letter(1, 1), letter(2, 2), letter(3, 3), malformed)
	for name, c := range map[string]struct {
		filter quarantine.Filter
		want   int
	}{
		"all": {quarantine.Filter{}, 4}, "limit": {quarantine.Filter{Limit: 2}, 2}, "reason": {quarantine.Filter{Reason: "malformed"}, 1},
		"source": {quarantine.Filter{Source: "stripe"}, 3}, "status": {quarantine.Filter{Status: quarantine.Resolved}, 0},
		"since": {quarantine.Filter{Since: seen.Add(2 * time.Second)}, 3}, "none": {quarantine.Filter{IDs: []int64{}}, 0},
		"several": {quarantine.Filter{Source: "stripe", Reason: "malformed"}, 0},
	} {
		list, err := s.List(t.Context(), c.filter)
		require.NoError(t, err)
		require.Len(t, list, c.want, name)
	}
	list, err := s.List(t.Context(), quarantine.Filter{})
	require.NoError(t, err)
	require.Equal(t, "malformed", list[0].Reason, "the last seen comes first")

	_, err = s.List(t.Context(), quarantine.Filter{Status: "gone"})
	require.True(t, fault.IsPermanent(err))
	_, err = s.Show(t.Context(), 4711)
	require.EqualError(t, err, "the quarantine has no record 4711: `throughline quarantine list --status all` shows what it has")
	require.True(t, fault.IsPermanent(err))

	stats, err := s.Stats(t.Context(), time.Minute, 0)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"unresolved_account": 3, "malformed": 1}, stats.Open)
	require.True(t, seen.Equal(stats.Oldest))
	stats, err = s.Stats(t.Context(), time.Minute, 2)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"unresolved_account": 2, "malformed": 1}, stats.Open, "up to two")
}

func TestReleaseAndDiscard(t *testing.T) {
	t.Parallel()
	s, pool := newStore(t)
	garbage := quarantine.Letter{DeadLetter: event.DeadLetter{Value: []byte("?"), Topic: "account-events.dlq", Reason: "malformed"}}
	put(t, s, letter(1, 1), letter(2, 2), letter(3, 3), garbage)
	list, err := s.List(t.Context(), quarantine.Filter{Source: "stripe"})
	require.NoError(t, err)
	one, two, three := list[2].ID, list[1].ID, list[0].ID
	setStatus(t, pool, three, quarantine.Resolved)

	counts, err := s.Release(t.Context(), quarantine.Filter{}, "ada", "", true)
	require.NoError(t, err)
	require.Equal(t, quarantine.Counts{Matched: 4, Changed: 2, Skipped: 1, Impossible: 1}, counts)
	require.Equal(t, quarantine.Open, show(t, s, one).Status, "a dry run changes nothing")

	discarded, err := s.Discard(t.Context(), []int64{one, three, 4711}, "ada", "a test")
	require.NoError(t, err)
	require.Equal(t, quarantine.Counts{Matched: 2, Changed: 1, Skipped: 1}, discarded)
	counts, err = s.Release(t.Context(), quarantine.Filter{}, "bob", "mended", false)
	require.NoError(t, err)
	require.Equal(t, quarantine.Counts{Matched: 4, Changed: 1, Skipped: 2, Impossible: 1}, counts)
	require.Equal(t, quarantine.Replaying, show(t, s, two).Status)

	counts, err = s.Release(t.Context(), quarantine.Filter{IDs: []int64{one}}, "bob", "after all", false)
	require.NoError(t, err)
	require.Equal(t, 1, counts.Changed, "whoever names a discarded record means it")
	got := show(t, s, one)
	require.Equal(t, "bob", got.StatusBy)
	require.Len(t, got.Decisions, 2)
	require.Equal(t, quarantine.Decision{From: quarantine.Open, To: quarantine.Discarded, By: "ada", At: got.Decisions[0].At, Note: "a test"}, got.Decisions[0])
	require.Equal(t, quarantine.Decision{From: quarantine.Discarded, To: quarantine.Replaying, By: "bob", At: got.Decisions[1].At, Note: "after all"}, got.Decisions[1])

	_, err = s.Release(t.Context(), quarantine.Filter{}, "", "", false)
	require.ErrorContains(t, err, "somebody who makes it")
}

func TestReleaseByLink(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	waiting := put(t, s, letter(1, 1), letter(2, 2)).Waiting
	released, err := s.ReleaseByLink(t.Context(), []quarantine.Ruling{{ID: waiting[0].ID, Note: "linked"}})
	require.NoError(t, err)
	require.Equal(t, 1, released)
	released, err = s.ReleaseByLink(t.Context(), []quarantine.Ruling{{ID: waiting[0].ID, Note: "linked"}})
	require.NoError(t, err)
	require.Zero(t, released, "it is on its way already")
	require.Len(t, show(t, s, waiting[0].ID).Decisions, 1)
	gone := put(t, s, letter(3, 3)).Waiting[0].ID
	_, err = s.Discard(t.Context(), []int64{gone}, "ada", "a test")
	require.NoError(t, err)
	released, err = s.ReleaseByLink(t.Context(), []quarantine.Ruling{{ID: gone, Note: "linked"}})
	require.NoError(t, err)
	require.Zero(t, released, "a person decided")
	require.Equal(t, quarantine.Discarded, show(t, s, gone).Status)

	page, err := s.WaitingPage(t.Context(), 0, 10)
	require.NoError(t, err)
	require.Equal(t, waiting[1:], page)
	ids, err := s.WaitingIDs(t.Context(), []string{"stripe:customer:cus_1", "stripe:customer:cus_2"})
	require.NoError(t, err)
	page, err = s.WaitingAmong(t.Context(), ids)
	require.NoError(t, err)
	require.Equal(t, waiting[1:], page)
	ids, err = s.WaitingIDs(t.Context(), []string{"stripe:customer:cus_9"})
	require.NoError(t, err)
	require.Empty(t, ids)

	ids, err = s.ReleasingIDs(t.Context(), []string{"stripe:customer:cus_0", "stripe:customer:cus_1", "stripe:customer:cus_2"})
	require.NoError(t, err)
	require.Equal(t, []int64{waiting[0].ID}, ids, "one is on its way")

	unsettled, err := s.Unsettled(t.Context(), []int64{gone, waiting[1].ID, waiting[0].ID, 1 << 40})
	require.NoError(t, err)
	require.Equal(t, []int64{waiting[0].ID, waiting[1].ID}, unsettled, "one is on its way, one waits")
}

func TestPublish(t *testing.T) {
	t.Parallel()
	s, pool := newStore(t)
	sink := letter(3, 3)
	sink.Topic = "account-events"
	ids := []int64{}
	for _, w := range put(t, s, letter(1, 1), letter(2, 2), sink).Waiting {
		ids = append(ids, w.ID)
	}
	_, err := s.Release(t.Context(), quarantine.Filter{IDs: ids}, "ada", "", false)
	require.NoError(t, err)

	var busy quarantine.PublishResult
	result, err := s.Publish(t.Context(), 0, func(ctx context.Context, page []quarantine.Replay) []error {
		require.Len(t, page, 3)
		require.Equal(t, []string{"raw.stripe", "raw.stripe", "raw.stripe"}, []string{page[0].Topic, page[1].Topic, page[2].Topic})
		require.Equal(t, letter(1, 1).Value, page[0].Value)
		require.Equal(t, "ada", page[0].By)
		busy, err = s.Publish(ctx, 0, func(context.Context, []quarantine.Replay) []error { panic("somebody is at it") })
		return []error{nil, fault.Transient(fault.Unavailable, errors.New("down")), fault.Permanent(fault.Oversized, errors.New("too large"))}
	})
	require.NoError(t, err)
	require.Zero(t, busy.Last)
	require.Equal(t, []int{1, 1, 1}, []int{len(result.Published), result.Failed, result.Refused})
	require.EqualError(t, result.Err, "down")
	require.NotNil(t, show(t, s, ids[0]).PublishedAt)
	require.Nil(t, show(t, s, ids[1]).PublishedAt)
	refused := show(t, s, ids[2])
	require.Equal(t, []any{quarantine.Open, "oversized", "too large"}, []any{refused.Status, refused.Reason, refused.Error})
	require.Equal(t, quarantine.Open, refused.Decisions[1].To)

	again, err := s.Publish(t.Context(), 0, func(_ context.Context, page []quarantine.Replay) []error {
		require.Len(t, page, 1)
		return []error{nil}
	})
	require.NoError(t, err)
	require.Len(t, again.Published, 1)

	stuck, err := s.Republish(t.Context(), time.Now().Add(-time.Hour))
	require.NoError(t, err)
	require.Zero(t, stuck)
	_, err = pool.Exec(t.Context(), "UPDATE quarantine_outbox SET published_at = now() - interval '2 hours'")
	require.NoError(t, err)
	stats, err := s.Stats(t.Context(), time.Hour, 0)
	require.NoError(t, err)
	require.Equal(t, []int{2, 2}, []int{stats.Replaying, stats.Stuck})
	// The sink of an older program, which does not know the outbox.
	_, err = pool.Exec(t.Context(), "UPDATE quarantine SET status = 'resolved', outcome = 'inserted', published_at = now() WHERE id = $1", ids[1])
	require.NoError(t, err)
	stuck, err = s.Republish(t.Context(), time.Now().Add(-time.Hour))
	require.NoError(t, err)
	require.Equal(t, 1, stuck, "what arrived or is open again stays as it is")
	require.Nil(t, show(t, s, ids[0]).PublishedAt)
	require.NotNil(t, show(t, s, ids[1]).PublishedAt)
}

// TestPublishedButNotMarked is a crash between the brokers' acknowledgement and the commit.
func TestPublishedButNotMarked(t *testing.T) {
	t.Parallel()
	s, pool := newStore(t)
	put(t, s, letter(1, 1))
	_, err := s.Release(t.Context(), quarantine.Filter{}, "ada", "", false)
	require.NoError(t, err)
	ctx, crash := context.WithCancel(t.Context())
	_, err = s.Publish(ctx, 0, func(context.Context, []quarantine.Replay) []error {
		crash()
		return []error{nil}
	})
	require.Error(t, err)
	require.False(t, fault.IsPermanent(err))
	again, err := s.Publish(t.Context(), 0, acknowledge)
	require.NoError(t, err)
	require.Empty(t, again.Published, "whoever had the page may be at it still")
	_, err = pool.Exec(t.Context(), "UPDATE quarantine_outbox_lease SET until = until - interval '20 seconds'")
	require.NoError(t, err)
	again, err = s.Publish(t.Context(), 0, acknowledge)
	require.NoError(t, err)
	require.Len(t, again.Published, 1, "it is published once more")
}

// While a page is published nobody waits for its records: its events arrive, and one of them is taken off the timeline
// again. That one is released anew, and still to be published.
func TestNoRecordIsLockedWhileItIsPublished(t *testing.T) {
	t.Parallel()
	s, pool := newStore(t)
	put(t, s, letter(1, 1), letter(2, 2), letter(3, 3))
	_, err := s.Release(t.Context(), quarantine.Filter{}, "ada", "", false)
	require.NoError(t, err)
	r := &released{s, pool}
	_, err = s.Publish(t.Context(), 0, func(ctx context.Context, page []quarantine.Replay) []error {
		r.arrive(t, page[0].ID, letter(1, 1))
		r.arrive(t, page[1].ID, letter(2, 2))
		r.requireStatus(t, page[0].ID, quarantine.Resolved, quarantine.OutcomeInserted)
		require.NoError(t, pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "DELETE FROM account_events WHERE source_event_id = 'evt_2'"); err != nil {
				return err
			}
			return quarantine.Return(ctx, tx, catalog.Set(), []event.DeadLetter{letter(2, 2).DeadLetter, letter(3, 3).DeadLetter}, "bob", "undone")
		}))
		return []error{nil, nil, fault.Permanent(fault.Oversized, errors.New("too large"))}
	})
	require.NoError(t, err)
	var left []string
	_, err = s.Publish(t.Context(), 0, func(_ context.Context, page []quarantine.Replay) []error {
		for _, replay := range page {
			left = append(left, string(replay.Value)+replay.By)
		}
		return make([]error, len(page))
	})
	require.NoError(t, err)
	require.Equal(t, []string{`{"id": "evt_2"}bob`, `{"id": "evt_3"}bob`}, left)
}
