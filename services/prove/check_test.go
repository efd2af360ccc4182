package prove_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/services/prove"
)

func TestMain(m *testing.M) { os.Exit(postgrestest.Main(m).Run()) }

var (
	acme   = uuid.MustParse("00000000-0000-4000-8000-00000000000a")
	beta   = uuid.MustParse("00000000-0000-4000-8000-00000000000b")
	places = map[string]uuid.UUID{"acme": acme, "beta": beta, "nobody": prove.Quarantine}
	began  = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
)

// event is the i-th of the run, as its vendor sends it.
func event(i int) (sent prove.Sent, body []byte) {
	mark := fmt.Sprintf("stripe-%d", i)
	body = fmt.Appendf(nil, `{"e2e":%q,"subject":"vendor's own","amount":1%d.50,"big":12345678901234567890,"nested":[{"b":1,"a":null}]}`, mark, i)
	return prove.Sent{Mark: mark, Whose: []string{"acme", "beta", "nobody"}[i%3], Digest: prove.Digest(body), OccurredAt: began.Add(time.Duration(i) * time.Second)}, body
}

// stored is event(i) as the sink stores it.
func stored(i int) string {
	return fmt.Sprintf(`{"subject":"a line for people","e2e":"stripe-%d","subject_ref":"vendor's own","amount":1%d.5,"big":12345678901234567890,"nested":[{"a":null,"b":1}]}`, i, i)
}

// kept writes the ledger and the tables of a run of 30 events that kept the promise: the last was sent and never
// acknowledged, and is not there.
func kept(t *testing.T, pool *pgxpool.Pool) prove.Promises {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.ndjson")
	ledger, err := prove.Create(path)
	require.NoError(t, err)
	for i := range 30 {
		sent, body := event(i)
		ledger.Send(sent)
		if i == 29 {
			break
		}
		ledger.Ack(began.Add(time.Minute), sent.Mark)
		if account := places[sent.Whose]; account != prove.Quarantine {
			insert(t, pool, i, account, stored(i))
		} else {
			_, err := pool.Exec(t.Context(), `INSERT INTO quarantine (dedup_key, reason, topic, partition, "offset", raw, status_by) VALUES ($1, 'unresolved', 'raw.stripe', 0, $2, $3, '')`, sent.Mark, i, body)
			require.NoError(t, err)
		}
	}
	require.NoError(t, ledger.Close())
	promises, err := prove.Read(path)
	require.NoError(t, err)
	require.Len(t, promises, 30)
	return promises
}

func insert(t *testing.T, pool *pgxpool.Pool, i int, account uuid.UUID, payload string) {
	t.Helper()
	_, err := pool.Exec(t.Context(), `WITH row AS (
			INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
			VALUES ($1, 'invoice.paid', 'stripe', $2, $3, $4, now()) RETURNING id)
		INSERT INTO account_event_origins SELECT id, 'stripe:cus_1', 'link', 'webhook', 'raw.stripe', 0, $5, -1 FROM row`,
		account, fmt.Sprintf("evt_%d", i), payload, began.Add(time.Duration(i)*time.Second), i)
	require.NoError(t, err)
}

// TestCheckFindsWhatIsWrong breaks the promise in each way.
func TestCheckFindsWhatIsWrong(t *testing.T) {
	pool := postgrestest.New(t)
	promises := kept(t, pool)
	verdict, err := prove.Check(t.Context(), pool, promises, places)
	require.NoError(t, err)
	require.True(t, verdict.Kept(), verdict.Details())
	require.Equal(t, "0 lost, 0 doubled over 29 events", verdict.String())
	require.Equal(t, [2]int{20, 9}, [2]int{verdict.OnTimelines, verdict.Quarantined})

	for name, c := range map[string]struct {
		sql  string
		want string
	}{
		"a row is dropped":                  {"DELETE FROM account_events WHERE source_event_id = 'evt_3'", "1 lost, 0 doubled over 29 events"},
		"a record in quarantine is dropped": {"DELETE FROM quarantine WHERE dedup_key = 'stripe-2'", "1 lost, 0 doubled over 29 events"},
		"a record is resolved, but nowhere": {"UPDATE quarantine SET status = 'resolved' WHERE dedup_key = 'stripe-2'", "1 lost, 0 doubled over 29 events"},
		"a row is there twice": {`WITH row AS (INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
			SELECT account_id, event_type, source, 'other', payload, occurred_at, now() FROM account_events WHERE source_event_id = 'evt_3' RETURNING id)
			INSERT INTO account_event_origins SELECT id, '', '', '', '', 0, 0, 0 FROM row`, "0 lost, 1 doubled over 29 events"},
		"an event is on a timeline and in quarantine": {`INSERT INTO quarantine (dedup_key, reason, topic, partition, "offset", raw, status_by)
			SELECT 'both', 'unresolved', 'raw.stripe', 0, 99, convert_to(payload::text, 'UTF8'), '' FROM account_events WHERE source_event_id = 'evt_3'`,
			"0 lost, 1 doubled, 1 moved, 1 altered over 29 events"},
		"a row is on another's timeline": {"UPDATE account_events SET account_id = '" + beta.String() + "' WHERE source_event_id = 'evt_3'", "0 lost, 0 doubled, 1 moved over 29 events"},
		"what belongs to somebody waits": {"UPDATE quarantine SET raw = convert_to(replace(convert_from(raw, 'UTF8'), 'stripe-2\"', 'stripe-29\"'), 'UTF8') WHERE dedup_key = 'stripe-2'", "1 lost, 0 doubled, 1 altered over 29 events"},
		"a number is another":            {"UPDATE account_events SET payload = jsonb_set(payload, '{big}', '12345678901234567891') WHERE source_event_id = 'evt_3'", "0 lost, 0 doubled, 1 altered over 29 events"},
		"a member is gone":               {"UPDATE account_events SET payload = payload - 'nested' WHERE source_event_id = 'evt_3'", "0 lost, 0 doubled, 1 altered over 29 events"},
		"a time is another":              {"UPDATE account_events SET occurred_at = occurred_at + interval '1 microsecond' WHERE source_event_id = 'evt_3'", "0 lost, 0 doubled, 1 misdated over 29 events"},
		"a row that nobody sent":         {"UPDATE account_events SET payload = jsonb_set(payload, '{e2e}', '\"stripe-77\"') WHERE source_event_id = 'evt_3'", "1 lost, 0 doubled, 1 strangers over 29 events"},
		"a row has no origin":            {"DELETE FROM account_event_origins WHERE raw_offset = 3", "0 lost, 0 doubled, 1 orphans over 29 events"},
		"a release is under way":         {"UPDATE quarantine SET status = 'replaying' WHERE dedup_key = 'stripe-2'", "0 lost, 0 doubled, 1 unsettled over 29 events"},
	} {
		t.Run(name, func(t *testing.T) {
			tx, err := pool.Begin(t.Context())
			require.NoError(t, err)
			defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
			_, err = tx.Exec(t.Context(), c.sql)
			require.NoError(t, err)
			verdict, err := prove.Check(t.Context(), tx, promises, places)
			require.NoError(t, err)
			require.Equal(t, c.want, verdict.String(), verdict.Details())
		})
	}
}

// An event whose answer was lost may be there, once and where it belongs.
func TestCheckAllowsWhatWasNeverAcknowledged(t *testing.T) {
	pool := postgrestest.New(t)
	promises := kept(t, pool)
	tx, err := pool.BeginTx(t.Context(), pgx.TxOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(t.Context())) }()
	sent, body := event(29)
	require.Equal(t, "nobody", sent.Whose)
	_, err = tx.Exec(t.Context(), `INSERT INTO quarantine (dedup_key, reason, topic, partition, "offset", raw, status_by) VALUES ('late', 'unresolved', 'raw.stripe', 0, 29, $1, '')`, body)
	require.NoError(t, err)
	verdict, err := prove.Check(t.Context(), tx, promises, places)
	require.NoError(t, err)
	require.Equal(t, "0 lost, 0 doubled over 29 events", verdict.String(), verdict.Details())
	require.True(t, verdict.Kept())

	_, err = prove.Check(t.Context(), tx, promises, map[string]uuid.UUID{"acme": acme})
	require.ErrorContains(t, err, "which is no place")
}
