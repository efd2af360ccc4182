package quarantine_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source"
)

func TestPut(t *testing.T) {
	t.Parallel()
	t.Run("AllOfALetterIsKept", func(t *testing.T) {
		t.Parallel()
		s, _ := newStore(t)
		result := put(t, s, letter(1, 17))
		require.Equal(t, 1, result.Inserted)
		got := show(t, s, only(t, s).ID)
		require.Equal(t, []quarantine.Waiting{{ID: got.ID, References: letter(1, 17).References}}, result.Waiting)
		require.Equal(t, letter(1, 17).Value, got.Raw)
		require.JSONEq(t, string(got.Raw), string(got.Payload))
		require.Equal(t, letter(1, 17).Key, got.Key)
		require.Equal(t, []quarantine.Header{{Key: "tl-tenant", Value: []byte("acct_1")}, {Key: "odd\uFFFD", Value: []byte{0xff}}}, got.Headers)
		require.Empty(t, got.Decisions)
		require.Equal(t, "unresolved_account", got.Reason)
		require.Equal(t, []any{"raw.stripe", int32(1), int64(17)}, []any{got.Topic, got.Partition, got.Offset})
		require.Equal(t, []any{"stripe", "acct_1", "invoice.paid", "evt_1"}, []any{got.Source, got.Tenant, got.EventType, got.SourceEventID})
		require.True(t, seen.Equal(got.FirstSeen))
		require.True(t, letter(1, 17).At.Equal(got.LastSeen))
		require.Equal(t, quarantine.Open, got.Status)
	})
	t.Run("TheSameLetterTwiceIsOneRecord", func(t *testing.T) {
		t.Parallel()
		s, _ := newStore(t)
		result := put(t, s, letter(1, 17), letter(1, 17))
		require.Equal(t, []int{1, 1}, []int{result.Inserted, result.Repeated})
		require.Len(t, result.Waiting, 1)
		result = put(t, s, letter(1, 17))
		require.Equal(t, 1, result.Repeated)
		require.Len(t, result.Waiting, 1, "a batch that comes again resolves again")
		require.EqualValues(t, 1, only(t, s).Attempts)
	})
	t.Run("TheSameEventAgainIsAnAttempt", func(t *testing.T) {
		t.Parallel()
		s, _ := newStore(t)
		put(t, s, letter(1, 17), letter(2, 18), letter(1, 19))
		put(t, s, letter(2, 20))
		list, err := s.List(t.Context(), quarantine.Filter{})
		require.NoError(t, err)
		require.Len(t, list, 2)
		for _, r := range list {
			require.EqualValues(t, 2, r.Attempts)
		}
	})
	t.Run("AFailedReplayOpensItsRecordAgain", func(t *testing.T) {
		t.Parallel()
		s, _ := newStore(t)
		put(t, s, letter(1, 17))
		id := only(t, s).ID
		_, err := s.Release(t.Context(), quarantine.Filter{}, "ada", "try", false)
		require.NoError(t, err)

		put(t, s, letter(1, 17))
		require.Equal(t, quarantine.Replaying, only(t, s).Status, "an old letter that comes again opens nothing")

		failed := quarantine.Letter{DeadLetter: letter(1, 90).DeadLetter, QuarantineID: id}
		failed.Reason, failed.Error, failed.SourceEventID, failed.Attempts = "unstorable", "Postgres refuses it", "", 1 // a sink does not know the attempts
		result := put(t, s, failed)
		require.Equal(t, 1, result.Reopened)
		require.Empty(t, result.Waiting, "it waits for a person")
		got := show(t, s, id)
		require.Equal(t, quarantine.Open, got.Status)
		require.EqualValues(t, 2, got.Attempts)
		require.Equal(t, []string{"unstorable", "Postgres refuses it", "evt_1"}, []string{got.Reason, got.Error, got.SourceEventID})
		require.Nil(t, got.PublishedAt)
		require.Len(t, got.Decisions, 2)
		require.Equal(t, quarantine.Decision{From: quarantine.Replaying, To: quarantine.Open, By: quarantine.ByFeed, At: got.Decisions[1].At, Note: "Postgres refuses it"}, got.Decisions[1])
	})
	t.Run("ResolvedOpensDiscardedStays", func(t *testing.T) {
		t.Parallel()
		s, pool := newStore(t)
		put(t, s, letter(1, 17))
		id := only(t, s).ID
		setStatus(t, pool, id, quarantine.Resolved)
		require.Equal(t, 1, put(t, s, letter(1, 17)).Repeated)
		require.Equal(t, quarantine.Resolved, only(t, s).Status)
		require.Equal(t, 1, put(t, s, letter(1, 18)).Reopened)
		require.Equal(t, quarantine.Open, only(t, s).Status)

		_, err := s.Discard(t.Context(), []int64{id}, "ada", "a test account")
		require.NoError(t, err)
		result := put(t, s, letter(1, 19))
		require.Equal(t, 1, result.Kept)
		require.Empty(t, result.Waiting)
		got := only(t, s)
		require.Equal(t, quarantine.Discarded, got.Status)
		require.Equal(t, "ada", got.StatusBy)
		require.EqualValues(t, 3, got.Attempts)
	})
	t.Run("AHeaderNamesNoRecordWithoutBytes", func(t *testing.T) {
		t.Parallel()
		s, _ := newStore(t)
		large := letter(1, 17)
		large.Value, large.Reason = nil, "oversized"
		put(t, s, large)
		id := only(t, s).ID
		forged := quarantine.Letter{DeadLetter: letter(2, 90).DeadLetter, QuarantineID: id}
		forged.Value, forged.Source, forged.Topic, forged.Reason, forged.SourceEventID = nil, "looker", "raw.looker", "malformed", ""
		require.Equal(t, 1, put(t, s, forged).Inserted)
		got := show(t, s, id)
		require.Equal(t, []string{"oversized", "stripe", large.Topic}, []string{got.Reason, got.Source, got.Topic})
	})
	t.Run("AHeaderNamesNoRecordOfAnotherSource", func(t *testing.T) {
		t.Parallel()
		s, _ := newStore(t)
		put(t, s, letter(1, 17))
		id := only(t, s).ID
		forged := quarantine.Letter{DeadLetter: letter(1, 90).DeadLetter, QuarantineID: id}
		forged.Source, forged.Topic = "looker", "raw.looker"
		require.Equal(t, 1, put(t, s, forged).Inserted)
		require.Equal(t, "stripe", show(t, s, id).Source)
	})
	t.Run("WhatWasFirstSeenAfterItCame", func(t *testing.T) {
		t.Parallel()
		s, _ := newStore(t)
		l := letter(1, 17)
		l.FirstSeen = time.Date(30000, 1, 1, 0, 0, 0, 0, time.UTC)
		put(t, s, l)
		got := only(t, s)
		require.Equal(t, got.LastSeen, got.FirstSeen)
		_, err := json.Marshal(got)
		require.NoError(t, err, "JSON has no years beyond 9999")
	})
	t.Run("OtherBytesOfTheSameEventMoveNothing", func(t *testing.T) {
		t.Parallel()
		s, _ := newStore(t)
		put(t, s, letter(1, 17))
		id := only(t, s).ID
		forged := letter(1, 18)
		forged.Value, forged.Reason, forged.QuarantineID = []byte(`{"id":"evt_1","forged":true}`), "test_data", id
		forged.References = letter(2, 1).References
		require.Equal(t, 1, put(t, s, forged).Inserted)
		forged.Offset++
		require.Equal(t, 1, put(t, s, forged).Reopened, "and those count by themselves")
		got := show(t, s, id)
		require.Equal(t, []any{quarantine.Open, "unresolved_account", int32(1), int64(17)}, []any{got.Status, got.Reason, got.Attempts, got.Offset})
		require.Equal(t, letter(1, 17).Value, got.Raw)
		list, err := s.List(t.Context(), quarantine.Filter{})
		require.NoError(t, err)
		require.Len(t, list, 2)
		put(t, s, letter(1, 19))
		require.EqualValues(t, 2, show(t, s, id).Attempts, "its own bytes are an attempt still")
	})
	t.Run("AnUnknownQuarantineIDIsNoLoss", func(t *testing.T) {
		t.Parallel()
		s, _ := newStore(t)
		l := letter(1, 17)
		l.QuarantineID = 4711
		require.Equal(t, 1, put(t, s, l).Inserted)
	})
	t.Run("AnotherEventsQuarantineIDIsNoLossEither", func(t *testing.T) {
		t.Parallel()
		s, _ := newStore(t)
		put(t, s, letter(1, 17))
		other := letter(2, 18) // a third party copied a replayed record's headers
		other.QuarantineID = only(t, s).ID
		require.Equal(t, 1, put(t, s, other).Inserted)
		list, err := s.List(t.Context(), quarantine.Filter{})
		require.NoError(t, err)
		require.Len(t, list, 2)
	})
	t.Run("WhatALinkReleasedInVainIsHeldOff", func(t *testing.T) {
		t.Parallel()
		s, pool := newStore(t)
		s = s.WithHoldOff(quarantine.HoldOff{First: time.Minute, Most: 3 * time.Minute})
		put(t, s, letter(1, 0))
		id := only(t, s).ID
		comeBack := func(offset int64, by func()) quarantine.PutResult {
			by()
			return put(t, s, letter(1, offset))
		}
		link := func() {
			_, err := s.ReleaseByLink(t.Context(), []quarantine.Ruling{{ID: id, Note: "cus_1 leads to Acme"}})
			require.NoError(t, err)
		}
		person := func() {
			_, err := s.Release(t.Context(), quarantine.Filter{IDs: []int64{id}}, "ada", "", false)
			require.NoError(t, err)
		}
		for i, want := range []time.Duration{time.Minute, 2 * time.Minute, 3 * time.Minute, 3 * time.Minute} {
			got := comeBack(int64(10+i), link)
			require.Equal(t, 1, got.HeldOff)
			require.Equal(t, "cus_1 leads to Acme", got.Waiting[0].Held)
			require.WithinDuration(t, time.Now().Add(want), *only(t, s).HeldUntil, 20*time.Second)
		}
		page, err := s.WaitingPage(t.Context(), 0, 10)
		require.NoError(t, err)
		require.Equal(t, "cus_1 leads to Acme", page[0].Held, "a sweep sees that it is held off")
		page, err = s.WaitingAmong(t.Context(), []int64{page[0].ID})
		require.NoError(t, err)
		require.Empty(t, page[0].Held, "a link's message does not")
		require.Equal(t, "cus_1 leads to Acme", put(t, s, letter(1, 13)).Waiting[0].Held, "a letter that comes again changes nothing")
		stats, err := s.Stats(t.Context(), time.Minute, 0)
		require.NoError(t, err)
		require.Equal(t, 1, stats.Held)

		got := comeBack(20, person)
		require.Zero(t, got.HeldOff)
		require.Empty(t, got.Waiting[0].Held, "nobody holds off what a person did")
		require.Nil(t, only(t, s).HeldUntil)
		require.Equal(t, 1, comeBack(21, link).HeldOff)
		require.WithinDuration(t, time.Now().Add(time.Minute), *only(t, s).HeldUntil, 20*time.Second, "and it begins anew")

		_, err = pool.Exec(t.Context(), "UPDATE quarantine SET held_until = now() - interval '1 second'")
		require.NoError(t, err)
		require.Nil(t, only(t, s).HeldUntil, "what is over is not shown")
		page, err = s.WaitingPage(t.Context(), 0, 10)
		require.NoError(t, err)
		require.Empty(t, page[0].Held)
		malformed := letter(1, 30)
		malformed.Reason = "malformed"
		link()
		require.Zero(t, put(t, s, malformed).HeldOff, "it found its account, and has another trouble")
	})
	t.Run("ThePlaceIsTheIdentityOfWhatHasNoBytes", func(t *testing.T) {
		t.Parallel()
		s, _ := newStore(t)
		for i := range 3 {
			put(t, s, quarantine.Letter{DeadLetter: event.DeadLetter{Topic: "raw.stripe", Offset: int64(7 + i/2), RawIndex: int32(i), Reason: "oversized"}})
		}
		list, err := s.List(t.Context(), quarantine.Filter{})
		require.NoError(t, err)
		require.Len(t, list, 3, "two of one page are two")
	})
	t.Run("BytesAreTheIdentityOfWhatCannotBeDescribed", func(t *testing.T) {
		t.Parallel()
		s, _ := newStore(t)
		for i, value := range []string{"{", "}", "{"} {
			put(t, s, quarantine.Letter{DeadLetter: event.DeadLetter{Value: []byte(value), Topic: "raw.stripe", Offset: int64(i), Reason: "malformed"}})
		}
		list, err := s.List(t.Context(), quarantine.Filter{})
		require.NoError(t, err)
		require.Len(t, list, 2)
		require.EqualValues(t, 2, list[0].Attempts)
	})
}

func TestPutTakesAnything(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	nasty := "a\x00b\xff"
	huge := strings.Repeat("ö", 100_000)
	letters := []quarantine.Letter{
		{},
		{DeadLetter: event.DeadLetter{Value: []byte(nasty), Topic: nasty, Reason: nasty, Error: nasty, Source: nasty, Tenant: nasty, Type: nasty, SourceEventID: nasty,
			Key: []byte(nasty), Headers: []event.Header{{Key: nasty, Value: []byte(nasty)}}, References: []source.Reference{{Source: nasty, Tenant: nasty, Kind: nasty, ID: nasty}}}},
		{DeadLetter: event.DeadLetter{Value: []byte(huge), Topic: huge, Reason: huge, Error: huge, Source: huge, Tenant: huge, Type: huge, SourceEventID: huge,
			Key: []byte(huge), Headers: []event.Header{{Key: huge, Value: []byte(huge)}}, References: []source.Reference{{Source: huge, Tenant: huge, Kind: huge, ID: huge}}}},
		{DeadLetter: event.DeadLetter{Value: []byte(`{"a": "\u0000"}`), Topic: "raw.stripe", Reason: "unstorable"}},
		{DeadLetter: event.DeadLetter{Value: bytes.Repeat([]byte("x"), 3<<20), Topic: "raw.stripe", Reason: "oversized"}},
		letter(1, 17),
	}
	require.Equal(t, len(letters), put(t, s, letters...).Inserted)
	list, err := s.List(t.Context(), quarantine.Filter{})
	require.NoError(t, err)
	require.Len(t, list, len(letters))
}

// TestPutSideBySide has many processes fill and empty the same records.
func TestPutSideBySide(t *testing.T) {
	t.Parallel()
	s, pool := newStore(t)
	const workers, events, rounds = 6, 20, 10
	var all sync.WaitGroup
	errs := make(chan error, workers*rounds*2)
	for w := range workers {
		all.Go(func() {
			for round := range rounds {
				var batch []quarantine.Letter
				for e := range events {
					batch = append(batch, letter((e*7+w)%events, int64(w*1000+round)))
				}
				_, err := s.Put(t.Context(), batch)
				errs <- err
				_, err = s.Release(t.Context(), quarantine.Filter{Reason: string(fault.Unresolved)}, "ada", "", false)
				errs <- err
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	var count, attempts, decisions, changes int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*), sum(attempts) FROM quarantine").Scan(&count, &attempts))
	require.Equal(t, events, count)
	require.Equal(t, events*workers*rounds, attempts)
	// Each record's decisions are a chain that ends where the record stands.
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE from_status IS DISTINCT FROM before) FROM (
		SELECT from_status, coalesce(lag(to_status) OVER (PARTITION BY quarantine_id ORDER BY id), 'open') AS before FROM quarantine_decisions) AS d`).Scan(&decisions, &changes))
	require.Positive(t, decisions)
	require.Zero(t, changes)
}

// TestWhatPostgresRefusesIsKeptBare has the database refuse what nobody foresaw.
func TestWhatPostgresRefusesIsKeptBare(t *testing.T) {
	t.Parallel()
	s, pool := newStore(t)
	_, err := pool.Exec(t.Context(), "ALTER TABLE quarantine ADD CONSTRAINT odd CHECK (payload->>'id' <> 'evt_3')")
	require.NoError(t, err)
	var letters []quarantine.Letter
	for n := range 8 {
		letters = append(letters, letter(n, int64(n)))
	}
	require.Equal(t, 8, put(t, s, letters...).Inserted)
	list, err := s.List(t.Context(), quarantine.Filter{})
	require.NoError(t, err)
	for _, r := range list {
		d := show(t, s, r.ID)
		require.Equal(t, d.SourceEventID == "evt_3", d.Payload == nil, d.SourceEventID)
		require.Contains(t, string(d.Raw), d.SourceEventID, "the bytes are always there")
	}
}
