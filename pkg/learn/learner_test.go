package learn_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/learn"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/source"
)

// A dispute names a charge, the charge a customer, and the customer an account's id: a
// chain of three resolves, each link rests on the next, and undoing the first takes all.
func TestAChainOfQuestions(t *testing.T) {
	t.Parallel()
	v := newVendor("stripe", 10, "dispute", "charge", "customer")
	w := newWorld(t, v)
	acme := w.account("Acme", "")
	v.says("dispute:dp_1", lead(source.LeadDeclared, "stripe", "charge", "ch_1"))
	v.says("charge:ch_1", lead(source.LeadDeclared, "stripe", "customer", "cus_1"))
	v.says("customer:cus_1", lead(source.LeadDeclared, "stripe", source.KindAccountUUID, acme.String()), person("kim@acme.example"))
	w.waits("stripe:dispute:dp_1")
	w.settle()
	for _, r := range []string{"stripe:dispute:dp_1", "stripe:charge:ch_1", "stripe:customer:cus_1"} {
		w.requireLinked(r, acme, accounts.LevelDeclared)
	}
	require.Equal(t, map[string]int{"dispute:dp_1": 1, "charge:ch_1": 1, "customer:cus_1": 1}, v.asked, "each is asked about once")

	w.settle()
	require.Equal(t, 3, v.calls, "nothing is asked again")
	_, err := w.store.Decide(t.Context(), accounts.Decision{Verb: accounts.VerbUnlink, Reference: ref(t, "stripe:customer:cus_1"), Author: "ada"})
	require.NoError(t, err)
	for _, r := range []string{"stripe:dispute:dp_1", "stripe:charge:ch_1", "stripe:customer:cus_1"} {
		w.requireUnlinked(r)
	}
	// A person took it back: it does not come again by itself.
	w.exec("UPDATE learned_references SET state = 'new', due_at = now(), asked_at = NULL")
	w.settle()
	w.requireUnlinked("stripe:customer:cus_1")
	_, why := w.state("stripe:customer:cus_1")
	require.Contains(t, why, "took the link back")
}

// What a vendor says counts when it is known, in whatever order that comes.
func TestALinkLaterLetsWhatPointsAtItFollow(t *testing.T) {
	t.Parallel()
	v := newVendor("stripe", 10, "charge")
	w := newWorld(t, v)
	acme := w.account("Acme", "")
	v.says("charge:ch_1", lead(source.LeadDeclared, "stripe", "customer", "cus_1"))
	w.waits("stripe:charge:ch_1")
	w.settle()
	w.requireUnlinked("stripe:charge:ch_1")
	w.link("stripe:customer:cus_1", acme)
	w.settle() // a learner that was just started looks at everything
	w.requireLinked("stripe:charge:ch_1", acme, accounts.LevelDeclared)
	var rests []int64
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT rests_on FROM link_decisions WHERE external_id = 'ch_1'").Scan(&rests))
	require.Len(t, rests, 1)
}

func TestGoneAndNobodyAreRemembered(t *testing.T) {
	t.Parallel()
	v := newVendor("stripe", 10, "charge", "customer")
	w := newWorld(t, v)
	v.says("charge:ch_nobody")
	w.waits("stripe:charge:ch_gone", "stripe:charge:ch_nobody")
	w.settle()
	state, _ := w.state("stripe:charge:ch_gone")
	require.Equal(t, learn.StateGone, state)
	state, why := w.state("stripe:charge:ch_nobody")
	require.Equal(t, learn.StateNobody, state)
	require.NotEmpty(t, why)
	calls := v.calls
	w.settle()
	require.Equal(t, calls, v.calls, "neither is asked about again")
	// Their time is over.
	w.exec("UPDATE learned_references SET due_at = now(), asked_at = now() - interval '30 days'")
	w.settle()
	require.Equal(t, 2, v.asked["charge:ch_gone"])
	require.Equal(t, 2, v.asked["charge:ch_nobody"])
}

// However many wait, a question is of as many as the vendor takes, and the database is
// asked by the batch.
func TestBatchesOnly(t *testing.T) {
	t.Parallel()
	v := newVendor("hubspot", 100, "contact", "company")
	w := newWorld(t, v)
	const n = 3000
	acme := w.account("Acme", "")
	w.link("hubspot/1:company:77", acme)
	for i := range n {
		v.says(fmt.Sprintf("contact:%d", 10_000+i), lead(source.LeadVendor, "hubspot", "company", "77"))
	}
	w.wait(n)
	w.queries.n = 0
	w.settle()
	var linked int
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT count(*) FROM account_links WHERE kind = 'contact' AND account_id = $1", acme).Scan(&linked))
	require.Equal(t, n, linked)
	require.LessOrEqual(t, v.calls, n/100+2, "calls")
	require.Less(t, w.queries.n, 150, "statements, of which the looks at the timeline are one for 250 references")
	t.Logf("%d references: %d calls, %d statements", n, v.calls, w.queries.n)
}

// Events that were discarded, or released, leave nothing to ask about; an event that
// comes later, or another object that points there, is asked about again.
func TestWhatNothingWaitsForIsNotAskedAbout(t *testing.T) {
	t.Parallel()
	v := newVendor("stripe", 10, "dispute", "charge", "customer")
	w := newWorld(t, v)
	acme := w.account("Acme", "")
	w.link("stripe:customer:cus_1", acme)
	for _, charge := range []string{"charge:ch_1", "charge:ch_2", "charge:ch_3"} {
		v.says(charge, lead(source.LeadDeclared, "stripe", "customer", "cus_1"))
	}
	w.waits("stripe:charge:ch_1", "stripe:charge:ch_3")
	w.waits("stripe:charge:ch_2")
	l := w.learner()
	_, err := l.Collect(t.Context())
	require.NoError(t, err)
	_, err = l.Look(t.Context())
	require.NoError(t, err)
	w.exec("UPDATE quarantine SET status = 'discarded' WHERE reference_keys @> ARRAY['stripe:charge:ch_1']")
	w.settle()
	require.Equal(t, map[string]int{"charge:ch_2": 1}, v.asked)
	w.requireLinked("stripe:charge:ch_2", acme, accounts.LevelDeclared)
	state, why := w.state("stripe:charge:ch_1")
	require.Equal(t, learn.StateNobody, state)
	require.Contains(t, why, "no event waits for it")

	w.waits("stripe:charge:ch_1")
	v.says("dispute:dp_1", lead(source.LeadDeclared, "stripe", "charge", "ch_3"))
	w.waits("stripe:dispute:dp_1")
	w.settle()
	for _, r := range []string{"stripe:charge:ch_1", "stripe:charge:ch_3", "stripe:dispute:dp_1"} {
		w.requireLinked(r, acme, accounts.LevelDeclared)
	}
}

// Whatever the statistics say, or none, what waits for a reference is found by the index
// of references, and not by reading all that is open.
func TestWhatWaitsIsFoundByItsIndex(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.wait(5000)
	plan := func() string {
		tx, err := w.pool.Begin(t.Context())
		require.NoError(t, err)
		defer func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) }()
		_, err = tx.Exec(t.Context(), learn.QuickSQL)
		require.NoError(t, err)
		none := []string{"x"}
		rows, err := tx.Query(t.Context(), "EXPLAIN "+learn.AsideSQL, []int64{1}, none, none, none, none, none)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		return strings.Join(lines, "\n")
	}
	for _, statistics := range []string{"none", "VACUUM ANALYZE quarantine"} {
		if statistics != "none" {
			w.exec(statistics)
		}
		found := plan()
		require.Contains(t, found, "Bitmap Index Scan on quarantine_states_reference_keys_idx", statistics)
		require.NotContains(t, found, "Seq Scan", statistics)
	}
}

// Two learners share the work: each object is asked about once.
func TestLearnersShareTheWork(t *testing.T) {
	t.Parallel()
	v := newVendor("hubspot", 10, "contact")
	w := newWorld(t, v)
	acme := w.account("Acme", "")
	w.link("hubspot/1:company:77", acme)
	const n = 400
	for i := range n {
		id := fmt.Sprint(10_000 + i)
		v.says("contact:"+id, lead(source.LeadVendor, "hubspot", "company", "77"))
		w.waits("hubspot/1:contact:" + id)
	}
	w.options.Batch = 50
	group, ctx := errgroup.WithContext(t.Context())
	for range 3 {
		l := w.learner()
		group.Go(func() error { return l.Settle(ctx) })
	}
	require.NoError(t, group.Wait())
	w.settle()
	for id, times := range v.asked {
		require.Equal(t, 1, times, id)
	}
	require.Len(t, v.asked, n)
	var links int
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT count(*) FROM account_links WHERE kind = 'contact'").Scan(&links))
	require.Equal(t, n, links)
}

// Whoever collects waits for nobody who changes references, and who changes several
// locks them in one order: else two wait for each other, and one loses its work.
func TestNobodyWaitsInACircle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 40
	for i := range n {
		w.waits(fmt.Sprint("stripe:charge:ch_", i), "email:kim@acme.example")
	}
	w.settle()
	tx, err := w.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(t.Context()) }()
	_, err = tx.Exec(t.Context(), "SELECT FROM learned_references FOR UPDATE")
	require.NoError(t, err)
	bounded, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = w.learner().Collect(bounded)
	require.NoError(t, err, "what is there need not be locked")
	require.NoError(t, tx.Rollback(t.Context()))

	w.exec("UPDATE learned_references SET due_at = now(), state = 'answered'")
	group, ctx := errgroup.WithContext(t.Context())
	for range 4 {
		group.Go(func() error {
			for range 15 {
				l := w.learner() // who has judged nothing yet wakes everything
				if _, err := l.Judge(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
}

// A vendor that is away holds up its own source only, says so, and loses nothing.
func TestAVendorThatIsAway(t *testing.T) {
	t.Parallel()
	away, well := newVendor("hubspot", 10, "contact"), newVendor("stripe", 10, "charge")
	w := newWorld(t, away, well)
	acme := w.account("Acme", "")
	w.link("stripe:customer:cus_1", acme)
	w.link("hubspot/1:company:7", acme)
	well.says("charge:ch_1", lead(source.LeadDeclared, "stripe", "customer", "cus_1"))
	away.says("contact:9001", lead(source.LeadVendor, "hubspot", "company", "7"))
	away.fail = func(int, string, []string) ([]source.Learned, error) {
		return nil, fault.Transient(fault.Unavailable, errors.New("503"))
	}
	w.waits("hubspot/1:contact:9001")
	w.waits("stripe:charge:ch_1")
	w.options.Every = 10 * time.Millisecond
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	l := w.learner()
	go func() { done <- l.Run(ctx) }()
	require.Eventually(t, func() bool { account, _ := w.linked("stripe:charge:ch_1"); return account == acme }, time.Minute, 10*time.Millisecond)
	require.Eventually(t, func() bool {
		status, err := learn.Status(t.Context(), w.pool)
		require.NoError(t, err)
		for _, p := range status {
			if p.Source == "hubspot" {
				return p.Error != "" && !p.FailingSince.IsZero() && p.References[learn.StateAsking] == 1
			}
		}
		return false
	}, time.Minute, 10*time.Millisecond)
	stop()
	require.NoError(t, <-done)

	away.mu.Lock()
	away.fail = nil
	away.mu.Unlock()
	w.exec("UPDATE learned_references SET due_at = now() WHERE state = 'asking'")
	w.settle()
	w.requireLinked("hubspot/1:contact:9001", acme, accounts.LevelVendor)
	status, err := learn.Status(t.Context(), w.pool)
	require.NoError(t, err)
	for _, p := range status {
		require.Empty(t, p.Error)
	}
}

// One id that the vendor chokes on costs its batch nothing.
func TestOneBadIDOfABatch(t *testing.T) {
	t.Parallel()
	v := newVendor("hubspot", 100, "contact")
	w := newWorld(t, v)
	acme := w.account("Acme", "")
	w.link("hubspot/1:company:7", acme)
	for i := range 40 {
		id := fmt.Sprint(9000 + i)
		v.says("contact:"+id, lead(source.LeadVendor, "hubspot", "company", "7"))
		w.waits("hubspot/1:contact:" + id)
	}
	v.fail = func(_ int, _ string, ids []string) ([]source.Learned, error) {
		for _, id := range ids {
			if id == "9017" {
				return nil, fault.Permanent(fault.Malformed, errors.New("the API answered 400 Bad Request"))
			}
		}
		return nil, nil
	}
	w.settle()
	state, why := w.state("hubspot/1:contact:9017")
	require.Equal(t, learn.StateNobody, state, why)
	w.requireUnlinked("hubspot/1:contact:9017")
	w.requireLinked("hubspot/1:contact:9016", acme, accounts.LevelVendor)
	w.requireLinked("hubspot/1:contact:9018", acme, accounts.LevelVendor)
}

// Answers about what was not asked, twice, about themselves, without end, or of no form
// change nothing else.
func TestAVendorThatLies(t *testing.T) {
	t.Parallel()
	v := newVendor("hubspot", 100, "contact", "company")
	w := newWorld(t, v)
	acme := w.account("Acme", "")
	w.link("hubspot/1:company:7", acme)
	next := 0
	v.fail = func(_ int, kind string, ids []string) ([]source.Learned, error) {
		var out []source.Learned
		for _, id := range ids {
			next++
			switch {
			case kind == "company": // each company is a part of another one, for ever
				out = append(out, source.Learned{ID: id, Leads: []source.Lead{lead(source.LeadDeclared, "hubspot", "company", fmt.Sprint(500_000+next))}})
			case id == "9000":
				leads := []source.Lead{lead(source.LeadDeclared, "hubspot", "contact", "9000"), lead("boss", "hubspot", "company", "7"),
					lead(source.LeadDeclared, "hubspot", "company", ""), lead(source.LeadDeclared, "hubspot", "company", "undefined"),
					lead(source.LeadPerson, "hubspot", "company", "7"), lead(source.LeadDeclared, "hubspot", "company", "8")}
				out = append(out, source.Learned{ID: id, Leads: leads, Evidence: []byte(`"no object"`), Name: "a\x00b"},
					source.Learned{ID: id, Leads: []source.Lead{lead(source.LeadDeclared, "hubspot", "company", "7")}})
			}
		}
		return append(out, source.Learned{ID: "4711", Leads: []source.Lead{lead(source.LeadDeclared, "hubspot", "company", "7")}}), nil
	}
	w.waits("hubspot/1:contact:9000")
	w.settle()
	w.requireUnlinked("hubspot/1:contact:9000")
	w.requireUnlinked("hubspot/1:contact:4711")
	var references int
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT count(*) FROM learned_references").Scan(&references))
	require.Less(t, references, 10, "a chain without an end has one here")
}

func TestAKeyIsOfOneTenant(t *testing.T) {
	t.Parallel()
	v := newVendor("hubspot", 100, "contact")
	w := newWorld(t, v)
	w.waits("hubspot/1:contact:9000")
	w.waits("hubspot/2:contact:9000")
	err := w.learner().Settle(t.Context())
	require.ErrorContains(t, err, "several tenants")
	require.Zero(t, v.calls)
	w.options.APIs[0].Tenant = "2"
	w.exec("UPDATE learned_references SET due_at = now()")
	w.settle()
	require.Equal(t, 1, v.calls)
	_, why := w.state("hubspot/1:contact:9000")
	require.Contains(t, why, "another tenant")
}

func TestBlockedReferencesAreCountedAndNeverUsed(t *testing.T) {
	t.Parallel()
	v := newVendor("intercom", 100, "external", "contact")
	w := newWorld(t, v)
	w.options.Blocked = learn.NewBlocked([]string{"qa-robot", "stripe:customer:cus_test"})
	for _, id := range []string{"undefined", "[object Object]", "000-000", "test", "QA-Robot", "anonymous", "NULL"} {
		w.waits("intercom/a1:external:" + id)
	}
	w.waits("stripe:customer:cus_test")
	w.waits("intercom/a1:external:real-7")
	blocked := 0
	w.options.Observe = func(d learn.Done) { blocked += d.Blocked }
	w.settle()
	require.Equal(t, 8, blocked)
	require.Equal(t, map[string]int{"external:real-7": 1}, v.asked)
}

// A denial is a person's decision: no rule leads there.
func TestDenialsHold(t *testing.T) {
	t.Parallel()
	v := newVendor("stripe", 10, "charge")
	w := newWorld(t, v)
	acme := w.account("Acme", "")
	w.link("stripe:customer:cus_1", acme)
	v.says("charge:ch_1", lead(source.LeadDeclared, "stripe", "customer", "cus_1"))
	_, err := w.store.Decide(t.Context(), accounts.Decision{Verb: accounts.VerbNotThisAccount, Reference: ref(t, "stripe:charge:ch_1"), From: acme, Author: "ada"})
	require.NoError(t, err)
	w.waits("stripe:charge:ch_1")
	w.settle()
	w.requireUnlinked("stripe:charge:ch_1")
	_, why := w.state("stripe:charge:ch_1")
	require.Contains(t, why, "not this account")
}

// With the rights of its role, and no others, a learner does all that it does.
func TestTheRightsOfTheRole(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	v := newVendor("stripe", 10, "dispute", "charge", "customer")
	w := newWorldAt(t, address, v)
	acme, other := w.account("Acme", "acme.com"), w.account("Other", "")
	v.says("charge:ch_1", lead(source.LeadDeclared, "stripe", "customer", "cus_1"))
	v.says("customer:cus_2", person("kim@eu.acme.com"))
	v.says("customer:cus_9", person("kim@acme.com"))
	w.link("stripe:customer:cus_1", acme)
	w.link("hubspot/1:contact:1001", acme)
	w.link("hubspot/1:contact:1002", other)
	w.waits("stripe:charge:ch_1")
	w.waits("stripe:customer:cus_2")
	w.waits("stripe:customer:cus_9")
	w.stored(acme, "hubspot", "hubspot/1:contact:1001", "contact.merged", "2026-01-02", hubspotMerge)
	w.exec("UPDATE account_links SET learned = 'learner' WHERE external_id = '1002'")
	w.exec("UPDATE link_decisions SET learned = 'learner' WHERE external_id = '1002'")
	logins := postgrestest.Logins(t, address)
	role := newWorldAt(t, logins[postgres.RoleLearner], v)
	role.settle()
	_, err := role.learner().Tidy(t.Context())
	require.NoError(t, err)
	w.requireLinked("stripe:charge:ch_1", acme, accounts.LevelDeclared)
	require.Len(t, w.suggestions(), 2)
}
