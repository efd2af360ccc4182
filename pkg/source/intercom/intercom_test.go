package intercom

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/sourcetest"
)

// A type alone is told only where the identity has its bounds: true is an id, too.
func TestTypeOfOddParts(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"7", strings.Repeat("7", 2000)} {
		value := `{"topic":"conversation.user.replied","app_id":"a","id":"n","created_at":1760000000,"data":{"item":{"id":"` + id + `","conversation_parts":
			{"conversation_parts":[{"id":true,"created_at":1760000000,"body":"x","author":{"type":"user"}}]}}}}`
		sourcetest.RequireTyped(t, New(), source.Record{Value: []byte(value), ReceivedAt: time.Unix(1_760_000_060, 0)})
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	sourcetest.Run(t, New(), sourcetest.Config{
		Secret: "intercom-client-secret", TypeField: "/topic", Retry: http.StatusTooManyRequests,
		Handshakes: []*http.Request{httptest.NewRequest(http.MethodHead, "/webhooks/intercom", nil)},
	})
}

func FuzzIntercom(f *testing.F) { sourcetest.Fuzz(f, New()) }

func BenchmarkIntercom(b *testing.B) { sourcetest.Bench(b, New()) }

// The vector was computed by two independent tools; Intercom's library has no
// verifier to compare with.
func TestSignatureVector(t *testing.T) {
	t.Parallel()
	const body = `{"type":"notification_event","app_id":"a86dr8yl","data":{"type":"notification_event_data","item":{"type":"company","id":"531ee472cce572a6ec000006","company_id":"6","name":"Example Co","created_at":1394533506}},"links":{},"id":"notif_0c0ffee0-0000-4000-8000-000000000001","topic":"company.created","delivery_status":"pending","delivery_attempts":1,"delivered_at":0,"first_sent_at":1760000000,"created_at":1760000000,"self":null}`
	keys, err := New().Open([]string{"intercom-client-secret-vector"})
	require.NoError(t, err)
	verify := func(header string) error {
		d := &source.Delivery{Method: http.MethodPost, Header: http.Header{"X-Hub-Signature": {header}}, Body: []byte(body)}
		_, err := keys.Verify(d, time.Now())
		return err
	}
	require.NoError(t, verify("sha1=fa52fec5df550f99d55d80cd78fbec6f96d4543f"))
	require.Error(t, verify("sha1=FA52FEC5DF550F99D55D80CD78FBEC6F96D4543F"), "Intercom writes lower case")
	for _, header := range []string{
		"fa52fec5df550f99d55d80cd78fbec6f96d4543f", "sha256=fa52fec5df550f99d55d80cd78fbec6f96d4543f",
		"sha1=fa52fec5df550f99d55d80cd78fbec6f96d4543", "sha1=fa52fec5df550f99d55d80cd78fbec6f96d4543e",
		"sha1= fa52fec5df550f99d55d80cd78fbec6f96d4543f", "sha1=" + strings.Repeat("0", 40), "sha1=" + strings.Repeat("z", 40),
	} {
		require.Equal(t, fault.Unauthenticated, fault.ReasonOf(verify(header)), header)
	}
}

func TestHandshake(t *testing.T) {
	t.Parallel()
	shaker, ok := New().(source.Handshaker)
	require.True(t, ok)
	resp, ok := shaker.Handshake(httptest.NewRequest(http.MethodHead, "/webhooks/intercom", nil))
	require.True(t, ok)
	require.Equal(t, http.StatusOK, resp.Status)
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodOptions} {
		_, ok := shaker.Handshake(httptest.NewRequest(method, "/webhooks/intercom", nil))
		require.False(t, ok, method)
	}
}

func TestReply(t *testing.T) {
	t.Parallel()
	require.Equal(t, http.StatusTooManyRequests, New().Reply(nil, fault.Transient(fault.Unavailable, errors.New("no broker"))).Status)
	require.Equal(t, http.StatusTooManyRequests, New().Reply(nil, errors.New("unmarked")).Status)
	require.Equal(t, http.StatusUnauthorized, New().Reply(nil, fault.Permanent(fault.Unauthenticated, errors.New("no"))).Status)
}

func TestPingIsNoEvent(t *testing.T) {
	t.Parallel()
	body, err := os.ReadFile("testdata/ping.json")
	require.NoError(t, err)
	for range New().Split(&source.Delivery{Body: body}) {
		require.Fail(t, "a ping was yielded")
	}
	_, err = sourcetest.Describe(New(), source.Record{Value: body})
	require.Equal(t, fault.Unsupported, fault.ReasonOf(err))
}

func describe(t *testing.T, path string) source.Event {
	t.Helper()
	value, err := os.ReadFile(path)
	require.NoError(t, err)
	event, err := sourcetest.Describe(New(), source.Record{Value: value})
	require.NoError(t, err)
	return event
}

// A fact has one identity and one time, whether Intercom sent it or a job made
// it of Intercom's API.
func TestBackfillMeetsWebhook(t *testing.T) {
	t.Parallel()
	for webhook, rest := range map[string]string{
		"testdata/conversation_user_replied.json":    "testdata/records/conversation_part_rest.json",
		"testdata/contact_user_created.json":         "testdata/records/contact_rest.json",
		"testdata/conversation_created_subject.json": "testdata/records/conversation_rest.json",
	} {
		a, b := describe(t, webhook), describe(t, rest)
		require.Equal(t, a.ID, b.ID)
		require.Equal(t, a.Type, b.Type)
		require.Equal(t, a.OccurredAt.Unix(), b.OccurredAt.Unix())
		require.Equal(t, a.Subject, b.Subject)
	}
}

func TestIdentityAndTime(t *testing.T) {
	t.Parallel()
	const notification = `"app_id":"a","id":"notif_1","created_at":1760000000`
	parts := func(list string) string {
		return `"conversation_parts":{"conversation_parts":[` + list + `]}`
	}
	const (
		user  = `{"id":"1","body":"<p>u</p>","created_at":1759999001,"author":{"type":"lead"}}`
		admin = `{"id":2,"body":"<p>a</p>","created_at":"2025-10-09T08:36:42Z","author":{"type":"admin"}}`
		quiet = `{"id":"3","body":null,"created_at":1759999003,"author":{"type":"admin"}}`
		image = `{"id":"4","body":"","attachments":[{"type":"upload"}],"created_at":1759999004,"author":{"type":"admin"}}`
		anon  = `{"id":"5","body":"x","created_at":1759999005}`
	)
	tests := map[string]struct {
		topic, item, id string
		at              int64
	}{
		"created":                 {"conversation.user.created", `"id":"7","created_at":1759999000`, "a:conversation:7:created", 1759999000},
		"created, no item id":     {"conversation.user.created", `"created_at":1759999000`, "a:notif_1", 1760000000},
		"created, no item time":   {"contact.user.created", `"id":"7"`, "a:contact:7:created", 1760000000},
		"created, time zero":      {"contact.user.created", `"id":"7","created_at":0`, "a:contact:7:created", 1760000000},
		"created, time is a word": {"contact.user.created", `"id":"7","created_at":"soon"`, "a:contact:7:created", 1760000000},
		"user's part":             {"conversation.user.replied", `"id":"7",` + parts(admin+","+user+","+admin), "a:conversation:7:part:1", 1759999001},
		"admin's part":            {"conversation.admin.replied", `"id":"7",` + parts(user+","+admin+","+user), "a:conversation:7:part:2", 1759999002},
		"assignment after it":     {"conversation.admin.replied", `"id":"7",` + parts(admin+","+quiet), "a:conversation:7:part:2", 1759999002},
		"only a silent part":      {"conversation.admin.replied", `"id":"7",` + parts(user+","+quiet), "a:conversation:7:part:3", 1759999003},
		"an attachment":           {"conversation.admin.replied", `"id":"7",` + parts(quiet+","+image), "a:conversation:7:part:4", 1759999004},
		"author not said":         {"conversation.operator.replied", `"id":"7",` + parts(admin+","+anon), "a:conversation:7:part:5", 1759999005},
		"another's part only":     {"conversation.user.replied", `"id":"7",` + parts(admin), "a:notif_1", 1760000000},
		"no parts":                {"conversation.user.replied", `"id":"7"`, "a:notif_1", 1760000000},
		"parts are null":          {"conversation.user.replied", `"id":"7","conversation_parts":null`, "a:notif_1", 1760000000},
		"a closed one's part":     {"conversation.admin.closed", `"id":"7","created_at":1,` + parts(quiet), "a:notif_1", 1760000000},
		"ticket's part":           {"ticket.contact.replied", `"ticket":{"id":"9"},"ticket_part":` + user, "a:ticket:9:part:1", 1759999001},
		"statistic":               {"content_stat.email", `"type":"content_stat.email","created_at":"2025-10-09T08:36:40.500Z"`, "a:notif_1", 1759999000},
		"tagged":                  {"contact.user.tag.created", `"type":"contact_tag","created_at":1759999000`, "a:notif_1", 1759999000},
		"untagged, later":         {"contact.user.tag.deleted", `"type":"contact_tag","created_at":1759999000`, "a:notif_1", 1760000000},
		"updated, much later":     {"contact.user.updated", `"type":"contact","id":"7","created_at":1500000000`, "a:notif_1", 1760000000},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			value := `{"topic":"` + tt.topic + `",` + notification + `,"data":{"item":{` + tt.item + `}}}`
			event, err := sourcetest.Describe(New(), source.Record{Value: []byte(value)})
			require.NoError(t, err)
			require.Equal(t, tt.id, event.ID)
			require.Equal(t, tt.at, event.OccurredAt.Unix())
		})
	}
}

// What is two facts has two identities.
func TestDistinctFacts(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, value := range []string{
		`{"topic":"contact.lead.created","app_id":"a","data":{"item":{"id":"7"}}}`,
		`{"topic":"contact.user.created","app_id":"a","data":{"item":{"id":"7"}}}`,
		`{"topic":"contact.user.created","app_id":"a","data":{"item":{"id":"7:created"}}}`,
		`{"topic":"contact.user.created","app_id":"a:contact","data":{"item":{"id":"7"}}}`,
		`{"topic":"contact.user.updated","app_id":"a","id":"contact:7:created"}`,
		`{"topic":"conversation.user.replied","app_id":"a","data":{"item":{"id":"7:part:1","conversation_parts":{"conversation_parts":[{"id":"2"}]}}}}`,
		`{"topic":"conversation.user.replied","app_id":"a","data":{"item":{"id":"7","conversation_parts":{"conversation_parts":[{"id":"1:part:2"}]}}}}`,
	} {
		event, err := sourcetest.Describe(New(), source.Record{Value: []byte(strings.Replace(value, "{", `{"created_at":1760000000,`, 1))})
		require.NoError(t, err)
		require.NotContains(t, seen, event.ID, value)
		seen[event.ID] = value
	}
}

// TestLists: a job may publish the API's lists, whose elements tell of what was
// created, as the webhook does.
func TestLists(t *testing.T) {
	t.Parallel()
	lister, ok := New().(source.Lister)
	require.True(t, ok)
	tests := map[string]struct {
		page   string
		id     string
		kind   string
		tenant string
	}{
		"conversations": {`{"type":"conversation.list","total_count":1,"conversations":[{"type":"conversation","id":"7","created_at":1759999000}]}`, "set:conversation:7:created", "conversation.created", "set"},
		"contacts":      {`{"type":"list","data":[{"type":"contact","id":"7","workspace_id":"own","role":"user","created_at":1759999000}]}`, "own:contact:7:created", "contact.created", "own"},
		"leads":         {`{"type":"contact.list","contacts":[{"type":"contact","id":"7","role":"lead","created_at":1759999000}]}`, "set:lead:7:created", "lead.created", "set"},
		"companies":     {`{"type":"list","data":[{"type":"company","id":"7","app_id":"own","created_at":1759999000}]}`, "own:company:7:created", "company.created", "own"},
		"of 1.x":        {`{"type":"company.list","companies":[{"type":"company","id":"7","created_at":1759999000}]}`, "set:company:7:created", "company.created", "set"},
		"tickets":       {`{"type":"ticket.list","tickets":[{"type":"ticket","id":"7","created_at":1759999000}]}`, "set:ticket:7:created", "ticket.created", "set"},
		"by its data":   {`{"type":"ticket.list","data":[{"type":"ticket","id":"7","created_at":1759999000}]}`, "set:ticket:7:created", "ticket.created", "set"},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			var doc rawjson.Doc
			page, err := doc.ParseBody([]byte(tt.page), 0)
			require.NoError(t, err)
			elements, ok := lister.List(page)
			require.True(t, ok)
			require.Equal(t, 1, elements.Len())
			for _, element := range elements.Elements() {
				event, err := sourcetest.Describe(New(), source.Record{Value: element.Bytes(), Tenant: "set"})
				require.NoError(t, err)
				require.Equal(t, tt.id, event.ID)
				require.Equal(t, tt.kind, event.Type)
				require.Equal(t, tt.tenant, event.Tenant)
				require.Equal(t, time.Unix(1759999000, 0).UTC(), event.OccurredAt)
			}
		})
	}
	for _, other := range []string{
		`{"type":"notification_event","data":{"item":{}}}`, `{"type":"notification_event","data":[]}`, `{"type":"list"}`,
		`{"type":"list","data":{}}`, `{"type":"conversation","data":[]}`, `{}`, `[]`, `7`,
	} {
		var doc rawjson.Doc
		page, err := doc.ParseBody([]byte(other), 0)
		require.NoError(t, err)
		_, ok := lister.List(page)
		require.False(t, ok, other)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for value, why := range map[string]string{
		`{"app_id":"a","id":"n","created_at":1760000000}`:                                "which has a topic",
		`{"topic":"company.updated","id":"n","created_at":1760000000}`:                   "app_id",
		`{"topic":"company.updated","app_id":"a","id":null,"created_at":1760000000}`:     "no id",
		`{"topic":"company.updated","app_id":"a","id":"n"}`:                              "created_at",
		`{"topic":"company.updated","app_id":"a","id":"n","created_at":{}}`:              "created_at",
		`{"topic":{"company":"updated"},"app_id":"a","id":"n","created_at":1760000000}`:  "which has a topic",
		`{"topic":"conversation.user.replied","app_id":"a","created_at":1760000000}`:     "no id",
		`{"type":"conversation","id":"7","created_at":1760000000}`:                       "THROUGHLINE_INTERCOM_TENANT",
		`{"type":"conversation","app_id":"a","created_at":1760000000}`:                   "no id",
		`{"type":"conversation","app_id":"a","id":"7"}`:                                  "created_at",
		`{"type":"admin","app_id":"a","id":"7","created_at":1760000000}`:                 "which has a topic",
		`{"topic":"company.created","app_id":"a","data":{"item":{"id":"7"}},"id":"n_1"}`: "created_at",
	} {
		_, err := sourcetest.Describe(New(), source.Record{Value: []byte(value)})
		require.ErrorContains(t, err, why, value)
		require.Equal(t, fault.Malformed, fault.ReasonOf(err), value)
	}
}

func TestSubject(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		`billing question`:                            "billing question",
		`<p>billing question</p>`:                     "billing question",
		`<p></p><p> <b>Two</b> words </p><p>more</p>`: "Two words",
		"first\nsecond":                               "first",
		"<div>\n  <p>after white space</p></div>":     "after white space",
		`a<br>b`: "a",
		`<style>p{}</style><script>x()</script><p>seen</p>`: "seen",
		`&amp;lt; &gt; &eacute;`:                            "&lt; > é",
		`1 < 2 and 3 > 2`:                                   "1 < 2 and 3 > 2",
		`<img src="x">`:                                     "",
		`<ul><li>one</li><li>two</li></ul>`:                 "one",
		`<p>unclosed <i>tags`:                               "unclosed tags",
		`<!-- note --><h1>title</h1>`:                       "title",
		``:                                                  "",
	}
	for fragment, want := range tests {
		require.Equal(t, want, rawjson.SubjectLine(firstLine([]byte(fragment))), fragment)
	}
}

// Only the event that opens a conversation or a ticket has a subject.
func TestSubjectOnlyOnOpening(t *testing.T) {
	t.Parallel()
	require.Equal(t, "billing question", describe(t, "testdata/conversation_created_subject.json").Subject)
	require.Equal(t, "Is the API down & out?", describe(t, "testdata/conversation_created_chat.json").Subject)
	require.Equal(t, "charged twice", describe(t, "testdata/ticket_created.json").Subject)
	for _, later := range []string{"conversation_admin_replied", "conversation_admin_closed", "ticket_state_updated", "ticket_closed_nested"} {
		require.Empty(t, describe(t, "testdata/"+later+".json").Subject, later)
	}
}

func TestTypeName(t *testing.T) {
	t.Parallel()
	tests := []struct{ topic, stat, want string }{
		{"conversation.user.created", "", "conversation.created"},
		{"conversation.admin.replied", "", "conversation.replied"},
		{"conversation.rating.added", "", "conversation.rating.added"},
		{"contact.lead.created", "", "lead.created"},
		{"content_stat.email", "click", "email.clicked"},
		{"content_stat.email", "receipt", "email.sent"},
		{"content_stat.email", "hard_bounce", "email.hard_bounced"},
		{"content_stat.survey", "answer", "survey.answered"},
		{"content_stat.series.webhook", "failure", "series.webhook.failed"},
		{"content_stat.email", "of_tomorrow", "email.of_tomorrow"},
		{"content_stat.email", "", "content_stat.email"},
		{"content_stat.", "click", "content_stat"},
		{"Something New / Happened", "", "something.new.happened"},
	}
	for _, tt := range tests {
		require.Equal(t, tt.want, typeName(tt.topic, tt.stat), tt.topic+" "+tt.stat)
	}
}

// We are not our customer: neither a teammate's nor a bot's address counts.
func TestNoReferenceToOurselves(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"conversation_admin_replied", "conversation_operator_replied", "ticket_admin_replied", "admin_logged_in"} {
		for _, ref := range describe(t, "testdata/"+path+".json").References {
			require.NotContains(t, []string{"ana@throughline.example", "operator+a86dr8yl@intercom.io", "991267", "9608808"}, ref.ID, path)
		}
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		item string
		want []string
	}{
		"a ticket's company":   {`"type":"ticket","id":"9","company_id":"c1"`, []string{"intercom/a:company:c1", "intercom/a:ticket:9"}},
		"no company is -1":     {`"type":"ticket","id":"9","company_id":"-1"`, []string{"intercom/a:ticket:9"}},
		"no company is null":   {`"type":"ticket","id":"9","company_id":null,"company":null`, []string{"intercom/a:ticket:9"}},
		"only a made up id":    {`"type":"company","company_id":"5f-qualification-company"`, []string{"intercom/a:company:5f-qualification-company"}},
		"a made up id aside":   {`"type":"company","id":"c1","company_id":"5f-qualification-company"`, []string{"intercom/a:company:c1"}},
		"own id before theirs": {`"type":"company","id":"c1","company_id":"6"`, []string{"intercom/a:company:6", "intercom/a:company:c1"}},
		"contacts as an array": {`"type":"conversation","id":7,"contacts":[{"id":"p1"}]`, []string{"intercom/a:contact:p1", "intercom/a:conversation:7"}},
		"companies of a lead":  {`"type":"lead","id":"p1","companies":{"companies":[{"id":"c1","company_id":"6"}]}`, []string{"intercom/a:company:6", "intercom/a:company:c1", "intercom/a:contact:p1"}},
		"no UUID":              {`"type":"contact","id":"p1","external_id":"{7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01}"`, []string{"intercom/a:contact:p1", "intercom/a:external:{7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01}"}},
		"a user's id of 1.x":   {`"type":"user","id":"p1","user_id":9`, []string{"intercom/a:contact:p1", "intercom/a:external:9"}},
		"an external id":       {`"type":"contact","id":"p1","external_id":"7f1c1d0e55b14a0e9d4f1f3b5a5f0a01"`, []string{"intercom/a:contact:p1", "intercom/a:external:7f1c1d0e55b14a0e9d4f1f3b5a5f0a01"}},
		"an account's id":      {`"type":"contact","id":"p1","external_id":"7F1C1D0E-55b1-4a0e-9d4f-1f3b5a5f0a01"`, []string{"intercom/a:contact:p1", "intercom:account_uuid:7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01", "intercom/a:external:7F1C1D0E-55b1-4a0e-9d4f-1f3b5a5f0a01"}},
		"nothing":              {`"type":"admin","id":"1","email":"ana@throughline.example"`, nil},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			value := `{"topic":"x.y","app_id":"a","id":"n","created_at":1760000000,"data":{"item":{` + tt.item + `}}}`
			event, err := sourcetest.Describe(New(), source.Record{Value: []byte(value)})
			require.NoError(t, err)
			var got []string
			for _, ref := range event.References {
				got = append(got, ref.Key())
			}
			require.Equal(t, tt.want, got)
		})
	}
}
