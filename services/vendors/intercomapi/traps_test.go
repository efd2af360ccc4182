package intercomapi

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/intercom"
	"github.com/throughline-dev/throughline/pkg/source/sourcetest"
	"github.com/throughline-dev/throughline/services/vendors/fakeapi"
	"github.com/throughline-dev/throughline/services/vendors/fakeapi/fakeapitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

const (
	token = "dG9rOjAxMjM0NTY3ODlhYmNkZWY="
	app   = "a86dr8yl"
)

type rig struct {
	fakeapitest.Rig
	api    *API
	faults *fakeapi.Faults
}

func newRig(t *testing.T) *rig {
	t.Helper()
	zone, err := time.LoadLocation("America/Los_Angeles")
	require.NoError(t, err)
	api := New(token, app, zone)
	r := &rig{api: api, faults: &fakeapi.Faults{API: api}}
	r.Rig = fakeapitest.Rig{T: t, Source: intercom.New().(source.Pager), URL: fakeapitest.Serve(t, r.faults), Key: token}
	return r
}

func ago(d time.Duration) int64 { return time.Now().Add(-d).Unix() }

// contact gives a user of a company.
func contact(id string, created, updated int64) Object {
	return Object{"type": "contact", "id": id, "workspace_id": app, "external_id": "user-" + id, "role": "user", "email": "kim@acme.example", "created_at": created, "updated_at": updated,
		"companies": map[string]any{"type": "list", "data": []any{map[string]any{"type": "company", "id": "c1"}}, "total_count": 1, "has_more": false}}
}

// conversation gives one that counts so many parts.
func conversation(id string, created, updated int64, parts int) Object {
	return Object{"type": "conversation", "id": id, "created_at": created, "updated_at": updated, "title": nil, "state": "open",
		"source":     map[string]any{"type": "email", "id": "9", "subject": "billing question", "body": "<p>Hi</p>", "author": map[string]any{"type": "user", "id": "p1", "email": "kim@acme.example"}},
		"contacts":   map[string]any{"type": "contact.list", "contacts": []any{map[string]any{"type": "contact", "id": "p1", "external_id": "user-42"}}},
		"statistics": map[string]any{"type": "conversation_statistics", "count_conversation_parts": parts}}
}

// part gives one by this kind of author; without words it is an assignment.
func part(id string, at int64, author, kind, body string) Object {
	return Object{"type": "conversation_part", "id": id, "part_type": kind, "body": body, "created_at": at, "updated_at": at, "author": map[string]any{"type": author, "id": "x"}, "attachments": []any{}}
}

// is: the events have the identities and types of these notifications.
func (r *rig) is(notifications ...string) {
	r.T.Helper()
	want, have := map[string]string{}, map[string]string{}
	for _, body := range notifications {
		event, err := sourcetest.Describe(r.Source, source.Record{Value: []byte(body)})
		require.NoError(r.T, err)
		want[event.ID] = event.Type
	}
	for _, got := range r.Got {
		require.NoError(r.T, got.Err, "%s", got.Value)
		have[got.ID] = got.Type
	}
	require.Equal(r.T, want, have)
}

func notification(topic, item string) string {
	return `{"topic":"` + topic + `","app_id":"a86dr8yl","id":"notif_1","created_at":1760000000,"data":{"item":` + item + `}}`
}

func TestPullsConversationsWithTheirParts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	at := ago(time.Hour)
	r.api.Put("conversations", conversation("137", at, at+9, 5),
		part("1", at+1, "user", "comment", "<p>Any news?</p>"), part("2", at+2, "admin", "assignment", ""), part("3", at+3, "admin", "comment", "Yes"),
		part("4", at+4, "admin", "note", "VIP"), part("5", at+5, "bot", "comment", "Bye"))
	r.api.Put("conversations", conversation("138", at+1, at+1, 0)) // takes no request
	_, err := r.Pull("conversations", nil)
	require.NoError(t, err)
	parts := func(id, author string) string {
		return `{"type":"conversation","id":"137","conversation_parts":{"conversation_parts":[{"id":"` + id + `","body":"x","created_at":1760000000,"author":{"type":"` + author + `"}}]}}`
	}
	r.is(notification("conversation.user.created", `{"type":"conversation","id":"137","created_at":1760000000}`), notification("conversation.user.created", `{"type":"conversation","id":"138","created_at":1760000000}`),
		notification("conversation.user.replied", parts("1", "user")), notification("conversation.admin.replied", parts("3", "admin")),
		notification("conversation.admin.noted", parts("4", "admin")), notification("conversation.operator.replied", parts("5", "bot")))
	require.Contains(t, r.Of("conversation.replied")[0].Keys(), "intercom/a86dr8yl:contact:p1")
	require.Equal(t, "billing question", r.Of("conversation.created")[0].Subject)
	require.Empty(t, r.faults.Requests("/conversations/138"))
	for _, q := range r.faults.Requests("") {
		require.Equal(t, "2.16", q.Header.Get("Intercom-Version"))
	}
}

// Trap: a conversation has 620 parts, and the API gives the newest 500: the gap is said.
func TestConversationWithMorePartsThanTheAPIGives(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	at := ago(time.Hour)
	var parts []Object
	for n := range 620 {
		parts = append(parts, part(fmt.Sprint(n), at+int64(n), "user", "comment", "x"))
	}
	r.api.Put("conversations", conversation("137", at, at+620, 620), parts...)
	report, err := r.Pull("conversations", nil)
	require.NoError(t, err)
	require.EqualValues(t, 501, report.Events)
	require.Equal(t, 1, report.GapCount)
	require.Equal(t, 120, report.Gaps[0].Missing)
	require.Equal(t, "intercom/a86dr8yl:conversation:137", report.Gaps[0].Object.Key())
	require.Contains(t, report.Gaps[0].Why, "counts 620 parts of the conversation and gives 500")
	// Of the last minutes nothing is missing.
	report, err = r.Pull("conversations", func(o *pull.Options) { o.From = time.Unix(at+400, 0) })
	require.NoError(t, err)
	require.Zero(t, report.GapCount)
}

// Trap: a contact's date is compared by day in the workspace's zone.
func TestContactsOfTheWorkspacesDay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for n, hours := range []int{1, 5, 9, 13, 17, 21, 25, 29, 33} {
		r.api.Put("contacts", contact(fmt.Sprint("p", n), ago(time.Duration(hours)*time.Hour), ago(time.Duration(hours)*time.Hour)))
	}
	for _, hours := range []int{2, 6, 10, 14, 18, 22, 26} {
		r.Got = nil
		_, err := r.Pull("contacts", func(o *pull.Options) { o.From = time.Now().Add(-time.Duration(hours) * time.Hour) })
		require.NoError(t, err)
		require.Len(t, r.Of("contact.created"), (hours+2)/4, "created in the last %d hours", hours)
	}
}

// Trap: times before 1970, in milliseconds, as text, and none.
func TestTimesOfAllKinds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	at := ago(time.Hour)
	for n, created := range []any{at, at * 1000, time.Unix(at, 0).UTC().Format(time.RFC3339), -86400, 0, nil, "soon"} {
		o := contact(fmt.Sprint("p", n), at, at)
		o["created_at"] = created
		r.api.Put("contacts", o)
	}
	_, err := r.Pull("contacts", nil)
	require.NoError(t, err)
	created := r.Of("contact.created")
	require.Len(t, created, 3)
	for _, one := range created {
		require.Equal(t, at, one.OccurredAt.Unix())
	}
}

// Trap: a merged contact vanishes from search, and the other's history has it.
func TestMergedContact(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.api.Put("contacts", contact("p1", ago(9*time.Hour), ago(9*time.Hour)))
	r.api.Put("contacts", contact("p2", ago(8*time.Hour), ago(8*time.Hour)))
	r.api.Merge("p2", "p1", time.Now().Add(-time.Hour))
	_, err := r.Pull("contacts", nil)
	require.NoError(t, err)
	r.is(notification("contact.user.created", `{"type":"contact","id":"p1","created_at":1760000000}`),
		notification("contact.merged", `{"type":"contact","id":"p1","merged_from":{"type":"contact","id":"p2"}}`))
	require.Contains(t, r.Of("contact.merged")[0].Keys(), "intercom/a86dr8yl:contact:p2")
}

func (r *rig) companies(n int) {
	for i := 1; i <= n; i++ {
		r.api.Put("companies", Object{"type": "company", "id": fmt.Sprint("c", i), "company_id": fmt.Sprint(i), "app_id": app, "name": "Acme", "created_at": ago(time.Hour), "updated_at": ago(time.Hour)})
	}
}

func TestScrollsThroughCompanies(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.companies(250)
	_, err := r.Pull("companies", nil)
	require.NoError(t, err)
	require.Len(t, r.IDs(), 250)
	require.Len(t, r.Got, 250)
	require.Equal(t, []string{"intercom/a86dr8yl:company:1", "intercom/a86dr8yl:company:c1"}, r.Of("company.created")[0].Keys())
}

// Trap: a scroll is open elsewhere: it is asked for again when that must have ended.
func TestScrollThatIsOpenElsewhere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.companies(3)
	resp, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/companies/scroll", nil)
	require.NoError(t, err)
	other, err := r.Client().Do(resp)
	require.NoError(t, err)
	require.NoError(t, other.Body.Close())
	_, err = r.Source.Page(t.Context(), r.Client(), source.Query{Stream: "companies", From: time.Unix(0, 0), To: time.Now()})
	require.ErrorContains(t, err, "another scroll through the workspace's companies is open (scroll_exists)")
	require.False(t, fault.IsPermanent(err))
	require.Equal(t, time.Minute, source.After(err))
	r.api.SetClock(func() time.Time { return time.Now().Add(61 * time.Second) })
	_, err = r.Pull("companies", nil)
	require.NoError(t, err)
	require.Len(t, r.IDs(), 3)
}

// Trap: a scroll that expired after 61 seconds, and one that Intercom says is to be begun
// anew: all come, and what comes again has the same identity.
func TestScrollThatEndsBeforeItsEnd(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(*rig) fakeapi.Fault{
		"expired": func(r *rig) fakeapi.Fault {
			return func(next http.Handler, w http.ResponseWriter, q *http.Request) {
				r.api.SetClock(func() time.Time { return time.Now().Add(61 * time.Second) })
				next.ServeHTTP(w, q)
			}
		},
		"500, restart": func(r *rig) fakeapi.Fault {
			return func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
				r.api.SetClock(func() time.Time { return time.Now().Add(61 * time.Second) })
				w.WriteHeader(http.StatusInternalServerError)
				fmt.Fprint(w, `{"type":"error.list","errors":[{"code":"internal_error","message":"Request failed due to an internal network error. Please restart the scroll operation."}]}`)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.companies(250)
			r.faults.Inject("/companies/scroll", 2, 1, f(r))
			_, err := r.Pull("companies", nil)
			require.NoError(t, err)
			require.Len(t, r.IDs(), 250)
			require.Len(t, r.Got, 450)
		})
	}
}

func TestPullsTicketsWithTheirParts(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	at := ago(time.Hour)
	ticket := Object{"type": "ticket", "id": "633", "ticket_id": "40", "category": "Customer", "created_at": at, "updated_at": at + 5, "company_id": "c1",
		"contacts":     map[string]any{"type": "contact.list", "contacts": []any{map[string]any{"type": "contact", "id": "p1"}}},
		"ticket_parts": map[string]any{"type": "ticket_part.list", "ticket_parts": []any{part("7", at+1, "user", "comment", "Hello?"), part("8", at+2, "admin", "comment", "Yes"), part("9", at+3, "admin", "ticket_state_updated_by_admin", "")}, "total_count": 3}}
	r.api.Put("tickets", ticket)
	report, err := r.Pull("tickets", nil)
	require.NoError(t, err)
	require.Zero(t, report.GapCount)
	parts := func(id string) string {
		return `{"type":"ticket","ticket":{"type":"ticket","id":"633"},"ticket_part":{"id":"` + id + `","body":"x","created_at":1760000000}}`
	}
	r.is(notification("ticket.created", `{"type":"ticket","id":"633","created_at":1760000000}`), notification("ticket.contact.replied", parts("7")), notification("ticket.admin.replied", parts("8")))
}

// A conversation that is deleted between the search and its parts costs nothing else,
// and those that are changed meanwhile come once.
func TestConversationsThatChangeUnderWay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	at := ago(time.Hour)
	for n := range 50 {
		r.api.Put("conversations", conversation(fmt.Sprint(100+n), at+int64(n), at+int64(n), 1), part(fmt.Sprint(n), at+99, "user", "comment", "x"))
	}
	r.faults.Inject("/conversations/search", 0, -1, func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		next.ServeHTTP(w, q)
		r.api.Delete("conversations", "105")
		r.api.Put("conversations", conversation("103", at+3, time.Now().Unix(), 1), part("3", at+99, "user", "comment", "x"))
	})
	_, err := r.Pull("conversations", nil)
	require.NoError(t, err)
	require.Equal(t, []int{50, 49}, []int{len(r.Of("conversation.created")), len(r.Of("conversation.replied"))})
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fakeapi.Fault{
		"without Retry-After":                      fakeapi.TooMany(""),
		"Retry-After in seconds":                   fakeapi.TooMany("1"),
		"Retry-After as a date, 10 minutes ahead":  fakeapi.TooManyUntil(2*time.Second, 10*time.Minute),
		"Retry-After as a date, 10 minutes behind": fakeapi.TooManyUntil(2*time.Second, -10*time.Minute),
		"X-RateLimit-Reset, 10 minutes ahead": func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
			now := time.Now().Add(10 * time.Minute)
			w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
			w.Header().Set("X-RateLimit-Reset", fmt.Sprint(now.Add(time.Second).Unix()))
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"5xx": fakeapi.Answers(503, "<html>"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.api.Put("contacts", contact("p1", ago(time.Hour), ago(time.Hour)))
			r.faults.Inject("", 1, 1, f)
			began := time.Now()
			_, err := r.Pull("contacts", nil)
			require.NoError(t, err)
			require.Len(t, r.IDs(), 1)
			if strings.HasPrefix(name, "X-") {
				require.Less(t, time.Since(began), time.Minute, "by the vendor's clock")
			}
		})
	}
}

// A lie ends the run with what it saw, and the checkpoint is kept.
func TestLies(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	cases := []struct {
		name  string
		fault fakeapi.Fault
		want  string
	}{
		{"the same page twice", nil, "the cursor does not move"},
		{"a cursor that never ends", func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"type":"list","data":[],"pages":{"next":{"starting_after":%q}}}`, time.Now())
		}, "empty and says that there are more"},
		{"HTML instead of JSON", fakeapi.HTML, "200 OK with a page of HTML or XML instead of JSON"},
		{"200 with nothing", fakeapi.Answers(200, ""), "with nothing instead of JSON"},
		{"an error with 200", fakeapi.Answers(200, `{"type":"error.list","errors":[{"code":"server_error","message":"kim@acme.example"}]}`), "200 with an error (server_error)"},
		{"truncated gzip", fakeapi.TruncatedGzip, "breaks off after"},
		{"no list", fakeapi.Answers(200, `{"type":"contact","id":"1"}`), "no list of contacts"},
		{"no ids", fakeapi.Answers(200, `{"type":"list","data":[{"type":"contact"}]}`), "has no id"},
		{"more than was asked for", fakeapi.Answers(200, `{"type":"list","data":[`+strings.Repeat(`{},`, 150)+"{}]}"), "151 contacts where 150"},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.Store = pull.NewStore(pool)
			for n := range 350 {
				r.api.Put("contacts", contact(fmt.Sprint("p", n), ago(time.Hour)+int64(n), ago(time.Hour)+int64(n)))
			}
			if c.fault == nil {
				c.fault = r.faults.SamePage
			}
			r.faults.Inject("/contacts/search", 1, -1, c.fault)
			from := time.Now().Add(-2 * time.Hour)
			period := func(o *pull.Options) { o.From, o.Tenant = from, fmt.Sprint(i) }
			_, err := r.Pull("contacts", period)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "kim@")
			require.True(t, fault.IsPermanent(err))
			require.Len(t, r.Got, 150)
			r.faults.Heal()
			report, err := r.Pull("contacts", period)
			require.NoError(t, err)
			require.True(t, report.Resumed)
			require.EqualValues(t, 200, report.Events, "no more than what was left")
			require.Len(t, r.IDs(), 350)
		})
	}
}

// Trap: ids that become numbers are the same ids.
func TestIDsThatBecomeNumbers(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.api.Put("conversations", conversation("137", ago(time.Hour), ago(time.Hour), 1), part("1", ago(time.Minute), "user", "comment", "x"))
	_, err := r.Pull("conversations", nil)
	require.NoError(t, err)
	before := r.IDs()
	r.faults.Inject("", 0, -1, func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		body := string(fakeapi.Right(next, q))
		fmt.Fprint(w, strings.NewReplacer(`"id":"137"`, `"id":137`, `"id":"1"`, `"id":1`).Replace(body))
	})
	_, err = r.Pull("conversations", nil)
	require.NoError(t, err)
	require.Len(t, r.Got, 4)
	require.Equal(t, before, r.IDs())
}

// A key that is wrong says so, and nothing of itself.
func TestKeyThatIsWrong(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.Key = "another-0123456789"
	_, err := r.Pull("contacts", nil)
	require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
	require.ErrorContains(t, err, "asking for the workspace: the API answered 401 Unauthorized: the key is wrong, or no longer valid (unauthorized)")
}

// Two readings of one fact say the same, whatever became of the object meanwhile.
func TestOneFactReadTwiceIsTheSame(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	set, err := source.NewSet(r.Source)
	require.NoError(t, err)
	at := ago(time.Hour)
	for _, state := range []string{"open", "closed"} {
		o := conversation("137", at, ago(time.Minute), 0)
		o["state"] = state
		r.api.Put("conversations", o)
		_, err = r.Pull("conversations", nil)
		require.NoError(t, err)
	}
	require.Len(t, r.Got, 2)
	var one, two rawjson.Doc
	first, err := one.Parse(r.Got[0].Value)
	second, err2 := two.Parse(r.Got[1].Value)
	require.NoError(t, errors.Join(err, err2))
	relation, where := set.Compare("intercom", first, second)
	require.Equal(t, source.Same, relation, where)
}
