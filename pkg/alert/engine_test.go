package alert

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

// world is engines on one database, with one state of everything and one post office.
type world struct {
	t        *testing.T
	pool     *pgxpool.Pool
	mu       sync.Mutex
	now      time.Time
	snapshot Snapshot
	sent     map[string][]Message
	fail     map[string]error
	after    func() // has taken a message, before that is kept
}

func newWorld(t *testing.T) *world {
	return &world{t: t, pool: postgrestest.New(t), now: time.Date(2026, 11, 27, 12, 0, 0, 123_456_789, time.UTC), sent: map[string][]Message{}, fail: map[string]error{}}
}

func (w *world) engine(receivers ...string) *Engine {
	return &Engine{Rules: Default(), Store: NewStore(w.pool), Receivers: receivers, Now: func() time.Time { return w.now },
		Look: func(_ context.Context, now time.Time) (Snapshot, error) { s := w.snapshot; s.At = now; return s, nil },
		Deliver: func(_ context.Context, receiver string, m Message, _ []State) ([]State, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if err := w.fail[receiver]; err != nil {
				return nil, err
			}
			w.sent[receiver] = append(w.sent[receiver], m)
			if w.after != nil {
				w.after()
			}
			return append(append([]State{}, m.Firing...), m.Resolved...), nil
		}}
}

// told gives how many alerts each message to a receiver had, firing and resolved.
func (w *world) told(receiver string) (all [][2]int) {
	for _, m := range w.sent[receiver] {
		all = append(all, [2]int{len(m.Firing), len(m.Resolved)})
	}
	return all
}

func (w *world) evaluate(e *Engine, later time.Duration) Evaluation {
	w.t.Helper()
	w.now = w.now.Add(later)
	done, err := e.Evaluate(w.t.Context())
	require.NoError(w.t, err)
	return done
}

// Two replicas that evaluate again and again tell each transition once, all of an evaluation in one message.
func TestEachTransitionIsToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.engine(Slack, Email), w.engine(Slack, Email)
	w.snapshot = Snapshot{Findings: []Finding{{ID: 1, Source: "stripe"}, {ID: 2, Source: "zendesk"}}}
	for range 3 {
		w.evaluate(a, time.Minute)
		w.evaluate(b, time.Minute)
	}
	require.Equal(t, [][2]int{{2, 0}}, w.told(Slack))
	require.Equal(t, [][2]int{{2, 0}}, w.told(Email))
	w.snapshot.Findings = w.snapshot.Findings[:1]
	for range 8 {
		w.evaluate(a, time.Minute)
		w.evaluate(b, time.Minute)
	}
	require.Equal(t, [][2]int{{2, 0}, {0, 1}}, w.told(Slack))
	states, err := a.Store.States(t.Context())
	require.NoError(t, err)
	require.Equal(t, []Phase{Firing, Resolved}, []Phase{states[0].State, states[1].State})
	w.evaluate(a, 24*time.Hour)
	require.Equal(t, [][2]int{{2, 0}, {0, 1}, {1, 0}}, w.told(Slack)) // reminded of

	// While one evaluates, the other leaves it to that one.
	require.NoError(t, a.Store.take(t.Context(), a.holder))
	require.True(t, w.evaluate(b, time.Minute).Skipped)
	a.Store.give(t.Context(), a.holder)
	require.False(t, w.evaluate(b, time.Minute).Skipped)
}

// Who dies after a receiver has taken a message and before that is kept is followed by one that tells it again, once. Who dies
// before, by one that tells it.
func TestADeathIsNoSilence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.snapshot = Snapshot{Findings: []Finding{{ID: 1, Source: "stripe"}}}
	dies := w.engine(Slack)
	w.after = func() { // as if it were gone: nothing of what follows reaches the database
		_, err := w.pool.Exec(t.Context(), "ALTER TABLE alert_told RENAME TO away")
		require.NoError(t, err)
	}
	_, err := dies.Evaluate(t.Context())
	require.Error(t, err)
	w.after = nil
	_, err = w.pool.Exec(t.Context(), "ALTER TABLE away RENAME TO alert_told")
	require.NoError(t, err)
	next := w.engine(Slack)
	for range 3 {
		w.evaluate(next, time.Minute)
	}
	require.Equal(t, [][2]int{{1, 0}, {1, 0}}, w.told(Slack))
}

// A receiver that is away, or asks to wait, holds up no other, is seen, and is told later, even of what is over by then.
func TestAReceiverThatIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.engine(Slack, Teams)
	w.evaluate(e, time.Minute)
	w.snapshot = Snapshot{Findings: []Finding{{ID: 1, Source: "stripe"}}}
	w.fail[Slack] = &Failure{Receiver: Slack, Text: "unexpected status code 503"}
	done := w.evaluate(e, time.Minute)
	require.Error(t, done.Failed[Slack])
	require.Equal(t, map[string]int{Teams: 1}, done.Told)
	failing := done.Receivers[0]
	require.Equal(t, Slack, failing.Name)
	require.Equal(t, done.At, failing.FailingSince)
	require.Contains(t, failing.Error, "503")

	w.fail[Slack] = &Failure{Receiver: Slack, Text: "429", RetryAfter: 10 * time.Minute}
	done = w.evaluate(e, time.Minute)
	require.Equal(t, failing.FailingSince, done.Receivers[0].FailingSince)
	delete(w.fail, Slack)
	require.Contains(t, w.evaluate(e, time.Minute).Waits, Slack)
	w.snapshot.Findings = nil
	w.evaluate(e, 6*time.Minute) // it is over before Slack may be told
	require.Empty(t, w.sent[Slack])
	done = w.evaluate(e, 5*time.Minute)
	require.Equal(t, [][2]int{{0, 1}}, w.told(Slack))
	require.Equal(t, [][2]int{{1, 0}, {0, 1}}, w.told(Teams))
	require.Zero(t, done.Receivers[0].FailingSince)
	require.Empty(t, done.Receivers[0].Error)
}

func TestSilences(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.engine(Slack)
	w.now = time.Now()
	_, err := e.Store.Silence(t.Context(), "", "", time.Hour, "why", "kim")
	require.ErrorContains(t, err, "needs a rule or a source")
	_, err = e.Store.Silence(t.Context(), Drift, "", 365*24*time.Hour, "why", "kim")
	require.Error(t, err)
	for _, comment := range []string{"", " ", "a\x1b[2J", "a\nb", "\xff"} {
		_, err := e.Store.Silence(t.Context(), Drift, "", time.Hour, comment, "kim")
		require.ErrorContains(t, err, "comment", "%q", comment)
	}
	_, err = e.Store.Silence(t.Context(), "quarantine_cuont", "", time.Hour, "why", "kim")
	require.ErrorContains(t, err, "there is no rule \"quarantine_cuont\": they are quarantine_count, ")
	_, err = e.Store.Silence(t.Context(), QuarantineCount, "stripe", time.Hour, "why", "kim")
	require.ErrorContains(t, err, "no alert of quarantine_count is of a source")
	_, err = e.Store.Silence(t.Context(), Drift, "", 9999*time.Hour, "why", "kim")
	require.ErrorContains(t, err, "a silence of 9999h: it lasts 1m to 2160h, which is 90 days")
	_, err = e.Store.Silence(t.Context(), Drift, "", time.Hour, strings.Repeat("é", MaxComment+1), "kim")
	require.ErrorContains(t, err, "501 characters: 500 are the most")
	narrow, err := e.Store.Silence(t.Context(), Drift, "stripe", 3*time.Hour, "known", "kim")
	require.NoError(t, err)
	q, err := e.Store.Silence(t.Context(), "", "stripe", 2*time.Hour, "a migration", "kim")
	require.NoError(t, err, "one of a rule keeps no other rule quiet")
	require.NoError(t, e.Store.Unsilence(t.Context(), narrow.ID, "kim"))
	_, err = e.Store.Silence(t.Context(), Drift, "stripe", time.Hour, "again", "kim")
	require.ErrorContains(t, err, fmt.Sprintf("silence %d keeps that quiet already", q.ID), "as one of the rule alone")
	_, err = e.Store.Silence(t.Context(), "", "stripe", time.Hour, "again", "kim")
	require.Equal(t, fault.Conflict, fault.ReasonOf(err), "%v", err)
	require.ErrorContains(t, err, fmt.Sprintf("silence %d keeps that quiet already", q.ID))
	w.snapshot = Snapshot{Findings: []Finding{{ID: 1, Source: "stripe"}, {ID: 2, Source: "zendesk"}}}
	w.evaluate(e, time.Second)
	require.Equal(t, [][2]int{{1, 0}}, w.told(Slack))
	require.Equal(t, "zendesk", w.sent[Slack][0].Firing[0].Source)
	require.NoError(t, e.Store.Unsilence(t.Context(), q.ID, "kim"))
	require.ErrorContains(t, e.Store.Unsilence(t.Context(), q.ID, "kim"), "no active silence")
	w.evaluate(e, time.Second)
	require.Equal(t, [][2]int{{1, 0}, {1, 0}}, w.told(Slack))
	all, err := e.Store.Silences(t.Context(), true)
	require.NoError(t, err)
	require.Equal(t, "kim", all[0].EndedBy)
	require.Equal(t, "a migration", all[0].Comment)
	active, err := e.Store.Silences(t.Context(), false)
	require.NoError(t, err)
	require.Empty(t, active)
}

// Nothing is told, and nothing is over, while the database or the look fails.
func TestALookThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := w.engine(Slack)
	w.snapshot = Snapshot{Findings: []Finding{{ID: 1, Source: "stripe"}}}
	w.evaluate(e, time.Minute)
	look := e.Look
	e.Look = func(context.Context, time.Time) (Snapshot, error) { return Snapshot{}, errors.New("away") }
	for range 3 {
		w.now = w.now.Add(time.Hour)
		_, err := e.Evaluate(t.Context())
		require.Error(t, err)
	}
	e.Look = look
	w.evaluate(e, time.Minute)
	require.Equal(t, [][2]int{{1, 0}}, w.told(Slack))
}

// The role alerter may do all that it does, and not read what events say.
func TestLookAsAlerter(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	logins := postgrestest.Logins(t, url)
	owner, err := pgxpool.New(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(owner.Close)
	_, err = owner.Exec(t.Context(), `
INSERT INTO accounts (id, name) VALUES ('7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01', 'Acme');
INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
  SELECT '7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01', 'ticket.created', 'zendesk', 'e' || n, '{}', now(), now() - interval '5 hours' - n * interval '10 minutes' FROM generate_series(1200, 0, -1) AS n;
INSERT INTO payload_types (source, event_type, pulled) VALUES ('stripe', 'invoice.paid', false);
INSERT INTO shape_findings (source, event_type, pulled, path, change) VALUES ('stripe', 'invoice.paid', false, 'customer_email', 'vanished'), ('stripe', 'invoice.paid', false, 'other', 'vanished');
INSERT INTO drift_expectations (origin, reader, source, path) VALUES ('view', 'public.churn_risk', 'stripe', 'customer_email');
INSERT INTO api_budgets (source, paused_until) VALUES ('marketo', now() + interval '3 hours');
INSERT INTO reconcile_reports (source, stream, from_time, to_time, through, status, heals, missing, healed, started_by) VALUES ('stripe', 'events', now(), now(), now(), 'done', true, 3, 1, 'test');
INSERT INTO pull_checkpoints (id, source, stream, mode, from_time, to_time, window_from, window_to) VALUES (1, 'hubspot', 'contacts', 'backfill', now(), now(), now(), now());
INSERT INTO pull_runs (checkpoint_id, status, started_by) VALUES (1, 'failed', 'test')`)
	require.NoError(t, err)
	pool, err := pgxpool.New(t.Context(), logins[postgres.RoleAlerter])
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	_, err = pool.Exec(t.Context(), "SELECT payload FROM account_events LIMIT 1")
	require.ErrorContains(t, err, "permission denied")

	w := &world{t: t, pool: pool, now: time.Now(), sent: map[string][]Message{}}
	e := w.engine(Slack)
	e.Look = NewLooker(pool, nil).Look
	w.evaluate(e, 0)
	var lines []string
	for _, a := range w.sent[Slack][0].Firing {
		lines = append(lines, a.Rule+": "+a.Summary)
	}
	require.ElementsMatch(t, []string{
		"source_silent: no event of zendesk for 5h; normal: 10m at most: throughline connect zendesk",
		"drift: stripe invoice.paid: customer_email vanished, read by public.churn_risk: throughline drift list --read",
		"backfill_failed: the backfill of hubspot contacts failed: throughline pulls list",
		"pull_paused: marketo has asked not to be called for another 2h59m: throughline pulls list",
	}, lines)
	states, err := e.Store.States(t.Context())
	require.NoError(t, err)
	require.Equal(t, Pending, states[2].State) // events_missing waits for what was healed
	require.Equal(t, EventsMissing, states[2].Rule)
	report, err := NewReport(t.Context(), pool, w.now)
	require.NoError(t, err)
	require.Equal(t, "Throughline: nothing waits in quarantine", report.Message().Subject)
}

// A receiver that is not configured any more does not fail for ever; what it was told stays.
func TestReceiversThatAreGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.snapshot = Snapshot{Findings: []Finding{{ID: 1, Source: "stripe"}}}
	w.evaluate(w.engine(Slack, Email), time.Minute)
	w.snapshot.Findings = append(w.snapshot.Findings, Finding{ID: 2, Source: "zendesk"})
	w.fail[Slack] = &Failure{Receiver: Slack, Text: "404"}
	w.evaluate(w.engine(Slack, Email), time.Minute)
	failing := func() (names []string) {
		all, err := NewStore(w.pool).Receivers(t.Context())
		require.NoError(t, err)
		for _, r := range all {
			if !r.FailingSince.IsZero() || r.Error != "" {
				names = append(names, r.Name)
			}
		}
		return names
	}
	require.Equal(t, []string{Slack}, failing())
	w.evaluate(w.engine(Email), time.Minute)
	require.Empty(t, failing())
	delete(w.fail, Slack)
	w.evaluate(w.engine(Slack, Email), time.Minute)
	require.Equal(t, [][2]int{{1, 0}, {1, 0}}, w.told(Slack), "the first is not told again")
}
