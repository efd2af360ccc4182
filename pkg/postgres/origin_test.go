package postgres_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

const countOrigins = "SELECT count(*) FROM account_event_origins"

// origins gives the origin of each event, by source_event_id.
func origins(t *testing.T, pool *pgxpool.Pool) map[string]postgres.Origin {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT source_event_id, reference, rule, delivery, raw_topic, raw_partition, raw_offset, raw_index
		FROM account_events JOIN account_event_origins ON event_id = id`)
	require.NoError(t, err)
	got := map[string]postgres.Origin{}
	var id string
	var o postgres.Origin
	_, err = pgx.ForEachRow(rows, []any{&id, &o.Reference, &o.Rule, &o.Delivery, &o.RawTopic, &o.RawPartition, &o.RawOffset, &o.RawIndex}, func() error {
		got[id] = o
		return nil
	})
	require.NoError(t, err)
	return got
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	t.Run("OneForEachEvent", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		rows := eventRows(0, 50)
		rows[7].Origin = postgres.Origin{Delivery: "webhook", RawPartition: -1, RawOffset: -1, RawIndex: -1}
		rows[8].Origin = postgres.Origin{
			Reference: "hubspot/62515:contact:é\x7f", Rule: "domain", Delivery: "backfill",
			RawTopic: "raw.hubspot", RawPartition: 1<<31 - 1, RawOffset: 1<<63 - 1, RawIndex: 4999,
		}
		upsert(t, w, rows)
		got := origins(t, pool)
		require.Len(t, got, 50)
		for _, r := range rows {
			require.Equal(t, r.Origin, got[r.SourceEventID])
		}
	})
	t.Run("TheFirstStays", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		first := eventRows(0, 3)
		upsert(t, w, first)
		again := append(eventRows(0, 5), eventRows(3, 5)...)
		for i := range again {
			again[i].Origin.RawOffset = int64(100 + i)
		}
		require.Equal(t, postgres.Result{Inserted: 2, AlreadyPresent: 5}, upsert(t, w, again))
		got := origins(t, pool)
		require.Len(t, got, 5)
		require.Equal(t, first[1].Origin, got["evt_000001"])
		require.Equal(t, again[3].Origin, got["evt_000003"], "the first of the batch")
		require.Equal(t, 5, count(t, pool, countOrigins))
	})
	t.Run("TheReferencesBound", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		rows := eventRows(0, 2)
		rows[0].Origin.Reference = incompressible(postgres.MaxReferenceBytes)
		require.Equal(t, postgres.Result{Inserted: 2}, upsert(t, w, rows))
		rows = eventRows(2, 3)
		rows[0].Origin.Reference = incompressible(postgres.MaxReferenceBytes + 1)
		_, err := w.Upsert(t.Context(), rows)
		require.True(t, fault.IsPermanent(err), "%v", err)
		require.Equal(t, 2, count(t, pool, countEvents))
	})
	t.Run("TheyGoWithTheEvents", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		upsert(t, w, eventRows(0, 100))
		_, err := pool.Exec(t.Context(), "DELETE FROM account_events WHERE source_event_id < 'evt_000040'")
		require.NoError(t, err)
		require.Equal(t, 60, count(t, pool, countOrigins))
		require.Len(t, origins(t, pool), 60)
		_, err = pool.Exec(t.Context(), "TRUNCATE account_events")
		require.NoError(t, err)
		require.Zero(t, count(t, pool, countOrigins))
	})
	t.Run("ARoleThatMayOnlyDeleteEvents", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		upsert(t, w, eventRows(0, 2))
		require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			role := "eraser_" + pool.Config().ConnConfig.Database
			_, err := tx.Exec(t.Context(), strings.ReplaceAll(`CREATE ROLE eraser; GRANT DELETE, SELECT ON account_events TO eraser; SET LOCAL ROLE eraser;
				DELETE FROM account_events; RESET ROLE; DROP OWNED BY eraser; DROP ROLE eraser`, "eraser", role))
			return err
		}))
		require.Zero(t, count(t, pool, countOrigins))
	})
}

func TestAfter(t *testing.T) {
	t.Parallel()
	t.Run("ItSeesWhatIsNew", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		upsert(t, w, eventRows(2, 3))
		rows := append(eventRows(0, 4), eventRows(0, 1)...)
		var order []string
		_, err := w.Upsert(t.Context(), rows, func(ctx context.Context, tx pgx.Tx, inserted postgres.Inserted) error {
			order = append(order, "first")
			require.Equal(t, postgres.Inserted{true, true, false, true, false}, inserted)
			_, err := tx.Exec(ctx, "UPDATE account_events SET event_type = 'seen'")
			return err
		}, func(context.Context, pgx.Tx, postgres.Inserted) error {
			order = append(order, "second")
			return nil
		})
		require.NoError(t, err)
		require.Equal(t, []string{"first", "second"}, order)
		require.Equal(t, 4, count(t, pool, countEvents+" WHERE event_type = 'seen'"))
	})
	t.Run("ItsErrorUndoesTheBatchAndSaysNothingOfTheRows", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		_, err := w.Upsert(t.Context(), eventRows(0, 1), func(ctx context.Context, tx pgx.Tx, _ postgres.Inserted) error {
			_, err := tx.Exec(ctx, "SELECT 'x'::int")
			return err
		})
		require.ErrorContains(t, err, "22P02")
		require.False(t, fault.IsPermanent(err))
		require.Zero(t, count(t, pool, countEvents))
	})
}

// A batch of large payloads is more than one statement, and still one transaction.
func TestALargeBatch(t *testing.T) {
	t.Parallel()
	w, pool := newWriter(t)
	large := func(rows []postgres.Row) []postgres.Row {
		for i := range rows {
			rows[i].Payload = []byte(`{"a":"` + strings.Repeat("x", 6<<20) + `"}`)
		}
		return rows
	}
	rows := large(eventRows(0, 6))
	rows[5].Payload = []byte("{")
	_, err := w.Upsert(t.Context(), rows)
	require.True(t, fault.IsPermanent(err), "%v", err)
	require.Zero(t, count(t, pool, countEvents))
	require.Equal(t, postgres.Result{Inserted: 5}, upsert(t, w, rows[:5]))
	require.Equal(t, postgres.Result{Inserted: 1, AlreadyPresent: 5}, upsert(t, w, large(eventRows(0, 6))))
	require.Len(t, origins(t, pool), 6)
}

// One Writer serves many loops.
func TestAWriterIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	w := postgres.NewWriter(pool)
	results := make(chan postgres.Result, 8)
	for i := range 8 {
		go func() {
			result, err := w.Upsert(t.Context(), eventRows(i*50, i*50+100))
			if err != nil {
				t.Error(err)
			}
			results <- result
		}()
	}
	inserted := 0
	for range 8 {
		inserted += (<-results).Inserted
	}
	require.Equal(t, 450, inserted)
	require.Len(t, origins(t, pool), 450)
}
