package backend_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/problem"
)

func (w *world) sources() source.Set { return catalog.Set() }

// feed asks for pages of two until there is nothing, and gives the ids and the cursor.
func (w *world) feed(cursor string) (ids []int64, next string) {
	w.t.Helper()
	for {
		page, err := w.Feed(w.viewer(), "", "", 0, backend.Paging{Cursor: cursor, Limit: 2})
		require.NoError(w.t, err)
		require.NotEmpty(w.t, page.Next)
		if cursor = page.Next; len(page.Items) == 0 {
			return ids, cursor
		}
		for _, e := range page.Items {
			ids = append(ids, e.ID)
		}
	}
}

func TestFeed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.event(w.pool, w.acme, "invoice.paid", `{}`)
	ids, cursor := w.feed("")
	require.Empty(t, ids, "it begins at the newest event")

	// A transaction that commits after one that took higher ids.
	late, err := w.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = late.Rollback(t.Context()) }()
	lower := w.event(late, w.acme, "invoice.paid", `{}`)
	var higher []int64
	for range 5 {
		higher = append(higher, w.event(w.pool, w.acme, "invoice.paid", `{}`))
	}
	require.Less(t, lower, higher[0])

	// A page ends within a look, and the late one commits before the page that follows.
	first, err := w.Feed(w.viewer(), "", "", 0, backend.Paging{Cursor: cursor, Limit: 3})
	require.NoError(t, err)
	require.Len(t, first.Items, 3)
	require.NoError(t, late.Commit(t.Context()))
	rest, next := w.feed(first.Next)
	require.ElementsMatch(t, append([]int64{lower}, higher[3:]...), rest, "each once, the late one too")

	// The same cursor gives the same, whatever happened since; an event that moves is no new one.
	again, _ := w.feed(first.Next)
	require.Equal(t, rest, again)
	_, err = w.pool.Exec(t.Context(), "UPDATE account_events SET account_id = $1", w.beta)
	require.NoError(t, err)
	ids, _ = w.feed(next)
	require.Empty(t, ids)

	// Whoever waits has it as soon as it is there.
	answer := make(chan int, 1)
	go func() {
		page, _ := w.Feed(w.viewer(), "stripe", "", 20*time.Second, backend.Paging{})
		answer <- len(page.Items)
	}()
	require.Eventually(t, func() bool { w.event(w.pool, w.acme, "invoice.paid", `{}`); return len(answer) == 1 }, 20*time.Second, 50*time.Millisecond)
	require.Positive(t, <-answer)

	_, err = w.Feed(w.viewer(), "stripe", "", 0, backend.Paging{Cursor: next})
	require.Equal(t, "cursor", problem.From(err).Field)
}

func TestTail(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.event(w.pool, w.acme, "invoice.paid", `{}`)
	one, err := w.Tail(w.viewer(), backend.TailQuery{})
	require.NoError(t, err)
	ofBeta, err := w.Tail(w.viewer(), backend.TailQuery{Account: w.beta})
	require.NoError(t, err)
	a, b := w.event(w.pool, w.acme, "invoice.paid", `{"subject": "paid"}`), w.event(w.pool, w.beta, "invoice.paid", `{}`)
	first, second := <-one, <-one
	require.Equal(t, a, first.Event.ID)
	require.Equal(t, "Acme Anvils", first.AccountName)
	require.Equal(t, "paid", first.Event.Subject)
	require.Equal(t, b, second.Event.ID)
	require.Equal(t, b, (<-ofBeta).Event.ID)

	// Another process goes on behind the first.
	other := newProcess(t, w)
	more, err := other.Tail(w.viewer(), backend.TailQuery{After: first.ID})
	require.NoError(t, err)
	require.Equal(t, b, (<-more).Event.ID)
	c := w.event(w.pool, w.acme, "invoice.paid", `{}`)
	require.Equal(t, c, (<-more).Event.ID)

	// A page that is read now goes on from its place, of one account, too.
	place, err := w.TailPlace(w.viewer())
	require.NoError(t, err)
	d := w.event(w.pool, w.acme, "invoice.paid", `{}`)
	while, end := context.WithCancel(w.viewer())
	fromPlace, err := w.Tail(while, backend.TailQuery{Account: w.acme, After: place})
	require.NoError(t, err)
	require.Equal(t, d, (<-fromPlace).Event.ID)
	end()
	for range fromPlace { // until it has ended
	}

	_, err = w.Tail(w.viewer(), backend.TailQuery{After: "nonsense"})
	require.Equal(t, "Last-Event-ID", problem.From(err).Field)
	for range 6 {
		_, err := w.Tail(w.viewer(), backend.TailQuery{})
		require.NoError(t, err)
	}
	_, err = w.Tail(w.viewer(), backend.TailQuery{})
	require.Equal(t, 503, problem.From(err).Status, "8 of one actor")
	require.Equal(t, "you have 8 live tails open: close one", problem.From(err).Detail)
}

// A reader that does not read loses events, and is told how many.
func TestTailSkips(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	slow, err := w.Tail(w.viewer(), backend.TailQuery{})
	require.NoError(t, err)
	fast, err := w.Tail(w.viewer(), backend.TailQuery{Type: "last"})
	require.NoError(t, err)
	// Whoever is told of one event has caught up: what he missed before is told without a bound so small.
	one := w.event(w.pool, w.acme, "one", `{}`)
	require.Equal(t, one, (<-slow).Event.ID)
	const n = 2000
	_, err = w.pool.Exec(t.Context(), `INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
		SELECT $1, 'many', 'stripe', 'many_' || i, '{}', now(), now() FROM generate_series(1, $2::int) AS i`, w.acme, n)
	require.NoError(t, err)
	w.event(w.pool, w.acme, "last", `{}`)
	<-fast // all was offered
	told, skipped := 0, int64(0)
	for told+int(skipped) < n+1 {
		select {
		case e := <-slow:
			if e.Skipped > 0 {
				skipped += e.Skipped
			} else {
				told++
			}
		case <-time.After(100 * time.Millisecond):
			w.event(w.pool, w.acme, "another", `{}`) // what was skipped is told with the next one
		}
	}
	require.Positive(t, skipped)
	require.Less(t, told, n)
}

func newProcess(t *testing.T, w *world) *backend.Service {
	s := backend.New(backend.Options{Pool: w.pool, Sources: w.sources(), TailEvery: 10 * time.Millisecond})
	t.Cleanup(s.Close)
	return s
}
