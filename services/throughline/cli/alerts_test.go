package cli_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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
		[]string{"alerts", "silence", "drift/stripe", "--for", "1h", "--comment", "again"},
		[]string{"alerts", "silence", "quarantine_count/stripe", "--for", "2h", "--comment", "never matches"},
		[]string{"alerts", "silence", "drift", "--for", "9999h", "--comment", "for ever"},
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

// Receivers are asked side by side, each has a row, and Ctrl-C is nobody's failure.
func TestAlertsTestAsksAllAtOnce(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t, env: map[string]string{}}
	var both sync.WaitGroup
	both.Add(2)
	met := make(chan struct{})
	go func() { both.Wait(); close(met) }()
	var once [2]sync.Once
	receiver := func(n int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			once[n].Do(both.Done)
			select {
			case <-met:
			case <-r.Context().Done():
			}
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	sh.env["THROUGHLINE_ALERTS_TEAMS_URL"], sh.env["THROUGHLINE_ALERTS_WEBHOOK_URL"] = receiver(0), receiver(1)
	r := sh.run("alerts", "test")
	require.Zero(t, r.code, r.out+r.err)
	require.Regexp(t, `teams +taken`, r.out)
	require.Regexp(t, `webhook +taken`, r.out)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	}))
	t.Cleanup(silent.Close)
	sh.env["THROUGHLINE_ALERTS_WEBHOOK_URL"] = silent.URL
	delete(sh.env, "THROUGHLINE_ALERTS_TEAMS_URL")
	r = sh.runContext(ctx, "alerts", "test")
	require.Equal(t, 130, r.code, "as shells say it")
	require.Regexp(t, `webhook +cancelled`, r.out)
	require.Equal(t, "throughline: interrupted\n", r.err)
}

// All that is wrong with a file of rules is a line each, with its place.
func TestAlertsRulesProblems(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	require.NoError(t, os.WriteFile(file, []byte("repeat: never\nrules:\n  quarantine_count: {above: many}\n  nothing: {}\n"), 0o600))
	sh := &shell{t: t, env: map[string]string{"THROUGHLINE_ALERTS_RULES": file}}
	for _, command := range []string{"rules", "test"} {
		r := sh.run("alerts", command)
		require.Equal(t, 2, r.code)
		lines := strings.Split(strings.TrimSpace(r.err), "\n")
		require.Len(t, lines, 3)
		for i, at := range []string{"line 1: repeat", "line 3: rules.quarantine_count.above", "line 4: rules.nothing"} {
			require.True(t, strings.HasPrefix(lines[i], "throughline: "+file+": "+at), lines[i])
		}
	}
}
