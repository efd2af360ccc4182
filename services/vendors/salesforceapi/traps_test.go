package salesforceapi

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
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/salesforce"
	"github.com/throughline-dev/throughline/services/vendors/fakeapi"
	"github.com/throughline-dev/throughline/services/vendors/fakeapi/fakeapitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	key       = "3MVG9.consumer:the-consumer-secret-0123"
	queryPath = "/services/data/v67.0/queryAll"
	tokenPath = "/services/oauth2/token"
	account   = "0010800000XyZaBAAV"
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
	r.Rig = fakeapitest.Rig{T: t, Source: salesforce.New().(source.Pager), URL: fakeapitest.Serve(t, r.faults), Key: "the-consumer-secret-0123"}
	r.Key = key
	for _, object := range []string{"Account", "Contact", "Lead", "Opportunity", "Case"} {
		api.Put(object)
	}
	return r
}

// id gives the n-th record's of a prefix.
func id(prefix string, n int) string {
	long, _ := salesforce.ID(fmt.Sprintf("%s5g%010d", prefix, n))
	return long
}

func stamp(ago time.Duration) string {
	return time.Now().Add(-ago).UTC().Truncate(time.Second).Format("2006-01-02T15:04:05.000+0000")
}

func contact(n int, ago time.Duration) Record {
	return Record{"Id": id("003", n), "IsDeleted": false, "MasterRecordId": nil, "AccountId": account, "Name": "Kim Example", "Email": fmt.Sprintf("kim%d@acme.example", n),
		"LastModifiedDate": stamp(ago), "SystemModstamp": stamp(ago)}
}

// contacts puts so many, one a step, the last of them a step ago.
func (r *rig) contacts(n int, step time.Duration) {
	for i := range n {
		r.api.Put("Contact", contact(i, time.Duration(n-i)*step))
	}
}

func (r *rig) all(events, twice int) {
	r.T.Helper()
	require.Len(r.T, r.IDs(), events)
	require.LessOrEqual(r.T, len(r.Got)-events, twice, "events came twice")
}

func TestPullsRecordsWithTheOrganizationsOwnFields(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.api.Put("Account", Record{"Id": account, "IsDeleted": false, "Name": "Acme", "Website": "https://acme.example", "Account_UUID__c": "7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01", "SystemModstamp": stamp(time.Hour)})
	report, err := r.Pull("accounts", func(o *pull.Options) { o.Tenant = "00D5g000004xQzL" })
	require.NoError(t, err)
	require.EqualValues(t, 1, report.Events)
	require.Equal(t, []string{"salesforce:account_uuid:7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01", "salesforce/00D5g000004xQzLEAU:account:" + account, "salesforce:domain:acme.example"}, r.Got[0].Keys())
	require.Equal(t, "Acme", r.Got[0].Subject)
	require.Equal(t, "account.changed", r.Got[0].Type)
}

// Trap: very many records have one SystemModstamp, over several pages, and more come meanwhile.
func TestOneStampOverSeveralPages(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for n := range 650 {
		r.api.Put("Contact", contact(n, time.Hour))
	}
	came := 0
	r.faults.Inject(queryPath, 0, -1, func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		if came < 50 {
			r.api.Put("Contact", contact(1000+came, 0))
			came++
		}
		next.ServeHTTP(w, q)
	})
	_, err := r.Pull("contacts", func(o *pull.Options) { o.From, o.To = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Minute) })
	require.NoError(t, err)
	r.all(650, 0)
	require.Len(t, r.faults.Requests(queryPath), 4)
}

// Trap: of wide records a page has fewer than were asked for, and says that it is not done.
func TestPagesSmallerThanAskedFor(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.contacts(100, time.Minute)
	r.api.SetBatch(7)
	_, err := r.Pull("contacts", nil)
	require.NoError(t, err)
	r.all(100, 0)
}

// Trap: a full page says that it is done, as no more than its LIMIT was asked for.
func TestAFullPageIsNotTheEnd(t *testing.T) {
	t.Parallel()
	for _, records := range []int{199, 200, 201, 400} {
		r := newRig(t)
		r.contacts(records, time.Minute)
		_, err := r.Pull("contacts", nil)
		require.NoError(t, err)
		r.all(records, 0)
	}
}

// Trap: deleted records are told by queryAll alone, and are gone for good after 15 days.
func TestDeletedRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.contacts(3, time.Minute)
	deleted, purged := contact(1, time.Second), id("003", 2)
	deleted["IsDeleted"] = true
	r.api.Put("Contact", deleted)
	r.api.Purge("Contact", purged)
	_, err := r.Pull("contacts", nil)
	require.NoError(t, err)
	require.Len(t, r.Of("contact.changed"), 1)
	require.Len(t, r.Of("contact.deleted"), 1)
	require.Contains(t, r.Of("contact.deleted")[0].Keys(), "salesforce:account:"+account)
}

// Trap: the subscriber of changes was away for more than 72 hours, and its replay id is no longer valid: what
// changed since is told by a query, each record as it is now.
func TestAReplayThatIsTooOldIsHealedByAQuery(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.contacts(40, 3*time.Hour) // five days
	_, err := r.Pull("contacts", func(o *pull.Options) { o.From = time.Now().Add(-4 * 24 * time.Hour) })
	require.NoError(t, err)
	require.Len(t, r.Of("contact.changed"), 32)
}

// Trap: the session ends under way. It is begun anew, and nothing is lost.
func TestSessionThatEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.contacts(650, time.Minute)
	r.faults.Inject(queryPath, 1, 1, func(next http.Handler, w http.ResponseWriter, q *http.Request) {
		r.api.EndSession()
		next.ServeHTTP(w, q)
	})
	_, err := r.Pull("contacts", nil)
	require.NoError(t, err)
	r.all(650, 0)
	require.Len(t, r.faults.Requests(tokenPath), 2)
	for _, q := range r.faults.Requests("") {
		require.NotContains(t, q.Query, "secret")
		require.Equal(t, q.Path == tokenPath, len(q.Body) > 0)
	}
}

func TestKeysThatAreNone(t *testing.T) {
	t.Parallel()
	for bad, says := range map[string]string{
		"3MVG9.consumer:another-secret-0123456789": "(invalid_client)", "another:the-consumer-secret-0123": "(invalid_client_id)", "no-colon-in-it-0123456789": "not like CONSUMER_KEY:CONSUMER_SECRET",
	} {
		r := newRig(t)
		r.Key = bad
		_, err := r.Pull("contacts", nil)
		require.ErrorContains(t, err, says)
		require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
		if _, secret, ok := strings.Cut(bad, ":"); ok {
			require.NotContains(t, err.Error(), secret)
		}
	}
}

// Trap: the requests of 24 hours are used up, which comes as 403.
func TestRequestsOf24HoursUsedUp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.contacts(300, time.Minute)
	r.faults.Inject(queryPath, 1, -1, fakeapi.Answers(403, `[{"message":"TotalRequests Limit exceeded.","errorCode":"REQUEST_LIMIT_EXCEEDED"}]`))
	_, err := r.Pull("contacts", nil)
	require.ErrorContains(t, err, "it wants to be asked again in 1h0m0s")
	require.False(t, fault.IsPermanent(err))
}

// Trap: an object that the app's user may not read must not look like one without records.
func TestAnObjectThatMayNotBeRead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.faults.Inject(queryPath, 0, -1, fakeapi.Answers(400, `[{"message":"sObject type 'Case' is not supported.","errorCode":"INVALID_TYPE"}]`))
	_, err := r.Pull("cases", nil)
	require.ErrorContains(t, err, "(INVALID_TYPE)")
	require.True(t, fault.IsPermanent(err))
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fakeapi.Fault{
		"without Retry-After": fakeapi.TooMany(""), "in seconds": fakeapi.TooMany("1"), "as a date, 10 minutes ahead": fakeapi.TooManyUntil(time.Second, 10*time.Minute),
		"as a date, 10 minutes behind": fakeapi.TooManyUntil(time.Second, -10*time.Minute), "503": fakeapi.Answers(503, `[{"message":"The server is busy","errorCode":"SERVER_UNAVAILABLE"}]`),
		"a query that took too long": fakeapi.Answers(400, `[{"message":"Your query request was running for too long.","errorCode":"QUERY_TIMEOUT"}]`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.contacts(250, time.Second)
			r.faults.Inject(queryPath, 1, 1, f)
			_, err := r.Pull("contacts", func(o *pull.Options) { o.From = time.Now().Add(-time.Hour) })
			require.NoError(t, err)
			r.all(250, 0)
		})
	}
}

// changedAnswer answers rightly, but for what change makes of it.
func changedAnswer(change func(string) string) fakeapi.Fault {
	return func(next http.Handler, w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(change(string(fakeapi.Right(next, r)))))
	}
}

// A lie ends the run with what it saw.
func TestLies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault fakeapi.Fault
		want  string
	}{
		"HTML instead of JSON":     {fakeapi.HTML, "200 OK with a page of HTML or XML instead of JSON"},
		"truncated gzip":           {fakeapi.TruncatedGzip, "breaks off after"},
		"an error with 200":        {fakeapi.Answers(200, `[{"message":"x","errorCode":"UNKNOWN_EXCEPTION"}]`), "200 with an error instead of records"},
		"no records":               {fakeapi.Answers(200, `{"done":true}`), "no array of records"},
		"no done":                  {fakeapi.Answers(200, `{"records":[]}`), "does not say whether it is done"},
		"empty, and more":          {fakeapi.Answers(200, `{"done":false,"records":[]}`), "empty and says that there are more"},
		"ids that became numbers":  {changedAnswer(func(s string) string { return strings.ReplaceAll(s, `"Id":"`, `"Id":4711,"was":"`) }), "no Contact with an Id"},
		"another object's records": {changedAnswer(func(s string) string { return strings.ReplaceAll(s, `"type":"Contact"`, `"type":"Lead"`) }), "no Contact with an Id"},
		"no stamp":                 {changedAnswer(func(s string) string { return strings.ReplaceAll(s, `"SystemModstamp"`, `"Stamp"`) }), "no SystemModstamp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.contacts(300, time.Second)
			r.faults.Inject(queryPath, 1, -1, c.fault)
			_, err := r.Pull("contacts", func(o *pull.Options) { o.From = time.Now().Add(-time.Hour) })
			require.ErrorContains(t, err, c.want)
			require.True(t, fault.IsPermanent(err))
			require.LessOrEqual(t, len(r.faults.Requests(queryPath)), 8, "it does not ask for ever")
			r.faults.Heal()
			_, err = r.Pull("contacts", func(o *pull.Options) { o.From = time.Now().Add(-time.Hour) })
			require.NoError(t, err)
			require.Len(t, r.IDs(), 300)
		})
	}
}

// Trap: the same page comes twice, whatever is asked for.
func TestThePageThatComesAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.contacts(650, time.Second)
	r.faults.Inject(queryPath, 1, -1, r.faults.SamePage)
	_, err := r.Pull("contacts", func(o *pull.Options) { o.From = time.Now().Add(-time.Hour) })
	require.ErrorContains(t, err, "do not come behind those of the page before")
	require.LessOrEqual(t, len(r.faults.Requests(queryPath)), 8)
}

// Trap: there is always one more record.
func TestAQueryWithoutEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	n := 0
	r.faults.Inject(queryPath, 0, -1, func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
		n++
		one := contact(n, time.Hour)
		one["attributes"] = map[string]string{"type": "Contact"}
		body, _ := json.Marshal(map[string]any{"done": false, "records": []Record{one}})
		_, _ = w.Write(body)
	})
	_, err := r.Pull("contacts", func(o *pull.Options) { o.MostPages = 40; o.From = time.Now().Add(-2 * time.Hour) })
	require.ErrorContains(t, err, "has not ended after 40 pages")
}

// learn asks about these ids.
func (r *rig) learn(kind string, ids ...string) ([]source.Learned, error) {
	return r.Source.(source.Learner).Learn(r.T.Context(), r.Client(), kind, ids)
}

// told gives what was learned of an object as lines, and its evidence.
func told(l source.Learned) (lines []string) {
	for _, lead := range l.Leads {
		lines = append(lines, fmt.Sprintf("%s %s %s:%s:%s", lead.By, lead.Field, lead.Reference.Source, lead.Reference.Kind, lead.Reference.ID))
	}
	return lines
}

func TestLearnsTheAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.api.Put("Account", Record{"Id": account, "IsDeleted": false, "Name": "Acme", "Website": "www.acme.example", "Account_UUID__c": "7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01", "Billing_Customer__c": "cus_Tz1Acme", "Note__c": "hello", "Description": "cus_Other"})
	r.api.Put("Contact", contact(1, time.Hour))
	r.api.Put("Case", Record{"Id": id("500", 1), "IsDeleted": false, "AccountId": account, "ContactId": id("003", 1), "SuppliedEmail": "a@victim.example"})
	r.api.Put("Lead", Record{"Id": id("00Q", 1), "IsDeleted": false, "ConvertedAccountId": account, "Email": "kim@acme.example"}, Record{"Id": id("00Q", 2), "IsDeleted": false})
	r.api.Put("Opportunity", Record{"Id": id("006", 1), "IsDeleted": false, "AccountId": account})
	for _, c := range []struct {
		kind, id string
		want     []string
	}{
		{"account", account, []string{"declared Account_UUID__c salesforce:account_uuid:7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01", "declared Billing_Customer__c stripe:customer:cus_Tz1Acme", "vendor Website salesforce:domain:acme.example"}},
		{"contact", id("003", 1), []string{"declared AccountId salesforce:account:" + account, "person Email salesforce:email:kim1@acme.example"}},
		{"case", id("500", 1), []string{"vendor AccountId salesforce:account:" + account, "vendor ContactId salesforce:contact:" + id("003", 1)}},
		{"lead", id("00Q", 1), []string{"declared ConvertedAccountId salesforce:account:" + account, "person Email salesforce:email:kim@acme.example"}},
		{"lead", id("00Q", 2), nil},
		{"opportunity", id("006", 1), []string{"declared AccountId salesforce:account:" + account}},
	} {
		learned, err := r.learn(c.kind, c.id)
		require.NoError(t, err)
		require.Len(t, learned, 1)
		require.Equal(t, c.id, learned[0].ID)
		require.False(t, learned[0].Gone)
		require.Equal(t, c.want, told(learned[0]))
		require.Equal(t, c.kind == "account", learned[0].Name == "Acme")
		require.NotContains(t, string(learned[0].Evidence), "@")
	}
}

// Trap: a merged record is deleted and names the one that it became a part of; a deleted one says still whose it was; a
// purged one is not there.
func TestLearnsWhatBecameOfRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.contacts(4, time.Minute)
	merged, deleted := contact(1, time.Minute), contact(2, time.Minute)
	merged["IsDeleted"], merged["MasterRecordId"], deleted["IsDeleted"] = true, id("003", 0), true
	r.api.Put("Contact", merged, deleted)
	r.api.Purge("Contact", id("003", 3))
	learned, err := r.learn("contact", id("003", 0), id("003", 1), id("003", 2), id("003", 3), "4711", "0035g0000000000")
	require.NoError(t, err)
	require.Len(t, learned, 4)
	require.Equal(t, []bool{false, false, true, true}, []bool{learned[0].Gone, learned[1].Gone, learned[2].Gone, learned[3].Gone})
	require.Equal(t, id("003", 0), learned[1].MergedInto)
	require.Contains(t, told(learned[2]), "declared AccountId salesforce:account:"+account)
	require.Empty(t, learned[3].Leads)
	require.Len(t, r.faults.Requests(queryPath), 1, "one request")

	// Of an answer that is not whole nothing is gone.
	r.api.SetBatch(1)
	learned, err = r.learn("contact", id("003", 0), id("003", 1), id("003", 3))
	require.NoError(t, err)
	require.Len(t, learned, 1)
}

func TestLearnerIsLiedTo(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]fakeapi.Fault{
		"html": fakeapi.HTML, "gzip": fakeapi.TruncatedGzip, "an error with 200": fakeapi.Answers(200, `[{"errorCode":"X"}]`),
		"another record": fakeapi.Answers(200, `{"done":true,"records":[{"attributes":{"type":"Contact"},"Id":"`+id("003", 9)+`","AccountId":"`+account+`"}]}`),
	} {
		r := newRig(t)
		r.contacts(2, time.Minute)
		r.faults.Inject(queryPath, 0, -1, f)
		learned, err := r.learn("contact", id("003", 0))
		require.Error(t, err, name)
		require.False(t, fault.IsPermanent(err), name)
		require.Empty(t, learned)
	}
}
