package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/vendors/stripeapi"
)

const apiKey = "rk_live_0123456789abcdef"

func TestBackfill(t *testing.T) {
	t.Parallel()
	fake := stripeapi.New(apiKey)
	for n := range 250 {
		require.NoError(t, fake.Add(fmt.Appendf(nil, `{"id":"evt_%d","object":"event","created":%d,"type":"customer.updated","data":{"object":{"id":"cus_1","object":"customer"}}}`,
			n, time.Now().Add(-time.Duration(n)*time.Minute).Unix())))
	}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	sh := inDatabase(t)
	sh.env["THROUGHLINE_KAFKA_BROKERS"] = streamtest.Embedded(t)[0]
	sh.env["THROUGHLINE_STRIPE_API_URL"] = server.URL
	sh.must("topics", "apply", "--partitions", "2")

	r := sh.run("backfill", "stripe", "--since", "30d")
	require.Equal(t, 2, r.code)
	require.Contains(t, r.err, "no key for the API: set THROUGHLINE_STRIPE_API_KEY, or THROUGHLINE_STRIPE_API_KEY_FILE to a file that holds it")
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte(apiKey+"\n"), 0o600))
	sh.env["THROUGHLINE_STRIPE_API_KEY_FILE"] = file
	r = sh.run("backfill", "stripe", "--since", "30d")
	require.Equal(t, 2, r.code)
	require.Contains(t, r.err, "THROUGHLINE_STRIPE_API_URL: the API's address should begin with https://")
	sh.env["THROUGHLINE_EGRESS_ALLOW_PRIVATE"] = "true"
	for args, want := range map[string]string{
		"backfill":                                  "source",
		"backfill stripe":                           "--since",
		"backfill segment --since 1d":               `"segment" is no source with an API that can be asked for past events: those are `,
		"backfill stripe --since 1d --rate=-1":      "--rate is -1: it should be above 0",
		"backfill stripe --since yesterday":         "--since",
		"backfill stripe --since 1d --until yester": "--until",
		"pulls --source strype":                     `no source "strype"`,
	} {
		r := sh.run(strings.Fields(args)...)
		require.Equal(t, 2, r.code, args)
		require.Contains(t, r.err, want)
	}
	r = sh.run("backfill", "stripe", "--since", "1d", "--until", "2d")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "which is not after its beginning")

	require.Contains(t, sh.must("backfill", "stripe", "--since", "2d", "--dry-run", "--rate", "1000"), "250 events on ")
	r = sh.run("pulls")
	require.Equal(t, "no pulls\n", r.err)

	fake.Inject(1, -1, stripeapi.Status(401))
	r = sh.run("backfill", "stripe", "--since", "12h", "--rate", "1000")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "the API answered 401 Unauthorized: the key is wrong, or no longer valid (invalid_request_error): check THROUGHLINE_STRIPE_API_KEY")
	require.Contains(t, r.err, "the same command goes on from there")
	require.NotContains(t, r.err, apiKey)
	failed := sh.must("pulls", "--unfinished")
	require.Contains(t, failed, "failed")
	require.Contains(t, failed, "401 Unauthorized")

	fake.Inject(0, -1, nil)
	r = sh.run("backfill", "stripe", "--since", "12h", "--rate", "1000", "--json")
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.err, "went on with a pull that was not finished")
	var report struct {
		Events  int64
		Resumed bool
		DryRun  bool `json:"dry_run"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.out), &report))
	require.True(t, report.Resumed)
	require.False(t, report.DryRun)

	r = sh.run("backfill", "stripe", "--since", "40d", "--types", "customer.updated,charge.failed", "--rate", "1000")
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.err, "Stripe promises events since ")
	require.Contains(t, r.out, "250 events on ")
	require.Contains(t, r.out, " published to raw.stripe (")
	listed := sh.must("pulls")
	require.Equal(t, 4, strings.Count(listed, "\n"), listed)

	// Stripe has new types each month: one that is newer than this version can be insisted on.
	newer := []string{"backfill", "stripe", "--since", "12h", "--types", "invoice.payd", "--dry-run"}
	r = sh.run(newer...)
	require.Equal(t, 2, r.code)
	require.Contains(t, r.err, `--types: Stripe had no event type "invoice.payd" when this version was made: did you mean "invoice.paid"? (--anyway asks for a newer one)`)
	r = sh.run(append(newer, "--anyway")...)
	require.Zero(t, r.code, r.err)
	require.Equal(t, 2, sh.run("backfill", "stripe", "--since", "12h", "--anyway").code)
	require.Contains(t, listed, "kim")
	require.Regexp(t, `source +stream +mode.*\n.* stripe +events +backfill `, listed)
	var newest struct {
		Events   int64
		Finished bool
		Types    []string
		Stream   string
	}
	require.NoError(t, json.Unmarshal([]byte(sh.must("pulls", "--json", "--limit", "1")), &newest))
	require.EqualValues(t, 250, newest.Events)
	require.True(t, newest.Finished)
	require.Equal(t, "events", newest.Stream)
	require.Equal(t, []string{"charge.failed", "customer.updated"}, newest.Types)
}

// What is detached is the puller's: it needs no key here, and can be cancelled.
func TestBackfillDetached(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	r := sh.run("backfill", "stripe", "--since", "30d", "--detach")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "set THROUGHLINE_STRIPE_API_KEY for the puller, and start it")
	db, err := pgx.Connect(t.Context(), sh.env["THROUGHLINE_POSTGRES_URL"])
	require.NoError(t, err)
	defer db.Close(t.Context())
	_, err = db.Exec(t.Context(), "INSERT INTO pull_leases (name, holder, until) VALUES ('request stripe', gen_random_uuid(), now())")
	require.NoError(t, err)
	require.Equal(t, "the puller is asked, as request 1: `throughline pulls` shows how far it is, `throughline pulls cancel 1` ends it\n", sh.must("backfill", "stripe", "--since", "30d", "--detach"))
	require.Regexp(t, "^request 1 of cli:kim for stripe from 20[^ ]+Z to 20[^ ]+Z waits for the puller; `throughline pulls cancel 1` ends it\n$", sh.must("pulls"))
	require.Equal(t, "request 1 is cancelled; 0 events had been brought in\n", sh.must("pulls", "cancel", "1"))
	r = sh.run("pulls", "cancel", "1")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "request 1 has ended already: it is cancelled")
	var asked struct {
		State  string
		DryRun bool `json:"dry_run"`
	}
	require.NoError(t, json.Unmarshal([]byte(sh.must("backfill", "stripe", "--since", "all", "--detach", "--dry-run", "--json")), &asked))
	require.Equal(t, "requested", asked.State)
	require.True(t, asked.DryRun)
	r = sh.run("backfill", "stripe", "--since", "1d", "--detach", "--restart")
	require.Equal(t, 2, r.code)
	require.Contains(t, r.err, "--detach asks the puller")
}

// A vendor that wants to be left alone is: everybody waits, says so, and goes on when somebody lifts it.
func TestAVendorsPause(t *testing.T) {
	t.Parallel()
	fake := stripeapi.New(apiKey)
	require.NoError(t, fake.Add(fmt.Appendf(nil, `{"id":"evt_1","object":"event","created":%d,"type":"customer.updated","data":{"object":{"id":"cus_1","object":"customer"}}}`, time.Now().Add(-time.Hour).Unix())))
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	sh := inDatabase(t)
	sh.env["THROUGHLINE_KAFKA_BROKERS"] = streamtest.Embedded(t)[0]
	sh.env["THROUGHLINE_STRIPE_API_URL"], sh.env["THROUGHLINE_STRIPE_API_KEY"], sh.env["THROUGHLINE_EGRESS_ALLOW_PRIVATE"] = server.URL, apiKey, "true"
	sh.must("topics", "apply", "--partitions", "2")
	require.Equal(t, "stripe does not wait\n", sh.run("pulls", "resume", "stripe").err)
	require.Equal(t, 2, sh.run("pulls", "resume", "segment").code)

	fake.Inject(0, 1, stripeapi.TooMany("1200"))
	terminal := *sh
	terminal.tty = true
	var said lockedBuffer
	done := make(chan int, 1)
	go func() { done <- terminal.start(t.Context(), io.Discard, &said, "backfill", "stripe", "--since", "12h") }()
	const why = "the API answered 429 Too Many Requests with Retry-After"
	require.Eventually(t, func() bool { return strings.Contains(said.String(), "waits ") }, time.Minute, 10*time.Millisecond)
	require.Regexp(t, `pulling from Stripe (.*, )?waits (20m0s|19m\d+s): `+why, said.String())
	out := sh.must("pulls")
	require.Regexp(t, `stripe waits until 20[^ ]+Z \(in (20m0s|19m\d+s)\): `+why+"; `throughline pulls resume stripe` lifts it\n", out)
	var run struct {
		Until time.Time `json:"waits_until"`
		For   string    `json:"waits_for"`
	}
	require.NoError(t, json.Unmarshal([]byte(sh.must("pulls", "--source", "stripe", "--json")), &run))
	require.Equal(t, why, run.For)
	require.WithinDuration(t, time.Now().Add(20*time.Minute), run.Until, 2*time.Minute)
	require.Regexp(t, `^stripe is asked again; it was to wait until 20[^ ]+Z: `+why+"\n$", sh.must("pulls", "resume", "stripe"))
	require.Zero(t, <-done, said.String())
	require.NotContains(t, sh.must("pulls"), "waits until")

	fake.Inject(0, 1, stripeapi.TooMany("3600"))
	require.Equal(t, 1, sh.run("backfill", "stripe", "--since", "13h").code)
	r := sh.run("backfill", "stripe", "--since", "13h")
	require.Equal(t, 1, r.code, "that is longer than anybody waits")
	require.Regexp(t, `the vendor is not asked before 20[^ ]+Z: `+why+": .*: wait, or lift it with `throughline pulls resume stripe`\n", r.err)
}

// lockedBuffer is written and read at the same time.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// An answer that leads elsewhere is no reason to look at the key.
func TestWhereEgressDoesNotGo(t *testing.T) {
	t.Parallel()
	away := httptest.NewServer(http.RedirectHandler("https://api.elsewhere.example/v1/events?key=x", http.StatusFound))
	t.Cleanup(away.Close)
	sh := inDatabase(t)
	sh.env["THROUGHLINE_STRIPE_API_URL"], sh.env["THROUGHLINE_STRIPE_API_KEY"] = away.URL, apiKey
	sh.env["THROUGHLINE_STRIPE_PUBLIC_URL"] = "https://hooks.example.com"
	sh.env["THROUGHLINE_EGRESS_ALLOW_PRIVATE"] = "true"
	host := strings.TrimPrefix(away.URL, "http://")
	for _, command := range []string{"connect stripe --dry-run", "backfill stripe --since 1d --dry-run"} {
		r := sh.run(strings.Fields(command)...)
		require.Equal(t, 1, r.code, command)
		require.Contains(t, r.err, "the API redirects to another place, https://api.elsewhere.example, which is not followed: the key is sent to "+host+
			" only: if the API has moved there, set THROUGHLINE_STRIPE_API_URL to its new address\n")
		require.NotContains(t, r.err, "check THROUGHLINE_STRIPE_API_KEY")
	}
	delete(sh.env, "THROUGHLINE_EGRESS_ALLOW_PRIVATE")
	sh.env["THROUGHLINE_STRIPE_API_URL"] = strings.Replace(away.URL, "http://", "https://", 1)
	r := sh.run("connect", "stripe", "--dry-run")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "the host leads to 127.0.0.1, which is no address on the internet: if a gateway of yours is there, set --egress-allow-private (THROUGHLINE_EGRESS_ALLOW_PRIVATE=true)")
	require.NotContains(t, r.err, "API_KEY")
}

// Every event is compared: what is here by the timeline or the quarantine, and what is in neither.
func TestReconcileAndGaps(t *testing.T) {
	t.Parallel()
	fake := stripeapi.New(apiKey)
	at := time.Now().Add(-3 * time.Hour)
	for n := range 250 {
		require.NoError(t, fake.Add(fmt.Appendf(nil, `{"id":"evt_%d","object":"event","created":%d,"type":"customer.updated","data":{"object":{"id":"cus_1","object":"customer"}}}`, n, at.Unix()-int64(n))))
	}
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	sh := inDatabase(t)
	sh.env["THROUGHLINE_KAFKA_BROKERS"] = streamtest.Embedded(t)[0]
	sh.env["THROUGHLINE_STRIPE_API_URL"], sh.env["THROUGHLINE_STRIPE_API_KEY"], sh.env["THROUGHLINE_EGRESS_ALLOW_PRIVATE"] = server.URL, apiKey, "true"
	sh.must("topics", "apply", "--partitions", "2")
	r := sh.run("gaps")
	require.Zero(t, r.code)
	require.Contains(t, r.err, "no comparison yet: `throughline reconcile SOURCE` makes one")
	for args, want := range map[string]string{
		"reconcile":                             "source",
		"reconcile strype":                      "strype",
		"reconcile stripe --days 0":             "--days is 0",
		"reconcile stripe --stream invoice":     `stripe has no stream "invoice": it has events`,
		"backfill stripe --since 1d --stream x": `stripe has no stream "x"`,
		"gaps --source strype":                  `no source "strype"`,
	} {
		r := sh.run(strings.Fields(args)...)
		require.Equal(t, 2, r.code, args)
		require.Contains(t, r.err, want)
	}
	r = sh.run("reconcile", "stripe", "--days", "1", "--no-heal", "--rate", "1000")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "250 events missing: the same command without --no-heal publishes them")
	require.Contains(t, r.out, "250 (250 not_healed)")
	r = sh.run("reconcile", "stripe", "--days", "1", "--rate", "1000", "--wait", "0s", "--json")
	require.Equal(t, 1, r.code, "nothing runs that would bring them on the timeline")
	require.Contains(t, r.err, "250 events missing still: `throughline gaps --source stripe` says later whether they have come")
	var gap struct {
		Source, Stream string
		Report         struct {
			Said, Missing int64
			Still         int64 `json:"still_missing"`
			Reasons       map[string]int64
		}
	}
	require.NoError(t, json.Unmarshal([]byte(sh.must("gaps", "--json")), &gap))
	require.EqualValues(t, 250, gap.Report.Said)
	require.EqualValues(t, 250, gap.Report.Still)
	require.Equal(t, map[string]int64{"not_arrived": 250}, gap.Report.Reasons)

	fake.Inject(1, -1, stripeapi.Status(403))
	r = sh.run("backfill", "stripe", "--since", "12h", "--rate", "1000")
	require.Equal(t, 1, r.code)
	gaps := sh.must("gaps")
	require.Contains(t, gaps, "stripe events: not brought in from ")
	require.Contains(t, gaps, "the key may not read this")
	_, again, _ := strings.Cut(gaps, ": `throughline ")
	again, _, _ = strings.Cut(again, "` goes on")
	fake.Inject(0, -1, nil)
	r = sh.run(append(strings.Fields(again), "--rate", "1000")...)
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.err, "went on with a pull that was not finished")
	require.NotContains(t, sh.must("gaps"), "not brought in")
	require.Contains(t, sh.run("backfill", "stripe", "--since", "12h", "--rate", "1000").err, "not at the live edge yet: no event from before ")
}

func TestBackfillNeedsNoReceiversSettings(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t, env: map[string]string{}}
	help := sh.must("backfill", "--help")
	require.Contains(t, help, "--stripe-api-key")
	require.Contains(t, help, "--stripe-tenant")
	require.NotContains(t, help, "--stripe-secrets")
	require.NotContains(t, sh.must("timeline", "--help"), "--stripe-api-key")
	require.NotContains(t, sh.must("send", "--help"), "--stripe-api-key")
}
