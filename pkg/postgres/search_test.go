package postgres_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
)

// TestContainmentInTheIndex looks for what lies behind more events than are read one by one, where the index is asked for
// single values: it finds what containment means, no more and no less.
func TestContainmentInTheIndex(t *testing.T) {
	t.Parallel()
	w, pool := newWriter(t)
	for id, payload := range map[string]string{
		"plain":     `{"data": {"object": {"email": "kim+17@acme.example", "status": "open", "number": 1234567}}}`,
		"elsewhere": `{"from": "kim+17@acme.example", "data": {"object": {"status": "open", "other": 1234567}}}`,
		"closed":    `{"data": {"object": {"email": "kim+17@acme.example", "status": "closed"}}}`,
		"listed":    `{"ids": ["in_00000001", ["cus_00000002"]], "at": "2026-11-27", "n": 1234567.0}`,
		"quoted":    `{"say": "a \"quoted\" 1\\2 <b>&\u2028é text"}`,
	} {
		upsert(t, w, []postgres.Row{{AccountID: account(1), EventType: "thing.happened", Source: "stripe", SourceEventID: id, Payload: []byte(payload), OccurredAt: start, IngestedAt: start}})
	}
	_, err := pool.Exec(t.Context(), `INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
		SELECT $1, 'thing.happened', 'stripe', 'filler ' || n, '{"at": "2026-11-27"}', now(), now() FROM generate_series(1, 2100) n`, account(1))
	require.NoError(t, err)
	for contains, want := range map[string][]string{
		`{"data": {"object": {"email": "kim+17@acme.example"}}}`:                   {"closed", "plain"},
		`{"data": {"object": {"email": "kim+17@acme.example", "status": "open"}}}`: {"plain"},
		`{"data": {"object": {"number": 1234567}}}`:                                {"plain"},
		`{"n": 1234567}`:                                  {"listed"},
		`{"ids": ["in_00000001"]}`:                        {"listed"},
		`{"ids": [["cus_00000002"]], "at": "2026-11-27"}`: {"listed"},
		`{"ids": ["cus_00000002"]}`:                       {},
		`{"data": {"object": {"email": "kim+17@acme.example", "email": "kim+18@acme.example"}}}`:             {},
		`{"say": "a \"quoted\" 1\\2 <b>&\u2028\u00e9 text"}`:                                                 {"quoted"},
		`{"data": {"object": {"status": "closed"}}}`:                                                         {"closed"},
		`{"from": "kim+17@acme.example", "data": {"object": {"other": 1234567, "status": "open"}}, "x": {}}`: {},
	} {
		found, err := postgres.Search(t.Context(), pool, time.Minute, postgres.SearchQuery{Contains: contains, Limit: 100})
		require.NoError(t, err)
		require.False(t, found.Walk)
		require.ElementsMatch(t, want, ids(found.Events), contains)
	}
	// What few events have is all that the index is asked for.
	values := fmt.Sprint(postgres.TellingValues(`{"a": ["kim@acme.example", {"b": 20261127, "c": "in_1234567"}], "2026-11-27T00:00:00": "2026-11-27", "d": "unremarkable", "e": -123456, "f": 1.5e9}`))
	require.Equal(t, `["kim@acme.example" "in_1234567"]`, values)
}
