package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
)

// comparison counts how many stored payloads left the server; all of them are contradictions.
func comparison(pulled *int) postgres.Comparison {
	return postgres.Comparison{
		Ignore:      func(source string) []string { return map[string][]string{"stripe": {"pending", "try"}}[source] },
		Contradicts: func(*postgres.Row, postgres.Stored) bool { *pulled++; return true },
	}
}

// conflicts writes rows and gives those that contradict what is stored.
func conflicts(t *testing.T, w *postgres.Writer, c postgres.Comparison, rows []postgres.Row) (found []int) {
	t.Helper()
	_, err := w.Upsert(t.Context(), rows, func(ctx context.Context, tx pgx.Tx, inserted postgres.Inserted) (err error) {
		found, err = postgres.Conflicts(ctx, tx, rows, inserted, c)
		return err
	})
	require.NoError(t, err)
	return found
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		stored, came string
		conflict     bool
	}{
		"the same bytes":            {`{"a": 1}`, `{"a": 1}`, false},
		"another writing":           {`{"a": 72.0, "b": "é"}`, `{"b":"\u00e9","a":72}`, false},
		"another subject line":      {`{"subject": "x", "a": 1}`, `{"a": 1}`, false},
		"a vendor's own subject":    {`{"subject_ref": "x"}`, `{"subject_ref": "y"}`, true},
		"what may differ":           {`{"a": 1, "pending": 1, "try": 0}`, `{"a": 1, "pending": 0}`, false},
		"not at the top":            {`{"a": {"pending": 1}}`, `{"a": {"pending": 0}}`, true},
		"another value":             {`{"a": 1}`, `{"a": 2}`, true},
		"one member more":           {`{"a": 1}`, `{"a": 1, "b": null}`, true},
		"a list":                    {`{"a": 1}`, `[1]`, true},
		"no object, and the same":   {`7`, `7.0`, false},
		"no object, and different":  {`7`, `"7"`, true},
		"an object that was none":   {`{"a": 1}`, `null`, true},
		"a large number, as stored": {`{"a": 1e3}`, `{"a":1000}`, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := newWriter(t)
			rows := eventRows(0, 3)
			rows[1].Payload = []byte(tt.stored)
			pulled := 0
			require.Empty(t, conflicts(t, w, comparison(&pulled), rows), "new rows contradict nothing")
			again := eventRows(0, 4)
			again[1].Payload = []byte(tt.came)
			found := conflicts(t, w, comparison(&pulled), again)
			if !tt.conflict {
				require.Empty(t, found)
				require.Zero(t, pulled, "what says the same stays in the server")
				return
			}
			require.Equal(t, []int{1}, found)
			require.Equal(t, 1, pulled)
		})
	}
	t.Run("nothing is asked where all is new", func(t *testing.T) {
		t.Parallel()
		found, err := postgres.Conflicts(t.Context(), nil, eventRows(0, 2), postgres.Inserted{true, true}, postgres.Comparison{})
		require.NoError(t, err)
		require.Empty(t, found)
	})
	t.Run("within one batch", func(t *testing.T) {
		t.Parallel()
		w, pool := newWriter(t)
		rows := append(eventRows(0, 2), eventRows(0, 2)...)
		rows[3].Payload = []byte(`{"other": true}`)
		pulled := 0
		require.Equal(t, []int{3}, conflicts(t, w, comparison(&pulled), rows))
		require.Zero(t, count(t, pool, countEvents+" WHERE payload ? 'other'"))
	})
	t.Run("what ignores by source", func(t *testing.T) {
		t.Parallel()
		w, _ := newWriter(t)
		rows := eventRows(0, 1)
		rows[0].Source = "hubspot"
		pulled := 0
		conflicts(t, w, comparison(&pulled), rows)
		rows[0].Payload = append([]byte(`{"pending": 1, `), rows[0].Payload[1:]...)
		require.Equal(t, []int{0}, conflicts(t, w, comparison(&pulled), rows))
	})
	t.Run("the last word is the caller's", func(t *testing.T) {
		t.Parallel()
		w, _ := newWriter(t)
		var seen string
		c := postgres.Comparison{Ignore: func(string) []string { return nil }, Contradicts: func(row *postgres.Row, stored postgres.Stored) bool {
			require.Equal(t, account(1), stored.AccountID)
			seen = row.SourceEventID + string(stored.Payload)
			return false
		}}
		rows := eventRows(0, 2)
		rows[1].Payload = []byte(`{"b": 1.50}`)
		conflicts(t, w, c, rows)
		rows[1].Payload = []byte(`{"b": 2}`)
		require.Empty(t, conflicts(t, w, c, rows))
		require.Equal(t, `evt_000001{"b": 1.50}`, seen)
	})
	t.Run("more than one statement", func(t *testing.T) {
		t.Parallel()
		w, _ := newWriter(t)
		rows := eventRows(0, 40)
		for i := range rows {
			rows[i].Payload = fmt.Appendf(nil, `{"a": %d, "text": %q}`, i, strings.Repeat("x", 1<<20))
		}
		pulled := 0
		require.Empty(t, conflicts(t, w, comparison(&pulled), rows))
		for _, i := range []int{3, 39} {
			rows[i].Payload = []byte(`{"a": -1}`)
		}
		require.Equal(t, []int{3, 39}, conflicts(t, w, comparison(&pulled), rows))
		require.Equal(t, 2, pulled)
	})
}
