package looker_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/looker"
	"github.com/throughline-dev/throughline/pkg/source/sourcetest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	sourcetest.Run(t, looker.New(), sourcetest.Config{Secret: "looker-webhook-token", BareToken: true, Largest: largest()})
}

// largest is as many rows as there may be, in text, which Split holds again.
func largest() []byte {
	row := `{\"accounts.uuid\":\"7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01\",\"events.count\":1204,\"a\":[` + strings.Repeat("1,", 30) + `1]},`
	return []byte(`{"type":"query","scheduled_plan":` + plan + `,"attachment":{"extension":"json","data":"[` + strings.Repeat(row, 49_999) + `{}]"}}`)
}

func FuzzLooker(f *testing.F) { sourcetest.Fuzz(f, looker.New()) }

func BenchmarkLooker(b *testing.B) { sourcetest.Bench(b, looker.New()) }

var received = time.Date(2025, 10, 9, 8, 54, 20, 0, time.UTC)

const plan = `{"scheduled_plan_id":"86213","title":"Account usage","url":"https://acme.looker.com/looks/42","query":{"model":"usage","view":"accounts"}}`

func split(body string, at time.Time) (records []source.Record, err error) {
	d := &source.Delivery{Header: http.Header{"X-Looker-Instance": {"instance-id"}}, Body: []byte(body), ReceivedAt: at}
	for r, err := range looker.New().Split(d) {
		if err != nil {
			return records, err
		}
		records = append(records, source.Record{Value: r.Value, Tenant: r.Tenant, ReceivedAt: at})
	}
	return records, nil
}

// one describes the only row of a delivery of these rows under plan.
func one(t *testing.T, row string, at time.Time) source.Event {
	t.Helper()
	records, err := split(`{"type":"query","scheduled_plan":`+plan+`,"attachment":{"extension":"json","data":[`+row+`]}}`, at)
	require.NoError(t, err)
	require.Len(t, records, 1)
	event, err := sourcetest.Describe(looker.New(), records[0])
	require.NoError(t, err)
	return event
}

func TestActionToken(t *testing.T) {
	t.Parallel()
	keys, err := looker.New().Open([]string{"the-token"})
	require.NoError(t, err)
	for header, ok := range map[string]bool{
		`Token token="the-token"`: true, `token token="the-token"`: true, `Token token="the-token" `: true,
		`Token token="the-token", x`: false, `Token token=the-token`: false, `Token token="`: false,
		`Token token=""`: false, `Bearer the-token`: false, ``: false, `Token token="the-token`: false,
	} {
		_, err := keys.Verify(&source.Delivery{Header: http.Header{"Authorization": {header}}}, received)
		require.Equal(t, ok, err == nil, header)
		if !ok {
			require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err), header)
		}
	}
}

// One report is one fact: columns in another order, as text or inline, spaced or
// escaped, later on the same day.
func TestRowIdentity(t *testing.T) {
	t.Parallel()
	first := one(t, `{"accounts.name":"Bølt","events.count":1204}`, received)
	require.Regexp(t, `^acme\.looker\.com:plan:86213:accounts:[0-9a-f]{32}:2025-10-09$`, first.ID)
	require.Equal(t, "usage.reported", first.Type)
	require.Equal(t, received, first.OccurredAt)
	require.Equal(t, "Account usage", first.Subject)

	for _, row := range []string{
		`{"events.count":1204,"accounts.name":"Bølt"}`, `{"events.count":1204.0,"accounts.name":"Bølt"}`, `{"events.count":1.204e3,"accounts.name":"Bølt"}`, "{ \"accounts.name\" : \"B\\u00f8lt\",\n\"events.count\":1204}",
	} {
		require.Equal(t, first.ID, one(t, row, received.Add(time.Hour)).ID, row)
	}
	for _, row := range []string{
		`{"accounts.name":"Bølt","events.count":1205}`, `{"accounts.name":"Bølt","events.count":"1204"}`, `{"events.count":1204}`,
	} {
		require.NotEqual(t, first.ID, one(t, row, received).ID, row)
	}
	require.NotEqual(t, first.ID, one(t, `{"accounts.name":"Bølt","events.count":1204}`, received.Add(24*time.Hour)).ID,
		"the same numbers tomorrow are another report")
	require.NotEqual(t, one(t, `{"n":9007199254740993}`, received).ID, one(t, `{"n":9007199254740992}`, received).ID)

	dated := one(t, `{"events.day_date":"2025-10-08","events.count":1204}`, received)
	require.Equal(t, dated.ID, one(t, `{"events.day_date":"2025-10-08","events.count":1204}`, received.Add(24*time.Hour)).ID,
		"a row with its own date is one however often it is reported")
}

// A record that is published again a year later is the report of its own day.
func TestRecordKeepsItsDay(t *testing.T) {
	t.Parallel()
	records, err := split(`{"scheduled_plan":`+plan+`,"attachment":{"data":[{"n":1}]}}`, received)
	require.NoError(t, err)
	first, err := sourcetest.Describe(looker.New(), records[0])
	require.NoError(t, err)
	again, err := sourcetest.Describe(looker.New(), source.Record{Value: records[0].Value, ReceivedAt: received.Add(365 * 24 * time.Hour)})
	require.NoError(t, err)
	require.Equal(t, first.ID, again.ID)
	require.Equal(t, received.Truncate(24*time.Hour), again.OccurredAt)
}

func TestRowTime(t *testing.T) {
	t.Parallel()
	for row, want := range map[string]string{
		`{"events.day_date":"2025-10-08"}`:                                   "2025-10-08T00:00:00Z",
		`{"events.created_time":"2025-10-08 11:12:13"}`:                      "2025-10-08T11:12:13Z",
		`{"events.created_minute":"2025-10-08 11:12"}`:                       "2025-10-08T11:12:00Z",
		`{"events.created_hour":"2025-10-08 11"}`:                            "2025-10-08T11:00:00Z",
		`{"when":"2025-10-08T11:12:13+02:00"}`:                               "2025-10-08T09:12:13Z",
		`{"a.first_date":"2025-10-01","a.last_date":"2025-10-07"}`:           "2025-10-07T00:00:00Z",
		`{"a.last_date":"2025-10-07","a.renewal_date":"2026-10-01"}`:         "2025-10-07T00:00:00Z",
		`{"a.last_date":"2025-10-07","a.period_end_date":"2025-10-10"}`:      "2025-10-07T00:00:00Z",
		`{"a.day_date":"2025-10-09","a.meeting_time":"2025-10-09 18:00:00"}`: "2025-10-09T08:54:20Z",
		`{"accounts.created_date":"2025-10-07","n":1}`:                       "2025-10-09T08:54:20Z",
		`{"events.created_date":"2025-10-05","subscription.x_date":"2025-10-08","accounts.contract_date":"2025-10-08","e.period_end_date":"2025-10-08"}`: "2025-10-05T00:00:00Z",
		`{"events.occurred_at":1760000000.5,"events.seen_date":"2025-10-07"}`:                                                                            "2025-10-09T08:53:20Z",
		`{"events.created_raw":"2025-10-08 08:53:20 +0000"}`:                                                                                             "2025-10-08T08:53:20Z",
		`{"events.occurred_at":"2025-10-01","events.seen_date":"2025-10-07"}`:                                                                            "2025-10-01T00:00:00Z",
		`{"events.month":"2025-10","n":1760000000,"s":"1760000000"}`:                                                                                     "2025-10-09T08:54:20Z",
	} {
		require.Equal(t, want, one(t, row, received).OccurredAt.Format(time.RFC3339), row)
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	event := one(t, `{"users.email":"Kim@acme.example","user.id":77,"accounts.website":"https://www.acme.example/x","events.company_id":"c-1",
		"accounts.id":4711,"crm.billing_domain":"user@beta.example","accounts.name":"acme","embed.external_group_id":"g-9","accounts.uuid":"7F1C1D0E-55b1-4a0e-9d4f-1f3b5a5f0a01",
		"events.id":5,"users.id":6,"accounts.domain":"www.","contact.owner_email":"none"}`, received)
	var keys []string
	for _, ref := range event.References {
		keys = append(keys, ref.Key())
	}
	require.Equal(t, []string{
		"looker:account_uuid:7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01",
		"looker/acme.looker.com:account:4711",
		"looker/acme.looker.com:group:g-9", "looker/acme.looker.com:user:77",
		"looker:email:kim@acme.example", "looker:domain:acme.example",
	}, keys)
}

// System Activity is the same event whether it was polled or a schedule sent it.
func TestSystemActivityIsOneHoweverItCame(t *testing.T) {
	t.Parallel()
	body, err := os.ReadFile(filepath.Join("testdata", "system_activity_schedule.json"))
	require.NoError(t, err)
	records, err := split(string(body), received)
	require.NoError(t, err)
	sent, err := sourcetest.Describe(looker.New(), records[0])
	require.NoError(t, err)

	row, err := os.ReadFile(filepath.Join("testdata", "records", "history_row.json"))
	require.NoError(t, err)
	polled, err := sourcetest.Describe(looker.New(), source.Record{Value: row, Tenant: "https://Acme.looker.com:19999", ReceivedAt: received})
	require.NoError(t, err)
	require.Equal(t, "acme.looker.com:history:1000231", polled.ID)
	require.Equal(t, polled.ID, sent.ID)
	require.Equal(t, "query.ran", sent.Type)
	require.Equal(t, polled.OccurredAt, sent.OccurredAt)
}

// An instance without a domain is not the address of one look; the setting names it.
func TestInstance(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://Acme.looker.com:19999/looks/42": "acme.looker.com", "http://10.0.0.5:9999/looks/42": "set.looker.com", "/looks/42": "set.looker.com", "": "set.looker.com",
	} {
		value := fmt.Sprintf(`{"scheduled_plan":{"url":%q},"row":{"n":1}}`, url)
		event, err := sourcetest.Describe(looker.New(), source.Record{Value: []byte(value), Tenant: "HTTPS://set.looker.com/", ReceivedAt: received})
		require.NoError(t, err)
		require.Equal(t, want, event.Tenant, url)
	}
}

// Reports that differ in one part never share an identity.
func TestDistinctReports(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, plan := range []string{
		`{"scheduled_plan_id":7,"query":{"view":"1:2"}}`, `{"scheduled_plan_id":"7:1","query":{"view":"2"}}`, `{"scheduled_plan_id":"7%3A1","query":{"view":"2"}}`,
		`{"query_id":7,"query":{"view":"1:2"}}`, `{"query_id":7}`, `{}`,
	} {
		event, err := sourcetest.Describe(looker.New(), source.Record{Value: []byte(`{"scheduled_plan":` + plan + `,"row":{"n":1}}`), ReceivedAt: received})
		require.NoError(t, err)
		require.False(t, seen[event.ID], event.ID)
		seen[event.ID] = true
	}
}

func TestSplitKeepsRowAndPlanExact(t *testing.T) {
	t.Parallel()
	const oddPlan = `{ "scheduled_plan_id" : 7.0, "url":"https://a.example" }`
	const row = `{ "n" : 1.50 }`
	records, err := split(`{"scheduled_plan": `+oddPlan+` ,"attachment":{"data":[ `+row+` ]},"type": "query"}`, received)
	require.NoError(t, err)
	require.Len(t, records, 1)
	require.Equal(t, `{"type":"query","scheduled_plan":`+oddPlan+`,"received_on":"2025-10-09","row":`+row+`}`, string(records[0].Value))
}

func TestSplitForms(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body    string
		records int
		tenant  string
	}{
		"data beside no attachment":  {`{"type":"query","data":[{"n":1},{"n":2}],"attachment":null}`, 2, ""},
		"text without words of its":  {`{"attachment":{"data":"[{\"n\":1}]"}}`, 1, ""},
		"no rows":                    {`{"scheduled_plan":` + plan + `,"attachment":{"data":[]}}`, 0, ""},
		"the plan's host wins":       {`{"scheduled_plan":` + plan + `,"attachment":{"data":[{"n":1}]}}`, 1, "acme.looker.com"},
		"detailed JSON without rows": {`{"scheduled_plan":` + plan + `,"attachment":{"extension":"json","data":"{\"fields\":{},\"data\":[]}"}}`, 0, "acme.looker.com"},
		"base64 is one record":       {`{"attachment":{"mimetype":"application/json;base64","extension":"json","data":"W10="}}`, 1, ""},
		"detailed JSON as text":      {`{"attachment":{"extension":"json","data":"{\"fields\":{},\"data\":[{\"n\":{\"value\":1}}]}"}}`, 1, ""},
		"csv":                        {`{"attachment":{"extension":"csv","data":"A,B\n1,\"x, \"\"y\"\"\nz\"\n2,\n"}}`, 2, ""},
		"csv with a header alone":    {`{"attachment":{"extension":"csv","data":"[1,2]"}}`, 0, ""},
		"xlsx is one record":         {`{"attachment":{"extension":"xlsx","data":"UEsDBA=="}}`, 1, ""},
		"a cell is one record":       {`{"type":"cell","scheduled_plan":null,"data":{"value":"x"}}`, 1, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records, err := split(tt.body, received)
			require.NoError(t, err)
			require.Len(t, records, tt.records)
			for _, r := range records {
				require.Equal(t, tt.tenant, r.Tenant)
			}
		})
	}
}

func TestSplitRefuses(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", source.MaxRecordBytes)
	tests := map[string]struct {
		body   string
		reason fault.Reason
		says   string
	}{
		"rows cut off":       {`{"attachment":{"extension":"json","data":"[{\"n\":1},{\"n\""}}`, fault.Malformed, "attachment.data"},
		"rows too deep":      {`{"attachment":{"data":"[` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `]"}}`, fault.Malformed, "deep"},
		"a large xlsx":       {`{"attachment":{"extension":"xlsx","data":"` + large + `"}}`, fault.Oversized, "JSON — Simple"},
		"a csv cut off":      {`{"attachment":{"extension":"csv","data":"A,B\n1,\"x"}}`, fault.Malformed, "csv"},
		"a ragged csv":       {`{"attachment":{"extension":"csv","data":"A,B\n1\n"}}`, fault.Malformed, "1 cells"},
		"a csv's amplifier":  {`{"attachment":{"extension":"csv","data":"` + strings.Repeat("x", 60<<10) + strings.Repeat(`\n1`, 2_000) + `"}}`, fault.Oversized, "fewer rows"},
		"no zip":             {`{"attachment":{"extension":"zip","data":"UEsDBA=="}}`, fault.Malformed, "zip"},
		"an amplifier":       {`{"scheduled_plan":"` + large[:60<<10] + `","attachment":{"data":"[` + strings.Repeat("{},", 1_999) + `{}]"}}`, fault.Oversized, "fewer rows"},
		"a large type":       {`{"type":"` + large + `","attachment":{"data":[{}]}}`, fault.Oversized, "65536"},
		"a large plan":       {`{"scheduled_plan":"` + large + `","attachment":{"data":[{}]}}`, fault.Oversized, "scheduled_plan"},
		"a text":             {`"rows"`, fault.Malformed, "neither"},
		"an unclosed object": {`{"attachment":{"data":[{}]}`, fault.Malformed, "not valid JSON"},
		"too many rows":      {`{"attachment":{"data":[` + strings.Repeat("{},", 50_000) + `{}]}}`, fault.Oversized, "50000"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := split(tt.body, received)
			require.ErrorContains(t, err, tt.says)
			require.True(t, fault.IsPermanent(err))
			require.Equal(t, tt.reason, fault.ReasonOf(err))
		})
	}
}

func TestDescribeRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		value  string
		reason fault.Reason
		says   string
	}{
		"a row that is a number":  {`{"scheduled_plan":{},"row":5}`, fault.Malformed, "not a JSON object but a number"},
		"a row without columns":   {`{"scheduled_plan":{},"row":{}}`, fault.Malformed, "no columns"},
		"a row without its plan":  {`{"accounts.id":1}`, fault.Malformed, "neither"},
		"a dashboard":             {`{"type":"dashboard","attachment":{"extension":"zip"}}`, fault.Unsupported, "JSON — Simple"},
		"a whole delivery":        {`{"type":"query","attachment":{"data":[{"n":1}]}}`, fault.Malformed, "post it to the receiver"},
		"a row's bad date":        {`{"scheduled_plan":{},"row":{"events.created_date":"10/09/2025"}}`, fault.Malformed, "events.created_date"},
		"a row's bad zone":        {`{"scheduled_plan":{},"row":{"events.created_raw":"2025-10-09 08:53:20 PST"}}`, fault.Malformed, "events.created_raw"},
		"a row's bad occurred_at": {`{"scheduled_plan":{},"row":{"events.occurred_at":"yesterday","a.day_date":"2025-10-08"}}`, fault.Malformed, "occurred_at"},
		"two accounts": {`{"scheduled_plan":{},"row":{"a.account_uuid":"7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01","b.account_uuid":"7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a02"}}`,
			fault.Conflict, "different customers"},
		"two companies' addresses": {`{"scheduled_plan":{},"row":{"a.email":"kim@acme.example","b.email":"lee@beta.example"}}`, fault.Conflict, "different customers"},
		"a history row's bad time": {`{"history.id":1,"history.created_time":"soon"}`, fault.Malformed, "history.created_time"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := sourcetest.Describe(looker.New(), source.Record{Value: []byte(tt.value), ReceivedAt: received})
			require.ErrorContains(t, err, tt.says)
			require.Equal(t, tt.reason, fault.ReasonOf(err))
		})
	}
}

func TestReply(t *testing.T) {
	t.Parallel()
	require.JSONEq(t, `{"looker":{"success":true}}`, string(looker.New().Reply(nil, nil).Body))
	refused := looker.New().Reply(nil, fault.Permanent(fault.Malformed, fmt.Errorf("no rows")))
	require.Equal(t, http.StatusBadRequest, refused.Status)
	require.JSONEq(t, `{"looker":{"success":false,"message":"no rows","error":"malformed"}}`, string(refused.Body))
	again := looker.New().Reply(nil, fault.Transient(fault.Unavailable, fmt.Errorf("broker 10.0.0.7")))
	require.Equal(t, http.StatusServiceUnavailable, again.Status)
	require.NotContains(t, string(again.Body), "10.0.0.7")
}

// BenchmarkSplit reads a delivery of 1,000 rows in text.
func BenchmarkSplit(b *testing.B) {
	rows, err := json.Marshal("[" + strings.Repeat(`{"accounts.uuid":"7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01","events.count":1204},`, 999) + `{"n":1}]`)
	require.NoError(b, err)
	body := bytes.Join([][]byte{[]byte(`{"type":"query","scheduled_plan":` + plan + `,"attachment":{"extension":"json","data":`), rows, []byte(`}}`)}, nil)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		for _, err := range looker.New().Split(&source.Delivery{Body: body, ReceivedAt: received}) {
			require.NoError(b, err)
		}
	}
}
