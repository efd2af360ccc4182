package accounts_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// world is a database with accounts, links and events.
type world struct {
	t        *testing.T
	pool     *pgxpool.Pool
	store    *accounts.Store
	resolver *resolve.Resolver
	events   int // stored so far
}

func newWorld(t *testing.T) *world {
	t.Helper()
	pool := postgrestest.New(t)
	return &world{t: t, pool: pool, store: accounts.NewStore(pool, kinds), resolver: resolve.Default(pool)}
}

func (w *world) mover() *accounts.Mover {
	return accounts.NewMover(w.pool, w.resolver, quarantine.Returning(catalog.Set())).InBatchesOf(7)
}

func (w *world) account(name, domain string) uuid.UUID {
	w.t.Helper()
	return add(w.t, w.store, name, domain).ID
}

// decide makes a decision that must be possible.
func (w *world) decide(d accounts.Decision) accounts.Effect {
	w.t.Helper()
	if d.Author == "" {
		d.Author = "ada"
	}
	effect, err := w.store.Decide(w.t.Context(), d)
	require.NoError(w.t, err)
	return effect
}

func (w *world) link(reference string, to uuid.UUID) accounts.Effect {
	w.t.Helper()
	return w.decide(accounts.Decision{Verb: accounts.VerbLink, Reference: ref(reference), To: to, EveryTenant: true})
}

// execer is a pool or a transaction.
type execer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// event stores one event, as the sink does, that found its account by this reference ("": that is not known), and
// gives its id.
func (w *world) event(db execer, account uuid.UUID, reference string) int64 {
	w.t.Helper()
	w.events++
	var id int64
	err := db.QueryRow(w.t.Context(), `WITH e AS (
		INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
		VALUES ($1, 'invoice.paid', 'stripe', $2, jsonb_build_object('id', $2::text, 'subject', 'ours', 'subject_ref', 'theirs'), '2026-01-01', '2026-01-02') RETURNING id
	), o AS (
		INSERT INTO account_event_origins (event_id, reference, rule, delivery, raw_topic, raw_partition, raw_offset, raw_index)
		SELECT id, $3, 'links', 'webhook', 'raw.stripe', 3, 17, 5 FROM e WHERE $3 <> ''
	) SELECT id FROM e`, account, fmt.Sprintf("evt_%d", w.events), reference).Scan(&id)
	require.NoError(w.t, err)
	return id
}

func (w *world) stored(n int, account uuid.UUID, reference string) {
	w.t.Helper()
	for range n {
		w.event(w.pool, account, reference)
	}
}

// run carries out all moves.
func (w *world) run() {
	w.t.Helper()
	require.NoError(w.t, w.mover().Run(w.t.Context(), nil))
}

func (w *world) count(query string, args ...any) int {
	w.t.Helper()
	var n int
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), query, args...).Scan(&n))
	return n
}

func (w *world) on(account uuid.UUID) int {
	w.t.Helper()
	return w.count("SELECT count(*) FROM account_events WHERE account_id = $1", account)
}

// returned is how many events wait in the outbox of the quarantine.
func (w *world) returned() int {
	w.t.Helper()
	return w.count("SELECT count(*) FROM quarantine q JOIN quarantine_outbox o ON o.quarantine_id = q.id AND o.released_at = q.status_at WHERE q.status = 'replaying' AND o.published_at IS NULL")
}

// whole: each event stands on exactly one timeline or in quarantine, an origin belongs to an event, and
// account_changes leads from where each event was stored to where it is.
func (w *world) whole() {
	w.t.Helper()
	require.Equal(w.t, w.events, w.count(`SELECT count(DISTINCT source_event_id) FROM
		(SELECT source_event_id FROM account_events UNION ALL SELECT source_event_id FROM quarantine WHERE status <> 'resolved') AS x`), "an event is lost")
	require.Zero(w.t, w.count("SELECT count(*) FROM account_events e JOIN quarantine q USING (source, source_event_id) WHERE q.status <> 'resolved'"), "an event stands in two places")
	require.Zero(w.t, w.count("SELECT count(*) FROM account_event_origins o WHERE NOT EXISTS (SELECT FROM account_events e WHERE e.id = o.event_id)"))
	require.Zero(w.t, w.count(`SELECT count(*) FROM account_changes c JOIN LATERAL (
		SELECT from_account FROM account_changes n WHERE n.source_event_id = c.source_event_id AND n.id > c.id ORDER BY n.id LIMIT 1) AS n ON true
		WHERE c.to_account IS DISTINCT FROM n.from_account`), "the changes of an event are no chain")
	require.Zero(w.t, w.count(`SELECT count(*) FROM (SELECT DISTINCT ON (source_event_id) source_event_id, to_account FROM account_changes ORDER BY source_event_id, id DESC) AS last
		LEFT JOIN account_events e USING (source_event_id) WHERE last.to_account IS DISTINCT FROM e.account_id`), "the last change is not where the event is")
}

// leads gives the account that the reference leads to; Nil: none.
func (w *world) leads(reference string) uuid.UUID {
	w.t.Helper()
	found, err := w.resolver.Resolve(w.t.Context(), [][]source.Reference{{ref(reference)}})
	require.NoError(w.t, err)
	return found[0].AccountID
}
