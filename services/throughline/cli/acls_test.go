package cli_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

func TestACLs(t *testing.T) {
	t.Parallel()
	broker := streamtest.Fake(t, kfake.EnableACLs(), kfake.Superuser("SCRAM-SHA-512", "admin", "a-password"), kfake.User("SCRAM-SHA-512", "kim", "a-password"))
	sh := &shell{t: t, env: map[string]string{
		"THROUGHLINE_KAFKA_BROKERS": broker.ListenAddrs()[0], "THROUGHLINE_KAFKA_SASL_MECHANISM": "scram-sha-512", "THROUGHLINE_KAFKA_USER": "admin",
		"THROUGHLINE_KAFKA_PASSWORD": "a-password",
	}}
	client, err := stream.NewClient(stream.Config{Brokers: broker.ListenAddrs(), SASLMechanism: "scram-sha-512", User: "admin", Password: "a-password"}, stream.Deps{Name: "test"})
	require.NoError(t, err)
	defer client.Close()
	for _, more := range []*kadm.ACLBuilder{
		kadm.NewACLs().Topics("raw.stripe", "billing"), kadm.NewACLs().Topics("raw.").ResourcePatternType(kadm.ACLPatternPrefixed),
	} {
		_, err = kadm.NewClient(client).CreateACLs(t.Context(), more.Allow("User:hooks").Operations(kadm.OpRead))
		require.NoError(t, err)
	}
	users := []string{"acls", "apply", "--sources", "stripe", "--user", "receiver=User:hooks", "--user", "sink=User:CN=sink,O=Example"}
	with := func(more ...string) []string { return append(append([]string{}, users...), more...) }
	brokerOut := func(text string) string { return strings.ReplaceAll(text, broker.ListenAddrs()[0], "BROKER") }
	sh.golden("acls", brokerOut,
		with("--dry-run"),
		with(),
		with("--prune"),
		with("--prune", "--yes"),
		with("--prune", "--yes", "--json"),
		with("--kafka-prefix", "eu.", "--print"),
		[]string{"acls", "apply", "--sources", "stripe", "--print"},
		[]string{"acls", "apply", "--user", "clerk=User:kim", "--user", "sink=kim", "--host", ""},
		with("--kafka-user", "kim"),
	)
}
