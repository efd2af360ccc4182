package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

const acme = "0f6e9b1c-6f0e-4c5e-9b61-3f6f6d2a0001"

// tell puts an event on the account's timeline.
func (s *shell) tell(account, occurredAt, source, eventType, payload string) {
	s.t.Helper()
	pool, err := pgxpool.New(s.t.Context(), s.env["THROUGHLINE_POSTGRES_URL"])
	require.NoError(s.t, err)
	defer pool.Close()
	_, err = pool.Exec(s.t.Context(), `INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
		VALUES ($1, $2, $3, 'ev_' || (SELECT count(*) FROM account_events), $4, $5, '2026-01-31T00:00:00Z')`,
		account, eventType, source, payload, occurredAt)
	require.NoError(s.t, err)
}

func withStory(t *testing.T) *shell {
	t.Helper()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme GmbH", "--id", acme, "--domain", "acme.example")
	sh.tell(acme, "2026-01-05T08:00:00Z", "hubspot", "contact.created", `{"a": 1}`)
	sh.tell(acme, "2026-01-07T09:30:15.25Z", "stripe", "invoice.paid", `{"amount": 1200}`)
	sh.tell(acme, "2026-01-06T10:00:00Z", "zendesk", "ticket.created", `{"subject": "charged twice <b>\u001b[31m\nred\u202e"}`)
	return sh
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	withStory(t).golden("timeline", nil,
		[]string{"timeline", acme, "--since", "2026-01-01"},
		[]string{"timeline", "acme.example", "--since", "all"},
		[]string{"timeline", "acme gmbh", "--since", "2026-01-05T08:00:00Z"},
		[]string{"timeline", acme, "--since", "all", "--limit", "2"},
		[]string{"timeline", acme, "--since", "all", "--source", "stripe"},
		[]string{"timeline", acme, "--since", "all", "--type", "ticket.created", "--json"},
		[]string{"timeline", acme, "--since", "all", "--type", "nothing.happened"},
		[]string{"timeline", acme, "--since", "all", "--type", "invoice.pade"},
		[]string{"timeline", acme, "--type", "invoice.*"},
		[]string{"timeline", acme, "--since", "all", "--type", "charge.refunded"},
		[]string{"timeline", acme, "--since", ""},
		[]string{"timeline", "Acme  Robotics"},
		[]string{"timeline", "nobody.example"},
	)
}

func TestTimelineReadsPageAfterPage(t *testing.T) {
	t.Parallel()
	sh := withStory(t)
	pool, err := pgxpool.New(t.Context(), sh.env["THROUGHLINE_POSTGRES_URL"])
	require.NoError(t, err)
	defer pool.Close()
	_, err = pool.Exec(t.Context(), `INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
		SELECT $1, 'usage.reported', 'looker', i, '{}', '2025-06-01T00:00:00Z', now() FROM generate_series(1, 2500) AS i`, acme)
	require.NoError(t, err)
	require.Equal(t, 2503, strings.Count(sh.must("timeline", acme, "--since", "all", "--json"), "\n"))
	newest := sh.run("timeline", acme, "--since", "all", "--limit", "1")
	require.Contains(t, newest.out, "invoice.paid")
	require.Contains(t, newest.err, "2503 events, the newest 1 shown")
}

func TestTimelineOnATerminal(t *testing.T) {
	t.Parallel()
	sh := withStory(t)
	sh.tell(acme, "2026-01-08T00:00:00Z", "zendesk", "ticket.created", fmt.Sprintf(`{"subject": %q}`, strings.Repeat("long ", 100)))
	sh.tty, sh.env["NO_COLOR"] = true, "1"
	out := sh.must("timeline", acme, "--since", "all")
	require.NotContains(t, out, "\x1b")
	require.Contains(t, out, "…")
	for line := range strings.Lines(out) {
		require.Less(t, len(line), 160)
	}
}

// syncBuffer can be read while a command writes.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestFollow(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"table", "json"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			sh := withStory(t)
			args := []string{"timeline", acme, "--since", "2026-01-01", "--limit", "1", "--follow"}
			if form == "json" {
				args = append(args, "--json")
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var out, errs syncBuffer
			done := make(chan int, 1)
			go func() { done <- sh.start(ctx, &out, &errs, args...) }()
			seen := func(what string) func() bool { return func() bool { return strings.Contains(out.String(), what) } }
			require.Eventually(t, seen("invoice.paid"), 30*time.Second, 10*time.Millisecond, errs.String())
			sh.tell(acme, "2026-01-09T00:00:00Z", "intercom", "conversation.created", `{"subject": "billing question"}`)
			require.Eventually(t, seen("billing question"), 30*time.Second, 10*time.Millisecond)
			sh.tell(acme, "2026-01-04T00:00:00Z", "marketo", "email.opened", `{}`) // late
			require.Eventually(t, seen("email.opened"), 30*time.Second, 10*time.Millisecond)
			cancel()
			require.Zero(t, <-done, "Ctrl-C is the normal end")
			require.NotContains(t, out.String(), "contact.created", "before the newest --limit")
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			require.Len(t, lines, 3)
			if form == "json" {
				require.Empty(t, errs.String())
				for _, line := range lines {
					require.True(t, json.Valid([]byte(line)), line)
				}
				return
			}
			require.Equal(t, "2026-01-09T00:00:00Z  intercom   conversation.created          billing question", lines[1])
		})
	}
}
