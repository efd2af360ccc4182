package postgres_test

import (
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

// incompressible is text of n bytes that Postgres cannot make shorter.
func incompressible(n int) string {
	var text strings.Builder
	for sum := sha512.Sum512(nil); text.Len() < n; sum = sha512.Sum512(sum[:]) {
		text.WriteString(hex.EncodeToString(sum[:]))
	}
	return text.String()[:n]
}

// Each failure is provoked in a real database.
func TestClassify(t *testing.T) {
	t.Parallel()
	one := func(change func(*postgres.Row)) func(*testing.T, *pgxpool.Pool, *postgres.Writer) error {
		return func(t *testing.T, _ *pgxpool.Pool, w *postgres.Writer) error {
			rows := eventRows(0, 1)
			change(&rows[0])
			_, err := w.Upsert(t.Context(), rows)
			return err
		}
	}
	tests := map[string]struct {
		provoke   func(*testing.T, *pgxpool.Pool, *postgres.Writer) error
		code      string
		permanent bool
	}{
		"NulInJSON":         {one(func(r *postgres.Row) { r.Payload = []byte(`{"a": "\u0000"}`) }), "22P05", true},
		"LoneSurrogate":     {one(func(r *postgres.Row) { r.Payload = []byte(`{"a": "\ud800"}`) }), "22P02", true},
		"NotJSON":           {one(func(r *postgres.Row) { r.Payload = []byte(`{`) }), "22P02", true},
		"NumberOutOfRange":  {one(func(r *postgres.Row) { r.Payload = []byte(`{"a": 1e200000}`) }), "22003", true},
		"NulInText":         {one(func(r *postgres.Row) { r.EventType = "a\x00b" }), "22021", true},
		"InvalidUTF8":       {one(func(r *postgres.Row) { r.EventType = "a\xffb" }), "22021", true},
		"NoPayload":         {one(func(r *postgres.Row) { r.Payload = nil }), "23502", true},
		"LongSourceEventID": {one(func(r *postgres.Row) { r.SourceEventID = incompressible(6000) }), "54000", true},
		"DeepJSON":          {one(func(r *postgres.Row) { r.Payload = []byte(strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)) }), "54001", true},
		"BadUUID": {func(t *testing.T, pool *pgxpool.Pool, _ *postgres.Writer) error {
			_, err := pool.Exec(t.Context(), "SELECT $1::text::uuid", "not-a-uuid")
			return postgres.Classify(err)
		}, "22P02", true},
		"MissingTable": {func(t *testing.T, pool *pgxpool.Pool, w *postgres.Writer) error {
			_, err := pool.Exec(t.Context(), "DROP TABLE account_events")
			require.NoError(t, err)
			_, err = w.Upsert(t.Context(), eventRows(0, 1))
			return err
		}, "42P01", false},
		"SequenceBehind": {func(t *testing.T, pool *pgxpool.Pool, w *postgres.Writer) error {
			upsert(t, w, eventRows(0, 1))
			_, err := pool.Exec(t.Context(), "ALTER SEQUENCE account_events_id_seq RESTART")
			require.NoError(t, err)
			_, err = w.Upsert(t.Context(), eventRows(1, 2))
			return err
		}, "23505", false},
		"ReadOnly": {func(t *testing.T, pool *pgxpool.Pool, _ *postgres.Writer) error {
			_, err := pool.Exec(t.Context(), "BEGIN READ ONLY; DELETE FROM accounts; COMMIT")
			return postgres.Classify(err)
		}, "25006", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := postgrestest.New(t)
			w := postgres.NewWriter(pool)
			err := tt.provoke(t, pool, w)
			var pgErr *pgconn.PgError
			require.ErrorAs(t, err, &pgErr)
			require.Equal(t, tt.code, pgErr.Code, "%v", err)
			require.Equal(t, tt.permanent, fault.IsPermanent(err))
			if tt.permanent {
				require.Equal(t, fault.Unstorable, fault.ReasonOf(err))
			} else {
				require.Equal(t, fault.Unavailable, fault.ReasonOf(err))
			}
		})
	}
	t.Run("Nil", func(t *testing.T) {
		t.Parallel()
		require.NoError(t, postgres.Classify(nil))
	})
	t.Run("NoSQLState", func(t *testing.T) {
		t.Parallel()
		require.False(t, fault.IsPermanent(postgres.Classify(errors.New("connection reset by peer"))))
	})
}
