package lookerapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/looker"
	"github.com/throughline-dev/throughline/services/vendors/fakeapi"
	"github.com/throughline-dev/throughline/services/vendors/fakeapi/fakeapitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	key       = "CGc9B7v7J48dQSJv:nNVS9cSS3xNpSC9JdsBv"
	runPath   = "/api/4.0/queries/run/json"
	loginPath = "/api/4.0/login"
)

type rig struct {
	fakeapitest.Rig
	api    *API
	faults *fakeapi.Faults
}

func newRig(t *testing.T) *rig {
	t.Helper()
	api := New(key)
	r := &rig{api: api, faults: &fakeapi.Faults{API: api}}
	r.Rig = fakeapitest.Rig{T: t, Source: looker.New().(source.Pager), URL: fakeapitest.Serve(t, r.faults), Key: key}
	return r
}

func row(id int, at time.Time) Row {
	return Row{"history.id": id, "history.created_time": at, "history.source": "dashboard", "history.status": "complete", "query.model": "usage", "query.view": "accounts",
		"dashboard.title": "Account usage", "user.id": 7, "user.email": "kim@acme.example"}
}

// history puts so many rows, one a step, the last of them a step ago.
func (r *rig) history(n int, step time.Duration) {
	now := time.Now().UTC().Truncate(time.Second)
	rows := make([]Row, n)
	for i := range rows {
		rows[i] = row(i+1, now.Add(-time.Duration(n-i)*step))
	}
	r.api.Put("history", rows...)
}

func (r *rig) all(events int) {
	r.T.Helper()
	require.Len(r.T, r.IDs(), events)
	require.Len(r.T, r.Got, events)
}

func recent(o *pull.Options) { o.From = time.Now().Add(-24 * time.Hour) }

func TestPullsHistoryAndEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.history(3, time.Minute)
	r.api.Put("event", Row{"event.id": 1, "event.created_time": time.Now().UTC().Add(-time.Minute), "event.name": "create_dashboard", "event.category": "dashboard", "user.id": 7, "user.email": "kim@acme.example"})
	report, err := r.Pull("history", func(o *pull.Options) { recent(o); o.Tenant = "https://acme.looker.com:19999" })
	require.NoError(t, err)
	require.Zero(t, report.GapCount)
	_, err = r.Pull("event", func(o *pull.Options) { recent(o); o.Tenant = "acme.looker.com" })
	require.NoError(t, err)
	require.Equal(t, []string{"acme.looker.com:event:1", "acme.looker.com:history:1", "acme.looker.com:history:2", "acme.looker.com:history:3"}, r.IDs())
	require.Equal(t, "dashboard.created", r.Of("dashboard.created")[0].Type)
	require.Equal(t, []string{"looker/acme.looker.com:user:7", "looker:email:kim@acme.example"}, r.Of("query.ran")[0].Keys())
	for _, q := range r.faults.Requests("") {
		require.NotContains(t, q.Query, "secret")
	}
}

// Trap: exactly 5,000 rows are not all, and no more come whatever is asked for.
func TestFiveThousandRowsAreNotAll(t *testing.T) {
	t.Parallel()
	for rows, requests := range map[int]int{4999: 2, 5000: 3, 5001: 3} {
		r := newRig(t)
		r.history(rows, time.Second)
		_, err := r.Pull("history", recent)
		require.NoError(t, err)
		r.all(rows)
		require.Len(t, r.faults.Requests(runPath), requests, "%d rows, and the oldest", rows)
	}
}

// Trap: ids are numbers in one answer and texts in the next.
func TestIDsThatBecomeTexts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.history(5_001, time.Second)
	r.api.TurnIDs()
	_, err := r.Pull("history", recent)
	require.NoError(t, err)
	r.all(5_001)
	r.Got = nil
	_, err = r.Pull("history", recent) // each in the other form
	require.NoError(t, err)
	r.all(5_001)
}

// Trap: times have no zone, and where clocks are put back an hour comes twice; in UTC it does not.
func TestTimesAcrossAChangeOfClocks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	back := time.Date(2026, 11, 1, 8, 30, 0, 0, time.UTC) // 01:30 in California, and an hour later again
	r.api.Put("history", row(1, back), row(2, back.Add(time.Hour)))
	require.Equal(t, "2026-11-01 01:30:00", back.In(r.api.zone).Format(time.DateTime))
	require.Equal(t, "2026-11-01 01:30:00", back.Add(time.Hour).In(r.api.zone).Format(time.DateTime))
	for _, from := range []time.Duration{-time.Hour, 0} {
		r.Got = nil
		_, err := r.Pull("history", func(o *pull.Options) { o.From, o.To = back.Add(from), back.Add(61*time.Minute) })
		require.NoError(t, err)
		r.all(2)
		require.True(t, r.Got[0].OccurredAt.Equal(back))
		require.True(t, r.Got[1].OccurredAt.Equal(back.Add(time.Hour)))
	}
	r.Got = nil
	_, err := r.Pull("history", func(o *pull.Options) { o.From, o.To = back.Add(time.Minute), back.Add(61*time.Minute) })
	require.NoError(t, err)
	r.all(1)
}

// Trap: history keeps 90 days, and events a million rows: the first row that there is comes after the checkpoint, and
// what is between is gone. It is said.
func TestPrunedRowsAreAGap(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.history(100, time.Minute)
	r.api.Prune("history", 41)
	report, err := r.Pull("history", recent)
	require.NoError(t, err)
	require.Equal(t, 1, report.GapCount)
	require.Contains(t, report.Gaps[0].Why, "the oldest row of history that Looker still has is 41")
	r.all(60)
	// A period that begins after the oldest row lacks nothing.
	report, err = r.Pull("history", func(o *pull.Options) { o.From = time.Now().Add(-30 * time.Minute) })
	require.NoError(t, err)
	require.Zero(t, report.GapCount)
	report, err = r.Pull("history", func(o *pull.Options) { o.From = time.Now().Add(-100 * 24 * time.Hour) })
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(-90*24*time.Hour), report.KeptSince, time.Minute)
}

// Trap: the token ends between two pages.
func TestTokenThatEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.history(5_500, time.Second)
	r.faults.Inject(runPath, 2, 1, func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		r.api.EndToken()
		next.ServeHTTP(w, q)
	})
	_, err := r.Pull("history", recent)
	require.NoError(t, err)
	r.all(5_500)
	require.Len(t, r.faults.Requests(loginPath), 2)
}

func TestKeysThatAreNone(t *testing.T) {
	t.Parallel()
	for bad, says := range map[string]string{"CGc9B7v7J48dQSJv:another-secret-0123": "no API key of this instance", "no-colon-0123456789": "not like CLIENT_ID:CLIENT_SECRET"} {
		r := newRig(t)
		r.Key = bad
		_, err := r.Pull("history", recent)
		require.ErrorContains(t, err, says)
		require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
		require.NotContains(t, err.Error(), "another-secret")
	}
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fakeapi.Fault{
		"without Retry-After": fakeapi.TooMany(""), "in seconds": fakeapi.TooMany("1"), "as a date, 10 minutes ahead": fakeapi.TooManyUntil(time.Second, 10*time.Minute),
		"as a date, 10 minutes behind": fakeapi.TooManyUntil(time.Second, -10*time.Minute), "502": fakeapi.Answers(502, `<html>`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.history(50, time.Second)
			r.faults.Inject(runPath, 1, 1, f)
			_, err := r.Pull("history", recent)
			require.NoError(t, err)
			r.all(50)
		})
	}
}

// page answers so where a page is asked for, and not the oldest row.
func page(rows string) fakeapi.Fault {
	return func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		if q.URL.Query().Get("limit") == "1" {
			next.ServeHTTP(w, q)
			return
		}
		_, _ = w.Write([]byte(rows))
	}
}

// A lie ends the run with what it saw.
func TestLies(t *testing.T) {
	t.Parallel()
	changed := func(from, to string) fakeapi.Fault {
		return func(next http.Handler, w http.ResponseWriter, q *http.Request) {
			_, _ = w.Write([]byte(strings.ReplaceAll(string(fakeapi.Right(next, q)), from, to)))
		}
	}
	for name, c := range map[string]struct {
		fault fakeapi.Fault
		want  string
	}{
		"HTML instead of JSON":  {fakeapi.HTML, "200 OK with a page of HTML or XML instead of JSON"},
		"truncated gzip":        {fakeapi.TruncatedGzip, "breaks off after"},
		"an error with 200":     {fakeapi.Answers(200, `[{"looker_error":"SQL Error: unknown column"}]`), "looker_error, with 200"},
		"an object":             {fakeapi.Answers(200, `{"message":"x"}`), "no array of rows"},
		"no ids":                {changed(`"history.id":`, `"history.number":`), "no history.id"},
		"ids that are none":     {changed(`"history.id":`, `"history.id":-`), "no history.id"},
		"times that are none":   {changed(`"history.created_time":"`, `"history.created_time":"on `), "no history.created_time"},
		"the newest rows first": {page(`[{"history.id":2,"history.created_time":"2026-01-01 00:00:00"},{"history.id":1,"history.created_time":"2026-01-01 00:00:00"}]`), "in the order of their ids"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.history(20, time.Second)
			r.faults.Inject(runPath, 1, -1, c.fault)
			_, err := r.Pull("history", recent)
			require.ErrorContains(t, err, c.want)
			require.True(t, fault.IsPermanent(err))
			require.NotContains(t, err.Error(), "SQL")
			require.LessOrEqual(t, len(r.faults.Requests(runPath)), 12, "it does not ask for ever")
			r.faults.Heal()
			_, err = r.Pull("history", recent)
			require.NoError(t, err)
			r.all(20)
		})
	}
}

// Trap: the same page comes twice, whatever is asked for.
func TestThePageThatComesAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.history(6000, time.Second)
	r.faults.Inject(runPath, 2, -1, r.faults.SamePage)
	_, err := r.Pull("history", recent)
	require.ErrorContains(t, err, "do not come behind those of the page before")
	require.LessOrEqual(t, len(r.faults.Requests(runPath)), 8)
}

func TestLearnsWhoAUserIs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.api.PutUser(Row{"id": "7", "email": "kim@acme.example", "is_disabled": false, "credentials_embed": []any{}, "first_name": "Kim"})
	r.api.PutUser(Row{"id": "8", "email": nil, "is_disabled": true, "credentials_embed": []any{map[string]any{"id": "3", "external_user_id": "u-1", "external_group_id": "acct-11"}}})
	r.api.PutUser(Row{"id": 9, "email": "", "is_disabled": false, "credentials_embed": []any{map[string]any{"external_user_id": 42, "external_group_id": "7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01"}}})
	learner := r.Source.(source.Learner)
	learned, err := learner.Learn(t.Context(), r.Client(), "user", []string{"7", "8", "9", "10", "../login", "-1"})
	require.NoError(t, err)
	var lines []string
	for _, l := range learned {
		lines = append(lines, fmt.Sprint(l.ID, " gone ", l.Gone))
		for _, lead := range l.Leads {
			lines = append(lines, fmt.Sprintf("%s %s %s:%s", lead.By, lead.Field, lead.Reference.Kind, lead.Reference.ID))
		}
		require.NotContains(t, string(l.Evidence), "@")
	}
	require.Equal(t, []string{
		"7 gone false", "person email email:kim@acme.example",
		"8 gone false", "declared credentials_embed.external_group_id group:acct-11", "declared credentials_embed.external_user_id external_user:u-1",
		"9 gone false", "declared credentials_embed.external_group_id account_uuid:7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01",
		"declared credentials_embed.external_group_id group:7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01", "declared credentials_embed.external_user_id external_user:42",
		"10 gone true",
	}, lines)
	require.Len(t, r.faults.Requests("/api/4.0/users"), 1)
	for name, f := range map[string]fakeapi.Fault{"html": fakeapi.HTML, "gzip": fakeapi.TruncatedGzip, "an object": fakeapi.Answers(200, `{}`), "another user": fakeapi.Answers(200, `[{"id":"77"}]`)} {
		r.faults.Inject("/api/4.0/users", 0, 1, f)
		learned, err := learner.Learn(t.Context(), r.Client(), "user", []string{"7"})
		require.Error(t, err, name)
		require.False(t, fault.IsPermanent(err), name)
		require.Empty(t, learned)
	}
}

func TestLooksAtScheduledPlans(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const address = "https://hooks.example.com/webhooks/looker"
	plan := func(id any, enabled bool, kind, format, to string) Row {
		return Row{"id": id, "title": "Usage", "enabled": enabled, "last_run_at": "2026-11-01T08:30:00.000+00:00", "scheduled_plan_destination": []any{map[string]any{"type": kind, "format": format, "address": to}}}
	}
	subscriber := r.Source.(source.Subscriber)
	s, err := subscriber.Look(t.Context(), r.Client(), address)
	require.NoError(t, err)
	require.Empty(t, s.Have)
	require.Contains(t, s.Notes[0], "No scheduled plan")
	r.api.PutPlan(plan("1", true, "webhook", "inline_json", address+"/"))
	r.api.PutPlan(plan(2, false, "webhook", "xlsx", address))
	r.api.PutPlan(plan("3", true, "email", "inline_json", "kim@acme.example"))
	r.api.PutPlan(plan("4", true, "webhook", "inline_json", "https://elsewhere.example/webhooks/looker"))
	s, err = subscriber.Look(t.Context(), r.Client(), address)
	require.NoError(t, err)
	require.Len(t, s.Have, 2)
	require.Equal(t, []string{"1", "2"}, []string{s.Have[0].ID, s.Have[1].ID})
	require.Equal(t, 2026, s.Have[0].LastDelivery.Year())
	require.Contains(t, strings.Join(s.Notes, "\n"), `Plan 2 sends "xlsx"`)
	require.Contains(t, strings.Join(s.Notes, "\n"), "Plan 2 is switched off")
	require.NotContains(t, strings.Join(s.Notes, "\n"), "kim@")
	require.Empty(t, s.Changes)
}
