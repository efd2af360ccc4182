package quarantine_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/quarantine"
)

func acknowledge(_ context.Context, page []quarantine.Replay) []error {
	return make([]error, len(page))
}

// A decision about many records is one row, and is each one's. A record beside them has none of theirs.
func TestADecisionAboutManyIsOneRow(t *testing.T) {
	t.Parallel()
	s, pool := newStore(t)
	var letters []quarantine.Letter
	for i := range 300 {
		letters = append(letters, letter(i, int64(i)))
	}
	open := put(t, s, letters...).Open
	beside := open[100]
	var rulings []quarantine.Ruling
	for _, id := range open {
		if id != beside {
			rulings = append(rulings, quarantine.Ruling{ID: id, Note: "linked"})
		}
	}
	n, err := s.ReleaseByLink(t.Context(), rulings)
	require.NoError(t, err)
	require.Equal(t, 299, n)
	_, err = s.Publish(t.Context(), 0, acknowledge)
	require.NoError(t, err)
	var rows []postgres.Row
	var arrivals []quarantine.Arrival
	for _, id := range open {
		if id == beside {
			continue
		}
		var n int
		_, err := fmt.Sscanf(show(t, s, id).SourceEventID, "evt_%d", &n)
		require.NoError(t, err)
		a := arrival(id, letters[n])
		a.Row = len(rows)
		rows, arrivals = append(rows, row(letters[n])), append(arrivals, a)
	}
	_, err = postgres.NewWriter(pool).Upsert(t.Context(), rows, quarantine.ResolveArrivals(arrivals))
	require.NoError(t, err)
	for _, id := range []int64{open[0], open[150], open[299]} {
		d := show(t, s, id)
		require.Equal(t, quarantine.Resolved, d.Status)
		require.NotNil(t, d.PublishedAt)
		var told []string
		for _, decision := range d.Decisions {
			told = append(told, string(decision.From)+" "+string(decision.To)+" "+decision.By+" "+decision.Note)
		}
		require.Equal(t, []string{"open replaying link linked", "replaying resolved sink inserted"}, told)
	}
	require.Empty(t, show(t, s, beside).Decisions)
	var kept, listed int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM quarantine_decisions), (SELECT count(*) FROM quarantine_outbox)").Scan(&kept, &listed))
	require.Equal(t, []int{2, 0}, []int{kept, listed})
}

// A person's release of all is made page by page; the counts are of all.
func TestAReleaseOfAllIsPaged(t *testing.T) {
	t.Parallel()
	s, pool := newStore(t)
	const records = 4100
	fill(t, pool, records, "open", "{}")
	_, err := pool.Exec(t.Context(), "UPDATE quarantine SET raw = '' WHERE id % 1000 = 7; UPDATE quarantine SET status = 'discarded' WHERE id % 1000 = 8")
	require.NoError(t, err)
	want := quarantine.Counts{Matched: records, Changed: records - 10, Skipped: 5, Impossible: 5}
	for _, dry := range []bool{true, false} {
		counts, err := s.Release(t.Context(), quarantine.Filter{}, "ada", "", dry)
		require.NoError(t, err)
		require.Equal(t, want, counts)
	}
	var transactions, outbox int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(DISTINCT status_at), count(o) FROM quarantine q JOIN quarantine_outbox o ON o.quarantine_id = q.id AND o.released_at = q.status_at").Scan(&transactions, &outbox))
	require.Equal(t, []int{3, records - 10}, []int{transactions, outbox})
}

// Programs of the version before know no outbox: what they release is taken over, what they bring to an end is dropped.
func TestBesideProgramsThatKnowNoOutbox(t *testing.T) {
	t.Parallel()
	s, pool := newStore(t)
	ids := put(t, s, letter(1, 1), letter(2, 2), letter(3, 3)).Open
	r := &released{s, pool}
	_, err := s.Release(t.Context(), quarantine.Filter{IDs: ids[:2]}, "ada", "", false)
	require.NoError(t, err)
	r.exec(t, "UPDATE quarantine SET status = 'resolved', outcome = 'inserted' WHERE id = $1", ids[0])
	r.exec(t, "UPDATE quarantine SET status = 'replaying', status_at = now() WHERE id = ANY ($1)", ids[1:]) // one of them anew
	for _, want := range []int{2, 0} {
		n, err := s.Adopt(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, n)
	}
	result, err := s.Publish(t.Context(), 0, acknowledge)
	require.NoError(t, err)
	var published []int64
	for _, replay := range result.Published {
		published = append(published, replay.ID)
	}
	require.Equal(t, ids[1:], published)
	rows, err := pool.Query(t.Context(), "SELECT quarantine_id FROM quarantine_outbox ORDER BY 1")
	require.NoError(t, err)
	left, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	require.Equal(t, ids[1:], left)
}
