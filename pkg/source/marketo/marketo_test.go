package marketo_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/marketo"
	"github.com/throughline-dev/throughline/pkg/source/sourcetest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	sourcetest.Run(t, marketo.New(), sourcetest.Config{
		Secret:      "marketo-flow-step-secret",
		BareToken:   true,
		TypeField:   "/activityTypeId",
		UnknownType: "100042",
		Wrap: func(elements [][]byte) []byte {
			page := append([]byte(`{"requestId":"24fd#1","success":true,"result":[`), bytes.Join(elements, []byte(","))...)
			return append(page, "]}"...)
		},
	})
}

func FuzzMarketo(f *testing.F) { sourcetest.Fuzz(f, marketo.New()) }

func BenchmarkMarketo(b *testing.B) { sourcetest.Bench(b, marketo.New()) }

var received = time.Date(2025, 10, 9, 8, 53, 40, 0, time.UTC)

func describe(t *testing.T, value, tenant string) (source.Event, error) {
	t.Helper()
	return sourcetest.Describe(marketo.New(), source.Record{Value: []byte(value), Tenant: tenant, ReceivedAt: received})
}

func TestCallTime(t *testing.T) {
	t.Parallel()
	called := time.Date(2025, 10, 9, 8, 53, 19, 0, time.UTC)
	for fields, want := range map[string]time.Time{
		`"systemDate":"2025-10-09 03:53:19"`:                                       received,
		`"systemDate":"2025-10-09 03:53:19","systemTime":"03:53 AM (GMT -0500)"`:   called,
		`"systemDate":"2025-10-09 14:23:19","systemTime":"02:23 PM (GMT +0530)"`:   called,
		`"systemDate":"2025-10-09 03:53:19","systemTime":"03:53 in the afternoon"`: received,
		`"systemDate":"2025-10-09T03:53:19-05:00"`:                                 called,
		`"systemDate":"2025-10-09T08:53:19+0000"`:                                  called,
		`"systemDate":"2025-10-09 08:53:19 UTC"`:                                   called,
	} {
		event, err := describe(t, `{"leadId":1,"campaignId":2,`+fields+`}`, "")
		require.NoError(t, err, fields)
		require.Equal(t, want, event.OccurredAt, fields)
	}
	_, err := describe(t, `{"leadId":1,"campaignId":2,"systemDate":"yesterday","systemTime":"03:53 AM (GMT -0500)"}`, "")
	require.Equal(t, fault.Malformed, fault.ReasonOf(err), "a date that cannot be read is not the receipt")
}

func TestCallIdentityAndType(t *testing.T) {
	t.Parallel()
	const call = `"leadId":5414087,"campaignId":"8497","systemDate":"2025-10-09 03:53:19"`
	const id = "call:5414087:8497:2025-10-09 03%3A53%3A19"
	tests := map[string]struct{ value, tenant, id, kind string }{
		"bare":              {`{` + call + `}`, "", id, "webhook.called"},
		"numbers are texts": {`{"leadId":"5414087","campaignId":8497,"systemDate":"2025-10-09 03:53:19"}`, "", id, "webhook.called"},
		"record's tenant":   {`{` + call + `}`, "123-ABC-456", "123-ABC-456:" + id, "webhook.called"},
		"own tenant wins":   {`{` + call + `,"munchkinId":"999-XYZ-000"}`, "123-ABC-456", "999-XYZ-000:" + id, "webhook.called"},
		"known trigger":     {`{` + call + `,"triggerName":"fills  out form"}`, "", id + ":fills.out.form", "form.filled"},
		"unknown trigger":   {`{` + call + `,"triggerName":"Owner Changes"}`, "", id + ":owner.changes", "owner.changes"},
		"own type":          {`{` + call + `,"triggerName":"Opens Email","type":"Nurture Opened"}`, "", id + ":opens.email", "nurture.opened"},
		"the link counts": {
			`{` + call + `,"triggerName":"Clicks Link in Email","triggerAsset":"Spring","triggerLink":"https://acme.example/a"}`, "",
			id + ":clicks.link.in.email:df4411187775f0e9", "email.clicked",
		},
		"a link alone": {`{` + call + `,"triggerLink":"https://acme.example/a"}`, "", id + "::d429157174b6e90d", "webhook.called"},
		"its colons":   {`{"leadId":"7:1","campaignId":2,"systemDate":"2025-10-09"}`, "", "call:7%3A1:2:2025-10-09", "webhook.called"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			event, err := describe(t, tt.value, tt.tenant)
			require.NoError(t, err)
			require.Equal(t, tt.id, event.ID)
			require.Equal(t, tt.kind, event.Type)
			require.NoError(t, source.CheckEvent(event, received))
		})
	}
}

// The same activity by the REST API, by a bulk export with everything as text,
// and without marketoGUID is one event.
func TestActivityIsOneHoweverItCame(t *testing.T) {
	t.Parallel()
	var first source.Event
	for i, value := range []string{
		`{"id":7,"marketoGUID":"102988","leadId":1002,"activityDate":"2025-10-09T08:53:19Z","activityTypeId":10,"attributes":[{"name":"Account UUID","value":"7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01"}]}`,
		`{"marketoGUID":"102988","leadId":"1002","activityDate":"2025-10-09T08:53:19+0000","activityTypeId":"10","attributes":"{\"Account UUID\":\"7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01\"}"}`,
		`{"id":102988,"leadId":1002,"activityDate":"2025-10-09T08:53:19Z","activityTypeId":10,"attributes":{"accountUuid":"7F1C1D0E-55B1-4A0E-9D4F-1F3B5A5F0A01"}}`,
	} {
		event, err := describe(t, value, "123-ABC-456")
		require.NoError(t, err)
		if i == 0 {
			first = event
			require.Equal(t, "123-ABC-456:102988", event.ID)
			require.Equal(t, "email.opened", event.Type)
		}
		require.Equal(t, first, event)
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	event, err := describe(t, `{"marketoGUID":"1","leadId":775,"activityDate":"2025-10-09T08:53:49Z","activityTypeId":13,
		"campaignId":8497,"company":"Acme Robotics","fields":[
		{"name":"website","newValue":"https://www.Acme-Robotics.example:8443/about?x","oldValue":"old.example"},
		{"name":"email","newValue":"Kim@acme-robotics.example","oldValue":"kim@old.example"},
		{"name":"accountId","newValue":"77"},{"name":"domain","newValue":"not a domain"},{"name":"Company Domain","newValue":"user@beta.example"}],
		"attributes":[{"name":"External Company Id","value":9001},{"name":"Webpage URL","value":"pricing.example"},7]}`, "123-ABC-456")
	require.NoError(t, err)
	var keys []string
	for _, ref := range event.References {
		keys = append(keys, ref.Key())
	}
	require.Equal(t, []string{
		"marketo/123-ABC-456:lead:775", "marketo/123-ABC-456:company:9001",
		"marketo:email:kim@acme-robotics.example", "marketo:domain:acme-robotics.example", "marketo:domain:beta.example",
	}, keys)
}

func TestDescribeRefuses(t *testing.T) {
	t.Parallel()
	for value, says := range map[string]string{
		`{}`:                          "neither an activity",
		`{"leadId":1,"campaignId":2}`: "no systemDate",
		`{"leadId":1,"systemDate":"2025-10-09 03:53:19"}`:             "no campaignId",
		`{"campaignId":1,"systemDate":"2025-10-09 03:53:19"}`:         "no leadId",
		`{"activityTypeId":10,"activityDate":"2025-10-09T08:53:19Z"}`: "neither marketoGUID nor id",
		`{"marketoGUID":"1","activityDate":"2025-10-09T08:53:19Z"}`:   "no activityTypeId",
		`{"marketoGUID":"1","activityTypeId":10}`:                     "reading activityDate",
		`{"requestId":"a","success":true,"result":[{"id":1}]}`:        "neither an activity", // List takes it apart before
		`{"success":false,"errors":[{"code":"606"}]}`:                 `code "606"`,
	} {
		_, err := describe(t, value, "")
		require.ErrorContains(t, err, says, value)
		require.True(t, fault.IsPermanent(err), value)
		require.Equal(t, fault.Malformed, fault.ReasonOf(err), value)
	}
}

func TestSplitPages(t *testing.T) {
	t.Parallel()
	split := func(body string) (records []source.Record, err error) {
		d := &source.Delivery{Header: http.Header{}, Body: []byte(body), ReceivedAt: received}
		for r, err := range marketo.New().Split(d) {
			if err != nil {
				return records, err
			}
			records = append(records, source.Record{Value: r.Value, Tenant: r.Tenant, ReceivedAt: received})
		}
		return records, nil
	}
	records, err := split(`{"requestId":"a","success":true,"nextPageToken":"x","moreResult":true}`)
	require.NoError(t, err)
	require.Empty(t, records, "a page without result has no events")

	records, err = split(" \n{\"success\":true,\"result\": [ {\"id\": 1.0} , {\"id\":2} ]}")
	require.NoError(t, err)
	require.Len(t, records, 2)
	require.Equal(t, `{"id": 1.0}`, string(records[0].Value))

	records, err = split(`[{"marketoGUID":"1"},{"leadId":1}]`)
	require.NoError(t, err)
	require.Len(t, records, 2)

	body, err := os.ReadFile(filepath.Join("testdata", "records", "error_606.json"))
	require.NoError(t, err)
	_, err = split(string(body))
	require.ErrorContains(t, err, "606")
	require.Equal(t, fault.Malformed, fault.ReasonOf(err))
}

// A page of the API may be published whole.
func TestList(t *testing.T) {
	t.Parallel()
	activities, err := os.ReadFile(filepath.Join("testdata", "activities_page.json"))
	require.NoError(t, err)
	for page, want := range map[string]int{
		string(activities): 3,
		`{"requestId":"a","success":true,"result":[{"id":1},{"id":2}],"moreResult":false}`: 2,
		`{"success":true,"result":[]}`:                                           0,
		`{"requestId":"a","success":true,"nextPageToken":"x","moreResult":true}`: 0,
		`{"requestId":"a","success":false,"errors":[{"code":"606"}]}`:            -1,
		`{"requestId":"a","success":true,"result":{"id":1}}`:                     -1,
		`{"success":true}`:      -1,
		`{"result":[{"id":1}]}`: -1,
		`{"marketoGUID":"1","activityTypeId":10,"attributes":[{"name":"a"}]}`: -1,
		`[{"success":true,"result":[]}]`:                                      -1,
	} {
		var doc rawjson.Doc
		top, err := doc.ParseBody([]byte(page), 0)
		require.NoError(t, err)
		elements, ok := marketo.New().(source.Lister).List(top)
		require.Equal(t, want >= 0, ok, page)
		if ok {
			require.Equal(t, want, elements.Len(), page)
		}
	}
}

func TestReplyIsNeverEmpty(t *testing.T) {
	t.Parallel()
	require.Equal(t, `{"ok":true}`, string(marketo.New().Reply(nil, nil).Body))
}
