package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// command is the command line as a process of its own, with the rights of this login.
func (p *place) command(t *testing.T, login string, args ...string) *child {
	t.Helper()
	c := newChild(t, args[0], program(t, "throughline"), "THROUGHLINE_POSTGRES_URL="+login, "THROUGHLINE_KAFKA_BROKERS="+strings.Join(p.brokers, ","), "THROUGHLINE_BY=ada")
	c.args = args
	return c
}

// ended waits for a command's end.
func (p *child) ended(t *testing.T) {
	t.Helper()
	await(t, patience, p.name+" to end", func() (bool, string) { return !p.running(), "" })
	require.NoError(t, p.process.Err(), p.died())
}

// An erasure of many events, by the login of one who may do nothing else, is killed again and again and then finished by
// `throughline erasures resume`: nothing is left of the account, each of its events is told once, and all of the others' stay.
func TestAKilledErasureIsFinished(t *testing.T) {
	t.Parallel()
	const events, name = 24_000, "Nimbus Laboratories"
	address := postgrestest.URL(t)
	eraser := postgrestest.Logins(t, address)[postgres.RoleEraser]
	p := newPlaceOn(t, streamtest.Embedded(t), address)
	nimbus, acme := p.account(name, "nimbus.example"), p.account("Acme", "acme.example")
	p.throughline("link", "stripe:cus_Nimbus77", nimbus.String())
	_, err := p.pool.Exec(t.Context(), `WITH e AS (INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
		SELECT CASE WHEN n < $3 THEN $1::uuid ELSE $2 END, 'charge.succeeded', 'stripe', 'evt_' || n, jsonb_build_object('id', 'evt_' || n, 'customer', CASE WHEN n < $3 THEN 'cus_Nimbus77' ELSE 'cus_Acme' END), now(), now()
		FROM generate_series(0, $3 + 99) AS n RETURNING id, account_id)
		INSERT INTO account_event_origins SELECT id, CASE account_id WHEN $1 THEN 'stripe:customer:cus_Nimbus77' ELSE 'stripe:customer:cus_Acme' END, 'links', 'webhook', 'raw.stripe', 0, id, -1 FROM e`, nimbus, acme, events)
	require.NoError(t, err)
	left := func() int { return p.count("SELECT count(*) FROM account_events WHERE account_id = $1", nimbus) }

	kills, before := 0, events
	c := p.command(t, eraser, "erase", nimbus.String(), "--yes", "--reason", "request 7")
	for ; kills < 3; kills++ {
		c.start()
		await(t, patience, "the erasure to get on", func() (bool, string) {
			n := left()
			return n < before && n >= 0 || !c.running(), fmt.Sprint(n)
		})
		require.Empty(t, c.died())
		c.kill()
		before = left()
		require.Positive(t, before, "it was killed half-way")
		c = p.command(t, eraser, "erasures", "resume")
	}
	c.start()
	c.ended(t)
	require.Equal(t, []string{"done"}, p.strings("SELECT state FROM erasures"))
	require.Zero(t, left())
	require.Equal(t, 100, p.onTimelines())
	require.Equal(t, 100, p.count("SELECT count(*) FROM account_event_origins"))
	require.Equal(t, events, p.count("SELECT count(DISTINCT source_event_id) FROM account_changes WHERE to_account IS NULL"))
	require.Equal(t, events, p.count("SELECT count(*) FROM account_changes"), "each is told once")
	for _, table := range postgres.Tables() {
		for _, text := range []string{name, "cus_Nimbus77", "nimbus.example"} {
			require.Zero(t, p.count("SELECT count(*) FROM "+table+" AS t WHERE strpos(to_jsonb(t)::text, $1) > 0", text), "%s in %s", text, table)
		}
	}
}

// A replay that is killed goes on where it was, and brings no row twice: what came a second time has the identity that it had.
func TestAKilledReplayGoesOn(t *testing.T) {
	t.Parallel()
	const events = 3000
	p := newPlace(t, streamtest.Embedded(t))
	startEmbedded(t, p)
	p.link("stripe:customer:cus_bad", p.account("Acme", "acme.example"))
	stripeEvent := stripeEvents(t)
	var values [][]byte
	for i := range events {
		values = append(values, []byte(stripeEvent(fmt.Sprintf("replayed-%d", i), "")))
	}
	p.publish("stripe", values...)
	p.onTimelinesBecome(events)
	p.tap.settle(patience)
	// Half of the timeline is lost, as after a restore.
	_, err := p.pool.Exec(t.Context(), "WITH lost AS (DELETE FROM account_events WHERE id % 2 = 0 RETURNING id) DELETE FROM account_event_origins WHERE event_id IN (SELECT id FROM lost)")
	require.NoError(t, err)
	require.Less(t, p.onTimelines(), events)

	read := func() int { return p.count("SELECT coalesce(max(read), 0) FROM replays") }
	c := p.command(t, p.postgres, "replay", "--source", "stripe", "--since", "1h", "--rate", "500")
	before := 0
	for range 3 {
		c.start()
		await(t, patience, "the replay to get on", func() (bool, string) {
			n := read()
			return n > before || !c.running(), fmt.Sprint(n)
		})
		require.Empty(t, c.died())
		c.kill()
		before = read()
		require.Less(t, before, events, "it was killed half-way")
		c = p.command(t, p.postgres, "replay", "--resume", p.strings("SELECT id::text FROM replays")[0], "--rate", "500")
	}
	c.args = append(c.args[:len(c.args)-1], "0")
	c.start()
	c.ended(t)
	require.Equal(t, []string{fmt.Sprintf("%d %t", events, true)}, p.strings("SELECT read || ' ' || (finished_at IS NOT NULL) FROM replays"))
	p.onTimelinesBecome(events)
	p.tap.settle(patience)
	require.Equal(t, events, p.count("SELECT count(DISTINCT payload->>'e2e') FROM account_events"))
	require.Equal(t, events, p.count("SELECT count(*) FROM account_event_origins"))
	require.Zero(t, p.count("SELECT count(*) FROM quarantine"))
}
