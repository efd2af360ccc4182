package hubspotapi

import (
	"encoding/json"
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
	"github.com/throughline-dev/throughline/pkg/source/hubspot"
	"github.com/throughline-dev/throughline/pkg/source/sourcetest"
	"github.com/throughline-dev/throughline/services/vendors/fakeapi"
	"github.com/throughline-dev/throughline/services/vendors/fakeapi/fakeapitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

const (
	token  = "pat-eu1-0123456789abcdef"
	client = "client-id:client-secret-0123456789"
	portal = 62515

	searchContacts = "/crm/objects/2026-03/contacts/search"
)

// rig is a puller of a fake.
type rig struct {
	fakeapitest.Rig
	api    *API
	faults *fakeapi.Faults
}

func newRig(t *testing.T, o hubspot.Options) *rig {
	t.Helper()
	api := New(token, client, portal)
	r := &rig{api: api, faults: &fakeapi.Faults{API: api}}
	r.Rig = fakeapitest.Rig{T: t, Source: hubspot.Configured(o).(source.Pager), URL: fakeapitest.Serve(t, r.faults), Key: token}
	return r
}

// day is a time of the last year, by days ago, on a millisecond.
func day(ago int) time.Time {
	return time.Now().Add(-time.Duration(ago) * 24 * time.Hour).UTC().Truncate(time.Millisecond)
}

// companies puts so many, which were changed at one time.
func (r *rig) companies(n int, updated time.Time) {
	for i := range n {
		r.api.Put("companies", Object{ID: int64(7001 + i), Created: day(200), Updated: updated})
	}
}

// contacts puts so many, each of which was created on a day of its own and changed at
// this time.
func (r *rig) contacts(n int, updated time.Time) {
	for i := range n {
		r.api.Put("contacts", Object{ID: int64(901 + i), Created: day(200).Add(time.Duration(i) * time.Second), Updated: updated,
			Properties: map[string]string{"email": fmt.Sprintf("kim%d@acme.example", i)}})
	}
}

func TestPullsContactsWithTheirCompany(t *testing.T) {
	t.Parallel()
	r := newRig(t, hubspot.Options{})
	r.api.Put("contacts", Object{ID: 901, Created: day(90), Updated: day(3), Properties: map[string]string{"email": "kim@acme.example", "lifecyclestage": "customer"},
		History: map[string][]Version{"lifecyclestage": {{"customer", day(10), "CRM_UI", "userId:1"}, {"lead", day(90), "FORM", ""}}},
		To:      map[string][]Association{"companies": {{To: 7002, Type: 279}, {To: 7001, Type: 1, Label: "Primary"}}}})
	r.api.Put("contacts", Object{ID: 902, Created: day(80), Updated: day(80)}) // of no company: the batch answers 207
	report, err := r.Pull("contacts", nil)
	require.NoError(t, err)
	require.EqualValues(t, 4, report.Events)
	created := r.Of("contact.created")
	require.Len(t, created, 2)
	require.Equal(t, []string{"hubspot/62515:company:7001", "hubspot/62515:company:7002", "hubspot/62515:contact:901", "hubspot:email:kim@acme.example"}, created[0].Keys())
	require.Equal(t, []string{"hubspot/62515:contact:902"}, created[1].Keys())
	stages := r.Of("contact.lifecyclestage.changed")
	require.Len(t, stages, 2)
	require.Equal(t, "62515", stages[0].Tenant)
	require.Equal(t, day(90).Unix(), stages[0].OccurredAt.Unix(), "the oldest first")
	// The webhook of the same facts.
	for want, body := range map[string]string{
		created[0].ID: fmt.Sprintf(`{"eventId":1,"subscriptionId":7,"appId":1,"portalId":62515,"subscriptionType":"contact.creation","objectId":901,"occurredAt":%d}`, created[0].OccurredAt.UnixMilli()),
		stages[1].ID:  fmt.Sprintf(`{"eventId":1,"portalId":62515,"subscriptionType":"object.propertyChange","objectTypeId":"0-1","objectId":901,"propertyName":"lifecyclestage","propertyValue":"customer","occurredAt":%d}`, stages[1].OccurredAt.UnixMilli()),
	} {
		event, err := sourcetest.Describe(r.Source, source.Record{Value: []byte(body)})
		require.NoError(t, err)
		require.Equal(t, want, event.ID)
	}
}

// Trap: more than 10,000 objects of one date of change, as HubSpot's own batch at the
// month's end makes them.
func TestMoreObjectsOfOneDateThanASearchGives(t *testing.T) {
	t.Parallel()
	r := newRig(t, hubspot.Options{})
	r.companies(10_250, day(1))
	report, err := r.Pull("companies", nil)
	require.NoError(t, err)
	require.Len(t, r.IDs(), 10_250)
	require.EqualValues(t, 10_250, report.Events)
	for _, q := range r.faults.Requests("/crm/objects/2026-03/companies/search") {
		require.NotContains(t, string(q.Body), `"after"`)
	}
}

// The same where none of them has an event of the period: no standstill.
func TestManyObjectsWithoutEvents(t *testing.T) {
	t.Parallel()
	r := newRig(t, hubspot.Options{})
	r.companies(10_250, day(1))
	report, err := r.Pull("companies", func(o *pull.Options) { o.From = day(2) })
	require.NoError(t, err)
	require.Zero(t, report.Events)
	require.Greater(t, report.Pages, int64(100))
}

// Trap: objects are changed and made while the search is walked: none is lost.
func TestObjectsThatChangeUnderWay(t *testing.T) {
	t.Parallel()
	r := newRig(t, hubspot.Options{})
	r.contacts(350, day(1))
	n := 0
	r.faults.Inject(searchContacts, 0, -1, func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		next.ServeHTTP(w, q)
		n++
		r.api.Put("contacts", Object{ID: int64(900 + n*7), Created: day(200), Updated: time.Now()})
		r.api.Put("contacts", Object{ID: int64(5000 + n), Created: day(0).Add(-time.Minute), Updated: time.Now()})
	})
	_, err := r.Pull("contacts", nil)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(r.IDs()), 350)
}

// Trap: the index is minutes behind. The stream says so, and the next poll overlaps with the one before by as much.
func TestIndexThatLags(t *testing.T) {
	t.Parallel()
	r := newRig(t, hubspot.Options{})
	r.api.SetLag(4 * time.Minute)
	born := time.Now().Add(-2 * time.Minute).Truncate(time.Millisecond)
	r.api.Put("contacts", Object{ID: 901, Created: born, Updated: born})
	_, err := r.Pull("contacts", nil)
	require.NoError(t, err)
	require.Empty(t, r.IDs())
	r.api.SetLag(0)
	_, err = r.Pull("contacts", func(o *pull.Options) { o.From = time.Now().Add(-r.Source.Streams()[1].Late) })
	require.NoError(t, err)
	require.Len(t, r.IDs(), 1)
	require.Greater(t, r.Source.Streams()[1].Late, 10*time.Minute, "it lags some minutes")
}

// Trap: no batch has more ids than HubSpot takes.
func TestBatchesAreSmallEnough(t *testing.T) {
	t.Parallel()
	r := newRig(t, hubspot.Options{})
	for i := range int64(250) {
		r.api.Put("deals", Object{ID: 31 + i, Created: day(9), Updated: day(1), Properties: map[string]string{"dealstage": "won"},
			History: map[string][]Version{"dealstage": {{"won", day(2), "CRM_UI", ""}}}, To: map[string][]Association{"companies": {{To: 7001, Type: 5}}}})
	}
	_, err := r.Pull("deals", nil)
	require.NoError(t, err)
	require.Len(t, r.Of("deal.created"), 250)
	require.Len(t, r.Of("deal.stage.changed"), 250)
	require.Len(t, r.faults.Requests("/crm/associations/2026-03/deals/companies/batch/read"), 3)
	require.Len(t, r.faults.Requests("/crm/objects/2026-03/deals/batch/read"), 5)
	for _, got := range r.Got {
		require.Equal(t, "hubspot/62515:company:7001", got.Keys()[0])
	}
}

// Trap: archived objects are in no search; their list tells of them.
func TestArchivedObjects(t *testing.T) {
	t.Parallel()
	r := newRig(t, hubspot.Options{})
	for i := range int64(150) {
		r.api.Put("companies", Object{ID: 7001 + i, Created: day(60), Updated: day(5), Archived: day(5), Properties: map[string]string{"domain": "acme.example"}})
	}
	r.api.Put("companies", Object{ID: 8000, Created: day(60), Updated: day(5)})
	_, err := r.Pull("companies", nil)
	require.NoError(t, err)
	require.Len(t, r.IDs(), 1)
	_, err = r.Pull("archived-companies", func(o *pull.Options) { o.From = day(80) })
	require.NoError(t, err)
	require.Len(t, r.Of("company.deleted"), 150)
	require.Len(t, r.Of("company.created"), 151)
}

// Trap: an object that is deleted between the search and the batch costs nothing else.
func TestObjectThatIsGoneMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, hubspot.Options{})
	for i := range int64(3) {
		r.api.Put("tickets", Object{ID: 31 + i, Created: day(9), Updated: day(1), Properties: map[string]string{"hs_pipeline_stage": "2"},
			History: map[string][]Version{"hs_pipeline_stage": {{"2", day(2), "CRM_UI", ""}}}})
	}
	r.faults.Inject("/crm/objects/2026-03/tickets/batch/read", 0, 1, func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		r.api.Delete("tickets", 32)
		next.ServeHTTP(w, q)
	})
	_, err := r.Pull("tickets", nil)
	require.NoError(t, err)
	require.Len(t, r.Of("ticket.created"), 3)
	require.Len(t, r.Of("ticket.stage.changed"), 2)
}

func journalRig(t *testing.T, o hubspot.Options) *rig {
	if o.Portals == nil {
		o.Portals = []string{hubspot.AllPortals}
	}
	r := newRig(t, o)
	r.Key = client
	return r
}

func since(d time.Duration) func(*pull.Options) {
	return func(o *pull.Options) { o.From = time.Now().Add(-d) }
}

func TestJournalTellsWhatWebhooksTell(t *testing.T) {
	t.Parallel()
	r := journalRig(t, hubspot.Options{})
	at := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	r.api.Journal(at, JournalEvent(portal, "0-1", 901, "CREATE", at, ""),
		JournalEvent(portal, "0-3", 31, "UPDATE", at, `,"propertyChanges":{"dealstage":"closedwon","amount":{"value":"4200"}}`))
	r.api.Journal(at, JournalEvent(portal, "0-1", 901, "ASSOCIATION_ADDED", at, `,"associatedObjectId":7001,"associatedObjectTypeId":"0-2","associationType":"CONTACT_TO_COMPANY"`),
		JournalEvent(portal, "0-1", 902, "MERGE", at, `,"primaryObjectId":902,"mergedObjectIds":[901],"newObjectId":902`),
		JournalEvent(portal, "0-2", 7001, "DELETE", at, ""), JournalEvent(portal, "0-1", 903, "SNAPSHOT", at, ""))
	_, err := r.Pull("journal", since(2*time.Hour))
	require.NoError(t, err)
	ms := at.UnixMilli()
	r.is(t,
		fmt.Sprintf(`{"portalId":62515,"subscriptionType":"contact.creation","objectId":901,"occurredAt":%d}`, ms),
		fmt.Sprintf(`{"portalId":62515,"subscriptionType":"deal.propertyChange","objectId":31,"propertyName":"dealstage","propertyValue":"closedwon","occurredAt":%d}`, ms),
		fmt.Sprintf(`{"portalId":62515,"subscriptionType":"deal.propertyChange","objectId":31,"propertyName":"amount","propertyValue":"4200","occurredAt":%d}`, ms),
		fmt.Sprintf(`{"portalId":62515,"subscriptionType":"contact.associationChange","fromObjectId":901,"toObjectId":7001,"associationType":"CONTACT_TO_COMPANY","occurredAt":%d}`, ms),
		fmt.Sprintf(`{"portalId":62515,"subscriptionType":"contact.merge","objectId":902,"primaryObjectId":902,"mergedObjectIds":[901],"newObjectId":902,"occurredAt":%d}`, ms),
		fmt.Sprintf(`{"portalId":62515,"subscriptionType":"company.deletion","objectId":7001,"occurredAt":%d}`, ms))
}

// is: the events have the identities and types of these webhooks.
func (r *rig) is(t *testing.T, webhooks ...string) {
	t.Helper()
	want := map[string]string{}
	for _, body := range webhooks {
		event, err := sourcetest.Describe(r.Source, source.Record{Value: []byte(body)})
		require.NoError(t, err)
		want[event.ID] = event.Type
	}
	have := map[string]string{}
	for _, got := range r.Got {
		require.NoError(t, got.Err, "%s", got.Value)
		have[got.ID] = got.Type
	}
	require.Equal(t, want, have)
}

// Trap: the journal has forgotten the offset, after three days. The walk begins again
// with what is there, and the report says since when that is.
func TestJournalThatForgotTheOffset(t *testing.T) {
	t.Parallel()
	r := journalRig(t, hubspot.Options{})
	r.Store = pull.NewStore(postgrestest.New(t))
	for i := range int64(6) {
		r.api.Journal(time.Now().Add(-time.Duration(96-i*16)*time.Hour), JournalEvent(portal, "0-1", 901+i, "CREATE", time.Now().Add(-time.Duration(96-i*16)*time.Hour), ""))
	}
	begin := time.Now().Add(-100 * time.Hour)
	r.faults.Inject("", 5, -1, fakeapi.Answers(http.StatusForbidden, `{"status":"error","category":"MISSING_SCOPES","message":"no"}`))
	_, err := r.Pull("journal", func(o *pull.Options) { o.From = begin })
	require.ErrorContains(t, err, "403 Forbidden: the key may not read this (MISSING_SCOPES)")
	require.NotEmpty(t, r.Got)
	r.faults.Heal()
	r.api.Forget(time.Now().Add(-72 * time.Hour))
	report, err := r.Pull("journal", func(o *pull.Options) { o.From = begin })
	require.NoError(t, err)
	require.True(t, report.Resumed)
	require.WithinDuration(t, time.Now().Add(-72*time.Hour), report.KeptSince, time.Minute)
	require.GreaterOrEqual(t, len(r.IDs()), 4)
}

// Trap: the address of a file has expired before it is read: another is asked for. One
// that is never good ends in an error that says so.
func TestJournalFileThatExpired(t *testing.T) {
	t.Parallel()
	r := journalRig(t, hubspot.Options{})
	r.api.Journal(time.Now(), JournalEvent(portal, "0-1", 901, "CREATE", time.Now().Add(-time.Minute), ""))
	r.api.Expire(true)
	tries := 0
	r.faults.Inject("", 0, -1, func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		if strings.HasPrefix(q.URL.Path, filePath) {
			if tries++; tries == 3 {
				r.api.Expire(false)
			}
		}
		next.ServeHTTP(w, q)
	})
	_, err := r.Pull("journal", since(time.Hour))
	require.NoError(t, err)
	require.Len(t, r.IDs(), 1)

	r = journalRig(t, hubspot.Options{})
	r.api.Journal(time.Now(), JournalEvent(portal, "0-1", 901, "CREATE", time.Now().Add(-time.Minute), ""))
	r.api.Expire(true)
	_, err = r.Pull("journal", since(time.Hour))
	require.ErrorContains(t, err, "the address of the journal's file has expired: the file's host answered 403")
}

// Trap: 204, and 404 where nothing is there, are the end and no error.
func TestJournalThatIsAtItsEnd(t *testing.T) {
	t.Parallel()
	r := journalRig(t, hubspot.Options{})
	_, err := r.Pull("journal", since(time.Hour))
	require.NoError(t, err)
	r.faults.Inject("/webhooks-journal/journal/2026-03/earliest", 0, -1, fakeapi.Answers(http.StatusNotFound, `{"status":"error","category":"OBJECT_NOT_FOUND"}`))
	_, err = r.Pull("journal", since(time.Hour))
	require.NoError(t, err)
	require.Empty(t, r.Got)
}

// Trap: the same offset twice.
func TestJournalThatGivesAnOffsetTwice(t *testing.T) {
	t.Parallel()
	r := journalRig(t, hubspot.Options{})
	first := r.api.Journal(time.Now(), JournalEvent(portal, "0-1", 901, "CREATE", time.Now().Add(-time.Minute), ""))
	r.faults.Inject("/webhooks-journal/journal/2026-03/offset/"+first+"/next", 0, -1, func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		q.URL.Path = "/webhooks-journal/journal/2026-03/earliest"
		next.ServeHTTP(w, q)
	})
	_, err := r.Pull("journal", since(time.Hour))
	require.ErrorContains(t, err, "the journal gives the same offset again")
	require.True(t, fault.IsPermanent(err))
	require.Len(t, r.Got, 1)
}

// Trap: the global journal has other portals' entries. Those that are wanted are taken.
func TestJournalOfOtherPortals(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(-time.Minute)
	fill := func(o hubspot.Options) *rig {
		r := journalRig(t, o)
		r.api.Journal(at, JournalEvent(portal, "0-1", 901, "CREATE", at, ""), JournalEvent(99, "0-1", 901, "CREATE", at, ""), JournalEvent(77, "0-1", 901, "CREATE", at, ""))
		_, err := r.Pull("journal", since(time.Hour))
		require.NoError(t, err)
		return r
	}
	require.Len(t, fill(hubspot.Options{}).IDs(), 3)
	require.Len(t, fill(hubspot.Options{Portals: []string{"62515", "99"}}).IDs(), 2)
	local := fill(hubspot.Options{Portals: []string{"62515"}})
	require.Len(t, local.IDs(), 1)
	require.Equal(t, "installPortalId=62515", local.faults.Requests("/webhooks-journal/journal-local/2026-03/earliest")[0].Query)
}

// The version of the API is a setting.
func TestAPIVersion(t *testing.T) {
	t.Parallel()
	r := journalRig(t, hubspot.Options{APIVersion: "2026-09"})
	r.api.Journal(time.Now(), JournalEvent(portal, "0-1", 901, "CREATE", time.Now().Add(-time.Minute), ""))
	_, err := r.Pull("journal", since(time.Hour))
	require.NoError(t, err)
	require.Len(t, r.faults.Requests("/webhooks-journal/journal/2026-09/earliest"), 1)
	require.Len(t, r.faults.Requests("/oauth/2026-09/token"), 1)
}

// No key goes to the host of the journal's files.
func TestJournalFileGetsNoKey(t *testing.T) {
	t.Parallel()
	r := journalRig(t, hubspot.Options{})
	r.api.Journal(time.Now(), JournalEvent(portal, "0-1", 901, "CREATE", time.Now().Add(-time.Minute), ""))
	_, err := r.Pull("journal", since(time.Hour))
	require.NoError(t, err)
	for _, q := range r.faults.Requests("") {
		if strings.HasPrefix(q.Path, filePath) || strings.HasPrefix(q.Path, "/oauth/") {
			require.Empty(t, q.Header.Get("Authorization"))
		}
	}
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fakeapi.Fault{
		"without Retry-After":                      fakeapi.TooMany(""),
		"Retry-After in seconds":                   fakeapi.TooMany("1"),
		"Retry-After as a date, 10 minutes ahead":  fakeapi.TooManyUntil(2*time.Second, 10*time.Minute),
		"Retry-After as a date, 10 minutes behind": fakeapi.TooManyUntil(2*time.Second, -10*time.Minute),
		"5xx": fakeapi.Answers(503, "<html>"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, hubspot.Options{})
			r.contacts(150, day(1))
			r.faults.Inject("", 2, 1, f)
			_, err := r.Pull("contacts", nil)
			require.NoError(t, err)
			require.Len(t, r.IDs(), 150)
		})
	}
}

// A lie ends the run with what it saw, and the checkpoint is kept.
func TestLies(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	endless := func(next http.Handler, w http.ResponseWriter, q *http.Request) { // whatever is asked for, there is more of the same
		var asked map[string]any
		require.NoError(t, json.NewDecoder(q.Body).Decode(&asked))
		delete(asked, "filterGroups")
		body, _ := json.Marshal(asked)
		again, _ := http.NewRequestWithContext(q.Context(), q.Method, q.URL.Path, strings.NewReader(string(body)))
		again.Header = q.Header
		w.Write(fakeapi.Right(next, again))
	}
	cases := []struct {
		name  string
		fault fakeapi.Fault
		want  string
	}{
		{"the same page twice", nil, "the same page came twice"},
		{"a cursor that never ends", endless, "the same page came twice"},
		{"HTML instead of JSON", fakeapi.HTML, "200 OK with a page of HTML or XML instead of JSON"},
		{"an error with 200", fakeapi.Answers(200, `{"status":"error","category":"INTERNAL","message":"kim@acme.example"}`), "200 with an error (INTERNAL)"},
		{"truncated gzip", fakeapi.TruncatedGzip, "breaks off after"},
		{"no results", fakeapi.Answers(200, `{"total":3}`), "no array of results"},
		{"empty, and more", fakeapi.Answers(200, `{"results":[],"paging":{"next":{"after":"100"}}}`), "no objects and says that there are more"},
		{"ids that are no numbers", fakeapi.Answers(200, `{"results":[{"id":"x"}]}`), "no id that is a number"},
		{"no time", fakeapi.Answers(200, `{"results":[{"id":"99999","createdAt":"soon"}]}`), "no time at which it was created"},
		{"more than was asked for", fakeapi.Answers(200, `{"results":[`+strings.Repeat("{},", 100)+"{}]}"), "101 objects where 100"},
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, hubspot.Options{})
			r.Store = pull.NewStore(pool)
			r.contacts(250, day(1))
			if c.fault == nil {
				c.fault = r.faults.SamePage
			}
			r.faults.Inject(searchContacts, 1, -1, c.fault)
			period := func(o *pull.Options) { o.From, o.Tenant = day(300), fmt.Sprint(i) }
			_, err := r.Pull("contacts", period)
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "kim@")
			require.True(t, fault.IsPermanent(err))
			require.Len(t, r.Got, 100)
			r.faults.Heal()
			report, err := r.Pull("contacts", period)
			require.NoError(t, err)
			require.True(t, report.Resumed)
			require.EqualValues(t, 150, report.Events, "no more than what was left")
			require.Len(t, r.IDs(), 250)
		})
	}
}

// Trap: ids that become numbers are the same ids.
func TestIDsThatBecomeNumbers(t *testing.T) {
	t.Parallel()
	r := newRig(t, hubspot.Options{})
	r.contacts(120, day(1))
	r.faults.Inject(searchContacts, 0, -1, func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		body := string(fakeapi.Right(next, q))
		for id := range 120 {
			body = strings.ReplaceAll(body, fmt.Sprintf(`"id":"%d"`, 901+id), fmt.Sprintf(`"id":%d`, 901+id))
		}
		fmt.Fprint(w, body)
	})
	_, err := r.Pull("contacts", nil)
	require.NoError(t, err)
	require.Len(t, r.IDs(), 120)
}

// The token of a client's secret ends under way: another is asked for.
func TestTokenThatEnds(t *testing.T) {
	t.Parallel()
	r := journalRig(t, hubspot.Options{})
	for i := range int64(3) {
		r.api.Journal(time.Now(), JournalEvent(portal, "0-1", 901+i, "CREATE", time.Now().Add(-time.Minute), ""))
	}
	r.faults.Inject("", 3, 1, func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		r.api.SetToken("another")
		next.ServeHTTP(w, q)
	})
	_, err := r.Pull("journal", since(time.Hour))
	require.NoError(t, err)
	require.Len(t, r.IDs(), 3)
	r.Key = "client-id:wrong-secret"
	_, err = r.Pull("journal", since(time.Hour))
	require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
	require.ErrorContains(t, err, "(invalid_client)")
}

// Two readings of one fact say the same, whatever became of the object meanwhile.
func TestOneFactReadTwiceIsTheSame(t *testing.T) {
	t.Parallel()
	r := newRig(t, hubspot.Options{})
	set, err := source.NewSet(r.Source)
	require.NoError(t, err)
	born := day(200)
	r.api.Put("contacts", Object{ID: 901, Created: born, Updated: day(1), Properties: map[string]string{"email": "kim@acme.example"}})
	_, err = r.Pull("contacts", nil)
	require.NoError(t, err)
	r.api.Put("contacts", Object{ID: 901, Created: born, Updated: time.Now(), Properties: map[string]string{"email": "kim@other.example"}, To: map[string][]Association{"companies": {{To: 7001, Type: 1}}}})
	_, err = r.Pull("contacts", nil)
	require.NoError(t, err)
	created := r.Of("contact.created")
	require.Len(t, created, 2)
	var one, two rawjson.Doc
	first, err := one.Parse(created[0].Value)
	require.NoError(t, err)
	second, err := two.Parse(created[1].Value)
	require.NoError(t, err)
	relation, at := set.Compare("hubspot", first, second)
	require.Equal(t, source.Same, relation, at)
}
