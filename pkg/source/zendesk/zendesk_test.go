package zendesk

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/sourcetest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	sourcetest.Run(t, New(), sourcetest.Config{
		Secret: "zendesk-signing-secret", TypeField: "/type", UnknownType: `"zen:event-type:ticket.never_seen_changed"`,
	})
}

func FuzzZendesk(f *testing.F) { sourcetest.Fuzz(f, New()) }

func BenchmarkZendesk(b *testing.B) { sourcetest.Bench(b, New()) }

// The vector was computed by two independent tools; no library of the vendor's
// exists. Its secret is the public one, which is why it verifies only in here.
const (
	vectorTimestamp = "2025-10-09T08:53:21Z"
	vectorSignature = "osS6URaX+JUbNokiEQPY6pIpqkTzkPB/cZCHH7dvIrU="
	vectorBody      = `{"account_id":12514403,"detail":{"id":"5158","organization_id":"8447346622462","requester_id":"8447388090494","status":"OPEN"},"event":{},"id":"cbe4028c-0000-4d5d-b020-f22348516046","subject":"zen:ticket:5158","time":"2025-10-09T08:53:20.672717030Z","type":"zen:event-type:ticket.created","zendesk_event_version":"2022-11-06"}`
)

func TestSignatureVector(t *testing.T) {
	t.Parallel()
	require.Equal(t, vectorSignature, signature(publicTestSecret, vectorTimestamp, []byte(vectorBody)))
}

func TestVerify(t *testing.T) {
	t.Parallel()
	now := time.Date(2025, 10, 9, 8, 53, 30, 0, time.UTC)
	_, err := New().Open([]string{"our-own-secret", publicTestSecret})
	require.ErrorContains(t, err, "secret 2 of 2")
	keys, err := New().Open([]string{"our-own-secret"})
	require.NoError(t, err)
	tests := map[string]struct {
		timestamp, signature string
		refused              string // part of the text; "" means accepted
	}{
		"own secret":           {vectorTimestamp, signature("our-own-secret", vectorTimestamp, []byte(vectorBody)), ""},
		"fraction of a second": {"2025-10-09T08:53:21.5Z", signature("our-own-secret", "2025-10-09T08:53:21.5Z", []byte(vectorBody)), ""},
		"public test secret":   {vectorTimestamp, vectorSignature, "test secret that Zendesk publishes"},
		"decoded key":          {vectorTimestamp, "oh2xbrJaUyO42LVLalpp/i6lutDUPcvSIh+UdjULby4=", "matches no secret"},
		"another timestamp":    {"2025-10-09T08:53:22Z", signature("our-own-secret", vectorTimestamp, []byte(vectorBody)), "matches no secret"},
		"an hour and more old": {"2025-10-09T07:53:29Z", signature("our-own-secret", "2025-10-09T07:53:29Z", []byte(vectorBody)), "more than an hour"},
		"unix seconds":         {"1760000001", signature("our-own-secret", "1760000001", []byte(vectorBody)), "not an RFC 3339 time"},
		"no signature":         {vectorTimestamp, "", "missing"},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			d := &source.Delivery{Method: http.MethodPost, Header: http.Header{}, Body: []byte(vectorBody)}
			d.Header.Set(timestampHeader, tt.timestamp)
			d.Header.Set(signatureHeader, tt.signature)
			_, err := keys.Verify(d, now)
			if tt.refused == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.refused)
			require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
		})
	}
}

func TestReply(t *testing.T) {
	t.Parallel()
	again := New().Reply(nil, fault.Transient(fault.Unavailable, errors.New("no broker")))
	require.Equal(t, http.StatusServiceUnavailable, again.Status)
	require.Equal(t, "30", again.Header.Get("Retry-After"))
	for _, reason := range fault.Reasons() {
		status := New().Reply(nil, fault.Permanent(reason, errors.New("no"))).Status
		require.NotContains(t, []int{http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable}, status,
			"Zendesk would send it again")
	}
}

// A fact has one identity, whether Zendesk sent it or a job made it of the REST API.
func TestBackfillMeetsWebhook(t *testing.T) {
	t.Parallel()
	for webhook, rest := range map[string]string{
		"testdata/ticket_created_charged_twice.json": "testdata/records/ticket_created_rest.json",
		"testdata/ticket_comment_added.json":         "testdata/records/ticket_comment_rest.json",
	} {
		a, b := describe(t, webhook), describe(t, rest)
		require.Equal(t, a.ID, b.ID)
		require.Equal(t, a.Type, b.Type)
		require.Equal(t, a.References, b.References)
	}
}

func describe(t *testing.T, path string) source.Event {
	t.Helper()
	value, err := os.ReadFile(path)
	require.NoError(t, err)
	event, err := sourcetest.Describe(New(), source.Record{Value: value})
	require.NoError(t, err)
	return event
}

func TestTypeName(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"zen:event-type:ticket.created":                         "ticket.created",
		"zen:event-type:ticket.comment_added":                   "ticket.replied",
		"zen:event-type:ticket.status_changed":                  "ticket.status.changed",
		"zen:event-type:ticket.custom_field_changed":            "ticket.custom_field.changed",
		"zen:event-type:ticket.comment_redacted":                "ticket.comment.redacted",
		"zen:event-type:ticket.marked_as_spam":                  "ticket.marked_as_spam",
		"zen:event-type:ticket.soft_deleted":                    "ticket.deleted",
		"zen:event-type:ticket.permanently_deleted":             "ticket.permanently_deleted",
		"zen:event-type:user.organization_membership_created":   "user.organization_membership.created",
		"zen:event-type/user.merged":                            "user.merged",
		"zen:event-type:ticket.something_of_tomorrow_requested": "ticket.something_of_tomorrow.requested",
		"ticket.solved":       "ticket.solved",
		"Ticket / Escalated!": "ticket.escalated",
		"ticket_created":      "ticket.created",
		"zen:event-type:":     "unknown",
	}
	for vendor, want := range tests {
		require.Equal(t, want, typeName(trimPrefix(vendor)), vendor)
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	const times = `"time":"2025-10-09T08:53:20.672717030Z"`
	tests := map[string]struct {
		value, id, err string
		reason         fault.Reason
	}{
		"no type":          {value: `{"ticket_id":"5158"}`, err: "the source's README", reason: fault.Unsupported},
		"type is a number": {value: `{"type":7,"account_id":1,"id":"a",` + times + `}`, id: "1:a"},
		"no account":       {value: `{"type":"x","id":"a",` + times + `}`, err: "account_id", reason: fault.Malformed},
		"account zero":     {value: `{"type":"x","account_id":"0","id":"a",` + times + `}`, err: "account_id", reason: fault.Malformed},
		"no id":            {value: `{"type":"x","account_id":1,` + times + `}`, err: "no id", reason: fault.Malformed},
		"no time":          {value: `{"type":"x","account_id":1,"id":"a"}`, err: "time", reason: fault.Malformed},
		"bad time":         {value: `{"type":"x","account_id":1,"id":"a","time":"May18"}`, err: "time", reason: fault.Malformed},
		"id of the subject": {
			value: `{"type":"zen:event-type:ticket.created","account_id":1,"id":"a","subject":"zen:ticket:9",` + times + `}`, id: "1:ticket:9:created",
		},
		"subject of another kind": {
			value: `{"type":"zen:event-type:ticket.created","account_id":1,"id":"a","subject":"zen:user:9",` + times + `}`, id: "1:a",
		},
		"comment without id": {
			value: `{"type":"zen:event-type:ticket.comment_added","account_id":1,"id":"a","event":{"comment":{"id":"0"}},` + times + `}`, id: "1:a",
		},
	}
	for title, tt := range tests {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			event, err := sourcetest.Describe(New(), source.Record{Value: []byte(tt.value)})
			if tt.err == "" {
				require.NoError(t, err)
				require.Equal(t, tt.id, event.ID)
				return
			}
			require.ErrorContains(t, err, tt.err)
			require.True(t, fault.IsPermanent(err))
			require.Equal(t, tt.reason, fault.ReasonOf(err))
		})
	}
}

func TestEmptyReferencesSayNothing(t *testing.T) {
	t.Parallel()
	for _, none := range []string{`"0"`, `""`, `null`, `0`, `{}`, `[]`} {
		value := fmt.Sprintf(`{"type":"zen:event-type:ticket.tags_changed","account_id":1,"id":"a","time":"2025-10-09T08:53:20Z",
			"detail":{"id":"7","organization_id":%[1]s,"requester_id":%[1]s}}`, none)
		event, err := sourcetest.Describe(New(), source.Record{Value: []byte(value)})
		require.NoError(t, err)
		require.Equal(t, []source.Reference{{Source: "zendesk", Tenant: "1", Kind: "ticket", ID: "7"}}, event.References, none)
	}
}

// The quarantine's reader is told what to do about a trigger's own JSON.
func TestTriggerWithoutTemplateIsKept(t *testing.T) {
	t.Parallel()
	body, err := os.ReadFile("testdata/trigger_custom.json")
	require.NoError(t, err)
	records := 0
	for r, err := range New().Split(&source.Delivery{Body: body}) {
		require.NoError(t, err)
		_, err = sourcetest.Describe(New(), source.Record{Value: r.Value})
		require.Equal(t, fault.Unsupported, fault.ReasonOf(err))
		records++
	}
	require.Equal(t, 1, records)
}

// The template of the README is the one that is tested.
func TestReadmeTemplate(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(readme), "```json\n")
	require.True(t, found)
	template, _, _ := strings.Cut(rest, "```")
	filled := strings.NewReplacer(
		"{{ticket.updated_at_with_timestamp}}", "2025-10-09T08:53Z", "{{ticket.id}}", "5159",
		"{{ticket.title}}", "charged twice", "{{ticket.status}}", "Solved", "{{ticket.requester.id}}", "8447388090494",
		"{{ticket.requester.email}}", "kim@acme-robotics.example", "{{ticket.organization.external_id}}", "crm-77",
	).Replace(template)
	require.NotContains(t, filled, "{{")
	event, err := sourcetest.Describe(New(), source.Record{Value: []byte(filled)})
	require.NoError(t, err)
	want := describe(t, "testdata/trigger_template.json")
	require.Equal(t, want, event)
}

func signature(secret, timestamp string, body []byte) string {
	return string(encoded(source.HMAC(source.SHA256, secret, source.Signed{Before: timestamp, Body: body})))
}
