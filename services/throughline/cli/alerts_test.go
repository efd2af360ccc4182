package cli_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A person sees what fires, tests the receivers, silences, and reads the two daily crons; no secret is printed anywhere.
func TestAlerts(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	var mu sync.Mutex
	var sent []string
	slack := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		sent = append(sent, string(body))
		mu.Unlock()
		_, _ = io.WriteString(w, "ok")
	}))
	t.Cleanup(slack.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(gone.Close)
	sh.env["THROUGHLINE_ALERTS_SLACK_URL"] = slack.URL + "/services/SECRETPATH"
	sh.env["THROUGHLINE_ALERTS_TEAMS_URL"] = gone.URL + "/workflows/SECRETPATH?sig=SECRETSIG"
	_, err := sh.pool().Exec(t.Context(), `INSERT INTO quarantine (dedup_key, reason, source, topic, partition, "offset", raw, status_by, first_seen, last_seen)
		SELECT decode(lpad(n::text, 64, '0'), 'hex'), CASE WHEN n < 130 THEN 'unresolved_account' ELSE 'malformed' END, CASE WHEN n % 4 = 0 THEN 'zendesk' ELSE 'stripe' END, 'raw.stripe', 0, n, '{}', 'test',
			now() - n * interval '1 hour', now() FROM generate_series(1, 133) AS n`)
	require.NoError(t, err)
	_, err = sh.pool().Exec(t.Context(), `
INSERT INTO shape_findings (source, event_type, pulled, path, change) VALUES ('stripe', 'invoice.paid', false, 'data.object.customer_email', 'vanished');
INSERT INTO drift_expectations (origin, reader, source, event_type, path) VALUES ('view', 'public.churn_risk', 'stripe', 'invoice.paid', 'data.object.customer_email')`)
	require.NoError(t, err)
	ports := regexp.MustCompile(`127\.0\.0\.1:\d+`)
	scrub := func(text string) string { return ports.ReplaceAllString(scrubTimes(text), "127.0.0.1:PORT") }
	sh.golden("alerts", scrub,
		[]string{"alerts"},
		[]string{"alerts", "test"},
		[]string{"alerts", "test", "pager"},
		[]string{"alerts", "run"},
		[]string{"alerts"},
		[]string{"alerts", "silence", "drift/stripe", "--for", "2h", "--comment", "Stripe knows"},
		[]string{"alerts", "silence", "nobody", "--for", "2h", "--comment", "typo"},
		[]string{"alerts", "--json"},
		[]string{"alerts", "silences"},
		[]string{"alerts", "unsilence", "1"},
		[]string{"alerts", "unsilence", "1"},
		[]string{"alerts", "report"},
		[]string{"alerts", "report", "--fail-above", "100", "--json"},
		[]string{"alerts", "report", "--send"},
		[]string{"drift", "diff", "--no-learn"},
	)
	sh.golden("alerts_rules", nil, []string{"alerts", "rules"})
	mu.Lock()
	require.Len(t, sent, 4) // the test fires and is over, what fires, the report
	require.Contains(t, sent[2], "read by public.churn_risk")
	require.NotContains(t, strings.Join(sent, ""), "SECRET")
	mu.Unlock()
	require.NotContains(t, sh.run("alerts", "test").out+sh.run("alerts").err, "SECRET")
	sh.env["THROUGHLINE_ALERTS_SMTP"] = "no port"
	r := sh.run("alerts", "test")
	require.Equal(t, 2, r.code)
	require.Contains(t, r.err, "--smtp should be like")
}
