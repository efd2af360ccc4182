package erase

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
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
	"github.com/throughline-dev/throughline/pkg/resolve"
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

func TestErasingAPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NotEmpty(t, grep(t, w.pool, kim))
	w.exec("UPDATE accounts SET name = 'Acme of ' || $1, owner = $1 WHERE id = $2", kim, w.acme)
	target := Target{References: []source.Reference{{Source: "email", Kind: "email", ID: kim}}}
	plan, on, err := w.eraser.Plan(t.Context(), target)
	require.NoError(t, err)
	require.EqualValues(t, 14, plan["account_events"], "11 of Nimbus and those of Acme that mention her")
	require.EqualValues(t, 2, on)
	require.Equal(t, 18, w.count("SELECT count(*) FROM account_events"), "a plan changes nothing")

	done := w.erase(target)
	require.Equal(t, Done, done.State)
	require.Empty(t, grep(t, w.pool, kim, kimName, "lindqvist"))
	for table, n := range plan {
		require.LessOrEqual(t, n, done.Counts[table]+5, table)
		require.NotZero(t, done.Counts[table], table)
	}
	require.Equal(t, 4, w.count("SELECT count(*) FROM account_events"), "Acme's others stay")
	require.Equal(t, 4, w.count("SELECT count(*) FROM account_event_origins"))
	require.Equal(t, 14, w.count("SELECT count(*) FROM account_changes WHERE to_account IS NULL AND decision_id = $1", done.DecisionID))
	require.Equal(t, 2, w.count("SELECT count(*) FROM accounts"), "the companies stay")
	require.Equal(t, 1, w.count("SELECT count(*) FROM accounts WHERE owner = '' AND name ~ '^Erased [0-9a-f]{8}$'"), "without her address")
	require.Equal(t, 2, w.count("SELECT count(*) FROM quarantine"), "Bob's, and one of Nimbus that does not name her")
	var target2, why string
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT target, why FROM audit_log WHERE action = 'erase'").Scan(&target2, &why))
	require.Equal(t, fmt.Sprintf("erasure %d: email %x", done.ID, done.Digest), target2)
	require.Contains(t, why, `"account_events":14`)

	// Nothing brings her back.
	r := resolve.Default(w.pool)
	got, err := r.Resolve(t.Context(), [][]source.Reference{
		{{Source: "stripe", Kind: "customer", ID: "cus_Acme"}, {Source: "stripe", Kind: "email", ID: kim}},
		{{Source: "stripe", Kind: "customer", ID: "cus_Acme"}, {Source: "stripe", Kind: "email", ID: "bob@nimbus.example"}},
		{{Source: "stripe", Kind: "email", ID: "bob@nimbus.example"}},
	})
	require.NoError(t, err)
	require.True(t, got[0].Erased && !got[0].Found)
	require.Equal(t, w.acme, got[1].AccountID)
	require.Equal(t, w.nimbus, got[2].AccountID)
	_, err = w.store.AddLink(t.Context(), accounts.Link{Reference: target.References[0], AccountID: w.acme, CreatedBy: "ada"})
	require.Equal(t, fault.Conflict, fault.ReasonOf(err))
	require.ErrorContains(t, err, "was erased on request")
	w.lifts(err)
	w.exec("INSERT INTO learned_references (source, kind, external_id) VALUES ('email', 'email', $1)", kim)
	put, err := quarantine.NewStore(w.pool).WithSources(catalog.Set()).Put(t.Context(), []quarantine.Letter{letter("evt_late", `{"who":"`+kimName+`"}`, source.Reference{Source: "zendesk", Kind: "email", ID: kim})})
	require.NoError(t, err)
	require.Equal(t, 1, put.Erased)
	require.Empty(t, grep(t, w.pool, kim, kimName))

	// A customer who comes back.
	found, err := w.eraser.ByReference(t.Context(), target.References[0])
	require.NoError(t, err)
	require.Len(t, found, 1)
	lifted, err := w.eraser.Lift(t.Context(), done.ID, "cli:ada", "she is back")
	require.NoError(t, err)
	require.Equal(t, Lifted, lifted.State)
	_, err = w.store.AddLink(t.Context(), accounts.Link{Reference: target.References[0], AccountID: w.acme, CreatedBy: "ada"})
	require.NoError(t, err)
	require.Equal(t, 1, w.count("SELECT count(*) FROM audit_log WHERE action = 'liftErasure'"))
}

func TestErasingAnAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old, err := w.store.AddAccount(t.Context(), accounts.Account{Name: "Nimbus of old"}, "ada")
	require.NoError(t, err)
	_, err = w.store.Decide(t.Context(), accounts.Decision{Verb: accounts.VerbMerge, From: old.ID, To: w.nimbus, Author: "ada"})
	require.NoError(t, err)
	w.exec("UPDATE history_moves SET finished_at = now()")
	done := w.erase(Target{Account: w.nimbus})
	require.Empty(t, grep(t, w.pool, "Nimbus Lab", "Nimbus of old", "cus_Nimbus77"))
	require.Equal(t, 1, w.count("SELECT count(*) FROM accounts"))
	require.Equal(t, 7, w.count("SELECT count(*) FROM account_events"), "Acme's stay, also those that mention somebody of Nimbus")
	require.EqualValues(t, 11, done.Counts["account_events"])
	for _, refs := range [][]source.Reference{
		{{Source: "stripe", Kind: "customer", ID: "cus_Nimbus77"}},
		{{Source: "hubspot", Kind: "account_uuid", ID: w.nimbus.String()}},
		{{Source: "hubspot", Kind: "account_uuid", ID: old.ID.String()}},
		{{Source: "zendesk", Kind: "email", ID: "new@nimbus.example"}},
	} {
		got, err := resolve.Default(w.pool).WithCache().Resolve(t.Context(), [][]source.Reference{refs})
		require.NoError(t, err)
		require.True(t, got[0].Erased, refs)
	}
	got, err := resolve.Default(w.pool).WithCache().Resolve(t.Context(), [][]source.Reference{{{Source: "stripe", Kind: "customer", ID: "cus_Acme"}, {Source: "stripe", Kind: "email", ID: "x@nimbus.example"}}})
	require.NoError(t, err)
	require.Equal(t, w.acme, got[0].AccountID, "what decides is Acme's")
	_, err = w.eraser.Begin(t.Context(), Target{Account: w.nimbus}, "cli:ada", "")
	require.Equal(t, fault.NotFound, fault.ReasonOf(err))
}

// lifts: the command that an error names can be typed, and lifts an erasure.
func (w *world) lifts(err error) {
	w.t.Helper()
	said := regexp.MustCompile("throughline erasures lift ([^` ]+)").FindStringSubmatch(err.Error())
	require.Len(w.t, said, 2, err.Error())
	if id, err := strconv.Atoi(said[1]); err == nil {
		require.Equal(w.t, 1, w.count("SELECT count(*) FROM erasures WHERE state = 'done' AND id = $1", id))
		return
	}
	ref, err := accounts.ParseReference(said[1], catalog.Set().Kinds)
	require.NoError(w.t, err)
	found, err := w.eraser.ByReference(w.t.Context(), ref)
	require.NoError(w.t, err)
	require.NotEmpty(w.t, found, said[1])
}

// No account takes up again what was erased: its domain, its id, a person's address in its name or as its owner.
func TestNoAccountTakesUpWhatWasErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec("UPDATE accounts SET domain = 'nimbus.example' WHERE id = $1", w.nimbus)
	w.erase(Target{Account: w.nimbus})
	w.erase(Target{References: []source.Reference{{Source: "email", Kind: "email", ID: "kim@acme.example"}}})
	for want, a := range map[string]accounts.Account{
		"the domain nimbus.example was erased on request": {Name: "Somebody", Domain: "https://www.Nimbus.example/about"},
		"account " + w.nimbus.String() + " was erased":    {ID: w.nimbus, Name: "Somebody"},
		"the name holds an address that was erased":       {Name: " Kim@Acme.example"},
		"the owner holds an address that was erased":      {Name: "Somebody", Owner: "Kim Lindqvist <KIM@acme.example>"},
	} {
		_, err := w.store.AddAccount(t.Context(), a, "ada")
		require.Equal(t, fault.Conflict, fault.ReasonOf(err), "%+v: %v", a, err)
		require.ErrorContains(t, err, want)
		w.lifts(err)
	}
	for _, name := range []string{"kim@acme.example", "Kim kim@acme.example", "mailto:KIM%40acme.example?x", "_kim@acme.example_", "(kim@acme.example)", "Bob, kim@acme.example."} {
		_, err := w.store.Rename(t.Context(), w.acme, name, "ada", "")
		require.Equal(t, fault.Conflict, fault.ReasonOf(err), "%s: %v", name, err)
		require.ErrorContains(t, err, "the name holds an address that was erased", name)
		_, err = w.store.SetOwner(t.Context(), w.acme, name)
		require.Equal(t, fault.Conflict, fault.ReasonOf(err), "%s: %v", name, err)
		require.ErrorContains(t, err, "the owner holds an address that was erased", name)
	}
	for _, name := range []string{"bokim@acme.example", "kim@acme.example.org", "kim at acme.example", "@kim"} {
		_, err := w.store.Rename(t.Context(), w.acme, name, "ada", "")
		require.NoError(t, err, name)
		_, err = w.store.SetOwner(t.Context(), w.acme, name)
		require.NoError(t, err, name)
	}
	for _, line := range []string{"Somebody,,nimbus.example", "Somebody," + w.nimbus.String() + ",", "kim@acme.example,,", "of Kim <kim@acme.example>,,", "Acme Robotics," + w.acme.String() + ",nimbus.example"} {
		_, err := w.store.Import(t.Context(), strings.NewReader("name,id,domain\n"+line+"\n"), accounts.ImportOptions{By: "ada"})
		require.ErrorContains(t, err, "was erased on request", line)
		require.ErrorContains(t, err, "line 2", line)
		w.lifts(err)
	}
	_, err := w.store.AddAccount(t.Context(), accounts.Account{Name: "Lee", Domain: "lee.example"}, "ada")
	require.NoError(t, err)
	erasures, err := w.eraser.List(t.Context(), 10)
	require.NoError(t, err)
	_, err = w.eraser.Lift(t.Context(), erasures[1].ID, "ada", "is back")
	require.NoError(t, err)
	_, err = w.store.AddAccount(t.Context(), accounts.Account{ID: w.nimbus, Name: "Nimbus", Domain: "nimbus.example"}, "ada")
	require.NoError(t, err)
}

// An import of very many accounts asks what was erased for the names in which an address may be, and for no others: to ask for
// each costs a hundred times what writing it does.
func TestAnImportAsksForAddressesOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.erase(Target{References: []source.Reference{{Source: "email", Kind: "email", ID: kim}}})
	for names, want := range map[string]int{"Anvil\nBolt\nCrane": 0, "Anvil\nbob@x.example\nCrane": 2} { // once to tell the line, once by the trigger
		tx, err := w.pool.Begin(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { _ = tx.Rollback(context.Background()) }) // without which the pool would never close after a failure
		_, err = tx.Exec(t.Context(), "SET LOCAL track_functions = 'all'")
		require.NoError(t, err)
		imported, err := w.store.In(tx).Import(t.Context(), strings.NewReader("name\n"+names+"\n"), accounts.ImportOptions{By: "ada"})
		require.NoError(t, err)
		require.Equal(t, 3, imported.AccountsAdded)
		var calls int
		require.NoError(t, tx.QueryRow(t.Context(), "SELECT coalesce(sum(calls), 0) FROM pg_stat_xact_user_functions WHERE funcname = 'erased_address_in'").Scan(&calls))
		require.Equal(t, want, calls, names)
		require.NoError(t, tx.Rollback(t.Context()))
	}
}

// What people write holds no address that was erased: it is refused. What programs write, and the audit log, loses it.
func TestNoTextTakesUpAnErasedAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.erase(Target{References: []source.Reference{{Source: "email", Kind: "email", ID: kim}}})
	text := "asked by Kim <" + strings.ToUpper(kim) + ">"
	_, err := w.store.Rename(t.Context(), w.acme, "Acme Robotics", "ada", text)
	require.Equal(t, fault.Conflict, fault.ReasonOf(err), "%v", err)
	require.ErrorContains(t, err, "the reason holds an address that was erased on request")
	_, err = quarantine.NewStore(w.pool).DiscardAll(t.Context(), quarantine.Filter{Reason: string(fault.Unresolved)}, "cli:ada", text, false)
	require.Equal(t, fault.Conflict, fault.ReasonOf(err), "%v", err)
	require.ErrorContains(t, err, "the note holds an address that was erased on request")
	for column, statement := range map[string]string{
		"link_decisions.reason":     "INSERT INTO link_decisions (verb, learned, author, reason) VALUES ('merge', 'operator', 'ada', $1)",
		"quarantine_decisions.note": "INSERT INTO quarantine_decisions (from_status, to_status, decided_by, note, quarantine_ids, first_id, last_id) VALUES ('open', 'discarded', 'ada', $1, '{1}', 1, 1)",
		"drift_decisions.note":      "INSERT INTO drift_decisions (finding_id, state, by, note) SELECT min(id), 'closed', 'ada', $1 FROM shape_findings",
		"alert_silences.comment":    "INSERT INTO alert_silences (rule, until, comment, created_by) VALUES ('gap', now(), $1, 'ada')",
		"suspect_domains.reason":    "INSERT INTO suspect_domains (domain, decision, reason) VALUES ('lee.example', 'public', $1)",
		"saved_views.name":          "INSERT INTO saved_views (owner, name, path) VALUES ('user:ada@x.example', $1, '/')",
		"saved_views.path":          "INSERT INTO saved_views (owner, name, path) VALUES ('user:ada@x.example', 'hers', '/search?words=' || replace($1, '@', '%40'))",
		"replays.reason":            "INSERT INTO replays (source, topic, since, until, places, started_by, reason) VALUES ('stripe', 'raw.stripe', now(), now(), '{}', 'ada', $1)",
		"erasures.reason":           "INSERT INTO erasures (kind, label, digest, decision_id, requested_by, reason) SELECT 'reference', 'email', '', min(id), 'ada', $1 FROM link_decisions",
	} {
		_, err := w.pool.Exec(t.Context(), statement, text)
		_, want, _ := strings.Cut(column, ".")
		require.Equal(t, want, postgres.ErasedColumn(err), "%s: %v", column, err)
		require.Equal(t, fault.Conflict, fault.ReasonOf(postgres.Classify(err)), column)
		_, err = w.pool.Exec(t.Context(), statement, "asked by Bob <bob@nimbus.example>")
		require.NoError(t, err, column)
	}
	w.exec("INSERT INTO link_decisions (verb, learned, author, reason) VALUES ('link', 'learner', 'learner', $1)", text)
	w.exec("INSERT INTO quarantine_decisions (from_status, to_status, decided_by, note, quarantine_ids, first_id, last_id) VALUES ('replaying', 'open', 'quarantine', $1, '{1}', 1, 1)", text)
	w.exec("INSERT INTO audit_log (who, role, action, target, result, why, via) VALUES ('user:ada@x.example', 'operator', 'linkReference', 'email:' || $1, 'refused', $2, 'console')", kim, text)
	require.Equal(t, 1, w.count("SELECT count(*) FROM audit_log WHERE action = 'linkReference' AND result = 'refused' AND target ~ '^erased:[0-9a-f]{64}$' AND why = '(a text with an address that was erased)'"))
	require.Empty(t, grep(t, w.pool, kim))
}

// An id is found in payloads by the index, and the source says whether it is meant.
func TestErasingAnID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.event(w.acme, "evt_x%d", 1, `{"id":"evt_x1","object":"event","created":1761955200,"livemode":true,"type":"invoice.paid","note":"cus_Nimbus77","data":{"object":{"object":"invoice","customer":"cus_Acme"}}}`, "stripe:customer:cus_Acme")
	w.event(w.acme, "evt_x%d", 2, `{"id":"evt_x2","object":"event","created":1761955200,"livemode":true,"type":"charge.succeeded","data":{"object":{"object":"charge","id":"ch_1","customer":"cus_Nimbus77"}}}`, "stripe:charge:ch_1")
	done := w.erase(Target{References: []source.Reference{{Source: "stripe", Kind: "customer", ID: "cus_Nimbus77"}}})
	require.EqualValues(t, 12, done.Counts["account_events"])
	require.Equal(t, 1, w.count("SELECT count(*) FROM account_events WHERE source_event_id = 'evt_x1'"), "an id in a note is no reference")
	require.Zero(t, w.count("SELECT count(*) FROM account_events WHERE source_event_id = 'evt_x2'"))
}

// A process that ends anywhere is followed by another one.
func TestAnInterruptedErasureGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.eraser.Begin(t.Context(), Target{References: []source.Reference{{Source: "email", Kind: "email", ID: kim}}}, "cli:ada", "mail of "+strings.ToUpper(kim))
	require.ErrorContains(t, err, "the reason is kept, and holds what is to be erased")
	_, err = w.eraser.Begin(t.Context(), Target{References: []source.Reference{{Source: "email", Kind: "email", ID: kim}}}, "cli:ada", "")
	require.NoError(t, err)
	stages := map[string]bool{}
	runs := 0
	for ; ; runs++ {
		ctx, cancel := context.WithCancel(t.Context())
		next := New(w.pool, catalog.Set())
		next.batch, next.page = 3, 4
		err := next.Run(ctx, func(_ Erasure, p Progress) {
			stages[p.Stage] = true
			cancel() // after one batch
		})
		cancel()
		if err == nil {
			break
		}
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Greater(t, runs, 5)
	require.Empty(t, grep(t, w.pool, kim, kimName))
	require.Equal(t, 14, w.count("SELECT count(*) FROM account_changes"), "each event is told once")
	require.True(t, stages[stageQuarantine] && stages[stageRest] && stages[stageEvents])
}

// A transaction that was storing an event when the erasure was written is waited for.
func TestAnErasureWaitsForWriters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tx, err := w.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = tx.Exec(t.Context(), `INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at) VALUES ($1, 'x', 'stripe', 'late', jsonb_build_object('e', $2::text), now(), now())`, w.acme, kim)
	require.NoError(t, err)
	_, err = w.eraser.Begin(t.Context(), Target{References: []source.Reference{{Source: "email", Kind: "email", ID: kim}}}, "cli:ada", "")
	require.NoError(t, err)
	waited := make(chan struct{})
	ended := make(chan error, 1)
	looks := 0
	go func() {
		ended <- w.eraser.Run(t.Context(), func(_ Erasure, p Progress) {
			if looks++; p.Stage == stageFence && looks == 2 {
				close(waited)
			}
		})
	}()
	select {
	case <-waited:
	case err := <-ended:
		require.NoError(t, errors.Join(err, errors.New("it did not wait")))
	}
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-ended)
	require.Empty(t, grep(t, w.pool, kim))
}

// What nobody could read has no references: it is found by what its bytes hold, in UTF-16 too, and only by an id of its own
// source that stands alone.
func TestWhatNobodyCouldReadIsErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	wide := func(text string) string {
		var b strings.Builder
		for _, c := range []byte(text) {
			b.WriteByte(c)
			b.WriteByte(0)
		}
		return b.String()
	}
	const user = "zendesk-user-90731"
	broken := map[string]struct {
		of, bytes string
		stays     bool
	}{
		"address":           {of: "stripe", bytes: "{\"mail\": \"" + kim + "\", cut"},
		"address, UTF-16":   {of: "stripe", bytes: "\xff\xfe" + wide(`{"mail":"`+kim+`"}`)},
		"id":                {of: "zendesk", bytes: `{"user": "` + user + `", cut`},
		"id, UTF-16":        {of: "zendesk", bytes: wide(`{"user":` + user + `}`)},
		"id behind a byte":  {of: "zendesk", bytes: "\xe9" + user},
		"id of another":     {of: "stripe", bytes: `{"user": "` + user + `", cut`, stays: true},
		"longer id":         {of: "zendesk", bytes: `{"user": "` + user + `5", cut`, stays: true},
		"id in another":     {of: "zendesk", bytes: `{"user": "a` + user + `", cut`, stays: true},
		"a longer address":  {of: "zendesk", bytes: "cut: x" + kim, stays: true},
		"nothing of anyone": {of: "zendesk", bytes: "\x00\xff{", stays: true},
	}
	i, stay := 0, []string{}
	for name, b := range broken {
		i++
		_, err := quarantine.NewStore(w.pool).WithSources(catalog.Set()).Put(t.Context(), []quarantine.Letter{{At: time.Now(),
			DeadLetter: event.DeadLetter{Value: []byte(b.bytes), Topic: "raw." + b.of, Source: b.of, Offset: int64(1000 + i), Reason: string(fault.Malformed), Error: name}}})
		require.NoError(t, err)
		if b.stays {
			stay = append(stay, name)
		}
	}
	target := Target{References: []source.Reference{{Source: "email", Kind: "email", ID: kim}, {Source: "zendesk", Kind: "user", ID: user}}}
	plan, _, err := w.eraser.Plan(t.Context(), target)
	require.NoError(t, err)
	done := w.erase(target)
	var left []string
	require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT array_agg(error ORDER BY error) FROM quarantine WHERE "offset" > 1000`).Scan(&left))
	slices.Sort(stay)
	require.Equal(t, stay, left)
	require.Equal(t, plan["quarantine"]+1, done.Counts["quarantine"], "and one by the identity of an event")
}

// Whoever erases has the rights of the role eraser and no others: each statement of an erasure is one of them.
func TestErasingWithTheRightsOfTheEraser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	logins := postgrestest.Logins(t, w.pool.Config().ConnString())
	as := func(role postgres.Role) *Eraser {
		pool, err := pgxpool.New(t.Context(), logins[role])
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		e := New(pool, catalog.Set())
		e.batch, e.page = 3, 4
		return e
	}
	person := Target{References: []source.Reference{{Source: "email", Kind: "email", ID: kim}, {Source: "stripe", Kind: "customer", ID: "cus_Nimbus77"}}}
	for _, role := range []postgres.Role{postgres.RoleOperator, postgres.RoleReader, postgres.RoleRetention} {
		_, err := as(role).Begin(t.Context(), person, "cli:ada", "")
		require.ErrorContains(t, err, "permission denied", role)
	}
	w.eraser = as(postgres.RoleEraser)
	for _, target := range []Target{person, {Account: w.nimbus}} {
		_, _, err := w.eraser.Plan(t.Context(), target)
		require.NoError(t, err)
		done := w.erase(target)
		require.Equal(t, Done, done.State)
	}
	require.Empty(t, grep(t, w.pool, kim, kimName, "Nimbus Lab", "cus_Nimbus77"))
	found, err := w.eraser.ByReference(t.Context(), person.References[0])
	require.NoError(t, err)
	require.Len(t, found, 1)
	_, err = w.eraser.Suppressed(t.Context())
	require.NoError(t, err)
	_, err = w.eraser.Lift(t.Context(), found[0].ID, "cli:ada", "")
	require.NoError(t, err)
}

// Another address that holds the erased one is somebody else's.
func TestALongerAddressIsAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, text := range []string{"x" + kim, kim + ".au", "a." + kim, kim + "s", "at " + kim + ".", "\\n" + kim + "\\n", "<" + kim + ">", "é" + kim} {
		w.event(w.acme, "evt_o%d", i, fmt.Sprintf(`{"note":"%s"}`, text), "stripe:customer:cus_Acme")
	}
	w.erase(Target{References: []source.Reference{{Source: "email", Kind: "email", ID: kim}}})
	var left string
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT string_agg(source_event_id, ' ' ORDER BY id) FROM account_events WHERE source_event_id LIKE 'evt_o%'").Scan(&left))
	require.Equal(t, "evt_o0 evt_o1 evt_o2 evt_o3", left)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	e := New(nil, catalog.Set())
	for _, target := range []Target{
		{}, {Account: uuid.New(), References: make([]source.Reference, 1)}, {References: make([]source.Reference, 51)},
		{References: []source.Reference{{Source: "domain", Kind: "domain", ID: "acme.example"}}},
	} {
		_, err := e.Begin(t.Context(), target, "ada", "")
		require.True(t, fault.IsPermanent(err), "%v", err)
	}
}
