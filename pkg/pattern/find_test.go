package pattern_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/pattern"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

// day0 is when timelines of tests begin; the clocks of summer time are not to matter.
var day0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(days float64) time.Time { return day0.Add(time.Duration(days * 24 * float64(time.Hour))) }

// tell stores a timeline: "a@0 b@30.5{"x":1}" are two events, so many days after day0, stored in that order.
func tell(t *testing.T, pool *pgxpool.Pool, account uuid.UUID, prefix, timeline string) {
	t.Helper()
	var rows [][]any
	for word := range strings.FieldsSeq(timeline) {
		name, rest, _ := strings.Cut(word, "@")
		days, payload, ok := strings.Cut(rest, "{")
		if payload = "{" + payload; !ok {
			payload = "{}"
		}
		n, err := strconv.ParseFloat(days, 64)
		require.NoError(t, err, word)
		source := "stripe"
		if strings.HasPrefix(name, "z") {
			source = "zendesk"
		}
		rows = append(rows, []any{account, prefix + name, source, uuid.NewString(), payload, at(n), day0})
	}
	_, err := pool.CopyFrom(t.Context(), pgx.Identifier{"account_events"},
		[]string{"account_id", "event_type", "source", "source_event_id", "payload", "occurred_at", "ingested_at"}, pgx.CopyFromRows(rows))
	require.NoError(t, err)
}

var letter = regexp.MustCompile(`@`)

// Each timeline is asked by its pattern, in which @ stands for what keeps the event types of one case from another's, and
// must give the events of the newest match by the days on which they occurred, and how many matches there are.
func TestFind(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	for i, c := range []struct{ pattern, timeline, want string }{
		{"@a", "a@0 a@1", "1 (2)"},
		{"@a then @b", "a@0 b@1", "0 1 (1)"},
		{"@a then @b", "b@0 a@1", ""},
		// Equal times: the order of the timeline counts, which is that of storing.
		{"@a then @b", "a@5 b@5", "5 5 (1)"},
		{"@a then @b", "b@5 a@5", ""},
		{"@a then @a", "a@5", ""},
		{"@a then @a", "a@5 a@5", "5 5 (1)"},
		{"@a then @a then @a", "a@1 a@2 a@3 a@4", "2 3 4 (2)"},
		// A match is told by its last event, with the nearest before it.
		{"@a then @b", "a@0 a@1 a@2 b@3", "2 3 (1)"},
		{"@a then @b", "a@0 b@1 b@2 a@3 b@4", "3 4 (3)"},
		// within counts from the event before, its bound included.
		{"@a then @b within 10 days", "a@0 b@10", "0 10 (1)"},
		{"@a then @b within 10 days", "a@0 b@10.001", ""},
		{"@a then @b within 10 days", "a@0 a@5 b@12", "5 12 (1)"},
		{"@a then @b within 10 hours", "a@0 b@0.375", "0 0.375 (1)"},
		// A later b may be needed where the first one leads nowhere, and an earlier a where the nearest b came too late for it.
		{"@a then @b within 10 days then 5 days without @c then @d", "a@0 b@1 b@8 c@3 d@20", "0 8 20 (1)"},
		{"@a then @b within 10 days then 5 days without @c then @d", "a@0 b@1 c@9 b@12 d@20", "0 1 20 (1)"},
		// A period is from the event on, not from its equals before it; its end is no part of it.
		{"@a then 30 days without @c then @b", "a@0 b@30", "0 30 (1)"},
		{"@a then 30 days without @c then @b", "a@0 b@29.999", ""},
		{"@a then 30 days without @c then @b", "c@0 a@0 b@31", "0 31 (1)"},
		{"@a then 30 days without @c then @b", "a@0 c@0 b@31", ""},
		{"@a then 30 days without @c then @b", "a@0 c@29.999 b@31", ""},
		{"@a then 30 days without @c then @b", "a@0 c@30 b@30", "0 30 (1)"},
		{"@a then 30 days without @c then @b", "a@0 c@1 a@10 b@50", "10 50 (1)"},
		{"@a then 30 days without @c then @b within 120 days", "a@0 b@120", "0 120 (1)"},
		{"@a then 30 days without @c then @b within 120 days", "a@0 b@120.001", ""},
		// The nearest a is too near, the one before it is not.
		{"@a then 30 days without @c then @b within 120 days", "a@0 a@60 b@80", "0 80 (1)"},
		{"@a then 10 days without @c then 10 days without @d then @b", "a@0 d@5 c@15 b@20", "0 20 (1)"},
		{"@a then 10 days without @c then 10 days without @d then @b", "a@0 d@10 b@20", ""},
		{"@a then 10 days without @c then 10 days without @d then @b", "a@0 c@9 b@20", ""},
		// A period at the end is over when it is: now is day 100.
		{"@a then 30 days without @c", "a@70", "70 (1)"},
		{"@a then 30 days without @c", "a@70.001", ""},
		{"@a then 30 days without @c", "a@0 c@31", "0 (1)"},
		// Wildcards, sources, alternatives.
		{"@*.y then @x_.*", "a.y@0 x_.1@1", "0 1 (1)"},
		{"@x_.*", "xa.1@1", ""},
		{"@a*", "a@0 b@1", "0 (1)"},
		{"zendesk @* then @a", "a@0 za@1 a@2", "1 2 (1)"},
		{"zendesk @a", "a@0", ""},
		{"@a or zendesk @zb then @c or @d", "zb@0 d@1", "0 1 (1)"},
		{"@a then 5 days without @c or @d then @b", "a@0 d@1 b@9", ""},
		// Fields.
		{"@a where payload.x > 1000", `a@0{"x":1000} a@1{"x":1000.5} a@2{"x":"no"} a@3{"y":2000} a@4{"x":null} a@5{"x":{}}`, "1 (1)"},
		{"@a where payload.x >= 1000", `a@0{"x":"1000"}`, "0 (1)"},
		{"@a where payload.x = 3", `a@0{"x":"3.0"} a@1{"x":1e400}`, "0 (1)"},
		{`@a where payload.x = "3"`, `a@0{"x":3} a@1{"x":"3"}`, "1 (1)"},
		{`@a where payload.x != "3"`, `a@0{"x":"3"} a@1{"x":"4"} a@2{}`, "1 (1)"},
		{`@a where payload.x >= "2026-02"`, `a@0{"x":"2026-01-31"} a@1{"x":"2026-02-01"}`, "1 (1)"},
		{"@a where payload.x = true", `a@0{"x":"true"} a@1{"x":true}`, "1 (1)"},
		{"@a where payload.x = null", `a@0{} a@1{"x":null} a@2{"x":0}`, "1 (1)"},
		{"@a where payload.x != null", `a@0{} a@1{"x":null} a@2{"x":0}`, "2 (1)"},
		{`@a where payload.o[1]."b.c" = 1 and payload.p < -1`, `a@0{"o":[0,{"b.c":1}],"p":-2} a@1{"o":[0,{"b.c":1}],"p":0}`, "0 (1)"},
		{"@a then 5 days without @c where payload.x = 1 then @b", `a@0 c@1{"x":2} b@9`, "0 9 (1)"},
		{`"@'; DROP TABLE account_events; --" or @a`, "a@0", "0 (1)"},
		// now: all but the last step, and the last may still come, on day 100.
		{"now @a then @b", "a@0", "0 (1)"},
		{"now @a then @b", "a@0 b@1 a@2", "2 (1)"},
		{"now @a then @b", "a@0 a@1 b@2", ""},
		{"now @a then @b within 30 days", "a@70", "70 (1)"},
		{"now @a then @b within 30 days", "a@69.999", ""},
		{"now @a then 30 days without @c then @b within 120 days", "a@60", "60 (1)"},
		{"now @a then 30 days without @c then @b within 120 days", "a@60 c@61", ""},
		{"now @a then 30 days without @c then @b within 120 days", "a@71", ""},
		{"now @a then 30 days without @c then @b within 120 days", "a@-21", ""},
		// Lost already, although too early for the pattern.
		{"now @a then 30 days without @c then @b within 120 days", "a@60 b@65", ""},
		{"now @a then 30 days without @c", "a@80", "80 (1)"},
		{"now @a then 30 days without @c", "a@80 c@81", ""},
		{"now @a then 30 days without @c", "a@70", ""},
	} {
		account := uuid.New()
		prefix := fmt.Sprintf("t%d.", i)
		tell(t, pool, account, prefix, c.timeline)
		p, err := pattern.Parse(letter.ReplaceAllString(c.pattern, prefix))
		require.NoError(t, err, c.pattern)
		found, err := pattern.Find(t.Context(), pool, time.Minute, p, pattern.Query{Now: at(100)})
		require.NoError(t, err, c.pattern)
		got := ""
		for _, m := range found.Items {
			require.Equal(t, account, m.AccountID)
			for _, s := range m.Steps {
				got += fmt.Sprint(s.OccurredAt.Sub(day0).Hours()/24) + " "
			}
			got += fmt.Sprintf("(%d)", m.Matches)
		}
		require.Equal(t, c.want, got, "%s on %s", c.pattern, c.timeline)
	}
}

// Accounts do not mix, the newest match is first, and months and limits count all of them.
func TestManyAccounts(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	accounts := make([]uuid.UUID, 4)
	for i := range accounts {
		accounts[i] = uuid.New()
		_, err := pool.Exec(t.Context(), "INSERT INTO accounts (id, name) VALUES ($1, $2)", accounts[i], fmt.Sprintf("Account %d", i))
		require.NoError(t, err)
	}
	tell(t, pool, accounts[0], "", "a@0 b@1 a@40 b@41")
	tell(t, pool, accounts[1], "", "a@2 b@3 a@40.5")
	tell(t, pool, accounts[2], "", "a@4")
	tell(t, pool, accounts[3], "", "b@5")
	p, err := pattern.Parse("a then b")
	require.NoError(t, err)
	found, err := pattern.Find(t.Context(), pool, time.Minute, p, pattern.Query{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, int64(2), found.Accounts)
	require.Len(t, found.Items, 1)
	m := found.Items[0]
	require.Equal(t, "Account 0", m.AccountName)
	require.Equal(t, at(41), m.ReachedAt)
	require.Equal(t, int64(2), m.Matches)
	require.Len(t, m.Steps, 2)
	require.Equal(t, []string{"a", "b"}, []string{m.Steps[0].EventType, m.Steps[1].EventType})
	require.Zero(t, m.OpenUntil)

	since, err := pattern.Find(t.Context(), pool, time.Minute, p, pattern.Query{Since: at(1)})
	require.NoError(t, err)
	require.Len(t, since.Items, 2)
	require.Equal(t, int64(1), since.Items[0].Matches)

	months, err := pattern.Months(t.Context(), pool, time.Minute, p, pattern.Query{})
	require.NoError(t, err)
	require.Equal(t, "[{2026-04 1 1} {2026-03 2 2}]", fmt.Sprint(months))

	now, err := pattern.Parse("now a then b within 120 days")
	require.NoError(t, err)
	begun, err := pattern.Find(t.Context(), pool, time.Minute, now, pattern.Query{Now: at(100)})
	require.NoError(t, err)
	require.Len(t, begun.Items, 2)
	require.Equal(t, accounts[1], begun.Items[0].AccountID)
	require.Equal(t, accounts[2], begun.Items[1].AccountID)
	require.Equal(t, at(124), begun.Items[1].OpenUntil)
	_, err = pattern.Months(t.Context(), pool, time.Minute, now, pattern.Query{})
	require.True(t, fault.IsPermanent(err))

	plan, err := pattern.Explain(t.Context(), pool, time.Minute, now, now.Statement(pattern.Query{Now: at(100)}))
	require.NoError(t, err)
	require.NotEmpty(t, plan.Plan)
	require.Contains(t, plan.Parameters, `"a"`)
	require.NotContains(t, plan.SQL, "'a'")

	// A statement ends at its limit, and says what to do.
	tell(t, pool, accounts[0], "x", strings.Repeat("a@1 ", 20_000))
	slow, err := pattern.Parse("x* then x* then x* then x*")
	require.NoError(t, err)
	_, err = pattern.Find(t.Context(), pool, time.Millisecond, slow, pattern.Query{})
	require.False(t, fault.IsPermanent(err))
	require.Contains(t, fault.Advice(err), "ask about less time")
}
