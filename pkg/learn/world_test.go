package learn_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/learn"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

// vendor is a source whose API is played: what it says of an object is in objects.
type vendor struct {
	source.Source
	kinds []source.Learnable

	mu      sync.Mutex
	objects map[string]source.Learned // by "kind:id"
	asked   map[string]int            // by "kind:id"
	calls   int
	fail    func(call int, kind string, ids []string) ([]source.Learned, error)
}

func newVendor(name string, most int, kinds ...string) *vendor {
	src, _ := catalog.Set().Find(name)
	v := &vendor{Source: src, objects: map[string]source.Learned{}, asked: map[string]int{}}
	for _, k := range kinds {
		v.kinds = append(v.kinds, source.Learnable{Kind: k, Most: most})
	}
	return v
}

func (v *vendor) API() source.API            { return source.API{} }
func (v *vendor) Learns() []source.Learnable { return v.kinds }

// says lets the vendor know an object, which points at these leads.
func (v *vendor) says(object string, leads ...source.Lead) {
	v.mu.Lock()
	defer v.mu.Unlock()
	_, id := cut(object)
	v.objects[object] = source.Learned{ID: id, Leads: leads, Evidence: json.RawMessage(`{"from":"api"}`)}
}

func cut(object string) (kind, id string) {
	for i := range object {
		if object[i] == ':' {
			return object[:i], object[i+1:]
		}
	}
	return object, ""
}

func (v *vendor) Learn(_ context.Context, _ source.Doer, kind string, ids []string) ([]source.Learned, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.calls++
	if v.fail != nil {
		if answers, err := v.fail(v.calls, kind, ids); answers != nil || err != nil {
			return answers, err
		}
	}
	var out []source.Learned
	for _, id := range ids {
		v.asked[kind+":"+id]++
		if o, ok := v.objects[kind+":"+id]; ok {
			out = append(out, o)
		} else {
			out = append(out, source.Learned{ID: id, Gone: true})
		}
	}
	return out, nil
}

func lead(by source.LeadLevel, name, kind, id string) source.Lead {
	return source.Lead{Reference: source.Reference{Source: name, Kind: kind, ID: id}, By: by, Field: kind}
}

func person(address string) source.Lead {
	return source.Lead{Reference: source.Reference{Source: source.KindEmail, Kind: source.KindEmail, ID: address}, By: source.LeadPerson, Field: "email"}
}

// counter counts what is sent to the database.
type counter struct {
	mu sync.Mutex
	n  int
}

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	return ctx
}
func (*counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// world is a database with accounts, waiting events, and a learner.
type world struct {
	t        testing.TB
	pool     *pgxpool.Pool
	store    *accounts.Store
	resolver *resolve.Resolver
	queries  *counter
	waiting  int
	options  learn.Options
}

func newWorld(t testing.TB, vendors ...*vendor) *world {
	t.Helper()
	return newWorldAt(t, postgrestest.URL(t), vendors...)
}

// newWorldAt is of a database that is there.
func newWorldAt(t testing.TB, address string, vendors ...*vendor) *world {
	t.Helper()
	w := &world{t: t, queries: &counter{}}
	config, err := pgxpool.ParseConfig(address)
	require.NoError(t, err)
	config.ConnConfig.Tracer, config.MaxConns = w.queries, 16
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	w.pool, w.resolver = pool, resolve.Default(pool)
	w.store = accounts.NewStore(pool, catalog.Set().Kinds)
	w.options = learn.Options{Pool: pool, Sources: catalog.Set(), Resolver: w.resolver}
	for _, v := range vendors {
		w.options.APIs = append(w.options.APIs, learn.API{Learner: v})
	}
	return w
}

func (w *world) learner() *learn.Learner { return learn.New(w.options) }

// settle learns all that can be learned now.
func (w *world) settle() {
	w.t.Helper()
	require.NoError(w.t, w.learner().Settle(w.t.Context()))
}

func (w *world) account(name, domain string) uuid.UUID {
	w.t.Helper()
	a, err := w.store.AddAccount(w.t.Context(), accounts.Account{Name: name, Domain: domain}, "ada")
	require.NoError(w.t, err)
	return a.ID
}

func ref(t testing.TB, text string) source.Reference {
	t.Helper()
	r, err := accounts.ParseReference(text, catalog.Set().Kinds)
	require.NoError(t, err)
	return r
}

// link is a person's.
func (w *world) link(reference string, to uuid.UUID) int64 {
	w.t.Helper()
	effect, err := w.store.Decide(w.t.Context(), accounts.Decision{Verb: accounts.VerbLink, Reference: ref(w.t, reference), To: to, Author: "ada", EveryTenant: true})
	require.NoError(w.t, err)
	return effect.DecisionID
}

// waits puts an event with these references into quarantine.
func (w *world) waits(references ...string) {
	w.t.Helper()
	var refs []source.Reference
	for _, r := range references {
		refs = append(refs, ref(w.t, r))
	}
	list, err := json.Marshal(refs)
	require.NoError(w.t, err)
	w.waiting++
	_, err = w.pool.Exec(w.t.Context(), `INSERT INTO quarantine (dedup_key, reason, source, source_event_id, topic, partition, "offset", raw, "references", reference_keys, status_by)
		VALUES ($1, 'unresolved_account', 'x', $1, 'raw.x', 0, $2, '{}', $3::jsonb, $4, 'feed')`, fmt.Sprint("event:", w.waiting), w.waiting, string(list), resolve.Keys(refs))
	require.NoError(w.t, err)
}

// stored puts an event on an account's timeline that found it by this reference.
func (w *world) stored(account uuid.UUID, name, reference, eventType, day, payload string) {
	w.t.Helper()
	w.waiting++
	_, err := w.pool.Exec(w.t.Context(), `WITH e AS (
		INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
		VALUES ($1, $2, $3, $4, $5::jsonb, $6::timestamptz, $6::timestamptz + interval '1 second') RETURNING id)
		INSERT INTO account_event_origins (event_id, reference, rule, delivery, raw_topic, raw_partition, raw_offset, raw_index)
		SELECT id, $7, 'links', 'webhook', 'raw.x', 0, 0, -1 FROM e`, account, eventType, name, fmt.Sprint("evt_", w.waiting), payload, day, reference)
	require.NoError(w.t, err)
}

// linked gives the account and level of a reference's link; Nil: it has none.
func (w *world) linked(reference string) (uuid.UUID, accounts.Level) {
	w.t.Helper()
	r := ref(w.t, reference)
	var account uuid.UUID
	var level accounts.Level
	err := w.pool.QueryRow(w.t.Context(), `SELECT l.account_id, d.level FROM account_links l JOIN link_decisions d ON d.id = l.decision_id
		WHERE l.source = $1 AND l.tenant = $2 AND l.kind = $3 AND l.external_id = $4`, r.Source, r.Tenant, r.Kind, r.ID).Scan(&account, &level)
	if errors.Is(err, pgx.ErrNoRows) {
		return uuid.Nil, ""
	}
	require.NoError(w.t, err)
	return account, level
}

func (w *world) requireLinked(reference string, to uuid.UUID, level accounts.Level) {
	w.t.Helper()
	account, got := w.linked(reference)
	require.Equal(w.t, to, account, reference)
	require.Equal(w.t, level, got, reference)
}

func (w *world) requireUnlinked(reference string) {
	w.t.Helper()
	account, _ := w.linked(reference)
	require.Equal(w.t, uuid.Nil, account, reference)
}

// suggestions gives what is suggested, as "reference account rule".
func (w *world) suggestions() []string {
	w.t.Helper()
	list, err := learn.NewSuggestions(w.pool, w.store).List(w.t.Context(), learn.SuggestionFilter{})
	require.NoError(w.t, err)
	var out []string
	for _, s := range list {
		out = append(out, fmt.Sprintf("%s %s %d", s.Reference, s.AccountName, s.Rule))
	}
	slices.Sort(out)
	return out
}

// state gives the state of a reference, and why it is so.
func (w *world) state(reference string) (learn.State, string) {
	w.t.Helper()
	r := ref(w.t, reference)
	var state learn.State
	var why string
	err := w.pool.QueryRow(w.t.Context(), "SELECT state, why FROM learned_references WHERE source = $1 AND tenant = $2 AND kind = $3 AND external_id = $4",
		r.Source, r.Tenant, r.Kind, r.ID).Scan(&state, &why)
	require.NoError(w.t, err, reference)
	return state, why
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), sql, args...)
	require.NoError(w.t, err)
}

// wait lets an event wait for each of n contacts of HubSpot's, from 10000 on.
func (w *world) wait(n int) {
	w.t.Helper()
	w.exec(`INSERT INTO quarantine (dedup_key, reason, source, topic, partition, "offset", raw, "references", reference_keys, status_by)
		SELECT i::text, 'unresolved_account', 'hubspot', 'raw.hubspot', 0, i, '{}', jsonb_build_array(jsonb_build_object('source', 'hubspot', 'tenant', '1', 'kind', 'contact', 'id', i::text)),
		ARRAY['hubspot/1:contact:' || i], 'feed' FROM generate_series(10000, $1) AS i`, 10_000+n-1)
}
