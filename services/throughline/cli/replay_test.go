package cli_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// A dry run counts what would be published, an unknown type is refused with what may be meant, and --resume takes nothing
// that it would ignore.
func TestReplayDryRun(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	brokers := streamtest.Embedded(t)
	sh.env["THROUGHLINE_KAFKA_BROKERS"] = brokers[0]
	sh.must("topics", "apply", "--partitions", "2")
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	defer cl.Close()
	for n := range 30 {
		body := fmt.Sprintf(`{"id":"evt_%d","object":"event","created":1760000000,"type":%q,"data":{"object":{"id":"in_1","object":"invoice","customer":"cus_1"}}}`,
			n, []string{"invoice.paid", "invoice.voided", "invoice.sent"}[n%3])
		require.NoError(t, cl.ProduceSync(t.Context(), &kgo.Record{Topic: "raw.stripe", Key: fmt.Append(nil, n), Value: []byte(body)}).FirstErr())
	}
	counted := func(args ...string) (c struct{ Read, Published, Left int64 }) {
		require.NoError(t, json.Unmarshal([]byte(sh.must(append([]string{"replay", "--source", "stripe", "--since", "1h", "--dry-run", "--json"}, args...)...)), &c))
		return c
	}
	for args, want := range map[string]int64{"": 30, "--types invoice.paid": 10} {
		c := counted(strings.Fields(args)...)
		require.EqualValues(t, 30, c.Read, args)
		require.Equal(t, want, c.Published, args)
	}
	r := sh.run("replay", "--source", "stripe", "--since", "1h", "--types", "invoice.payd", "--dry-run")
	require.Equal(t, 2, r.code)
	require.Contains(t, r.err, `no event of stripe has the type "invoice.payd": did you mean "invoice.paid"?`)
	r = sh.run("replay", "--source", "stripe", "--since", "1h", "--types", "customer.subscription.deleted", "--dry-run")
	require.Contains(t, r.err, `did you mean "subscription.deleted"?`)
	require.Zero(t, counted("--types", "invoice.payd", "--anyway").Published)
	_, err = sh.pool().Exec(t.Context(), "INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at) VALUES (gen_random_uuid(), 'invoice.voided', 'stripe', 'evt_x', '{}', now(), now())")
	require.NoError(t, err)
	require.EqualValues(t, 10, counted("--types", "invoice.voided").Published, "it is on a timeline")
	for args, want := range map[string]string{
		"--resume 1 --types invoice.paid":               "--resume goes on with what the replay was begun with: leave --source",
		"--resume 1 --source stripe":                    "leave --source",
		"--source stripe --since 1h --anyway":           "--anyway is of --types",
		"--resume 1 --dry-run":                          "leave --source",
		"--resume 1 --list":                             "--list and --resume",
		"--list --since 1h":                             "--list lists all",
		"--source stripe --since 1h --until 2099-01-01": "--until 2099-01-01 lies in the future",
	} {
		r := sh.run(append([]string{"replay"}, strings.Fields(args)...)...)
		require.Equal(t, 2, r.code, args)
		require.Contains(t, r.err, want, args)
	}
	require.Contains(t, sh.run("replay", "--resume", "1").err, "there is no replay 1")
}
