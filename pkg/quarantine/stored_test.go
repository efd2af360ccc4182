package quarantine_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// TestSettleStored: what waits is held against what is on the timeline under its identity.
func TestSettleStored(t *testing.T) {
	t.Parallel()
	const (
		snapshot = `{"object":"event","api_version":"1","id":"evt_1","pending_webhooks":1,"subject":"theirs","data":{"object":{"amount":5}}}`
		onTable  = `{"subject":"ours","subject_ref":"theirs","id":"evt_1","object":"event","api_version":"1","pending_webhooks":0,"data":{"object":{"amount":5}}}`
		thin     = `{"object":"v2.core.event","id":"evt_1","related_object":{"id":"in_1"}}`
	)
	tests := map[string]struct {
		value, stored string
		change        func(*quarantine.Letter)
		status        quarantine.Status
		reason        fault.Reason
	}{
		"a thin event after its snapshot":     {thin, onTable, nil, quarantine.Resolved, fault.Unresolved},
		"the same":                            {snapshot, onTable, nil, quarantine.Resolved, fault.Unresolved},
		"the same, refused for anything else": {snapshot, onTable, func(l *quarantine.Letter) { l.Reason = string(fault.TestData) }, quarantine.Resolved, fault.TestData},
		"a snapshot after its thin event":     {snapshot, thin, nil, quarantine.Open, fault.Unresolved},
		"other content":                       {snapshot, `{"object":"event","api_version":"1","id":"evt_1","data":{"object":{"amount":6}}}`, nil, quarantine.Open, fault.Conflict},
		"a conflict already":                  {snapshot, onTable, func(l *quarantine.Letter) { l.Reason = string(fault.Conflict) }, quarantine.Open, fault.Conflict},
		"another identity":                    {thin, onTable, func(l *quarantine.Letter) { l.SourceEventID = "evt_2" }, quarantine.Open, fault.Unresolved},
		"no identity":                         {thin, onTable, func(l *quarantine.Letter) { l.SourceEventID = "" }, quarantine.Open, fault.Unresolved},
		"no JSON":                             {"{", onTable, nil, quarantine.Open, fault.Unresolved},
		"no object":                           {"7", "7", nil, quarantine.Open, fault.Unresolved},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, pool := newStore(t)
			l := letter(1, 1)
			stored := row(l)
			stored.Payload = []byte(tt.stored)
			l.Value, l.Reason = []byte(tt.value), string(fault.Unresolved)
			if tt.change != nil {
				tt.change(&l)
			}
			result := put(t, s, l)
			require.Len(t, result.Open, 1)
			nothing, err := s.SettleStored(t.Context(), result.Open)
			require.NoError(t, err)
			require.Equal(t, quarantine.Settled{}, nothing, "it is not stored yet")
			_, err = postgres.NewWriter(pool).Upsert(t.Context(), []postgres.Row{stored})
			require.NoError(t, err)

			settled, err := s.SettleStored(t.Context(), result.Open)
			require.NoError(t, err)
			got := show(t, s, result.Open[0])
			require.Equal(t, tt.status, got.Status)
			require.Equal(t, string(tt.reason), got.Reason)
			isConflict := name == "other content"
			require.Equal(t, tt.status == quarantine.Resolved || isConflict, settled.Has(got.ID))
			if tt.status == quarantine.Resolved {
				require.Equal(t, quarantine.OutcomeAlreadyPresent, got.Outcome)
				require.Len(t, got.Decisions, 1)
				require.Equal(t, quarantine.ByFeed, got.Decisions[0].By)
			}
			if isConflict {
				require.Contains(t, got.Error, `differs at "/data/object/amount"`)
				waiting, err := s.WaitingPage(t.Context(), 0, 10)
				require.NoError(t, err)
				require.Empty(t, waiting, "no link releases it")
			}
		})
	}
}

// Two events of one identity that say different things are two records, and each keeps its bytes; the same conflict
// again, and another attempt of the same, are none.
func TestConflictsAreRecordsOfTheirOwn(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	say := func(value string, offset int64) quarantine.Letter {
		l := letter(1, offset)
		l.Value = []byte(value)
		return l
	}
	first := put(t, s, say(`{"object":"event","id":"evt_1","a":1,"pending_webhooks":1}`, 1))
	require.Equal(t, 1, first.Inserted)
	conflict := say(`{"object":"event","id":"evt_1","a":2,"pending_webhooks":1}`, 2)
	conflict.Reason = string(fault.Conflict)
	require.Equal(t, 1, put(t, s, conflict).Inserted)
	conflict.Offset, conflict.Value = 3, []byte(`{"a":2.0,"object":"event","pending_webhooks":0,"id":"evt_1"}`)
	again := put(t, s, conflict)
	require.Equal(t, 1, again.Reopened)
	require.Zero(t, again.Inserted)
	require.Equal(t, 1, put(t, s, say(`{"object":"event","id":"evt_1","a":1,"pending_webhooks":0}`, 4)).Reopened)

	list, err := s.List(t.Context(), quarantine.Filter{Reason: string(fault.Conflict)})
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.EqualValues(t, 2, list[0].Attempts)
	require.Equal(t, `{"object":"event","id":"evt_1","a":2,"pending_webhooks":1}`, string(show(t, s, list[0].ID).Raw))
	all, err := s.List(t.Context(), quarantine.Filter{})
	require.NoError(t, err)
	require.Len(t, all, 2)
}

// An event that is taken off the timeline does not take the place of one that contradicted it.
func TestReturnLeavesAConflict(t *testing.T) {
	t.Parallel()
	s, pool := newStore(t)
	conflict := letter(1, 1)
	conflict.Reason, conflict.Value = string(fault.Conflict), []byte(`{"id":"evt_1","forged":true}`)
	put(t, s, conflict)
	id := only(t, s).ID
	returned := letter(1, 2).DeadLetter
	returned.Value = []byte(`{"id":"evt_1"}`)
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		return quarantine.Return(t.Context(), tx, catalog.Set(), []event.DeadLetter{returned}, "ada", "undone")
	}))
	got := show(t, s, id)
	require.Equal(t, quarantine.Open, got.Status)
	require.Equal(t, conflict.Value, got.Raw)
	list, err := s.List(t.Context(), quarantine.Filter{Status: quarantine.Replaying})
	require.NoError(t, err)
	require.Len(t, list, 1)
}

// A record of an earlier version, whose key has the event alone, is the same one where its bytes are.
func TestARecordOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	s, pool := newStore(t)
	put(t, s, letter(1, 1))
	_, err := pool.Exec(t.Context(), "UPDATE quarantine SET dedup_key = 'event:' || source || ':' || source_event_id")
	require.NoError(t, err)
	require.Equal(t, 1, put(t, s, letter(1, 2)).Reopened)
	other := letter(1, 3)
	other.Value = []byte(`{"id":"evt_1","other":true}`)
	require.Equal(t, 1, put(t, s, other).Inserted)
}
