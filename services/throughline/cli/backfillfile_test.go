package cli_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// history writes lines of Stripe's events, whose last is this text, and gives the path.
func history(t *testing.T, events int, last string) string {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	for n := range events {
		fmt.Fprintf(z, `{"id":"evt_%d","object":"event","created":%d,"type":%q,"data":{"object":{"id":"cus_%d","object":"customer"}}}`+"\n",
			n, 1760000000+n, []string{"customer.created", "customer.updated"}[n%2], n%9)
	}
	fmt.Fprint(z, last)
	require.NoError(t, z.Close())
	path := filepath.Join(t.TempDir(), "history.jsonl.gz")
	require.NoError(t, os.WriteFile(path, out.Bytes(), 0o600))
	return path
}

func TestBackfillFromAFile(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	brokers := streamtest.Kafka(t, 1).Brokers()
	sh.env["THROUGHLINE_KAFKA_BROKERS"] = brokers[0]
	sh.env["THROUGHLINE_KAFKA_PREFIX"] = "file."
	sh.must("topics", "apply", "--partitions", "2", "--replication-factor", "1")
	path := history(t, 12_000, "no JSON\n")

	r := sh.run("backfill", "stripe", "--file", path, "--dry-run", "--skip-bad")
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.out, "12000 events from 2025-10-09T08:53:20Z to 2025-10-09T12:13:19Z would be published to file.raw.stripe (")
	require.Regexp(t, `customer.created +6000\ncustomer.updated +6000\n`, r.out)
	require.Contains(t, r.err, "1 line skipped, which were no events")
	require.Equal(t, "no pulls\n", sh.run("pulls").err)

	r = sh.run("backfill", "stripe", "--file", path)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "reading "+path+": line 12001: ")
	require.NotContains(t, r.err, "asking", "nobody is")
	require.Contains(t, r.err, "what lies before it is published: 12000 events")
	require.Contains(t, sh.must("gaps"), "stripe: a file is not brought in to its end (checkpoint 1, failed): ")
	r = sh.run("backfill", "stripe", "--file", path, "--skip-bad", "--json")
	require.Zero(t, r.code, r.err)
	var report struct {
		Events, Skipped int64
		Resumed         bool
	}
	require.NoError(t, json.Unmarshal([]byte(r.out), &report))
	require.True(t, report.Resumed)
	require.Zero(t, report.Events, "all had come")
	require.EqualValues(t, 1, report.Skipped)
	require.Regexp(t, ` stripe +file +backfill `, sh.must("pulls"))
	require.NotContains(t, sh.must("pulls"), "1970")

	sh.input = `{"id":"evt_in","object":"event","created":1760000000,"type":"a.b","data":{"object":{}}}`
	r = sh.run("backfill", "stripe", "--file", "-")
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.err, "- can be read once")
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(t.Context(), "file.raw.stripe")
	require.NoError(t, err)
	total := int64(0)
	ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
	require.EqualValues(t, 12_001, total, "each once")

	for args, want := range map[string]string{
		"backfill stripe":                          "missing flags: --since=WHEN, or --file=FILE",
		"backfill strype --file x":                 `no source "strype"`,
		"backfill stripe --file x --since 30d":     "--file brings all of a file",
		"backfill stripe --since 30d --skip-bad":   "--skip-bad is of --file",
		"backfill zendesk --file x --types ticket": "--file brings all of a file",
	} {
		r := sh.run(strings.Fields(args)...)
		require.Equal(t, 2, r.code, args)
		require.Contains(t, r.err, want)
	}
	require.Contains(t, sh.run("backfill", "stripe", "--file", path+".none").err, "no such file")
}
