package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
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
		[]string{"accounts", "add", "-dash"},
		[]string{"accounts", "list", "--limit", "0"},
		[]string{"retention", "plan", "--raw-retention", "-24h"},
		[]string{"retention", "plan", "--raw-retention", "30 days"},
		[]string{"retention", "plan", "--raw-retention", "30d", "--validate"},
		[]string{"link", "stripe:cus_1"},
		[]string{"send", "strype", "body.json"},
		[]string{"send"},
		[]string{"send", "stripe", "body.json", "--repeat", "0", "--url", "receiver", "--header", "nonsense"},
		[]string{"event-types", "--json", "--markdown"},
		[]string{"topics", "apply", "--partitions", "0"},
	)
}

// What is no text is not stored as another text.
func TestArgumentsAreText(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	r := sh.run("accounts", "add", "Acme \xff")
	require.Equal(t, 2, r.code)
	require.Contains(t, r.err, `argument 3 is not valid UTF-8: "Acme \xff"`)
	require.Empty(t, sh.must("accounts", "list"))
	sh.must("accounts", "add", "--", "-dash")
	require.Contains(t, sh.must("accounts", "list"), "-dash")
}

// Variables that no setting has are warned of, whatever the command.
func TestStrayVariables(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	env := map[string]string{"THROUGHLINE_NAMED_SOURCES": "billing=standardwebhooks"}
	streams := cli.Streams{Out: &out, Err: &errs, Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Environ: func() []string {
			return []string{"THROUGHLINE_STRIPE_SECRET=hush", "THROUGHLINE_BILLING_SECRETS=hush", "THROUGHLINE_BILLING_SECRET=hush", "THROUGHLINE_SINK_BATCH=1",
				"THROUGHLINE_CONSOLE_SERVICE_HOST=10.0.0.1", "THROUGHLINE_CONSOLE_PORT_80_TCP_ADDR=10.0.0.1", "THROUGHLINE_CONSOLE_PORT=tcp://10.0.0.1:80", "THROUGHLINE_BY=kim", "THROUGHLINE_POSTGRES_URL_FILE=x"}
		}}
	require.Zero(t, cli.Run(t.Context(), []string{"version"}, streams))
	require.Equal(t, `throughline: warning: THROUGHLINE_BILLING_SECRET is set, and no setting has that name: did you mean THROUGHLINE_BILLING_SECRETS?
throughline: warning: THROUGHLINE_SINK_BATCH is set, and no setting has that name
throughline: warning: THROUGHLINE_STRIPE_SECRET is set, and no setting has that name: did you mean THROUGHLINE_STRIPE_SECRETS?
`, errs.String())
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

// A group that is a command without one says which.
func TestHelpSaysWhatAGroupDoes(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t}
	for group, command := range map[string]string{"links": "links list", "alerts": "alerts list", "learning": "learning show", "tokens": "tokens list"} {
		require.Contains(t, strings.Join(strings.Fields(sh.must(group, "--help")), " "), "Without a command it is `throughline "+command+"`")
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

// One file serves services and commands: what has a variable is known by its bare name, too.
func TestOneFileServesAll(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "throughline.yaml")
	require.NoError(t, os.WriteFile(file, []byte("timeline-retention: 1h\n"), 0o600))
	r := (&shell{t: t}).run("retention", "apply", "--config", file, "--validate")
	require.Equal(t, 2, r.code)
	require.Contains(t, r.err, "THROUGHLINE_TIMELINE_RETENTION", "it is read: an hour is too short")
	require.NoError(t, os.WriteFile(file, []byte("timeline-retention: 1h\nretention-apply-timeline-retention: 26280h\n"), 0o600))
	(&shell{t: t}).must("retention", "apply", "--config", file, "--validate")
	require.NoError(t, os.WriteFile(file, []byte("dry-run: true\n"), 0o600))
	require.Contains(t, (&shell{t: t}).run("retention", "apply", "--config", file, "--validate").err, `unknown key "dry-run"`)
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
	require.Equal(t, 130, r.code, "as shells say it")
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
