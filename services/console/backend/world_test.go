package backend_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/console/backend"
)

// world is a backend on a database with two accounts.
type world struct {
	*backend.Service
	t          *testing.T
	pool       *pgxpool.Pool
	acme, beta uuid.UUID
	n          int
}

// newWorld makes one; change may be nil.
func newWorld(t *testing.T, change func(o *backend.Options)) *world {
	t.Helper()
	pool := postgrestest.New(t)
	o := backend.Options{Pool: pool, Sources: catalog.Set(), Access: access.NewStore(pool), TailEvery: 10 * time.Millisecond}
	if change != nil {
		change(&o)
	}
	w := &world{Service: backend.New(o), t: t, pool: pool}
	t.Cleanup(w.Close)
	for name, id := range map[string]*uuid.UUID{"Acme Anvils": &w.acme, "Beta Bolts": &w.beta} {
		a, err := w.CreateAccount(as(t.Context(), access.Operator), backend.NewAccount{Name: name, Domain: name[:4] + ".example", Owner: "kim@us.example"})
		require.NoError(t, err)
		*id = a.ID
	}
	return w
}

// as gives a context of somebody with a role.
func as(ctx context.Context, role access.Role) context.Context {
	return access.WithActor(ctx, access.Actor{Who: "user:" + string(role) + "@us.example", Role: role, Via: "api"})
}

func (w *world) viewer() context.Context   { return as(w.t.Context(), access.Viewer) }
func (w *world) operator() context.Context { return as(w.t.Context(), access.Operator) }
func (w *world) admin() context.Context    { return as(w.t.Context(), access.Admin) }

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// event stores one event as the sink does, n minutes after the others' first, and gives its id.
func (w *world) event(db querier, account uuid.UUID, eventType, payload string) int64 {
	w.t.Helper()
	w.n++
	var id int64
	require.NoError(w.t, db.QueryRow(w.t.Context(), `WITH e AS (
		INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
		VALUES ($1, $2, 'stripe', $3, $4::text::jsonb, now() - interval '1 day' + $5 * interval '1 minute', now()) RETURNING id
	), o AS (
		INSERT INTO account_event_origins (event_id, reference, rule, delivery, raw_topic, raw_partition, raw_offset, raw_index)
		SELECT id, 'stripe:customer:cus_1', 'links', 'webhook', 'raw.stripe', 3, 17, -1 FROM e
	) SELECT id FROM e`, account, eventType, fmt.Sprintf("evt_%d", w.n), payload, w.n).Scan(&id))
	return id
}

// quarantined puts a record into quarantine that waits for the reference.
func (w *world) quarantined(reason, customer string) int64 {
	w.t.Helper()
	w.n++
	var id int64
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), `INSERT INTO quarantine (dedup_key, reason, source, source_event_id, event_type, topic, partition, "offset", raw, "references", reference_keys, status_by)
		VALUES ($1, $2, 'stripe', $1, 'invoice.paid', 'raw.stripe', 0, $3, '{"id":1}', jsonb_build_array(jsonb_build_object('source', 'stripe', 'kind', 'customer', 'id', $4::text)),
		ARRAY['stripe:customer:' || $4], 'quarantine') RETURNING id`, fmt.Sprintf("evt_q%d", w.n), reason, w.n, customer).Scan(&id))
	return id
}

func (w *world) count(sql string, args ...any) (n int) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), sql, args...).Scan(&n))
	return n
}
