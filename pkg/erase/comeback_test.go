package erase

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

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
		calls := func() (n int) { // of this connection, which another transaction may have used a moment ago
			require.NoError(t, tx.QueryRow(t.Context(), "SELECT coalesce(sum(calls), 0) FROM pg_stat_xact_user_functions WHERE funcname = 'erased_address_in'").Scan(&n))
			return n
		}
		before := calls()
		imported, err := w.store.In(tx).Import(t.Context(), strings.NewReader("name\n"+names+"\n"), accounts.ImportOptions{By: "ada"})
		require.NoError(t, err)
		require.Equal(t, 3, imported.AccountsAdded)
		require.Equal(t, want, calls()-before, names)
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

// Who did something is a text like the others, unless they have signed in; it is refused once it is erased, whoever writes it.
func TestNoAuthorIsAnErasedAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.exec("UPDATE accounts SET created_by = $1 WHERE id = $2", "cli:"+kim, w.acme)
	w.exec("INSERT INTO audit_log (who, role, action, target, result, why, via) VALUES ($1, 'operator', 'x', 'y', 'done', '', 'cli')", "cli:"+kim)
	w.exec("INSERT INTO link_decisions (verb, learned, author, reason) VALUES ('merge', 'operator', $1, '')", kim)
	w.exec("INSERT INTO link_decisions (verb, learned, author, reason) VALUES ('merge', 'operator', 'user:bob@nimbus.example', '')")
	_, err := w.eraser.Begin(t.Context(), Target{References: []source.Reference{{Source: "email", Kind: "email", ID: kim}}}, "cli:"+kim, "")
	require.ErrorContains(t, err, "the author is kept, and holds what is to be erased: give another name with --by")
	w.erase(Target{References: []source.Reference{{Source: "email", Kind: "email", ID: kim}, {Source: "email", Kind: "email", ID: "bob@nimbus.example"}}})
	require.Empty(t, grep(t, w.pool, kim))
	require.Equal(t, 1, w.count("SELECT count(*) FROM link_decisions WHERE author = 'user:bob@nimbus.example'"), "a user of Throughline")
	require.Equal(t, 1, w.count("SELECT count(*) FROM link_decisions WHERE author ~ '^erased:[0-9a-f]{16}$'"))
	_, err = w.store.Rename(t.Context(), w.acme, "Acme Robotics", kim, "")
	require.ErrorContains(t, err, "the author (--by) holds an address that was erased on request")
	w.lifts(err)
	_, err = w.store.AddAccount(t.Context(), accounts.Account{Name: "Lee"}, kim)
	require.ErrorContains(t, err, "the author (--by) holds an address that was erased on request")
	_, err = w.store.AddAccount(t.Context(), accounts.Account{Name: "Lee"}, "user:bob@nimbus.example")
	require.NoError(t, err)
	w.exec("INSERT INTO audit_log (who, role, action, target, result, why, via) VALUES ($1, 'operator', 'x', 'y', 'done', '', 'cli')", "cli:"+kim)
	require.Empty(t, grep(t, w.pool, kim))
}

// What the database refuses to take up again is what an erasure takes out: each text that a trigger looks at has a statement.
func TestWhatIsRefusedIsTakenOut(t *testing.T) {
	t.Parallel()
	steps := map[string]string{}
	for _, table := range Tables() {
		for _, s := range table.steps {
			steps[table.Name] += s.where + "\n"
		}
	}
	rows, err := postgrestest.New(t).Query(t.Context(), `SELECT c.relname::text, split_part(encode(g.tgargs, 'escape'), '\000', 1) FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
		JOIN pg_proc p ON p.oid = g.tgfoid WHERE p.proname = 'refuse_erased'`)
	require.NoError(t, err)
	var table, column string
	n := 0
	_, err = pgx.ForEachRow(rows, []any{&table, &column}, func() error {
		n++
		require.Regexp(t, `\bt\.`+column+`\b`, steps[table], table+"."+column)
		return nil
	})
	require.NoError(t, err)
	require.Greater(t, n, 20)
}

// An id that was erased in one tenant is not linked, denied or imported for every tenant.
func TestAnIDErasedInOneTenantIsNotLinkedInAll(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	user := source.Reference{Source: "zendesk", Tenant: "12514403", Kind: "user", ID: "77001234"}
	everywhere := user
	everywhere.Tenant = ""
	_, err := w.store.Decide(t.Context(), accounts.Decision{Verb: accounts.VerbLink, Reference: everywhere, To: w.nimbus, Author: "ada", EveryTenant: true})
	require.NoError(t, err)
	done := w.erase(Target{References: []source.Reference{user}})
	require.EqualValues(t, 1, done.References)
	require.Empty(t, grep(t, w.pool, user.ID), "a link of every tenant is one of this")
	for _, verb := range []accounts.Verb{accounts.VerbLink, accounts.VerbNotThisAccount} {
		_, err = w.store.Decide(t.Context(), accounts.Decision{Verb: verb, Reference: everywhere, To: w.nimbus, From: w.nimbus, Author: "ada", EveryTenant: true})
		require.Equal(t, fault.Conflict, fault.ReasonOf(err), "%s: %v", verb, err)
		require.ErrorContains(t, err, "was erased on request, in one tenant at least")
		w.lifts(err)
	}
	_, err = w.store.Import(t.Context(), strings.NewReader("name,id,zendesk:user\nNimbus Lab,"+w.nimbus.String()+","+user.ID+"\n"), accounts.ImportOptions{By: "ada", EveryTenant: true})
	require.ErrorContains(t, err, "erased on request")
	w.lifts(err)
	require.Empty(t, grep(t, w.pool, user.ID))
	other := user
	other.Tenant = "99"
	_, err = w.store.Decide(t.Context(), accounts.Decision{Verb: accounts.VerbLink, Reference: other, To: w.nimbus, Author: "ada"})
	require.NoError(t, err, "the id of another tenant is somebody else's")
	// An account's erasure leaves alone what another account has for every tenant.
	organization := source.Reference{Source: "zendesk", Tenant: "12514403", Kind: "organization", ID: "88001234"}
	w.link(organization, w.nimbus)
	organization.Tenant = ""
	_, err = w.store.Decide(t.Context(), accounts.Decision{Verb: accounts.VerbLink, Reference: organization, To: w.acme, Author: "ada", EveryTenant: true})
	require.NoError(t, err)
	w.erase(Target{Account: w.nimbus})
	_, err = w.store.Decide(t.Context(), accounts.Decision{Verb: accounts.VerbNotThisAccount, Reference: organization, From: w.acme, Author: "ada"})
	require.NoError(t, err)
}
