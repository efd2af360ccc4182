package erase

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

const (
	kim     = "kim.lindqvist@nimbus.example"
	kimName = "Kim Lindqvist"
)

// world is two companies: Nimbus, whose contact is Kim, and Acme, on whose timeline she is mentioned.
type world struct {
	t            *testing.T
	pool         *pgxpool.Pool
	store        *accounts.Store
	eraser       *Eraser
	nimbus, acme uuid.UUID
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, pool: postgrestest.New(t)}
	w.store = accounts.NewStore(w.pool, catalog.Set().Kinds)
	w.eraser = New(w.pool, catalog.Set())
	w.eraser.batch, w.eraser.page = 3, 4
	for _, a := range []struct {
		to           *uuid.UUID
		name, domain string
	}{{&w.nimbus, "Nimbus Lab", "nimbus.example"}, {&w.acme, "Acme", "acme.example"}} {
		made, err := w.store.AddAccount(t.Context(), accounts.Account{Name: a.name, Domain: a.domain}, "ada")
		require.NoError(t, err)
		*a.to = made.ID
	}
	w.link(source.Reference{Source: "stripe", Kind: "customer", ID: "cus_Nimbus77"}, w.nimbus)
	w.link(source.Reference{Source: "stripe", Kind: "customer", ID: "cus_Acme"}, w.acme)
	w.link(source.Reference{Source: "email", Kind: "email", ID: kim}, w.nimbus)
	for i := range 11 {
		w.event(w.nimbus, "evt_n%d", i, fmt.Sprintf(`{"id":"evt_n%d","object":"event","created":1761955200,"livemode":true,"type":"customer.updated","data":{"object":{"object":"customer","id":"cus_Nimbus77","email":"%s","name":"%s"}}}`, i, kim, kimName), "stripe:customer:cus_Nimbus77")
	}
	for i := range 7 {
		email := "bob@acme.example"
		if i%3 == 0 {
			email = strings.ToUpper(kim[:3]) + kim[3:]
		}
		w.event(w.acme, "evt_a%d", i, fmt.Sprintf(`{"id":"evt_a%d","object":"event","created":1761955200,"livemode":true,"type":"invoice.paid","data":{"object":{"object":"invoice","id":"in_%d","customer":"cus_Acme","customer_email":"%s"}}}`, i, i, email), "stripe:customer:cus_Acme")
	}
	w.everywhere()
	return w
}

func (w *world) link(r source.Reference, to uuid.UUID) {
	w.t.Helper()
	_, err := w.store.AddLink(w.t.Context(), accounts.Link{Reference: r, AccountID: to, CreatedBy: "ada", Evidence: []byte(`{"seen":"` + r.ID + `"}`)})
	require.NoError(w.t, err)
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.pool.Exec(w.t.Context(), sql, args...)
	require.NoError(w.t, err)
}

func (w *world) event(account uuid.UUID, id string, i int, payload, reference string) {
	w.t.Helper()
	w.exec(`WITH e AS (INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at) VALUES ($1, 'x', 'stripe', $2, $3, now(), now()) RETURNING id)
		INSERT INTO account_event_origins SELECT id, $4, 'links', 'webhook', 'raw.stripe', 0, 1, -1 FROM e`, account, fmt.Sprintf(id, i), payload, reference)
}

// letter makes a dead letter.
func letter(id, value string, refs ...source.Reference) quarantine.Letter {
	return quarantine.Letter{DeadLetter: event.DeadLetter{Value: []byte(value), Topic: "raw.stripe", Source: "stripe", SourceEventID: id, Type: "x", Reason: string(fault.Unresolved), References: refs}, At: time.Now()}
}

// everywhere writes Kim and Nimbus into every table that can hold them.
func (w *world) everywhere() {
	w.t.Helper()
	email := source.Reference{Source: "zendesk", Kind: "email", ID: kim}
	_, err := quarantine.NewStore(w.pool).WithSources(catalog.Set()).Put(w.t.Context(), []quarantine.Letter{
		letter("evt_q1", `{"who":"`+kimName+`"}`, email), letter("evt_q2", `{"other":"bob"}`, source.Reference{Source: "stripe", Kind: "customer", ID: "cus_Bob"}),
		letter("", "not JSON: "+strings.ToUpper(kim)), letter("evt_n3", `{"same":"`+kimName+`"}`), letter("evt_q3", `{"esc":"kim.lindqvist\u0040nimbus.example"}`),
		letter("evt_q4", `{"n":"somebody else"}`, source.Reference{Source: "stripe", Kind: "customer", ID: "cus_Nimbus77"}),
	})
	require.NoError(w.t, err)
	w.exec(`INSERT INTO quarantine_decisions (from_status, to_status, decided_by, note, quarantine_ids, first_id, last_id) VALUES ('open', 'discarded', 'ada', $1, '{1}', 1, 1)`, "asked by "+kim)
	w.exec(`INSERT INTO quarantine_decisions (quarantine_id, from_status, to_status, decided_by, note) SELECT id, 'open', 'discarded', 'ada', $1 FROM quarantine`, "for "+kim)
	w.exec(`INSERT INTO learned_references (source, kind, external_id, evidence, why) VALUES ('email', 'email', $1, '{}', ''), ('hubspot', 'contact', '4711', jsonb_build_object('email', $1::text), 'points at ' || $1)`, kim)
	w.exec(`INSERT INTO learned_leads (reference_id, origin, n, source, kind, external_id, by, field) SELECT id, 'api', 0, 'email', 'email', $1, 'person', 'email' FROM learned_references WHERE external_id = '4711'`, kim)
	w.exec(`INSERT INTO link_suggestions (source, kind, external_id, account_id, rule, level, why, evidence) VALUES ('email', 'email', $1, $2, 1, 'weak', $1, jsonb_build_object('x', $1::text)), ('hubspot', 'company', 'c9', $3, 1, 'weak', 'like ' || $1, jsonb_build_object('x', $1::text))`, kim, w.nimbus, w.acme)
	w.exec(`INSERT INTO suspect_domains (domain, accounts, examples, reason, decision) VALUES ('nimbus.example', 1, ARRAY[$1::uuid], '', 'private'), ('other.example', 2, ARRAY[$1::uuid, $2::uuid], $3, NULL)`, w.nimbus, w.acme, "seen for "+kim)
	w.exec(`INSERT INTO payload_types (source, event_type, pulled) VALUES ('stripe', 'x', false)`)
	w.exec(`INSERT INTO payload_shapes SELECT id, p, 1,0,0,0,1,0,0,1,1,now(),now(),'1s',false,0,0,'text',e FROM payload_types, (VALUES ('/a', 'evt_n3'), ('/by/' || $1, 'evt_zz')) AS v (p, e)`, kim)
	w.exec(`INSERT INTO shape_findings (source, event_type, pulled, path, change, event_id, raw_topic, raw_offset) VALUES ('stripe', 'x', false, '/a', 'new', 'evt_n3', 'raw.stripe', 5), ('stripe', 'x', false, '/by/' || $1, 'new', '', '', -1)`, kim)
	w.exec(`INSERT INTO drift_decisions (finding_id, state, by, note) SELECT id, 'closed', 'ada', 'of ' || $1 FROM shape_findings WHERE path = '/a'`, kim)
	w.exec(`INSERT INTO drift_expectations (origin, reader, path) VALUES ('statement', 'SELECT ''' || $1 || '''', '/a')`, kim)
	w.exec(`INSERT INTO pull_checkpoints (source, stream, mode, from_time, to_time, window_from, window_to) VALUES ('stripe', 'events', 'poll', now(), now(), now(), now())`)
	w.exec(`INSERT INTO pull_runs (checkpoint_id, error, started_by) SELECT id, 'GET /contacts/' || $1, 'ada' FROM pull_checkpoints`, kim)
	w.exec(`INSERT INTO reconcile_reports (source, stream, from_time, to_time, through, heals, error, started_by) VALUES ('stripe', 'events', now(), now(), now(), false, $1, 'ada')`, kim)
	w.exec(`INSERT INTO reconcile_missing SELECT id, 'contact:' || $1, 'x', now(), 'not_arrived' FROM reconcile_reports`, kim)
	w.exec(`INSERT INTO saved_views (owner, name, path) VALUES ('user:ada@x.example', 'a', '/search?q=' || $1), ('user:ada@x.example', 'of ' || $1, '/'), ('user:ada@x.example', 'others', '/search?q=bob')`, kim)
	w.exec(`INSERT INTO replays (source, topic, since, until, places, started_by, reason) VALUES ('stripe', 'raw.stripe', now(), now(), '{}', 'ada', 'for ' || $1)`, kim)
	w.exec(`INSERT INTO learning_sources (source, error) VALUES ('hubspot', $1)`, kim)
	w.exec(`INSERT INTO audit_log (who, role, action, target, result, why, via) VALUES ('user:ada@x.example', 'operator', 'linkReference', 'email:' || $1, 'done', 'for ' || $1, 'console'), ('user:ada@x.example', 'operator', 'x', $2::text, 'done', 'a word about $3', 'api')`, kim, w.nimbus.String())
	_, err = w.store.Decide(w.t.Context(), accounts.Decision{Verb: accounts.VerbNotThisAccount, Reference: source.Reference{Source: "email", Kind: "email", ID: kim}, From: w.acme, Author: "ada", Reason: "she is not " + kim})
	require.NoError(w.t, err)
}

// grep gives the rows of all tables that hold one of the texts.
func grep(t *testing.T, pool *pgxpool.Pool, texts ...string) (found []string) {
	t.Helper()
	for _, table := range postgres.Tables() {
		rows, err := pool.Query(t.Context(), fmt.Sprintf("SELECT t::text FROM %s t", table))
		require.NoError(t, err)
		all, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		rows, err = pool.Query(t.Context(), fmt.Sprintf("SELECT to_jsonb(t)::text || coalesce((SELECT string_agg(encode(decode(substr(v #>> '{}', 3), 'hex'), 'escape'), ' ') FROM jsonb_each(to_jsonb(t)) AS c (k, v) WHERE v #>> '{}' ~ '^\\\\x([0-9a-f][0-9a-f])+$'), '') FROM %s t", table))
		require.NoError(t, err)
		bytes, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		for _, row := range append(all, bytes...) {
			for _, text := range texts {
				if strings.Contains(strings.ToLower(row), strings.ToLower(text)) {
					found = append(found, table+": "+row)
				}
			}
		}
	}
	return found
}

func (w *world) erase(target Target) Erasure {
	w.t.Helper()
	made, err := w.eraser.Begin(w.t.Context(), target, "cli:ada", "asked on 2 May")
	require.NoError(w.t, err)
	require.NoError(w.t, w.eraser.Run(w.t.Context(), nil))
	return w.one(made.ID)
}

func (w *world) one(id int64) Erasure {
	w.t.Helper()
	list, err := w.eraser.List(w.t.Context(), 100)
	require.NoError(w.t, err)
	for _, e := range list {
		if e.ID == id {
			return e
		}
	}
	w.t.Fatalf("no erasure %d", id)
	return Erasure{}
}

func (w *world) count(sql string, args ...any) (n int) {
	w.t.Helper()
	require.NoError(w.t, w.pool.QueryRow(w.t.Context(), sql, args...).Scan(&n))
	return n
}
