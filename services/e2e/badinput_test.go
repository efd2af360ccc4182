package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/vendors"
)

// post is one request of the tables below.
type post struct {
	source string
	body   string
	secret string                  // "": the right one
	at     time.Time               // zero: signed now
	change func(req *http.Request) // after signing
}

// atDoor is a POST that the door refuses, and how.
type atDoor struct {
	post
	status int
	says   string // a part of the answer
}

// stripeEvents gives what makes a Stripe event of a linked customer that carries
// a mark, and more members beside it.
func stripeEvents(t *testing.T) func(mark, more string) string {
	t.Helper()
	simulator, err := vendors.New(catalog.Set(), 0)
	require.NoError(t, err)
	return func(mark, more string) string {
		d, err := simulator.Delivery("stripe", vendors.Event{
			At: time.Now(), About: vendors.Customer{IDs: map[string]string{"stripe:customer": "cus_bad"}}, Members: fmt.Sprintf(`"e2e":%q%s`, mark, more),
		})
		require.NoError(t, err)
		return string(d.Body)
	}
}

func refusedPosts(t *testing.T, stripeEvent func(mark, more string) string) map[string]atDoor {
	t.Helper()
	good := stripeEvent("refused", "")
	hubspot := `[{"eventId":1,"portalId":62515,"occurredAt":1700000000000,"subscriptionType":"contact.creation","objectId":901}]`
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, err := zip.Write([]byte(good))
	require.NoError(t, err)
	require.NoError(t, zip.Close())
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	cases := map[string]atDoor{
		"expired, stripe":          {post{source: "stripe", body: good, at: time.Now().Add(-6 * time.Minute)}, 401, "unauthenticated"},
		"from the future, stripe":  {post{source: "stripe", body: good, at: time.Now().Add(6 * time.Minute)}, 401, "unauthenticated"},
		"expired, hubspot":         {post{source: "hubspot", body: hubspot, at: time.Now().Add(-6 * time.Minute)}, 401, "unauthenticated"},
		"from the future, hubspot": {post{source: "hubspot", body: hubspot, at: time.Now().Add(6 * time.Minute)}, 401, "unauthenticated"},
		"changed after signing": {post{source: "stripe", body: good, change: func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(strings.Replace(good, "invoice.paid", "invoice.void", 1)))
		}}, 401, "unauthenticated"},
		"not JSON":                  {post{source: "stripe", body: `{"id":`}, 400, "malformed"},
		"not JSON at all":           {post{source: "stripe", body: "hello"}, 400, "malformed"},
		"two values":                {post{source: "stripe", body: good + good}, 400, "malformed"},
		"empty":                     {post{source: "stripe", body: ""}, 400, "empty"},
		"wrong content type":        {post{source: "stripe", body: good, change: header("Content-Type", "text/plain")}, 415, "content type"},
		"a form":                    {post{source: "stripe", body: "a=b", change: header("Content-Type", "application/x-www-form-urlencoded")}, 415, "content type"},
		"over the cap":              {post{source: "stripe", body: stripeEvent("big", `,"x":"`+strings.Repeat("x", 1<<20)+`"`)}, 413, "1048576 bytes"},
		"too deep":                  {post{source: "stripe", body: stripeEvent("deep", `,"x":`+strings.Repeat("[", 200)+strings.Repeat("]", 200))}, 400, "128 deep"},
		"a byte order mark":         {post{source: "stripe", body: "\xef\xbb\xbf" + good}, 400, "byte order mark"},
		"gzip":                      {post{source: "stripe", body: packed.String(), change: header("Content-Encoding", "gzip")}, 415, "compressed"},
		"gzip that does not say so": {post{source: "stripe", body: packed.String()}, 400, "malformed"},
		"a batch of 10,000":         {post{source: "hubspot", body: "[" + strings.Repeat(hubspot[1:len(hubspot)-1]+",", 9_999) + hubspot[1:]}, 413, "oversized"},
		"neither object nor array":  {post{source: "hubspot", body: `"text"`}, 400, "malformed"},
		"another method":            {post{source: "stripe", body: good, change: func(r *http.Request) { r.Method = http.MethodPut }}, 405, "POST"},
		"no such source":            {post{source: "stripe", body: good, change: func(r *http.Request) { r.URL.Path = "/webhooks/no-such-vendor" }}, 404, ""},
	}
	for _, name := range catalog.Set().Names() {
		cases["wrong secret, "+name] = atDoor{post{source: name, body: `{"a":1}`, secret: "another-secret-0123456789"}, 401, "unauthenticated"}
		cases["not signed, "+name] = atDoor{post{source: name, body: `{"a":1}`, change: func(r *http.Request) {
			r.Header = http.Header{"Content-Type": {"application/json"}}
		}}, 401, "unauthenticated"}
	}
	return cases
}

// send signs and posts.
func send(t *testing.T, client *http.Client, url string, p post) (status int, body string) {
	t.Helper()
	if p.secret == "" {
		p.secret = secretOf(p.source)
	}
	if p.at.IsZero() {
		p.at = time.Now()
	}
	sender := vendors.Sender{Sources: catalog.Set(), URL: url, PublicURL: publicURL, Secrets: map[string]string{p.source: p.secret}, Now: func() time.Time { return p.at }}
	req, err := sender.Request(t.Context(), vendors.Delivery{Source: p.source, Body: []byte(p.body)})
	require.NoError(t, err)
	if p.change != nil {
		p.change(req)
	}
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(answer)
}

// TestBadInput sends what vendors, attackers and other teams' jobs can get
// wrong through the whole system: it is refused with the reason, or taken and
// kept, and nothing behind it is held up.
func TestBadInput(t *testing.T) {
	t.Parallel()
	p := newPlace(t, streamtest.Embedded(t))
	account := p.account("Bad Input Ltd", "")
	p.link("stripe:customer:cus_bad", account)
	p.link("hubspot:contact:901", account)
	url := startEmbedded(t, p)
	stripeEvent := stripeEvents(t)
	client := &http.Client{Timeout: patience, Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)

	t.Run("refused at the door", func(t *testing.T) {
		cases := refusedPosts(t, stripeEvent)
		for name, c := range cases {
			t.Run(name, func(t *testing.T) {
				status, answer := send(t, client, url, c.post)
				require.Equal(t, c.status, status, answer)
				require.Contains(t, answer, c.says)
				require.True(t, json.Valid([]byte(answer)), answer)
				require.NotContains(t, strings.TrimSpace(answer), "\n")
				require.NotContains(t, answer, secretOf(c.source))
			})
		}
		p.tap.settle(patience)
		require.Zero(t, p.tap.rawRecords, "nothing of what is refused is stored")
		noDoor := 1 // a path that is no source's is not counted
		require.EqualValues(t, len(cases)-noDoor, p.sum("throughline_receiver_rejected_total"))
	})
	t.Run("taken and kept", func(t *testing.T) { takenAndKept(t, p, client, url, takenPosts(stripeEvent)) })
	t.Run("of a third party", func(t *testing.T) { thirdParty(t, p, stripeEvent) })
	p.tap.settle(patience)
	p.tap.exactlyOnce()
}

// kept is a POST that is taken, and what becomes of its events: the dead
// letter's reason, or "" for the timeline, by mark.
type kept struct {
	post
	becomes map[string]string
}

func takenPosts(stripeEvent func(mark, more string) string) map[string]kept {
	stripe := func(mark, more string) post { return post{source: "stripe", body: stripeEvent(mark, more)} }
	element := func(mark, object string) string {
		return fmt.Sprintf(`{"eventId":7,"portalId":62515,"occurredAt":1700000000123,"subscriptionType":"contact.%s","objectId":%s,"e2e":%q}`, mark, object, mark)
	}
	chunked := stripe("chunked", "")
	chunked.change = func(r *http.Request) { r.ContentLength, r.TransferEncoding = -1, []string{"chunked"} }
	return map[string]kept{
		"chunked":            {chunked, map[string]string{"chunked": ""}},
		"NUL":                {stripe("nul", `,"x":"a\u0000b"`), map[string]string{"nul": "unstorable"}},
		"lone surrogate":     {stripe("surrogate", `,"x":"\ud800"`), map[string]string{"surrogate": "unstorable"}},
		"not UTF-8":          {stripe("latin", `,"x":"`+"\xe9"+`"`), map[string]string{"latin": "unstorable"}},
		"beyond numeric":     {stripe("huge", `,"x":1e200000`), map[string]string{"huge": "unstorable"}},
		"duplicate keys":     {stripe("twice", `,"x":1,"x":2`), map[string]string{"twice": "malformed"}},
		"2^70 beside":        {stripe("large", `,"x":1180591620717411303424`), map[string]string{"large": ""}},
		"2^70 as an id":      {post{source: "hubspot", body: "[" + element("creation", "1180591620717411303424") + "]"}, map[string]string{"creation": "unresolved_account"}},
		"not of this vendor": {post{source: "stripe", body: `{"hello":"world","e2e":"stranger"}`}, map[string]string{"stranger": "malformed"}},
		"a bad one among good": {
			post{source: "hubspot", body: "[" + strings.Join([]string{element("deletion", "901"), `{"e2e":"bad-element"}`, `17`, element("restore", "901")}, ",") + "]"},
			map[string]string{"deletion": "", "bad-element": "malformed", "restore": ""},
		},
	}
}

func takenAndKept(t *testing.T, p *place, client *http.Client, url string, cases map[string]kept) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			status, answer := send(t, client, url, c.post)
			require.Equal(t, http.StatusOK, status, answer)
			p.tap.settle(patience)
			for mark, reason := range c.becomes {
				onTimeline := p.count("SELECT count(*) FROM account_events WHERE "+markSQL+" = $1", mark)
				reasons := p.strings("SELECT reason FROM quarantine WHERE position($1::bytea IN raw) > 0", fmt.Appendf(nil, "%q", mark))
				if reason == "" {
					require.Equal(t, 1, onTimeline, "%s in quarantine: %s", mark, reasons)
					require.Empty(t, reasons)
					continue
				}
				require.Zero(t, onTimeline)
				require.Equal(t, []string{reason}, reasons, mark)
			}
		})
	}
	require.Equal(t, 1, p.count(`SELECT count(*) FROM quarantine WHERE raw = '17'`), "the element of a batch that is no object")
}
