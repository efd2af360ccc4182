package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

func ids(events []postgres.TimelineEvent) []string {
	got := make([]string, 0, len(events))
	for _, e := range events {
		got = append(got, e.SourceEventID)
	}
	return got
}

// mixed are six events of two accounts; in timeline order those of account 1 are a, b, c, d, e.
func mixed() []postgres.Row {
	at := func(id, source, kind string, n byte, occurred, ingested int) postgres.Row {
		return postgres.Row{
			AccountID: account(n), EventType: kind, Source: source, SourceEventID: id, Payload: []byte(`{"subject": "about ` + id + `"}`),
			OccurredAt: start.Add(time.Duration(occurred) * time.Minute), IngestedAt: start.Add(time.Duration(ingested) * time.Minute),
		}
	}
	return []postgres.Row{
		at("e", "stripe", "invoice.paid", 1, 30, 31),
		at("c", "zendesk", "ticket.created", 1, 20, 22),
		at("b", "zendesk", "ticket.created", 1, 20, 21),
		at("d", "zendesk", "ticket.replied", 1, 20, 22),
		at("a", "stripe", "invoice.paid", 1, 10, 40),
		at("other", "stripe", "invoice.paid", 2, 15, 16),
	}
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	w, pool := newWriter(t)
	// One by one, so that ids are in the order of arrival.
	for _, row := range mixed() {
		upsert(t, w, []postgres.Row{row})
	}
	of := account(1)
	tests := map[string]struct {
		query postgres.TimelineQuery
		want  []string
	}{
		"All":         {postgres.TimelineQuery{AccountID: of}, []string{"a", "b", "c", "d", "e"}},
		"Since":       {postgres.TimelineQuery{AccountID: of, Since: start.Add(10 * time.Minute)}, []string{"b", "c", "d", "e"}},
		"Source":      {postgres.TimelineQuery{AccountID: of, Source: "stripe"}, []string{"a", "e"}},
		"Type":        {postgres.TimelineQuery{AccountID: of, Type: "ticket.created"}, []string{"b", "c"}},
		"Limit":       {postgres.TimelineQuery{AccountID: of, Limit: 2}, []string{"a", "b"}},
		"Both":        {postgres.TimelineQuery{AccountID: of, Source: "zendesk", Type: "invoice.paid"}, []string{}},
		"NobodyKnown": {postgres.TimelineQuery{AccountID: account(9)}, []string{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := postgres.Timeline(t.Context(), pool, tt.query)
			require.NoError(t, err)
			require.Equal(t, tt.want, ids(got))
		})
	}
	t.Run("PageByPage", func(t *testing.T) {
		var got []string
		query := postgres.TimelineQuery{AccountID: of, Limit: 1}
		for {
			page, err := postgres.Timeline(t.Context(), pool, query)
			require.NoError(t, err)
			if len(page) == 0 {
				break
			}
			got = append(got, ids(page)...)
			after := page[len(page)-1].Cursor()
			query.After = &after
		}
		require.Equal(t, []string{"a", "b", "c", "d", "e"}, got)
	})
	t.Run("EveryField", func(t *testing.T) {
		got, err := postgres.Timeline(t.Context(), pool, postgres.TimelineQuery{AccountID: of, Limit: 1})
		require.NoError(t, err)
		require.Positive(t, got[0].ID)
		got[0].ID = 0
		require.Equal(t, postgres.TimelineEvent{
			AccountID: of, EventType: "invoice.paid", Source: "stripe", SourceEventID: "a", Subject: "about a",
			Payload: []byte(`{"subject": "about a"}`), OccurredAt: start.Add(10 * time.Minute), IngestedAt: start.Add(40 * time.Minute),
		}, got[0])
	})
}

// The query that the table was asked for, as its users wrote it.
func TestUsersQuery(t *testing.T) {
	t.Parallel()
	w, pool := newWriter(t)
	rows := mixed()
	now := time.Now()
	for i := range rows {
		rows[i].OccurredAt = now.Add(rows[i].OccurredAt.Sub(start) - 24*time.Hour)
	}
	rows[1].Payload = []byte(`{"ticket": 1}`)
	old := rows[0]
	old.SourceEventID, old.OccurredAt = "old", now.AddDate(0, 0, -91)
	upsert(t, w, append(rows, old))
	found, err := pool.Query(t.Context(), `SELECT occurred_at, source, event_type, payload->>'subject' AS subject FROM account_events
WHERE account_id = $1 AND occurred_at > NOW() - INTERVAL '90 days' ORDER BY occurred_at;`, account(1))
	require.NoError(t, err)
	type line struct {
		OccurredAt time.Time
		Source     string
		EventType  string
		Subject    *string
	}
	lines, err := pgx.CollectRows(found, pgx.RowToStructByPos[line])
	require.NoError(t, err)
	require.Len(t, lines, 5)
	require.Equal(t, "about a", *lines[0].Subject)
	require.Equal(t, "about e", *lines[4].Subject)
	var without int
	for i, l := range lines {
		if l.Subject == nil {
			without++
		}
		if i > 0 {
			require.False(t, l.OccurredAt.Before(lines[i-1].OccurredAt))
		}
	}
	require.Equal(t, 1, without)
}

func TestFollow(t *testing.T) {
	t.Parallel()
	const insert = `INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
		VALUES ($1, 'x', 's', $2, '{}', now(), now())`
	pool := postgrestest.New(t)
	next := func(f *postgres.Follower) []string {
		events, err := f.Next(t.Context())
		require.NoError(t, err)
		return ids(events)
	}
	_, err := pool.Exec(t.Context(), insert, account(1), "before")
	require.NoError(t, err)
	f, events, err := postgres.Follow(t.Context(), pool, postgres.TimelineQuery{AccountID: account(1)})
	require.NoError(t, err)
	require.Equal(t, []string{"before"}, ids(events))
	require.Empty(t, next(f))

	// A transaction that takes the lower id and commits last.
	slow, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = slow.Rollback(context.Background()) }() // a failed test would wait for it for ever
	_, err = slow.Exec(t.Context(), insert, account(1), "slow")
	require.NoError(t, err)
	for _, id := range []string{"quick", "quicker"} {
		_, err = pool.Exec(t.Context(), insert, account(1), id)
		require.NoError(t, err)
		require.Equal(t, []string{id}, next(f))
		require.Empty(t, next(f))
	}
	_, err = pool.Exec(t.Context(), insert, account(2), "another account's")
	require.NoError(t, err)
	require.Empty(t, next(f))
	require.NoError(t, slow.Commit(t.Context()))
	require.Equal(t, []string{"slow"}, next(f))
	require.Empty(t, next(f))
	require.Empty(t, next(f))
}
