package accounts_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// sequence is one random history of decisions.
type sequence struct {
	*world
	random *rand.Rand
	model  *model
	ids    []uuid.UUID
	told   []source.Reference // what decisions are about
	events []sequenceEvent
	links  []int64 // decisions that automatic links rest on
}

type sequenceEvent struct {
	id        int64
	reference source.Reference
	nowhere   bool // its reference led nowhere at some time since all moves were done, so it may have returned
	returned  bool
}

// After any sequence of decisions, with moves that are interrupted anywhere, done by several, and overtaken by other
// decisions, and with events that are stored meanwhile by what the ledger said before: once all moves are done, each
// event stands where its reference leads, or in quarantine if that was nowhere.
func TestTheAccountOfAnEventIsAFunctionOfTheLedger(t *testing.T) {
	t.Parallel()
	// The first ones each found something once.
	for _, seed := range []uint64{7777071722477437473, 8265245468103583189, rand.Uint64()} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := newSequence(t, rand.New(rand.NewPCG(seed, 0)))
			for range 60 {
				s.decide()
				switch s.random.IntN(6) {
				case 0, 1:
					s.interruptedRun()
				case 2, 3:
					s.storeLate()
				case 4:
					s.runAll()
				}
			}
			s.runAll()
		})
	}
}

func newSequence(t *testing.T, random *rand.Rand) *sequence {
	s := &sequence{world: newWorld(t), random: random}
	domains := map[uuid.UUID]string{}
	for i, domain := range []string{"a.example", "b.example", "b.example", "", "", "f.example"} {
		id := s.account(fmt.Sprintf("Account %d", i), domain)
		s.ids, domains[id] = append(s.ids, id), domain
	}
	s.model = newModel(domains)
	s.told = refs("stripe:customer:cus_1", "stripe:customer:cus_2", "stripe:charge:ch_1", "hubspot/1:contact:7", "hubspot/2:contact:7", "hubspot:contact:7",
		"email:email:kim@a.example", "hubspot:email:kim@a.example", "email:email:lee@b.example", "domain:domain:a.example", "domain:domain:b.example",
		"hubspot:domain:a.example", "zendesk:email:sam@f.example", "stripe:account_uuid:"+s.ids[3].String())
	carried := append(refs("zendesk:email:kim@a.example", "hubspot:email:kim@a.example", "intercom:email:lee@b.example", "hubspot:domain:a.example",
		"hubspot:domain:b.example", "hubspot/3:contact:7", "zendesk:email:max@b.example"), s.told[:5]...)
	carried = append(carried, s.told[12:]...)
	for _, r := range s.told[:5] {
		s.try(accounts.Decision{Verb: link, Reference: r, To: s.pick(), EveryTenant: true})
	}
	for _, r := range carried {
		for range 1 + s.random.IntN(12) {
			if at := s.model.leads(r); at != uuid.Nil {
				s.events = append(s.events, sequenceEvent{id: s.event(s.pool, at, r.Key()), reference: r})
			}
		}
	}
	return s
}

func (s *sequence) pick() uuid.UUID { return s.ids[s.random.IntN(len(s.ids))] }

// try makes a decision, if it is possible.
func (s *sequence) try(d accounts.Decision) {
	s.t.Helper()
	d.Author = "ada"
	effect, err := s.store.Decide(s.t.Context(), d)
	if err != nil {
		require.True(s.t, fault.IsPermanent(err), "%v", err)
		require.Contains(s.t, []fault.Reason{fault.Conflict, fault.NotFound}, fault.ReasonOf(err), "%v", err)
		return
	}
	s.model.decide(d, effect)
	if d.Verb == link && effect.Changed {
		s.links = append(s.links, effect.DecisionID)
	}
	for i := range s.events {
		e := &s.events[i]
		at := s.model.leads(e.reference)
		require.Equal(s.t, at, s.leads(e.reference.Key()), "%v: %s", d, e.reference)
		e.nowhere = e.nowhere || at == uuid.Nil
	}
}

func (s *sequence) decide() {
	s.t.Helper()
	d := accounts.Decision{Reference: s.told[s.random.IntN(len(s.told))], EveryTenant: true}
	switch n := s.random.IntN(20); {
	case n < 6:
		d.Verb, d.To = link, s.pick()
		if len(s.links) > 0 && s.random.IntN(2) == 0 {
			d.Learned, d.RestsOn = "learner", []int64{s.links[s.random.IntN(len(s.links))]}
		}
	case n < 10:
		d.Verb = unlink
	case n < 14:
		d.Verb, d.To = relink, s.pick()
	case n < 18:
		d.Verb, d.From = deny, s.pick()
	case len(s.model.into) < 3:
		d.Verb, d.From, d.To, d.Reference = merge, s.pick(), s.pick(), source.Reference{}
		if d.From == d.To {
			return
		}
	default:
		return
	}
	s.try(d)
}

// interruptedRun has one to three Movers that die somewhere.
func (s *sequence) interruptedRun() {
	var wg sync.WaitGroup
	for range 1 + s.random.IntN(3) {
		batches, returns := s.random.IntN(4), s.random.IntN(3)
		wg.Go(func() {
			died := errors.New("died")
			ctx, cancel := context.WithCancelCause(s.t.Context())
			defer cancel(nil)
			mover := accounts.NewMover(s.pool, s.resolver, func(ctx context.Context, tx pgx.Tx, letters []event.DeadLetter, by, note string) error {
				if returns--; returns < 0 {
					return died
				}
				return quarantine.Return(ctx, tx, catalog.Set(), letters, by, note)
			}).InBatchesOf(3)
			err := mover.Run(ctx, func(accounts.Move) {
				if batches--; batches < 0 {
					cancel(died)
				}
			})
			if err != nil && !errors.Is(err, died) && !errors.Is(err, context.Canceled) {
				s.t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	s.whole()
}

// storeLate stores an event by what the ledger said before: the decision comes between the look and the insert.
func (s *sequence) storeLate() {
	s.t.Helper()
	of := s.events[s.random.IntN(len(s.events))].reference
	at := s.model.leads(of)
	s.decide()
	if at == uuid.Nil {
		return
	}
	e := sequenceEvent{reference: of}
	require.NoError(s.t, pgx.BeginFunc(s.t.Context(), s.pool, func(tx pgx.Tx) error {
		e.id = s.event(tx, at, of.Key())
		return s.mover().Recheck(s.t.Context(), tx, []accounts.Placed{{EventID: e.id, AccountID: at, Reference: of.Key()}})
	}))
	e.nowhere = s.model.leads(of) == uuid.Nil
	s.events = append(s.events, e)
	s.whole()
}

func (s *sequence) runAll() {
	s.t.Helper()
	s.run()
	s.whole()
	rows, err := s.pool.Query(s.t.Context(), "SELECT id, account_id FROM account_events")
	require.NoError(s.t, err)
	at := map[int64]uuid.UUID{}
	var id int64
	var account uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&id, &account}, func() error {
		at[id] = account
		return nil
	})
	require.NoError(s.t, err)
	for i := range s.events {
		e := &s.events[i]
		stands, on := at[e.id]
		switch {
		case on:
			require.False(s.t, e.returned, "%s came back by itself", e.reference)
			require.Equal(s.t, s.model.leads(e.reference), stands, "event %d, %s", e.id, e.reference)
		case !e.returned:
			require.True(s.t, e.nowhere, "event %d, %s, returned although its reference led somewhere all the time", e.id, e.reference)
			e.returned = true
		}
		e.nowhere = s.model.leads(e.reference) == uuid.Nil
	}
}
