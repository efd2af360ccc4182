package postgres_test

import (
	"crypto/sha256"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
)

// quarantined inserts a record with the given status and returns its id.
func quarantined(t *testing.T, pool *pgxpool.Pool, key, status string) int64 {
	t.Helper()
	var id int64
	require.NoError(t, pool.QueryRow(t.Context(), `INSERT INTO quarantine (dedup_key, reason, topic, partition, "offset", raw, status, status_by)
		VALUES ($1, 'unresolved_account', 'raw.stripe', 0, 0, '{}', $2, 'ada') RETURNING id`, key, status).Scan(&id))
	return id
}

// replayedRows are events of the bytes that quarantined stores.
func replayedRows(from, to int) []postgres.Row {
	rows := eventRows(from, to)
	for i := range rows {
		rows[i].RawSHA256 = sha256.Sum256([]byte("{}"))
	}
	return rows
}

type release struct{ Status, Outcome, By string }

func released(t *testing.T, pool *pgxpool.Pool, id int64) release {
	t.Helper()
	rows, err := pool.Query(t.Context(), "SELECT status, coalesce(outcome, ''), status_by FROM quarantine WHERE id = $1", id)
	require.NoError(t, err)
	got, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[release])
	require.NoError(t, err)
	return got
}

func TestUpsertReleased(t *testing.T) {
	t.Parallel()
	t.Run("TheOutcomeIsRecordedWithTheEvent", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		upsert(t, w, eventRows(1, 2))
		rows := replayedRows(0, 3)
		rows[0].QuarantineID = quarantined(t, pool, "new", "replaying")
		rows[1].QuarantineID = quarantined(t, pool, "known", "replaying")
		require.Equal(t, postgres.Result{Inserted: 2, AlreadyPresent: 1}, upsert(t, w, rows))
		require.Equal(t, release{"resolved", postgres.OutcomeInserted, "sink"}, released(t, pool, rows[0].QuarantineID))
		require.Equal(t, release{"resolved", postgres.OutcomeAlreadyPresent, "sink"}, released(t, pool, rows[1].QuarantineID))
		require.Equal(t, 2, count(t, pool, `SELECT count(*) FROM quarantine_decisions
			WHERE from_status = 'replaying' AND to_status = 'resolved' AND decided_by = 'sink' AND note <> ''`))
	})
	t.Run("ARedeliveryKeepsTheFirstOutcome", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		rows := replayedRows(0, 1)
		rows[0].QuarantineID = quarantined(t, pool, "new", "replaying")
		upsert(t, w, rows)
		require.Equal(t, postgres.Result{AlreadyPresent: 1}, upsert(t, w, rows))
		require.Equal(t, postgres.OutcomeInserted, released(t, pool, rows[0].QuarantineID).Outcome)
		require.Equal(t, 1, count(t, pool, "SELECT count(*) FROM quarantine_decisions"))
	})
	t.Run("AnUnknownQuarantineIdIsNoError", func(t *testing.T) {
		t.Parallel()
		w, _ := newWriter(t)
		rows := eventRows(0, 1)
		rows[0].QuarantineID = 404
		require.Equal(t, postgres.Result{Inserted: 1}, upsert(t, w, rows))
	})
	t.Run("AHeaderAloneClosesNothing", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		rows := eventRows(0, 1) // of other bytes, and the quarantine row is of no event
		rows[0].QuarantineID = quarantined(t, pool, "another", "replaying")
		require.Equal(t, postgres.Result{Inserted: 1}, upsert(t, w, rows))
		require.Equal(t, release{"replaying", "", "ada"}, released(t, pool, rows[0].QuarantineID))
	})
	t.Run("TheSameEventIsEnough", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		rows := eventRows(0, 1)
		rows[0].QuarantineID = quarantined(t, pool, "described", "replaying")
		_, err := pool.Exec(t.Context(), "UPDATE quarantine SET source = $1, source_event_id = $2", rows[0].Source, rows[0].SourceEventID)
		require.NoError(t, err)
		upsert(t, w, rows)
		require.Equal(t, "resolved", released(t, pool, rows[0].QuarantineID).Status)
	})
	t.Run("AFailedBatchReleasesNothing", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		rows := eventRows(0, 2)
		rows[0].QuarantineID = quarantined(t, pool, "new", "replaying")
		rows[1].Payload = []byte(`not JSON`)
		_, err := w.Upsert(t.Context(), rows)
		require.Error(t, err)
		require.Equal(t, release{"replaying", "", "ada"}, released(t, pool, rows[0].QuarantineID))
	})
}
