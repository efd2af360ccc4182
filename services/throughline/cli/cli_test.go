package cli_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/services/throughline/cli"
)

func TestUsage(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t}
	sh.golden("usage", nil,
		[]string{"tmeline"},
		[]string{"timeline"},
		[]string{"timeline", "acme.example", "today"},
		[]string{"timeline", "acme.example", "--sinc", "90d"},
		[]string{"timeline", "acme.example", "--since", "yesterday"},
		[]string{"timeline", "acme.example", "--limit", "many"},
		[]string{"timeline", "acme.example", "--limit=-1", "--since", "x", "--postgres-url", "mysql://user:hunter2@db/x"},
		[]string{"accounts"},
		[]string{"accounts", "add"},
		[]string{"accounts", "add", "Acme", "--id", "4711"},
		[]string{"accounts", "list", "--limit", "0"},
		[]string{"link", "stripe:cus_1"},
		[]string{"send", "strype", "body.json"},
		[]string{"send"},
		[]string{"send", "stripe", "body.json", "--repeat", "0", "--url", "receiver", "--header", "nonsense"},
		[]string{"event-types", "--json", "--markdown"},
		[]string{"topics", "apply", "--partitions", "0"},
	)
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, command := range [][]string{
		{}, {"timeline"}, {"accounts"}, {"accounts", "import"}, {"accounts", "add"}, {"accounts", "list"}, {"accounts", "rename"}, {"accounts", "merge"}, {"accounts", "remove"}, {"accounts", "moves"},
		{"link"}, {"unlink"}, {"relink"}, {"links"}, {"links", "list"}, {"links", "log"}, {"links", "deny"},
		{"quarantine"}, {"quarantine", "list"}, {"quarantine", "show"}, {"quarantine", "release"}, {"quarantine", "discard"},
		{"topics"}, {"topics", "apply"}, {"acls"}, {"acls", "apply"}, {"migrate"}, {"roles"}, {"roles", "apply"}, {"ready"}, {"backfill"}, {"pulls"}, {"send"}, {"event-types"}, {"version"},
	} {
		t.Run(fmt.Sprint(command), func(t *testing.T) {
			t.Parallel()
			r := (&shell{t: t}).run(append(command, "--help")...)
			require.Zero(t, r.code)
			require.Contains(t, r.out, "Usage: throughline")
			require.Empty(t, r.err)
		})
	}
}

func TestNothingAskedShowsHelp(t *testing.T) {
	t.Parallel()
	r := (&shell{t: t}).run()
	require.Equal(t, 2, r.code)
	require.Empty(t, r.out)
	require.Contains(t, r.err, "Usage: throughline <command>")
}

func TestHelpShowsOnlyTheConnectionsOfTheCommand(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t}
	require.NotContains(t, sh.must("version", "--help"), "Connections")
	require.NotContains(t, sh.must("timeline", "--help"), "--kafka-brokers")
	require.NotContains(t, sh.must("topics", "apply", "--help"), "--postgres-url")
	require.Contains(t, sh.must("topics", "apply", "--help"), "--kafka-sasl-mechanism")
}

// A command is not refused for a setting that it does not use.
func TestOnlyUsedSettingsAreChecked(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t, env: map[string]string{"THROUGHLINE_POSTGRES_URL": "nonsense", "THROUGHLINE_KAFKA_BROKERS": "nonsense"}}
	require.Contains(t, sh.must("version"), "throughline devel")
	require.Equal(t, 2, sh.run("migrate").code)
	r := sh.run("migrate", "--validate")
	require.Equal(t, 2, r.code)
	require.Contains(t, r.err, "THROUGHLINE_POSTGRES_URL")
	require.NotContains(t, r.err, "KAFKA")
	require.Contains(t, sh.run("topics", "apply").err, "THROUGHLINE_KAFKA_BROKERS")
}

func TestConfigurationFile(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	file := filepath.Join(t.TempDir(), "throughline.yaml")
	require.NoError(t, os.WriteFile(file, []byte("postgres-url: "+sh.env["THROUGHLINE_POSTGRES_URL"]+"\naccounts: {list: {limit: 1}}\n"), 0o600))
	delete(sh.env, "THROUGHLINE_POSTGRES_URL")
	sh.must("--config", file, "accounts", "add", "Acme")
	sh.must("--config", file, "accounts", "add", "Nimbus")
	require.NotContains(t, sh.must("--config", file, "accounts", "list"), "Nimbus")
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t, env: map[string]string{
		"THROUGHLINE_POSTGRES_URL":  "postgres://kim:hunter2@127.0.0.1:1/throughline",
		"THROUGHLINE_KAFKA_BROKERS": "127.0.0.1:1",
	}}
	sh.golden("unreachable", nil, []string{"migrate"}, []string{"topics", "apply"})
}

func TestDatabaseWithoutSchema(t *testing.T) {
	t.Parallel()
	sh := inEmptyDatabase(t)
	sh.golden("without_schema", scrubTook,
		[]string{"accounts", "list"},
		[]string{"migrate"},
		[]string{"migrate"},
		[]string{"accounts", "list"},
	)
}

func TestInterrupt(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := sh.runContext(ctx, "accounts", "list")
	require.Equal(t, 1, r.code)
	require.Equal(t, "throughline: interrupted\n", r.err)
}

type greetCommand struct {
	Whom string `arg:""`
}

func (c *greetCommand) Run(_ context.Context, out io.Writer, streams cli.Streams, set cli.Connections) error {
	if c.Whom == "nobody" {
		return fmt.Errorf("there is nobody")
	}
	greeting, _ := streams.Env("GREETING")
	_, err := fmt.Fprintf(out, "%s %s %q %q\n", greeting, c.Whom, string(set.Postgres.URL), set.Kafka.Brokers)
	return err
}

func TestCommandOfAnotherPackage(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t, env: map[string]string{"GREETING": "hello"},
		more: []cli.Command{{Name: "greet", Help: "Greet.", Target: &greetCommand{}, Kafka: true}}}
	require.Equal(t, "hello kim \"\" []\n", sh.must("greet", "kim"))
	require.Contains(t, sh.must("--help"), "greet")
	require.Contains(t, sh.must("greet", "--help"), "--kafka-brokers")
	require.NotContains(t, sh.must("greet", "--help"), "--postgres-url")
	require.Equal(t, result{code: 1, err: "throughline: there is nobody\n"}, sh.run("greet", "nobody"))
	sh.env["THROUGHLINE_KAFKA_BROKERS"] = "kafka:9092"
	require.Equal(t, "hello kim \"postgres://db/x\" [\"kafka:9092\"]\n", sh.must("greet", "kim", "--postgres-url", "postgres://db/x"))
	sh.env["THROUGHLINE_KAFKA_BROKERS"] = "nonsense"
	require.Equal(t, 2, sh.run("greet", "kim").code)
}
