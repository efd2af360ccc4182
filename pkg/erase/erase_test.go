package erase

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
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
	for _, table := range []string{"link_decisions", "link_suggestions", "learned_references", "drift_decisions", "audit_log", "replays", "saved_views"} {
		require.EqualValues(t, w.count("SELECT count(*) FROM "+table+" t WHERE t::text ILIKE '%' || $1 || '%' OR t::text ILIKE '%' || replace($1, '@', '%40') || '%'", kim), plan[table], table+": each row that has her, once")
	}
	require.EqualValues(t, 2, plan["payload_shapes"], "a sample, and a path")
	require.EqualValues(t, w.count("SELECT count(*) FROM quarantine_decisions"), plan["quarantine_decisions"], "those that go with their records, and those that are emptied")
	require.Equal(t, 18, w.count("SELECT count(*) FROM account_events"), "a plan changes nothing")

	done := w.erase(target)
	require.Equal(t, Done, done.State)
	require.Empty(t, grep(t, w.pool, kim, kimName, "lindqvist"))
	require.Equal(t, plan, done.Counts, "a dry run counts what a run does")
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
	passed, err := w.eraser.Suppressed(t.Context())
	require.NoError(t, err)
	require.Len(t, passed, 1)
	require.Equal(t, "stripe", passed[0].Source)
	require.EqualValues(t, 1, passed[0].Events)
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
	plan, _, err := w.eraser.Plan(t.Context(), Target{Account: w.nimbus})
	require.NoError(t, err)
	done := w.erase(Target{Account: w.nimbus})
	require.Equal(t, plan, done.Counts, "a dry run counts what a run does")
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
	require.Equal(t, plan, done.Counts)
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

// No decision names an account that is being erased: a live account that was merged into it, or a link that was moved to it,
// would take its events along, and what was moved away would stay.
func TestNoDecisionNamesAnAccountThatIsBeingErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hers := source.Reference{Source: "stripe", Kind: "customer", ID: "cus_Nimbus77"}
	acmes := source.Reference{Source: "stripe", Kind: "customer", ID: "cus_Acme"}
	begun, err := w.eraser.Begin(t.Context(), Target{Account: w.nimbus}, "cli:ada", "")
	require.NoError(t, err)
	for name, d := range map[string]accounts.Decision{
		"merge into":  {Verb: accounts.VerbMerge, From: w.acme, To: w.nimbus},
		"merge away":  {Verb: accounts.VerbMerge, From: w.nimbus, To: w.acme},
		"link":        {Verb: accounts.VerbLink, Reference: source.Reference{Source: "stripe", Kind: "customer", ID: "cus_New"}, To: w.nimbus},
		"relink to":   {Verb: accounts.VerbRelink, Reference: acmes, To: w.nimbus},
		"relink away": {Verb: accounts.VerbRelink, Reference: hers, To: w.acme},
		"unlink":      {Verb: accounts.VerbUnlink, Reference: hers},
	} {
		d.Author = "ada"
		_, err := w.store.Decide(t.Context(), d)
		require.Equal(t, fault.Conflict, fault.ReasonOf(err), "%s: %v", name, err)
	}
	_, err = w.store.AddLink(t.Context(), accounts.Link{Reference: source.Reference{Source: "stripe", Kind: "customer", ID: "cus_New"}, AccountID: w.nimbus, CreatedBy: "ada"})
	require.ErrorContains(t, err, "is being erased on request")
	learned := func(id string, to uuid.UUID) accounts.Decision {
		return accounts.Decision{Reference: source.Reference{Source: "hubspot", Kind: "contact", ID: id, Tenant: "62515"}, To: to, Learned: "rule", Level: accounts.LevelStrong, Author: "learner", Evidence: []byte("{}")}
	}
	linked, err := w.store.LinkAll(t.Context(), []accounts.Decision{learned("1", w.acme), learned("2", w.nimbus), learned("3", w.acme)})
	require.NoError(t, err)
	require.Equal(t, []accounts.LinkOutcome{accounts.LinkMade, accounts.LinkStale, accounts.LinkMade}, []accounts.LinkOutcome{linked[0].Outcome, linked[1].Outcome, linked[2].Outcome}, "the learner goes on")
	again, err := w.eraser.Begin(t.Context(), Target{Account: w.nimbus}, "cli:ada", "")
	require.NoError(t, err)
	require.Equal(t, begun.ID, again.ID, "typed once more, it goes on")
	require.NoError(t, w.eraser.Run(t.Context(), nil))
	require.Equal(t, Done, w.one(begun.ID).State)
	require.Equal(t, 7, w.count("SELECT count(*) FROM account_events WHERE account_id = $1", w.acme))
}

// Nor is an account erased while events are on their way to or from it.
func TestAnAccountIsNotErasedWhileEventsMove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.store.Decide(t.Context(), accounts.Decision{Verb: accounts.VerbRelink, Reference: source.Reference{Source: "stripe", Kind: "customer", ID: "cus_Nimbus77"}, To: w.acme, Author: "ada"})
	require.NoError(t, err)
	for _, account := range []uuid.UUID{w.nimbus, w.acme} {
		_, err = w.eraser.Begin(t.Context(), Target{Account: account}, "cli:ada", "")
		require.Equal(t, fault.Conflict, fault.ReasonOf(err), "%v", err)
		require.ErrorContains(t, err, "throughline accounts moves --resume")
	}
	w.exec("UPDATE history_moves SET finished_at = now()")
	_, err = w.eraser.Begin(t.Context(), Target{Account: w.nimbus}, "cli:ada", "")
	require.NoError(t, err)
}

// Whoever decides about an account while an erasure begins is waited for, so that what the decision moves is seen.
func TestAnErasureWaitsForADecisionUnderWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tx, err := w.pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	_, err = w.store.In(tx).Decide(t.Context(), accounts.Decision{Verb: accounts.VerbMerge, From: w.acme, To: w.nimbus, Author: "ada"})
	require.NoError(t, err)
	begun := make(chan error, 1)
	go func() {
		_, err := w.eraser.Begin(t.Context(), Target{Account: w.nimbus}, "cli:ada", "")
		begun <- err
	}()
	require.Eventually(t, func() bool {
		return w.count("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FOR UPDATE'") == 1
	}, 30*time.Second, 10*time.Millisecond, "it does not wait")
	require.NoError(t, tx.Commit(t.Context()))
	require.ErrorContains(t, <-begun, "moves of events to or from this account are not finished")
}
