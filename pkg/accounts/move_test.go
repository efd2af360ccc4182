package accounts_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// What a dry run says is what happens, and nothing happens on it.
func TestDryRunSaysWhatHappens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, third := w.account("A", "a.example"), w.account("B", ""), w.account("C", "third.example")
	root := w.link("stripe:customer:cus_1", a)
	w.decide(accounts.Decision{Verb: link, Reference: ref("stripe:charge:ch_1"), To: a, Learned: "learner", RestsOn: []int64{root.DecisionID}})
	w.link("hubspot:contact:901", a)
	w.link("hubspot/2:contact:901", b)
	w.link("email:email:kim@far.example", a)
	w.link("domain:domain:far.example", third)
	for reference, n := range map[string]int{
		"stripe:customer:cus_1": 30, "stripe:charge:ch_1": 5, "hubspot/1:contact:901": 9, "hubspot/3:contact:901": 4, "hubspot:contact:901": 2,
		"zendesk:email:kim@far.example": 8, "intercom:email:kim@far.example": 1, "hubspot:email:kim@a.example": 11, "stripe:account_uuid:" + a.String(): 3,
		"": 6, "stripe:customer:cus_2": 10,
	} {
		w.stored(n, a, reference)
	}
	w.stored(7, b, "hubspot/2:contact:901")
	w.link("stripe:customer:cus_2", a)
	w.stored(6, third, "zendesk:email:max@third.example")
	w.run()
	w.whole()

	for _, c := range []struct {
		name  string
		d     accounts.Decision
		moves []accounts.MoveCount
	}{
		{"LinkOfAWeakerRulesEvents", accounts.Decision{Verb: link, Reference: ref("email:email:kim@a.example"), To: b}, []accounts.MoveCount{{From: a, To: b, Events: 11}}},
		{"UnlinkWithWhatRestsOnIt", accounts.Decision{Verb: unlink, Reference: ref("stripe:customer:cus_1")}, []accounts.MoveCount{{From: a, Events: 35}}},
		{"RelinkForEveryTenant", accounts.Decision{Verb: relink, Reference: ref("hubspot:contact:901"), To: third}, []accounts.MoveCount{{From: a, To: third, Events: 15}}},
		{"UnlinkFallsBackToTheDomain", accounts.Decision{Verb: unlink, Reference: ref("email:email:kim@far.example")}, []accounts.MoveCount{{From: a, To: third, Events: 9}}},
		{"DenyAnAccountUUID", accounts.Decision{Verb: deny, Reference: ref("stripe:account_uuid:" + a.String()), From: a}, []accounts.MoveCount{{From: a, Events: 3}}},
		{"UnlinkOfADomain", accounts.Decision{Verb: unlink, Reference: ref("domain:domain:far.example")}, []accounts.MoveCount{{From: third, Events: 9}}},
		{"LinkForOneTenant", accounts.Decision{Verb: link, Reference: ref("hubspot/3:contact:901"), To: b}, []accounts.MoveCount{{From: third, To: b, Events: 4}}},
		{"Merge", accounts.Decision{Verb: merge, From: a, To: b}, []accounts.MoveCount{{From: a, To: b, Events: 16}}},
		{"Unlink", accounts.Decision{Verb: unlink, Reference: ref("stripe:customer:cus_2")}, []accounts.MoveCount{{From: b, Events: 10}}},
		{"DenyInVain", accounts.Decision{Verb: deny, Reference: ref("email:email:max@third.example"), From: b}, nil},
		{"MergeOfWhatIsDenied", accounts.Decision{Verb: merge, From: b, To: third}, []accounts.MoveCount{{From: b, To: third, Events: 28}, {From: third, Events: 6}}},
		{"NothingMoves", accounts.Decision{Verb: link, Reference: ref("stripe:customer:cus_3"), To: third}, nil},
	} {
		tables := func() (all []int) {
			for _, table := range []string{"link_decisions", "account_links", "account_link_denials", "history_moves", "account_changes"} {
				all = append(all, w.count("SELECT count(*) FROM "+table))
			}
			return all
		}
		before, on, returned := tables(), map[uuid.UUID]int{a: w.on(a), b: w.on(b), third: w.on(third)}, w.returned()
		c.d.Author, c.d.DryRun = "ada", true
		dry := w.decide(c.d)
		require.True(t, dry.Changed, c.name)
		require.Equal(t, c.moves, dry.Moves, c.name)
		require.Empty(t, dry.MoveIDs, c.name)
		require.Zero(t, dry.DecisionID)
		require.Equal(t, before, tables(), c.name)

		c.d.DryRun = false
		done := w.decide(c.d)
		require.Equal(t, dry.Moves, done.Moves, c.name)
		require.Equal(t, dry.Undone, done.Undone, c.name)
		require.Equal(t, dry.Untraced, done.Untraced, c.name)
		require.NotZero(t, done.DecisionID)
		w.run()
		w.whole()
		for _, m := range done.Moves {
			on[m.From] -= int(m.Events)
			if m.To == uuid.Nil {
				returned += int(m.Events)
			} else {
				on[m.To] += int(m.Events)
			}
		}
		for id, n := range on {
			require.Equal(t, n, w.on(id), c.name)
		}
		require.Equal(t, returned, w.returned(), c.name)
		if len(done.MoveIDs) > 0 {
			moves, err := w.store.Moves(t.Context(), accounts.MoveFilter{IDs: done.MoveIDs})
			require.NoError(t, err)
			var events, went int64
			for _, m := range moves {
				require.False(t, m.FinishedAt.IsZero())
				events, went = events+m.Events, went+m.Moved+m.Returned
			}
			require.Equal(t, events, went, c.name)
		}
	}
}

// An event that returns is the vendor's own again, with its identity, and its raw topic gets it.
func TestReturnedEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.account("A", "")
	w.link("hubspot/62515:contact:901", a)
	w.stored(1, a, "hubspot/62515:contact:901")
	w.link("stripe:customer:cus_1", a)
	plain := w.event(w.pool, a, "stripe:customer:cus_1")
	_, err := w.pool.Exec(t.Context(), `UPDATE account_events SET payload = '{"subject": "ours", "subject_ref_ref": [1.50]}' WHERE id = $1`, plain)
	require.NoError(t, err)
	w.decide(accounts.Decision{Verb: unlink, Reference: ref("stripe:customer:cus_1")})
	w.run()
	var raw string
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT convert_from(raw, 'UTF8') FROM quarantine").Scan(&raw))
	require.Equal(t, `{"subject_ref":[1.50]}`, raw)
	_, err = w.pool.Exec(t.Context(), "DELETE FROM quarantine")
	require.NoError(t, err)
	store := quarantine.NewStore(w.pool).WithSources(catalog.Set())
	before, err := store.Put(t.Context(), []quarantine.Letter{{DeadLetter: event.DeadLetter{
		Value: []byte(`{"subject": "theirs", "id": "evt_1"}`), Topic: "raw.stripe", RawIndex: -1, Reason: "malformed", Source: "stripe", SourceEventID: "evt_1",
	}, At: time.Now()}})
	require.NoError(t, err)
	_, err = store.Discard(t.Context(), before.Open, "ada", "")
	require.NoError(t, err)
	done := w.decide(accounts.Decision{Verb: unlink, Reference: ref("hubspot/62515:contact:901"), Author: "bob"})
	w.run()

	list, err := store.List(t.Context(), quarantine.Filter{})
	require.NoError(t, err)
	require.Len(t, list, 1)
	q, err := store.Show(t.Context(), list[0].ID)
	require.NoError(t, err)
	require.Equal(t, quarantine.Replaying, q.Status, "whatever was decided about it before")
	require.Equal(t, "bob", q.StatusBy)
	require.JSONEq(t, `{"id": "evt_1", "subject": "theirs"}`, string(q.Raw))
	require.Equal(t, "62515", q.Tenant)
	require.Equal(t, "evt_1", q.SourceEventID)
	require.Equal(t, []int64{3, 17, 5}, []int64{int64(q.Partition), q.Offset, int64(q.RawIndex)})
	require.Equal(t, refs("hubspot/62515:contact:901"), q.References)
	headers := map[string]string{}
	for _, h := range q.Headers {
		headers[h.Key] = string(h.Value)
	}
	require.Equal(t, map[string]string{"tl-source": "stripe", "tl-tenant": "62515", "tl-delivery": "webhook", "tl-received-at": "2026-01-02T00:00:00Z"}, headers)
	require.Equal(t, quarantine.Discarded, q.Decisions[len(q.Decisions)-1].From)
	require.Contains(t, q.Decisions[len(q.Decisions)-1].Note, "took it off the timeline")
	require.NotZero(t, done.DecisionID)
	result, err := store.Publish(t.Context(), 0, func(_ context.Context, page []quarantine.Replay) []error {
		require.Equal(t, "raw.stripe", page[0].Topic)
		require.JSONEq(t, `{"id": "evt_1", "subject": "theirs"}`, string(page[0].Value))
		return make([]error, len(page))
	})
	require.NoError(t, err)
	require.Len(t, result.Published, 1)
}

// A Mover that dies anywhere leaves each event in one place, and the next one goes on where it was.
func TestMoveSurvivesItsMover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.account("A", ""), w.account("B", "")
	w.link("stripe:customer:cus_1", a)
	w.link("stripe:customer:cus_2", a)
	w.stored(50, a, "stripe:customer:cus_1")
	w.stored(50, a, "stripe:customer:cus_2")
	w.decide(accounts.Decision{Verb: relink, Reference: ref("stripe:customer:cus_1"), To: b})
	w.decide(accounts.Decision{Verb: unlink, Reference: ref("stripe:customer:cus_2")})

	// Between batches.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	batches := 0
	err := w.mover().Run(ctx, func(accounts.Move) {
		if batches++; batches == 3 {
			cancel()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
	w.whole()
	require.Equal(t, 21, w.on(b))
	pending, err := w.store.Moves(t.Context(), accounts.MoveFilter{Pending: true})
	require.NoError(t, err)
	require.Len(t, pending, 2)
	require.EqualValues(t, 21, pending[0].Moved)
	require.EqualValues(t, 50, pending[0].Events)

	// In the middle of a batch, after the events left the timeline.
	died := errors.New("died")
	tries := 0
	dying := accounts.NewMover(w.pool, w.resolver, func(ctx context.Context, tx pgx.Tx, letters []event.DeadLetter, by, note string) error {
		if err := quarantine.Return(ctx, tx, catalog.Set(), letters, by, note); err != nil {
			return err
		}
		if tries++; tries == 2 {
			return died
		}
		return nil
	}).InBatchesOf(20)
	require.ErrorIs(t, dying.Run(t.Context(), nil), died)
	w.whole()
	require.Equal(t, 50, w.on(b))
	require.Equal(t, 20, w.returned())

	// Several at once.
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := w.mover().Run(t.Context(), nil); err != nil {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	w.whole()
	require.Zero(t, w.on(a))
	require.Equal(t, 50, w.on(b))
	require.Equal(t, 50, w.returned())
	pending, err = w.store.Moves(t.Context(), accounts.MoveFilter{Pending: true})
	require.NoError(t, err)
	require.Empty(t, pending)
}

// Events whose payloads together are larger than a batch may hold return in several.
func TestReturnOfLargeEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.account("A", "")
	w.link("stripe:customer:cus_1", a)
	w.stored(6, a, "stripe:customer:cus_1")
	_, err := w.pool.Exec(t.Context(), `UPDATE account_events SET payload = jsonb_build_object('text', repeat('x', 3 << 20))`)
	require.NoError(t, err)
	w.decide(accounts.Decision{Verb: unlink, Reference: ref("stripe:customer:cus_1")})
	var returned []int64
	require.NoError(t, w.mover().Run(t.Context(), func(m accounts.Move) { returned = append(returned, m.Returned) }))
	require.Equal(t, []int64{3, 6, 6}, returned)
	w.whole()
}

// A writer that read the ledger before the decision and commits after it is waited for.
func TestMoveWaitsForOlderWriters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.account("A", ""), w.account("B", "")
	w.link("stripe:customer:cus_1", a)
	w.stored(3, a, "stripe:customer:cus_1")
	writer, err := w.pool.Begin(t.Context())
	require.NoError(t, err)
	defer writer.Rollback(context.WithoutCancel(t.Context())) // the pool waits for it if the test fails
	id := w.event(writer, a, "stripe:customer:cus_1")
	require.NoError(t, w.mover().Recheck(t.Context(), writer, []accounts.Placed{{EventID: id, AccountID: a, Reference: "stripe:customer:cus_1"}}))

	w.decide(accounts.Decision{Verb: relink, Reference: ref("stripe:customer:cus_1"), To: b})
	done := make(chan error, 1)
	go func() { done <- w.mover().Run(t.Context(), nil) }()
	fenced := func() bool {
		return w.count("SELECT count(*) FROM history_moves WHERE fence IS NOT NULL") == 1
	}
	require.Eventually(t, fenced, 10*time.Second, time.Millisecond)
	select {
	case err := <-done:
		require.Fail(t, "the move did not wait", "%v", err)
	case <-time.After(100 * time.Millisecond):
	}
	require.Zero(t, w.on(b))
	require.NoError(t, writer.Commit(t.Context()))
	require.NoError(t, <-done)
	require.Equal(t, 4, w.on(b))
	w.whole()
}

// An event that is stored with what the ledger said before comes to the right account in its own transaction.
func TestRecheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, c, d := w.account("A", ""), w.account("B", ""), w.account("C", ""), w.account("D", "")
	w.link("stripe:customer:cus_1", a)
	w.link("stripe:customer:cus_2", a)
	w.link("stripe:customer:cus_3", a)
	w.link("stripe:customer:cus_4", c)
	w.link("looker/a:b:account:1", a)
	w.decide(accounts.Decision{Verb: relink, Reference: ref("stripe:customer:cus_1"), To: b})
	w.decide(accounts.Decision{Verb: unlink, Reference: ref("stripe:customer:cus_2")})
	w.decide(accounts.Decision{Verb: merge, From: c, To: b})
	w.decide(accounts.Decision{Verb: removal, From: d})
	w.run()

	store := func(placed ...accounts.Placed) {
		t.Helper()
		require.NoError(t, pgx.BeginFunc(t.Context(), w.pool, func(tx pgx.Tx) error {
			for i := range placed {
				placed[i].EventID = w.event(tx, placed[i].AccountID, placed[i].Reference)
			}
			return w.mover().Recheck(t.Context(), tx, placed)
		}))
		w.whole()
	}
	store(accounts.Placed{AccountID: a, Reference: "stripe:customer:cus_1"}, accounts.Placed{AccountID: a, Reference: "stripe:customer:cus_2"},
		accounts.Placed{AccountID: a, Reference: "stripe:customer:cus_3"}, accounts.Placed{AccountID: a}, accounts.Placed{AccountID: c},
		accounts.Placed{AccountID: c, Reference: "stripe:customer:cus_4"}, accounts.Placed{AccountID: a, Reference: "looker/a:b:account:1"})
	require.Equal(t, 3, w.on(a))
	require.Equal(t, 3, w.on(b))
	require.Equal(t, 1, w.returned())
	store(accounts.Placed{AccountID: d, Reference: "stripe:account_uuid:" + d.String()})
	require.Equal(t, 2, w.returned())
	store(accounts.Placed{AccountID: b, Reference: "stripe:customer:cus_1"})
	require.Equal(t, 4, w.on(b))
}

// A returned event comes back through the topics, and its account loses it once more before it is stored: it returns
// again, and its record, of which the sink hears that it has arrived, stays released.
func TestAReturnedEventReturnsAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.account("A", ""), w.account("B", "")
	w.link("stripe:customer:cus_1", a)
	w.stored(1, a, "stripe:customer:cus_1")
	_, err := w.pool.Exec(t.Context(), "UPDATE account_events SET payload = payload - 'subject' - 'subject_ref'") // so that the raw bytes stay the same
	require.NoError(t, err)
	w.decide(accounts.Decision{Verb: unlink, Reference: ref("stripe:customer:cus_1")})
	w.run()
	w.link("stripe:customer:cus_1", b) // the event is resolved now
	w.decide(accounts.Decision{Verb: deny, Reference: ref("stripe:customer:cus_1"), From: b})
	w.run()

	row := postgres.Row{AccountID: b, OccurredAt: time.Now(), IngestedAt: time.Now(), Origin: postgres.Origin{Reference: "stripe:customer:cus_1", RawIndex: -1}}
	arrival := quarantine.Arrival{}
	require.NoError(t, w.pool.QueryRow(t.Context(), `WITH marked AS (UPDATE quarantine_outbox SET published_at = now())
		SELECT id, source, source_event_id, event_type, raw FROM quarantine`).Scan(&arrival.ID, &row.Source, &row.SourceEventID, &row.EventType, &row.Payload))
	arrival.Source, arrival.SourceEventID, arrival.SHA256 = row.Source, row.SourceEventID, sha256.Sum256(row.Payload)
	rows := []postgres.Row{row}
	_, err = postgres.NewWriter(w.pool).Upsert(t.Context(), rows, w.mover().AfterUpsert(rows), quarantine.ResolveArrivals([]quarantine.Arrival{arrival}))
	require.NoError(t, err)
	require.Zero(t, w.on(b))
	require.Equal(t, 1, w.returned())
}

// A merge is taken back: links, denials and earlier merges of the account are its own again, and its events follow. What
// was decided since stays.
func TestSplit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, c := w.account("A", "a.example"), w.account("B", "b.example"), w.account("C", "")
	for reference, of := range map[string]uuid.UUID{"stripe:customer:cus_1": a, "stripe:customer:cus_2": b, "stripe:customer:cus_3": c} {
		w.link(reference, of)
	}
	w.decide(accounts.Decision{Verb: deny, Reference: ref("email:email:kim@b.example"), From: b})
	w.decide(accounts.Decision{Verb: deny, Reference: ref("stripe:customer:cus_9"), From: a})
	on := map[string]int{"stripe:customer:cus_1": 5, "hubspot:email:max@a.example": 4, "stripe:account_uuid:" + a.String(): 3, "": 2}
	for reference, n := range on {
		w.stored(n, a, reference)
	}
	w.stored(6, b, "stripe:customer:cus_2")
	w.stored(7, c, "stripe:customer:cus_3")
	w.decide(accounts.Decision{Verb: merge, From: c, To: a})
	w.run()
	split := accounts.Decision{Verb: accounts.VerbSplit, To: a}
	require.False(t, w.decide(split).Changed, "it was not merged")
	merged := w.decide(accounts.Decision{Verb: merge, From: a, To: b})
	w.run()
	require.Equal(t, 27, w.on(b))
	w.link("stripe:customer:cus_4", b)
	w.stored(8, b, "stripe:customer:cus_4")

	found, err := w.store.FindMerged(t.Context(), "a.example")
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{a, b}, []uuid.UUID{found.ID, found.MergedInto})
	split.DryRun = true
	dry := w.decide(split)
	split.DryRun = false
	done := w.decide(split)
	require.Equal(t, dry.Moves, done.Moves)
	require.Equal(t, []accounts.MoveCount{{From: b, To: a, Events: 19}}, done.Moves)
	w.run()
	w.whole()
	require.Equal(t, []int{19, 16}, []int{w.on(a), w.on(b)}, "what nothing is known of stays")
	require.Equal(t, []uuid.UUID{a, b, a, b}, []uuid.UUID{w.leads("stripe:customer:cus_1"), w.leads("stripe:customer:cus_2"), w.leads("stripe:customer:cus_3"), w.leads("stripe:customer:cus_4")})
	require.Equal(t, 1, w.count("SELECT count(*) FROM account_link_denials WHERE account_id = $1 AND external_id = 'cus_9'", a))
	require.Equal(t, 1, w.count("SELECT count(*) FROM account_link_denials WHERE account_id = $1", b))
	require.Equal(t, 1, w.count("SELECT count(*) FROM link_decisions WHERE id = $1 AND undone_by = $2", merged.DecisionID, done.DecisionID))
	w.decide(accounts.Decision{Verb: accounts.VerbSplit, To: c})
	w.run()
	require.Equal(t, 7, w.on(c))
	w.whole()
}
