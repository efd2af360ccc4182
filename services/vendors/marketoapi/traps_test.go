package marketoapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/marketo"
	"github.com/throughline-dev/throughline/services/vendors/fakeapi"
	"github.com/throughline-dev/throughline/services/vendors/fakeapi/fakeapitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	clientID = "5b0a3d4e-1111-2222"
	secret   = "s3cret-0123456789abcdef"
	munchkin = "123-ABC-456"

	activitiesPath = "/rest/v1/activities.json"
)

// rig is a puller of a fake.
type rig struct {
	fakeapitest.Rig
	api    *API
	faults *fakeapi.Faults
}

// serve starts an instance with so many activities, one a minute until five minutes
// ago, of twelve types.
func serve(t *testing.T, n int) *rig {
	t.Helper()
	a := New(clientID, secret)
	types := []int{1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 104, 100001}
	for i := range n {
		a.Add(Activity{GUID: int64(783957000 + i), Lead: int64(5414000 + i%7), Type: types[i%len(types)], At: ago(n - i + 4), CampaignID: 8497, PrimaryID: 1041,
			Primary: "EM-2025, \"Pricing\"", Attributes: []Attribute{{"Step ID", 1}, {"Is Mobile Device", false}, {"User Agent", "Mozilla/5.0"}}, ZoneAsNumbers: i%2 == 0})
	}
	faults := &fakeapi.Faults{API: a}
	return &rig{fakeapitest.Rig{T: t, Source: marketo.New().(source.Pager), URL: fakeapitest.Serve(t, faults), Key: clientID + ":" + secret}, a, faults}
}

func ago(minutes int) time.Time { return time.Now().Add(-time.Duration(minutes) * time.Minute) }

// Pull pulls a stream of the last day.
func (r *rig) Pull(stream string, change func(*pull.Options)) (pull.Report, error) {
	r.T.Helper()
	report, err := r.Rig.Pull(stream, func(o *pull.Options) {
		o.Tenant, o.From = munchkin, time.Now().Add(-20*time.Hour)
		if change != nil {
			change(o)
		}
	})
	if err != nil {
		require.NotContains(r.T, err.Error(), secret)
	}
	return report, err
}

func impatient(o *pull.Options) { o.Patience = 2 * time.Second }

// export completes at once, and no pull waits for it.
func (r *rig) export(change func(*pull.Options)) (pull.Report, error) {
	r.T.Helper()
	// The first status is that of a job which is enqueued then; nobody waits a minute.
	r.faults.Inject("", 0, -1, atOnce)
	return r.Pull("bulk_activities", change)
}

// atOnce enqueues an export when it is created, so that its first status is completed.
func atOnce(next http.Handler, w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/create.json") {
		next.ServeHTTP(w, r)
		return
	}
	body := fakeapi.Right(next, r)
	var created struct{ Result []struct{ ExportID string } }
	if json.Unmarshal(body, &created) == nil && len(created.Result) == 1 {
		enqueue := r.Clone(r.Context())
		enqueue.URL.Path, enqueue.Body = "/bulk/v1/activities/export/"+created.Result[0].ExportID+"/enqueue.json", http.NoBody
		fakeapi.Right(next, enqueue)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

func ids(first, n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("%s:%d", munchkin, first+i))
	}
	return all
}

func TestPullsActivities(t *testing.T) {
	t.Parallel()
	r := serve(t, 1000)
	report, err := r.Pull("activities", nil)
	require.NoError(t, err)
	require.EqualValues(t, 1000, report.Events)
	require.Equal(t, ids(783957000, 1000), r.IDs())
	require.Contains(t, r.Got[0].Keys()[0], "marketo/123-ABC-456:lead:")
	asked := r.faults.Requests(activitiesPath)
	for _, one := range asked {
		q, err := url.ParseQuery(one.Query)
		require.NoError(t, err)
		require.LessOrEqual(t, len(strings.Split(q.Get("activityTypeIds"), ",")), 10)
	}
	require.Len(t, r.faults.Requests("/rest/v1/activities/types.json"), 1, "the types are asked for once")
	require.Len(t, r.faults.Requests("/identity/oauth/token"), 1)
	require.Empty(t, slices.DeleteFunc(r.faults.Requests(""), func(one fakeapi.Request) bool { return !strings.Contains(one.Query, secret) }), "no URL has the secret")
}

func TestOnlySomeTypes(t *testing.T) {
	t.Parallel()
	r := serve(t, 240)
	_, err := r.Pull("activities", func(o *pull.Options) { o.Types = []string{"10", "11"} })
	require.NoError(t, err)
	require.Len(t, r.IDs(), 40)
	_, err = r.Pull("activities", func(o *pull.Options) { o.Types = []string{"10&listId=1"} })
	require.ErrorContains(t, err, "is not the number of an activity type")
}

// A period ends where it ends, though the API goes on until now.
func TestPeriodThatIsOver(t *testing.T) {
	t.Parallel()
	r := serve(t, 1000)
	_, err := r.Pull("activities", func(o *pull.Options) { o.From, o.To = ago(1001), ago(705) })
	require.NoError(t, err)
	require.InDelta(t, 298, len(r.IDs()), 3)
	require.Less(t, len(r.faults.Requests(activitiesPath)), 8)
}

func TestDeletedLeadsAndChanges(t *testing.T) {
	t.Parallel()
	r := serve(t, 0)
	r.api.Add(Activity{GUID: 1, Lead: 6, Type: 37, At: ago(50)},
		Activity{GUID: 2, Lead: 7, Type: 13, At: ago(40), Fields: []map[string]any{{"id": 48, "name": "company", "newValue": "Acme", "oldValue": ""}}})
	_, err := r.Pull("deleted_leads", nil)
	require.NoError(t, err)
	require.Equal(t, "lead.deleted", r.Got[0].Type)
	_, err = r.Pull("lead_changes", nil)
	require.NoError(t, err)
	require.Equal(t, "lead.changed", r.Got[1].Type)
	require.Equal(t, munchkin+":2", r.Got[1].ID)
}

// Trap: more results, and none of them, ten times running. Without an end it is a lie.
func TestMoreResultsAndNone(t *testing.T) {
	t.Parallel()
	r := serve(t, 700)
	r.api.Empty = 10
	_, err := r.Pull("activities", nil)
	require.NoError(t, err)
	require.Len(t, r.IDs(), 700)
	r.api.Empty = 1 << 30
	_, err = r.Pull("activities", nil)
	require.ErrorContains(t, err, "100 pages in a row had no events")
	require.True(t, fault.IsPermanent(err))
}

// Trap: the token expires every few requests, and it is said with 200.
func TestTokenThatExpires(t *testing.T) {
	t.Parallel()
	r := serve(t, 1000)
	r.api.TokenLasts = 2
	_, err := r.Pull("activities", nil)
	require.NoError(t, err)
	require.Len(t, r.IDs(), 1000)
	require.Greater(t, len(r.faults.Requests("/identity/oauth/token")), 2)
	r.faults.Inject(activitiesPath, 0, -1, fakeapi.Answers(200, Refusal("601", "Access token invalid")))
	_, err = r.Pull("activities", nil)
	require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
	require.True(t, fault.IsPermanent(err))
}

func TestWrongSecret(t *testing.T) {
	t.Parallel()
	for _, key := range []string{clientID + ":another", "no-colon-in-it"} {
		r := serve(t, 1)
		r.Key = key
		_, err := r.Pull("activities", nil)
		require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
		require.True(t, fault.IsPermanent(err))
	}
}

// Trap: a token in the query is refused; none is ever there.
func TestTokenInTheQueryIsRefused(t *testing.T) {
	t.Parallel()
	r := serve(t, 10)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/rest/v1/activities/types.json?access_token=x", nil)
	require.NoError(t, err)
	resp, err := r.Client().Do(req)
	require.NoError(t, err)
	body, err := source.ReadAnswer(resp)
	require.NoError(t, err)
	require.Contains(t, string(body), `"601"`)
	_, err = r.Pull("activities", nil)
	require.NoError(t, err)
	for _, one := range r.faults.Requests("")[2:] {
		require.NotContains(t, one.Query, "access_token")
	}
}

// Trap: errors with HTTP 200. Those that pass are waited for as long as they last.
func TestErrorsWith200(t *testing.T) {
	t.Parallel()
	for code, c := range map[string]struct{ message, want string }{
		"606": {"Max rate limit '100' exceeded with in '20' secs", "wants to be asked again in 20s"},
		"615": {"Concurrent access limit reached", "wants to be asked again in 5s"},
		"607": {"Daily quota reached", "the day's requests are used up: it wants to be asked again in "},
		"603": {"Access denied", "error 603"},
		"610": {"Requested resource not found", "error 610"},
	} {
		r := serve(t, 10)
		r.faults.Inject(activitiesPath, 0, -1, fakeapi.Answers(200, Refusal(code, c.message)))
		_, err := r.Pull("activities", impatient)
		require.ErrorContains(t, err, c.want)
		require.Equal(t, code == "603" || code == "610", fault.IsPermanent(err), code)
	}
	for _, code := range []string{"604", "608", "611", "713"} {
		r := serve(t, 10)
		r.faults.Inject(activitiesPath, 0, 2, fakeapi.Answers(200, Refusal(code, "System error")))
		_, err := r.Pull("activities", nil)
		require.NoError(t, err, code)
		require.Len(t, r.IDs(), 10)
	}
}

// Trap: the day's requests are used up: until midnight in Chicago's winter, by Marketo's
// clock, which may be another than ours.
func TestDayThatIsUsedUp(t *testing.T) {
	t.Parallel()
	r := serve(t, 100)
	r.faults.Inject(activitiesPath, 0, -1, func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", "Wed, 14 Oct 2026 04:00:00 GMT")
		_, _ = w.Write([]byte(Refusal("607", "Max daily quota '50000' reached")))
	})
	_, err := r.Pull("activities", impatient)
	require.ErrorContains(t, err, "asked again in 2h1m0s")
	require.False(t, fault.IsPermanent(err))
	r = serve(t, 100)
	r.api.Daily = 4
	_, err = r.Pull("activities", impatient)
	require.ErrorContains(t, err, "the day's requests are used up")
}

// Trap: a field that is in the schema and may not be seen, and one that is not there.
func TestFieldThatIsNotPermitted(t *testing.T) {
	t.Parallel()
	r := serve(t, 10)
	r.api.Forbidden = []string{"leadScore"}
	_, err := r.Pull("lead_changes", nil)
	require.ErrorContains(t, err, "asking for lead changes: the API answered with error 1003: it refuses leadScore")
	require.True(t, fault.IsPermanent(err))
	require.Len(t, r.faults.Requests("/rest/v1/activities/leadchanges.json"), 1, "it is not asked again")
	_, err = r.Pull("lead_changes", func(o *pull.Options) { o.Types = []string{"email", "company"} })
	require.NoError(t, err)
	_, err = r.Pull("lead_changes", func(o *pull.Options) { o.Types = []string{"nosuch"} })
	require.ErrorContains(t, err, "error 1006: it refuses nosuch")
}

// Trap: a number that came as quoted text, and comes as a number from a day on; ids as
// text. It is one identity.
func TestNumbersAsText(t *testing.T) {
	t.Parallel()
	r := serve(t, 0)
	at := stamp(ago(30))
	r.faults.Inject(activitiesPath, 0, 1, fakeapi.Answers(200, `{"success":true,"moreResult":false,"nextPageToken":"x","result":[
		{"id":102988,"marketoGUID":"102988","leadId":1,"activityDate":"`+at+`","activityTypeId":10,"attributes":[{"name":"Campaign Run ID","value":"\"102938\""}]},
		{"marketoGUID":102988,"leadId":"1","activityDate":"`+at+`","activityTypeId":"10","attributes":[{"name":"Campaign Run ID","value":102938}]}]}`))
	report, err := r.Pull("activities", nil)
	require.NoError(t, err)
	require.EqualValues(t, 2, report.Events)
	require.Equal(t, ids(102988, 1), r.IDs())
}

// Trap: what is between answers, or the answer breaks off. Once, it costs nothing.
func TestLies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault fakeapi.Fault
		want  string
	}{
		"HTML":                {fakeapi.HTML, "a page of HTML or XML instead of JSON"},
		"truncated gzip":      {fakeapi.TruncatedGzip, "breaks off after"},
		"a body that breaks":  {fakeapi.BreaksOff, "breaks off after"},
		"the same page again": {nil, "the cursor does not move"},
		"no success":          {fakeapi.Answers(200, `{"result":[],"moreResult":false}`), "does not say whether it is a success"},
		"no moreResult":       {fakeapi.Answers(200, `{"success":true,"result":[]}`), "whether there is a moreResult"},
		"more, and no token":  {fakeapi.Answers(200, `{"success":true,"result":[],"moreResult":true}`), "no token to go on from"},
		"a result as text":    {fakeapi.Answers(200, `{"success":true,"result":"[]","moreResult":false}`), "result is no array"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := serve(t, 700)
			r.api.PerPage = 100
			if c.fault == nil {
				c.fault = r.faults.SamePage
			}
			r.faults.Inject(activitiesPath, 1, 2, c.fault)
			_, err := r.Pull("activities", nil)
			require.NoError(t, err)
			require.Len(t, r.IDs(), 700)
			r.faults.Inject(activitiesPath, 1, -1, c.fault)
			_, err = r.Pull("activities", nil)
			require.ErrorContains(t, err, c.want)
			require.True(t, fault.IsPermanent(err))
		})
	}
}

// Trap: a list that begins again, for ever.
func TestCursorThatNeverEnds(t *testing.T) {
	t.Parallel()
	r := serve(t, 300)
	r.api.PerPage = 50
	again := tokenAt(ago(1200).Unix(), 0, 0) // once: by the second it would be another each round
	r.faults.Inject(activitiesPath, 0, -1, func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		var answer map[string]any
		_ = json.Unmarshal(fakeapi.Right(next, q), &answer)
		if answer["moreResult"] == false {
			answer["moreResult"], answer["nextPageToken"] = true, again
		}
		reply(w, answer)
	})
	_, err := r.Pull("activities", nil)
	require.ErrorContains(t, err, "the cursor goes round")
	require.Less(t, len(r.faults.Requests("")), 100)
}

// Trap: Retry-After in both forms, by a clock that is ten minutes off.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fakeapi.Fault{
		"seconds": fakeapi.TooMany("3600"), "a date": fakeapi.TooManyUntil(time.Hour, 0), "behind": fakeapi.TooManyUntil(time.Hour, -10*time.Minute),
	} {
		r := serve(t, 5)
		r.faults.Inject(activitiesPath, 0, 1, f)
		_, err := r.Pull("activities", impatient)
		require.ErrorContains(t, err, "wants to be asked again in 1h0m0s", name)
	}
}

// Trap: the instance's clock is ten minutes off. What it does not tell yet, the next poll
// has: polls overlap by more than that.
func TestClockTenMinutesOff(t *testing.T) {
	t.Parallel()
	r := serve(t, 60)
	r.api.Clock = -10 * time.Minute
	to := time.Now()
	_, err := r.Pull("activities", nil)
	require.NoError(t, err)
	require.InDelta(t, 54, len(r.IDs()), 1)
	r.api.Clock = 0
	_, err = r.Pull("activities", func(o *pull.Options) { o.From = to.Add(-r.Source.Streams()[0].Late) })
	require.NoError(t, err)
	require.Len(t, r.IDs(), 60)
}

// An export brings what the activities API brings, under the same identities and in
// the same form but for the order of attributes.
func TestExportBringsTheSame(t *testing.T) {
	t.Parallel()
	r := serve(t, 500)
	_, err := r.Pull("activities", nil)
	require.NoError(t, err)
	walked := map[string][]byte{}
	for _, got := range r.Got {
		walked[got.ID] = got.Value
	}
	r.Got = nil
	report, err := r.export(nil)
	require.NoError(t, err)
	require.EqualValues(t, 500, report.Events)
	require.Equal(t, ids(783957000, 500), r.IDs())
	for _, got := range r.Got {
		var one, other map[string]any
		require.NoError(t, json.Unmarshal(walked[got.ID], &one))
		require.NoError(t, json.Unmarshal(got.Value, &other))
		delete(one, "id")
		for _, m := range []map[string]any{one, other} {
			at, err := source.ParseTime(m["activityDate"].(string))
			require.NoError(t, err)
			m["activityDate"] = at
		}
		require.ElementsMatch(t, one["attributes"], other["attributes"])
		delete(one, "attributes")
		delete(other, "attributes")
		require.Equal(t, one, other)
	}
}

// Trap: an export takes its time. It is asked about once a minute at most, and a later
// run goes on with the same one.
func TestExportThatTakesItsTime(t *testing.T) {
	t.Parallel()
	r := serve(t, 10)
	r.api.Polls = 1
	_, err := r.Pull("bulk_activities", impatient)
	require.ErrorContains(t, err, "the export is enqueued: it wants to be asked again in 1m0s")
	require.False(t, fault.IsPermanent(err))
	pager, client := r.Source, r.Client()
	q := source.Query{Stream: "bulk_activities", From: ago(60).Truncate(time.Second), To: time.Now().Truncate(time.Second), Cursor: []byte(`{"id":"ce45a7a1-f19d-4ce2-882c-000000000000"}`)}
	_, err = pager.Page(t.Context(), client, q)
	require.ErrorContains(t, err, "the export is processing")
	require.Equal(t, time.Minute, source.After(err))
	page, err := pager.Page(t.Context(), client, q)
	require.NoError(t, err)
	require.Contains(t, string(page.Next), `"checksum"`)
	require.Len(t, r.faults.Requests("/bulk/v1/activities/export/create.json"), 1)
}

// Trap: completed, and the file is not there yet; later it is gone, and is made again.
func TestCompletedWithoutFile(t *testing.T) {
	t.Parallel()
	r := serve(t, 10)
	r.api.NoFile = 1
	_, err := r.export(impatient)
	require.ErrorContains(t, err, "completed, but has no file yet: it wants to be asked again in 1m0s")
	require.False(t, fault.IsPermanent(err))

	r = serve(t, 10)
	r.api.NoFile, r.api.Finished = 1, 8*24*time.Hour
	r.faults.Inject("", 0, -1, atOnce)
	r.faults.Inject("/bulk/v1/activities/export/create.json", 1, -1, func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		r.api.NoFile = 0
		atOnce(next, w, q)
	})
	_, err = r.Pull("bulk_activities", nil)
	require.NoError(t, err)
	require.Len(t, r.IDs(), 10)
	require.Len(t, r.faults.Requests("/bulk/v1/activities/export/create.json"), 2)
}

// Trap: NUL, CR and line ends within the values of the file, and lines that are none.
func TestOddValuesInTheFile(t *testing.T) {
	t.Parallel()
	r := serve(t, 0)
	r.api.Add(Activity{GUID: 1, Lead: 5, Type: 2, At: ago(30), Primary: "a\x00b", Attributes: []Attribute{{"Form Fields", "one\r\ntwo\nthree\rfour \"five\", six"}}},
		Activity{GUID: 2, Lead: 5, Type: 2, At: ago(29), Primary: "one\ntwo\rthree"},
		Activity{GUID: 3, Lead: 5, Type: 2, At: ago(28), Primary: "bad"}, Activity{GUID: 4, Lead: 5, Type: 2, At: ago(27)})
	r.faults.Inject("", 0, -1, func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		atOnce(next, w, q)
		if strings.HasSuffix(q.URL.Path, "/create.json") {
			r.api.Change(0, func(file []byte) []byte { return bytes.Replace(file, []byte("bad,{}"), []byte("bad,with,more,{}"), 1) })
		}
	})
	report, err := r.Pull("bulk_activities", nil)
	require.NoError(t, err)
	require.EqualValues(t, 4, report.Events)
	require.EqualValues(t, 1, report.Unread)
	var first, second struct {
		PrimaryAttributeValue string
		Attributes            []Attribute
	}
	require.NoError(t, json.Unmarshal(r.Got[0].Value, &first))
	require.Equal(t, "ab", first.PrimaryAttributeValue)
	require.Equal(t, "one\r\ntwo\nthree\rfour \"five\", six", first.Attributes[0].Value)
	require.NoError(t, json.Unmarshal(r.Got[1].Value, &second))
	require.Equal(t, "one\ntwo\rthree", second.PrimaryAttributeValue)
	require.Error(t, r.Got[2].Err)
	require.NoError(t, r.Got[3].Err)
}

// Trap: the file is not what its checksum says: nothing of it goes on.
func TestWrongChecksum(t *testing.T) {
	t.Parallel()
	r := serve(t, 10)
	r.api.WrongChecksum = true
	_, err := r.export(nil)
	require.ErrorContains(t, err, "is not what its checksum says")
	require.True(t, fault.IsPermanent(err))
	require.Empty(t, r.Got)
	require.Greater(t, len(r.faults.Requests("/bulk/v1/activities/export/create.json")), 1, "once more, with another export")
}

// Trap: a part of the file is shorter than it says; another part than was asked for.
func TestTruncatedRange(t *testing.T) {
	t.Parallel()
	r := serve(t, 100)
	r.api.ShortRange = 2
	_, err := r.export(nil)
	require.NoError(t, err)
	require.Len(t, r.IDs(), 100)
	r = serve(t, 100)
	r.api.ShortRange = 1 << 30
	_, err = r.export(nil)
	require.ErrorContains(t, err, "bytes where")
	require.Empty(t, r.Got)
}

// A file of several parts is checked whole before anything of it goes on, and its lines
// are cut where they end.
func TestFileOfSeveralParts(t *testing.T) {
	t.Parallel()
	r := serve(t, 0)
	var many []Activity
	long := strings.Repeat("a line, \"quoted\"\n", 60)
	for i := range 4000 {
		many = append(many, Activity{GUID: int64(1000000 + i), Lead: 5, Type: 2, At: ago(60), Primary: long})
	}
	r.api.Add(many...)
	report, err := r.export(nil)
	require.NoError(t, err)
	require.EqualValues(t, 4000, report.Events)
	require.Equal(t, ids(1000000, 4000), r.IDs())
	var ranges []string
	for _, one := range r.faults.Requests("/bulk/v1/activities/export/ce45a7a1-f19d-4ce2-882c-000000000000/file.json") {
		ranges = append(ranges, one.Header.Get("Range"))
	}
	require.Equal(t, "bytes=0-4194303", ranges[0])
	require.Regexp(t, "^bytes=4194304-", ranges[1])
}

// Trap: the day's 500 MB are used up in the middle of a backfill: until midnight Central,
// and the next export is the one that was refused.
func TestDayOfExportsThatIsUsedUp(t *testing.T) {
	t.Parallel()
	r := serve(t, 100)
	r.api.ExportBytes = 100
	_, err := r.export(func(o *pull.Options) { o.From, o.Patience = time.Now().Add(-45*24*time.Hour), 2*time.Second })
	require.ErrorContains(t, err, "the day's megabytes of exports are used up: it wants to be asked again in")
	require.False(t, fault.IsPermanent(err))
	r = serve(t, 1)
	r.faults.Inject("", 0, -1, fakeapi.Answers(200, Refusal("1029", "Too many jobs (10) in queue")))
	r.faults.Inject("/identity/oauth/token", 0, -1, nil)
	_, err = r.Pull("bulk_activities", impatient)
	require.ErrorContains(t, err, "asked again in 1m0s")
}

func TestExportOfNothing(t *testing.T) {
	t.Parallel()
	r := serve(t, 0)
	report, err := r.export(func(o *pull.Options) { o.From = time.Now().Add(-100 * 24 * time.Hour) })
	require.NoError(t, err)
	require.Zero(t, report.Events)
	require.Len(t, r.faults.Requests("/bulk/v1/activities/export/create.json"), 4, "31 days each")
}
