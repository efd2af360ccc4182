package postgres_test

import (
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
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
		advice    string
	}{
		"NulInJSON":         {one(func(r *postgres.Row) { r.Payload = []byte(`{"a": "\u0000"}`) }), "22P05", true, ""},
		"LoneSurrogate":     {one(func(r *postgres.Row) { r.Payload = []byte(`{"a": "\ud800"}`) }), "22P02", true, ""},
		"NotJSON":           {one(func(r *postgres.Row) { r.Payload = []byte(`{`) }), "22P02", true, ""},
		"NumberOutOfRange":  {one(func(r *postgres.Row) { r.Payload = []byte(`{"a": 1e200000}`) }), "22003", true, ""},
		"NulInText":         {one(func(r *postgres.Row) { r.EventType = "a\x00b" }), "22021", true, ""},
		"InvalidUTF8":       {one(func(r *postgres.Row) { r.EventType = "a\xffb" }), "22021", true, ""},
		"NoPayload":         {one(func(r *postgres.Row) { r.Payload = nil }), "23502", true, ""},
		"LongSourceEventID": {one(func(r *postgres.Row) { r.SourceEventID = incompressible(6000) }), "54000", true, ""},
		"DeepJSON":          {one(func(r *postgres.Row) { r.Payload = []byte(strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)) }), "54001", true, ""},
		"BadUUID": {func(t *testing.T, pool *pgxpool.Pool, _ *postgres.Writer) error {
			_, err := pool.Exec(t.Context(), "SELECT $1::text::uuid", "not-a-uuid")
			return postgres.Classify(err)
		}, "22P02", true, ""},
		"MissingTable": {func(t *testing.T, pool *pgxpool.Pool, w *postgres.Writer) error {
			_, err := pool.Exec(t.Context(), "DROP TABLE account_events")
			require.NoError(t, err)
			_, err = w.Upsert(t.Context(), eventRows(0, 1))
			return err
		}, "42P01", false, "throughline migrate"},
		"MissingColumn": {func(t *testing.T, pool *pgxpool.Pool, w *postgres.Writer) error {
			_, err := pool.Exec(t.Context(), "ALTER TABLE account_event_origins DROP COLUMN rule")
			require.NoError(t, err)
			_, err = w.Upsert(t.Context(), eventRows(0, 1))
			return err
		}, "42703", false, "throughline migrate"},
		"MissingConstraint": {func(t *testing.T, pool *pgxpool.Pool, w *postgres.Writer) error {
			_, err := pool.Exec(t.Context(), "ALTER TABLE account_events DROP CONSTRAINT account_events_source_source_event_id_key")
			require.NoError(t, err)
			_, err = w.Upsert(t.Context(), eventRows(0, 1))
			return err
		}, "42P10", false, "throughline migrate"},
		"MissingRight": {func(t *testing.T, pool *pgxpool.Pool, _ *postgres.Writer) error {
			role := "nobody_" + pool.Config().ConnConfig.Database
			return postgres.Classify(pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error { // rolled back
				_, err := tx.Exec(t.Context(), "CREATE ROLE "+role+"; SET LOCAL ROLE "+role+"; DELETE FROM accounts")
				return err
			}))
		}, "42501", false, "grant"},
		"MissingDatabase": {func(t *testing.T, pool *pgxpool.Pool, _ *postgres.Writer) error {
			config := pool.Config().ConnConfig
			config.Database = "not_there"
			_, err := pgx.ConnectConfig(t.Context(), config)
			return postgres.Classify(err)
		}, "3D000", false, "create the database"},
		"ATriggersRefusal": {func(t *testing.T, pool *pgxpool.Pool, w *postgres.Writer) error {
			_, err := pool.Exec(t.Context(), `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not you'; END $$;
				CREATE TRIGGER refuse BEFORE INSERT ON account_events FOR EACH ROW EXECUTE FUNCTION refuse()`)
			require.NoError(t, err)
			_, err = w.Upsert(t.Context(), eventRows(0, 1))
			return err
		}, "P0001", true, "trigger"},
		"SequenceBehind": {func(t *testing.T, pool *pgxpool.Pool, w *postgres.Writer) error {
			upsert(t, w, eventRows(0, 1))
			_, err := pool.Exec(t.Context(), "ALTER SEQUENCE account_events_id_seq RESTART")
			require.NoError(t, err)
			_, err = w.Upsert(t.Context(), eventRows(1, 2))
			return err
		}, "23505", false, ""},
		"ReadOnly": {func(t *testing.T, pool *pgxpool.Pool, _ *postgres.Writer) error {
			_, err := pool.Exec(t.Context(), "BEGIN READ ONLY; DELETE FROM accounts; COMMIT")
			return postgres.Classify(err)
		}, "25006", false, "read-only"},
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
			require.Equal(t, tt.advice != "", postgres.Advice(err) != "")
			require.Contains(t, postgres.Advice(err), tt.advice)
			if tt.permanent {
				require.Equal(t, fault.Unstorable, fault.ReasonOf(err))
			} else {
				require.Equal(t, fault.Unavailable, fault.ReasonOf(err))
			}
		})
	}
	for code, advice := range map[string]string{
		"28P01": "password", "28000": "pg_hba.conf", "3F000": "throughline migrate", "53100": "disk", "58030": "log", "XX001": "log",
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			err := postgres.Classify(fmt.Errorf("doing something: %w", &pgconn.PgError{Code: code}))
			require.False(t, fault.IsPermanent(err))
			require.Contains(t, postgres.Advice(err), advice)
		})
	}
	for _, code := range []string{"57P03", "40P01", "08006", ""} {
		require.Empty(t, postgres.Advice(&pgconn.PgError{Code: code}), "%s passes by itself", code)
	}
	t.Run("Nil", func(t *testing.T) {
		t.Parallel()
		require.NoError(t, postgres.Classify(nil))
		require.Empty(t, postgres.Advice(nil))
	})
	t.Run("NoSQLState", func(t *testing.T) {
		t.Parallel()
		require.False(t, fault.IsPermanent(postgres.Classify(errors.New("connection reset by peer"))))
	})
}

// A text that holds what was erased is refused with a command that can be typed, also by a schema whose trigger does not yet
// say which erasure it is.
func TestAnErasedTextSaysHowToLift(t *testing.T) {
	t.Parallel()
	for detail, want := range map[string]string{"7": "`throughline erasures lift 7`", "": "`throughline erasures lift ID`"} {
		err := postgres.Classify(fmt.Errorf("renaming: %w", &pgconn.PgError{Code: "TL001", ColumnName: "name", Detail: detail}))
		require.Equal(t, fault.Conflict, fault.ReasonOf(err))
		require.ErrorContains(t, err, "the name holds an address that was erased on request")
		require.ErrorContains(t, err, want)
		require.Equal(t, "name", postgres.ErasedColumn(err))
	}
}
