package cli_test

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
	require.Contains(t, listed, "kim")
	var newest struct {
		Events   int64
		Finished bool
		Types    []string
	}
	require.NoError(t, json.Unmarshal([]byte(sh.must("pulls", "--json", "--limit", "1")), &newest))
	require.EqualValues(t, 250, newest.Events)
	require.True(t, newest.Finished)
	require.Equal(t, []string{"charge.failed", "customer.updated"}, newest.Types)
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
