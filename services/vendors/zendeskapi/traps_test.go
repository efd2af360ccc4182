package zendeskapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/zendesk"
	"github.com/throughline-dev/throughline/services/vendors/fakeapi"
	"github.com/throughline-dev/throughline/services/vendors/fakeapi/fakeapitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	email   = "kim@acme.example"
	token   = "tok_0123456789abcdef"
	account = "12514403"
)

// serve starts an account of so many tickets, users and organizations, one a minute
// until two minutes ago, each ticket with a reply.
func serve(t *testing.T, n int) (*API, *rig) {
	t.Helper()
	a := New(email, token)
	a.MostPerPage = 100
	for i := range n {
		at := time.Now().Add(-time.Duration(n-i+1) * time.Minute)
		a.Add("tickets", ticket(5000+i, at))
		a.Add("users", Item{"id": 9000 + i, "created_at": stamp(at), "updated_at": stamp(at), "role": "end-user", "organization_id": 7000 + i%5, "email": fmt.Sprintf("u%d@c%d.example", i, i%5)})
		a.Add("organizations", Item{"id": 7000 + i, "created_at": stamp(at), "updated_at": stamp(at), "external_id": fmt.Sprintf("crm-%d", i), "name": "Acme"})
		a.Add("ticket_events", audit(80000+i, 5000+i, at, Item{"id": 600000 + i, "event_type": "Create", "status": "new"}, comment(700000+i)))
		a.Add("ticket_events", audit(90000+i, 5000+i, at, Item{"id": 800000 + i, "event_type": "Change", "status": "open"}, comment(900000+i)))
	}
	faults := &fakeapi.Faults{API: a}
	return a, &rig{fakeapitest.Rig{T: t, Source: zendesk.New().(source.Pager), URL: fakeapitest.Serve(t, faults), Key: email + "/token:" + token}, faults}
}

// rig is a puller of a fake.
type rig struct {
	fakeapitest.Rig
	faults *fakeapi.Faults
}

// Pull pulls a stream of the last month.
func (r *rig) Pull(stream string, change func(*pull.Options)) (pull.Report, error) {
	r.T.Helper()
	return r.Rig.Pull(stream, func(o *pull.Options) {
		o.Tenant, o.From = account, time.Now().Add(-30*24*time.Hour)
		if change != nil {
			change(o)
		}
	})
}

func ticket(id int, at time.Time) Item {
	return Item{"id": id, "created_at": stamp(at), "updated_at": stamp(at), "subject": "charged twice", "status": "open",
		"generated_timestamp": at.Unix(), "fields": []Item{}, "organization_id": 7000, "requester_id": 9000}
}

func audit(id, ticket int, at time.Time, children ...Item) Item {
	return Item{"id": id, "ticket_id": ticket, "timestamp": at.Unix(), "created_at": stamp(at), "updater_id": 9000, "event_type": "Audit", "child_events": children}
}

func comment(id int) Item {
	return Item{"id": id, "type": "Comment", "event_type": "Comment", "author_id": 9000, "body": "We refund the second charge today.", "public": true, "attachments": []Item{}}
}

// ids gives what a fact's identity is, for all of them.
func ids(form string, first, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf(form, first+i))
	}
	return all
}

func TestPullsEveryStream(t *testing.T) {
	t.Parallel()
	for stream, want := range map[string]struct {
		form  string
		first int
		typ   string
	}{
		"tickets":       {account + ":ticket:%d:created", 5000, "ticket.created"},
		"users":         {account + ":user:%d:created", 9000, "user.created"},
		"organizations": {account + ":organization:%d:created", 7000, "organization.created"},
		"ticket_events": {account + ":comment:%d", 900000, "ticket.replied"},
	} {
		t.Run(stream, func(t *testing.T) {
			t.Parallel()
			_, p := serve(t, 250)
			report, err := p.Pull(stream, nil)
			require.NoError(t, err)
			require.Zero(t, report.Unread)
			require.Equal(t, ids(want.form, want.first, 250), p.IDs())
			require.EqualValues(t, 250, report.Events, "what a page repeats is left out")
			require.Equal(t, want.typ, p.Got[0].Type)
			require.NotEmpty(t, p.Got[0].References)
		})
	}
}

// The body that a backfill publishes is that of the webhook, as far as the API tells.
func TestBodies(t *testing.T) {
	t.Parallel()
	_, p := serve(t, 1)
	for _, stream := range []string{"tickets", "ticket_events"} {
		_, err := p.Pull(stream, nil)
		require.NoError(t, err)
	}
	var created, replied struct {
		Type, Time, Subject string
		Detail              map[string]any
		Event               struct {
			Comment struct {
				ID       int64
				IsPublic bool `json:"is_public"`
				Author   struct{ ID int64 }
				Body     string
			}
		}
	}
	require.NoError(t, json.Unmarshal(p.Got[0].Value, &created))
	require.Equal(t, "zen:event-type:ticket.created", created.Type)
	require.Equal(t, "zen:ticket:5000", created.Subject)
	require.Equal(t, created.Detail["created_at"], created.Time)
	require.Equal(t, "charged twice", p.Got[0].Subject)
	require.NoError(t, json.Unmarshal(p.Got[1].Value, &replied))
	require.EqualValues(t, 900000, replied.Event.Comment.ID)
	require.True(t, replied.Event.Comment.IsPublic)
	require.EqualValues(t, 9000, replied.Event.Comment.Author.ID)
	require.EqualValues(t, 5000, replied.Detail["id"])
}

// Trap: the last page of a time-based export comes for ever, with an end_time that stands still.
func TestEndTimeThatStandsStill(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"ticket_events", "organizations"} {
		a, p := serve(t, 150)
		a.Repeat = true
		report, err := p.Pull(stream, nil)
		require.NoError(t, err)
		require.EqualValues(t, 150, report.Events)
		require.Less(t, len(p.faults.Requests("")), 10)
	}
}

// Trap: a page that is full and the last.
func TestEndOfStreamOnAFullPage(t *testing.T) {
	t.Parallel()
	_, p := serve(t, 200)
	_, err := p.Pull("tickets", nil)
	require.NoError(t, err)
	require.Len(t, p.IDs(), 200)
	require.Len(t, p.faults.Requests(""), 2)
}

// Trap: more items of one second than a page has.
func TestManyItemsOfOneSecond(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"tickets", "organizations"} {
		a, p := serve(t, 0)
		at := time.Now().Add(-time.Hour)
		for i := range 450 {
			item := ticket(5000+i, at.Add(time.Duration(i/440)*time.Minute))
			a.Add(stream, item)
		}
		_, err := p.Pull(stream, nil)
		require.NoError(t, err)
		require.Len(t, p.IDs(), 450)
	}
}

// Trap: an item that was created before the period is listed because it was changed in
// it; one that was created in the period is listed where it was changed, long after.
func TestItemsChangedOutsideOfThePeriod(t *testing.T) {
	t.Parallel()
	a, p := serve(t, 0)
	now := time.Now()
	a.Add("tickets", ticket(1, now.Add(-90*24*time.Hour)), ticket(2, now.Add(-20*24*time.Hour)), ticket(3, now.Add(-5*24*time.Hour)))
	a.Change("tickets", 1, Item{"updated_at": stamp(now.Add(-15 * 24 * time.Hour))})
	a.Change("tickets", 2, Item{"updated_at": stamp(now.Add(-2 * time.Minute))})
	_, err := p.Pull("tickets", func(o *pull.Options) { o.To = now.Add(-10 * 24 * time.Hour) })
	require.NoError(t, err)
	require.Equal(t, []string{account + ":ticket:2:created"}, p.IDs())
}

// Trap: nothing of the period, for more pages than an API that lies gets.
func TestManyPagesOfOtherPeriods(t *testing.T) {
	t.Parallel()
	a, p := serve(t, 0)
	a.MostPerPage = 1
	now := time.Now()
	for i := range 150 {
		a.Add("tickets", ticket(10+i, now.Add(-time.Hour+time.Duration(i)*time.Second)))
	}
	_, err := p.Pull("tickets", func(o *pull.Options) { o.To = now.Add(-24 * time.Hour) })
	require.NoError(t, err)
	require.Empty(t, p.IDs())
	require.Greater(t, len(p.faults.Requests("")), 140)
}

// Trap: a deleted ticket is still listed; that it was created is still a fact.
func TestDeletedTicketIsListed(t *testing.T) {
	t.Parallel()
	a, p := serve(t, 3)
	a.Change("tickets", 5001, Item{"status": "deleted", "updated_at": stamp(time.Now().Add(-2 * time.Minute))})
	_, err := p.Pull("tickets", nil)
	require.NoError(t, err)
	require.Equal(t, ids(account+":ticket:%d:created", 5000, 3), p.IDs())
}

// Trap: the plan lacks one kind. The other streams go on.
func TestPlanThatLacksAKind(t *testing.T) {
	t.Parallel()
	a, p := serve(t, 3)
	a.Forbid("organizations")
	var failed []string
	for _, s := range p.Source.Streams() {
		if _, err := p.Pull(s.Name, nil); err != nil {
			failed = append(failed, s.Name)
			require.Equal(t, fault.Forbidden, fault.ReasonOf(err))
			require.ErrorContains(t, err, "exporting organizations: the API answered 403 Forbidden")
			require.Contains(t, fault.Advice(err), "plans")
		}
	}
	require.Equal(t, []string{"organizations"}, failed)
	require.Len(t, p.IDs(), 9)
}

// Trap: ten requests a minute, the eleventh is refused with Retry-After.
func TestTenRequestsAMinute(t *testing.T) {
	t.Parallel()
	a, p := serve(t, 1200)
	a.PerMinute = 10
	_, err := p.Pull("tickets", func(o *pull.Options) { o.Patience = time.Second })
	require.ErrorContains(t, err, "the API answered 429 Too Many Requests")
	require.ErrorContains(t, err, "wants to be asked again in")
	require.False(t, fault.IsPermanent(err))
	require.Len(t, p.IDs(), 1000)
	rates := p.Source.API().Slower
	require.LessOrEqual(t, rates["/api/v2/incremental/"], 10.0/60, "at this rate it does not come to that")
}

// Trap: statuses that pass by themselves, of Zendesk and of what stands before it.
func TestServerErrorsPass(t *testing.T) {
	t.Parallel()
	for _, status := range []int{409, 429, 500, 502, 503, 520, 524} {
		_, p := serve(t, 250)
		p.faults.Inject("", 1, 2, fakeapi.Answers(status, `{"error":"Unavailable"}`))
		_, err := p.Pull("tickets", nil)
		require.NoError(t, err, status)
		require.Len(t, p.IDs(), 250)
	}
}

// Trap: Retry-After as seconds, and as a date by a clock that is ten minutes off.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fakeapi.Fault{
		"seconds": fakeapi.TooMany("3600"), "a date": fakeapi.TooManyUntil(time.Hour, 0), "behind": fakeapi.TooManyUntil(time.Hour, -10*time.Minute), "ahead": fakeapi.TooManyUntil(time.Hour, 10*time.Minute),
	} {
		_, p := serve(t, 5)
		p.faults.Inject("", 0, 1, f)
		_, err := p.Pull("tickets", func(o *pull.Options) { o.Patience = time.Second })
		require.ErrorContains(t, err, "wants to be asked again in 1h0m0s", name)
	}
}

// Trap: the account's clock is ten minutes off. Behind, it refuses to export from what
// is its future: there is nothing yet, and polls overlap by more than that. Further
// behind, this machine's clock is ahead, and it is said.
func TestClockTenMinutesOff(t *testing.T) {
	t.Parallel()
	last := func(o *pull.Options) { o.From, o.Patience = time.Now().Add(-3*time.Minute), time.Second }
	for off, want := range map[time.Duration]int{10 * time.Minute: 30, -10 * time.Minute: 20} {
		a, p := serve(t, 30)
		a.Clock = off
		_, err := p.Pull("tickets", nil)
		require.NoError(t, err)
		require.InDelta(t, want, len(p.IDs()), 1)
		_, err = p.Pull("tickets", last)
		require.NoError(t, err)
	}
	a, p := serve(t, 30)
	a.Clock = -time.Hour
	_, err := p.Pull("tickets", last)
	require.ErrorContains(t, err, "this machine's clock may be ahead")
	require.False(t, fault.IsPermanent(err))
}

// Trap: an OAuth token that expires under way.
func TestTokenThatExpires(t *testing.T) {
	t.Parallel()
	a, p := serve(t, 250)
	p.Key = token
	p.faults.Inject("", 1, 1, func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		a.SetToken("tok_the_next_one")
		next.ServeHTTP(w, r)
	})
	_, err := p.Pull("tickets", nil)
	require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
	require.Len(t, p.IDs(), 100)
	require.True(t, strings.HasPrefix(p.faults.Requests("")[0].Header.Get("Authorization"), "Bearer "))
	p.Key = "tok_the_next_one"
	_, err = p.Pull("tickets", nil)
	require.NoError(t, err)
	require.Len(t, p.IDs(), 250)
}

func TestBasicAuthentication(t *testing.T) {
	t.Parallel()
	_, p := serve(t, 1)
	_, err := p.Pull("users", nil)
	require.NoError(t, err)
	require.Equal(t, "Basic "+base64.StdEncoding.EncodeToString([]byte(email+"/token:"+token)), p.faults.Requests("")[0].Header.Get("Authorization"))
}

// Trap: what is between answers in the API's place, or the answer breaks off. Once, it
// costs nothing; again and again, the pull ends and says what it saw.
func TestLies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault fakeapi.Fault
		want  string
	}{
		"HTML":                  {fakeapi.HTML, "a page of HTML or XML instead of JSON"},
		"truncated gzip":        {fakeapi.TruncatedGzip, "breaks off after"},
		"a body that breaks":    {fakeapi.BreaksOff, "breaks off after"},
		"the same page again":   {nil, "the cursor does not move"},
		"an error with 200":     {fakeapi.Answers(200, `{"error":"InternalError"}`), "200 with an error"},
		"no list":               {fakeapi.Answers(200, `{"count":0,"end_of_stream":true}`), "has no array tickets"},
		"no end_of_stream":      {fakeapi.Answers(200, `{"tickets":[],"after_cursor":"x"}`), "does not say whether this is its end_of_stream"},
		"more, and no cursor":   {fakeapi.Answers(200, `{"tickets":[],"end_of_stream":false,"after_cursor":null}`), "its after_cursor is no text"},
		"JSON that breaks off":  {fakeapi.Answers(200, `{"tickets":[{"id":1`), "cannot be read"},
		"a cursor as a number":  {fakeapi.Answers(200, `{"tickets":[],"end_of_stream":false,"after_cursor":7}`), "its after_cursor is no text"},
		"end_of_stream as text": {fakeapi.Answers(200, `{"tickets":[],"end_of_stream":"true"}`), "does not say whether this is its end_of_stream"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, p := serve(t, 250)
			if c.fault == nil {
				c.fault = p.faults.SamePage
			}
			p.faults.Inject("", 1, 2, c.fault)
			_, err := p.Pull("tickets", nil)
			require.NoError(t, err)
			require.Len(t, p.IDs(), 250)
			p.faults.Inject("", 1, -1, c.fault)
			_, err = p.Pull("tickets", nil)
			require.ErrorContains(t, err, c.want)
			require.True(t, fault.IsPermanent(err))
		})
	}
}

// Trap: a cursor that goes round, and one that never ends.
func TestCursorThatNeverEnds(t *testing.T) {
	t.Parallel()
	_, p := serve(t, 250)
	p.faults.Inject("", 0, -1, func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		body := fakeapi.Right(next, r)
		if strings.Contains(string(body), `"end_of_stream":true`) {
			again := r.Clone(r.Context())
			again.URL.RawQuery = fmt.Sprintf("start_time=%d", time.Now().Add(-24*time.Hour).Unix())
			body = fakeapi.Right(next, again)
		}
		_, _ = w.Write(body)
	})
	_, err := p.Pull("tickets", nil)
	require.ErrorContains(t, err, "goes round")
	require.Less(t, len(p.faults.Requests("")), 40)

	_, p = serve(t, 1)
	n := 0
	p.faults.Inject("", 0, -1, func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
		n++
		fmt.Fprintf(w, `{"tickets":[],"end_of_stream":false,"after_cursor":"c%d"}`, n)
	})
	_, err = p.Pull("tickets", nil)
	require.ErrorContains(t, err, "100 pages in a row had no events")
}

// Trap: a cursor that Zendesk no longer knows: from the beginning, once.
func TestCursorThatIsGone(t *testing.T) {
	t.Parallel()
	_, p := serve(t, 250)
	p.faults.Inject("", 1, 1, fakeapi.Answers(400, `{"error":"InvalidValue","description":"cursor is not valid"}`))
	_, err := p.Pull("tickets", nil)
	require.NoError(t, err)
	require.Len(t, p.IDs(), 250)
	p.faults.Inject("", 1, -1, fakeapi.Answers(400, `{"error":"InvalidValue"}`))
	_, err = p.Pull("tickets", nil)
	require.ErrorContains(t, err, "400 Bad Request (InvalidValue)")
	require.True(t, fault.IsPermanent(err))
}

// Trap: a page that is larger than an answer may be is asked for in smaller ones.
func TestPageThatIsTooLarge(t *testing.T) {
	t.Parallel()
	a, p := serve(t, 0)
	a.MostPerPage = 0
	for i := range 150 {
		item := ticket(5000+i, time.Now().Add(-time.Hour))
		item["description"] = strings.Repeat("a long story. ", 4000)
		a.Add("tickets", item)
	}
	_, err := p.Pull("tickets", nil)
	require.NoError(t, err)
	require.Len(t, p.IDs(), 150)
	var asked []string
	for _, r := range p.faults.Requests("") {
		asked = append(asked, query(r).Get("per_page"))
	}
	require.Contains(t, asked, "100")
}

// An item that is none spoils nothing: it goes on to become a dead letter.
func TestItemsThatAreNone(t *testing.T) {
	t.Parallel()
	_, p := serve(t, 0)
	p.faults.Inject("", 0, 1, fakeapi.Answers(200, `{"tickets":[7,{"id":"5000","created_at":"`+stamp(time.Now())+`"},{"id":5001},{"id":5002,"created_at":"soon"}],"end_of_stream":true}`))
	report, err := p.Pull("tickets", nil)
	require.NoError(t, err)
	require.EqualValues(t, 4, report.Events)
	require.EqualValues(t, 3, report.Unread)
	require.Equal(t, account+":ticket:5000:created", p.Got[1].ID, "an id as text is the same id")
}

// Offset paging beyond the thousandth page is limited; nothing here pages so.
func TestOffsetPagingIsLimited(t *testing.T) {
	t.Parallel()
	_, p := serve(t, 1)
	client := p.Client()
	status := 0
	for n := range 12 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("/api/v2/tickets.json?page=%d", 1001+n), nil)
		require.NoError(t, err)
		resp, err := client.Do(r)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		status = resp.StatusCode
	}
	require.Equal(t, http.StatusTooManyRequests, status)
	for _, s := range p.Source.Streams() {
		before := len(p.faults.Requests(""))
		_, err := p.Pull(s.Name, nil)
		require.NoError(t, err)
		for _, r := range p.faults.Requests("")[before:] {
			require.False(t, query(r).Has("page"))
		}
	}
}

func query(r fakeapi.Request) url.Values {
	q, _ := url.ParseQuery(r.Query)
	return q
}
