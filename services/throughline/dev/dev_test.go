package dev

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/erase"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/throughline/cli"
	"github.com/throughline-dev/throughline/services/vendors"
	"github.com/throughline-dev/throughline/services/vendors/story"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"))
}

// buffer is what a running command writes to while the test reads.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func command(dir string) *Command {
	c := new(Command)
	c.DataDir, c.ReadyFile = filepath.Join(dir, "data"), filepath.Join(dir, "ready.json")
	for _, addr := range []*string{&c.Listen, &c.ConsoleAddr, &c.AdminAddr, &c.KafkaAddr, &c.RegistryAddr} {
		*addr = "127.0.0.1:0"
	}
	c.PostgresPort = 0
	return c
}

// onlyVendors adds the vendors' sources, without a setting.
func onlyVendors(set cli.Connections) cli.Connections {
	set.Sources, set.Settings = catalog.Set(), func(string) settings.SourceSetting { return settings.SourceSetting{} }
	return set
}

// start runs c until the ready file is there, and gives what it printed and
// what stops it.
func start(t *testing.T, c *Command, set cli.Connections) (out *buffer, stop func() error) {
	t.Helper()
	out = new(buffer)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Start(ctx, out, set) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() { cancel(); err = <-done })
		return err
	}
	t.Cleanup(func() { require.NoError(t, stop()) })
	require.Eventually(t, func() bool {
		select {
		case early := <-done:
			done <- early
			require.NoError(t, early)
		default:
		}
		_, err := os.Stat(c.ReadyFile)
		return err == nil
	}, time.Minute, 10*time.Millisecond, "it does not become ready")
	return out, stop
}

// The data directory must be reachable by the user that Postgres runs as, which
// a root's temporary directory is not.
func dataDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "throughline-dev-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755)) // the database's user passes through
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func TestDevTellsTheStoryAndKeepsIt(t *testing.T) {
	t.Parallel()
	c := command(dataDir(t))
	out, stop := start(t, c, onlyVendors(cli.Connections{}))
	text := out.String()
	for _, line := range story.Timeline() {
		require.Contains(t, text, line.Type)
	}
	require.Contains(t, text, "charged twice")
	require.Contains(t, text, "Throughline is up")
	var ready Addresses
	content, err := os.ReadFile(c.ReadyFile)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &ready))
	require.NotEmpty(t, ready.Kafka)
	secrets, err := os.Stat(ready.SecretsFile)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), secrets.Mode().Perm())
	refusesASecond(t, c)
	isForOneUser(t, c, ready)
	opensTheConsole(t, ready)
	evaluatesAlerts(t, ready)
	require.Contains(t, text, "bin/throughline doctor --admin "+ready.Admin)
	require.Contains(t, text, "export THROUGHLINE_SCHEMA_REGISTRY_URL="+ready.SchemaRegistry, "it is at another port than the command line takes by itself")
	require.NoError(t, stop())
	require.NoFileExists(t, c.ReadyFile)
	require.Contains(t, out.String(), "Stopped.")

	again := command(filepath.Dir(c.ReadyFile))
	set, err := catalog.With([]catalog.Named{{Name: "clerk", Format: "standardwebhooks"}, {Name: "billing", Format: "standardwebhooks"}})
	require.NoError(t, err)
	const billing = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
	out, stop = start(t, again, cli.Connections{Sources: set, Settings: func(name string) settings.SourceSetting {
		if name == "billing" {
			return settings.SourceSetting{Secrets: settings.Secrets{billing}}
		}
		return settings.SourceSetting{}
	}})
	require.Contains(t, out.String(), "already, from an earlier start")
	require.Contains(t, out.String(), "subscription.deleted", "the timeline outlives the process")
	require.Regexp(t, `clerk +whsec_`, out.String())
	require.Regexp(t, `billing +as set in THROUGHLINE_BILLING_SECRETS`, out.String())
	require.Contains(t, out.String(), "with the same THROUGHLINE_NAMED_SOURCES")
	receivesNamed(t, again, set)
	require.NoError(t, stop())
	heardToTheEnd(t, again)
}

// opensTheConsole: the console asks for the token that only this user can read, and shows the story's account.
func opensTheConsole(t *testing.T, ready Addresses) {
	t.Helper()
	info, err := os.Stat(ready.TokenFile)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	token, err := os.ReadFile(ready.TokenFile)
	require.NoError(t, err)
	client := &http.Client{}
	defer client.CloseIdleConnections()
	for authorization, want := range map[string]int{"": http.StatusUnauthorized, "Bearer " + strings.TrimSpace(string(token)): http.StatusOK} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ready.Console+"/api/v1/accounts?q=acme", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", authorization)
		resp, err := client.Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.StatusCode, string(body))
		require.Equal(t, want == http.StatusOK, strings.Contains(string(body), "Acme Robotics"))
	}
}

// evaluatesAlerts: without a receiver, what the rules find is seen all the same.
func evaluatesAlerts(t *testing.T, ready Addresses) {
	t.Helper()
	token, err := os.ReadFile(ready.TokenFile)
	require.NoError(t, err)
	client := &http.Client{}
	defer client.CloseIdleConnections()
	require.Eventually(t, func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, ready.Console+"/api/v1/alerts?state=all", nil)
		require.NoError(t, err)
		r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		resp, err := client.Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return strings.Contains(string(body), `"evaluated_at"`) && strings.Contains(string(body), `"stale":false`)
	}, demoPatience, 100*time.Millisecond)
}

// heardToTheEnd: a story that was interrupted is told again, and no event of it is
// there twice.
func heardToTheEnd(t *testing.T, c *Command) {
	t.Helper()
	path := filepath.Join(c.DataDir, toldFile)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	begun, ok := strings.CutSuffix(string(content), "told\n")
	require.True(t, ok, string(content))
	require.NoError(t, os.WriteFile(path, []byte(begun), 0o600))
	out, stop := start(t, c, onlyVendors(cli.Connections{}))
	require.Contains(t, out.String(), "is told again")
	require.Equal(t, 1, strings.Count(out.String(), "subscription.deleted"))
	hintsWork(t, out.String())
	eraseStory(t, c)
	require.NoError(t, stop())
	content, err = os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, begun+"told\n", string(content))
	out, stop = start(t, c, onlyVendors(cli.Connections{}))
	require.Contains(t, out.String(), "its account has been erased or removed since")
	require.NoError(t, stop())
}

// eraseStory erases the story's account, as somebody may who tries `throughline erase`.
func eraseStory(t *testing.T, c *Command) {
	t.Helper()
	var ready Addresses
	content, err := os.ReadFile(c.ReadyFile)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &ready))
	config := postgres.Config{}
	settings.Defaults(&config)
	config.URL = settings.URL(ready.Postgres)
	pool, err := postgres.Open(t.Context(), config, "test")
	require.NoError(t, err)
	defer pool.Close()
	eraser := erase.New(pool, catalog.Set())
	_, err = eraser.Begin(t.Context(), erase.Target{Account: story.Account}, "test", "")
	require.NoError(t, err)
	require.NoError(t, eraser.Run(t.Context(), nil))
}

// refusesASecond: a second start in the data directory of c, which is running,
// leaves the log and the ready file of the first as they are.
func refusesASecond(t *testing.T, c *Command) {
	t.Helper()
	second := command(filepath.Dir(c.ReadyFile))
	err := second.Start(t.Context(), new(buffer), onlyVendors(cli.Connections{}))
	require.ErrorContains(t, err, "already running at http://127.0.0.1:")
	require.ErrorContains(t, err, ", with the data in "+c.DataDir)
	require.FileExists(t, c.ReadyFile)
	log, err := os.ReadFile(filepath.Join(c.DataDir, "dev.log"))
	require.NoError(t, err)
	require.Contains(t, string(log), `"msg":"receiving"`)
}

// isForOneUser: another user of the machine, or a page in this one's browser, gets
// nothing from a running dev.
func isForOneUser(t *testing.T, c *Command, ready Addresses) {
	t.Helper()
	info, err := os.Stat(c.DataDir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
	entries, err := os.ReadDir(c.DataDir)
	require.NoError(t, err)
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o007, e.Name())
	}
	conn, err := pgx.Connect(t.Context(), ready.Postgres)
	require.NoError(t, err, "what is printed works when it is typed back")
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), "COPY (SELECT 1) TO PROGRAM 'cat'")
	require.ErrorContains(t, err, "42501")
	_, err = conn.Exec(t.Context(), "SELECT pg_read_file('postgresql.conf')")
	require.ErrorContains(t, err, "42501")
	for _, user := range []string{"throughline", "postgres"} {
		config, err := pgx.ParseConfig(strings.Split(ready.Postgres, "?")[0] + "?sslmode=disable&passfile=none")
		require.NoError(t, err)
		config.User = user
		_, err = pgx.ConnectConfig(t.Context(), config)
		require.ErrorContains(t, err, "28P01")
	}
	client := &http.Client{}
	defer client.CloseIdleConnections()
	status := func(method, url, host, origin string) int {
		request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("{}"))
		require.NoError(t, err)
		request.Host = host
		if origin != "" {
			request.Header.Set("Origin", origin)
		}
		answer, err := client.Do(request)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer.StatusCode
	}
	require.Equal(t, http.StatusOK, status(http.MethodGet, ready.Admin+"/metrics", "", ""))
	require.Equal(t, http.StatusForbidden, status(http.MethodGet, ready.Admin+"/metrics", "evil.example", ""))
	require.Equal(t, http.StatusNotFound, status(http.MethodGet, ready.Admin+"/debug/pprof/", "", ""))
	require.Equal(t, http.StatusOK, status(http.MethodGet, ready.SchemaRegistry+"/subjects", "", ""))
	require.Equal(t, http.StatusForbidden, status(http.MethodGet, ready.SchemaRegistry+"/subjects", "evil.example", ""))
	require.Equal(t, http.StatusForbidden, status(http.MethodPost, ready.SchemaRegistry+"/subjects/x/versions", "", "https://evil.example"))
}

// hintsWork: what dev says to try next works as it is printed, in a shell that has
// nothing else set.
func hintsWork(t *testing.T, printed string) {
	t.Helper()
	_, hints, ok := strings.Cut(printed, "Try next, in another terminal:\n")
	require.True(t, ok, printed)
	env := map[string]string{}
	var all strings.Builder
	for line := range strings.Lines(hints) {
		line = strings.TrimSpace(line)
		if setting, ok := strings.CutPrefix(line, "export "); ok {
			name, value, _ := strings.Cut(setting, "=")
			env[name] = strings.Trim(value, "'")
			continue
		}
		command, ok := strings.CutPrefix(line, "bin/throughline ")
		if !ok || strings.HasSuffix(command, "--follow") {
			continue
		}
		var args []string
		for i, part := range strings.Split(command, "'") { // every other one was quoted
			if i%2 == 1 {
				args = append(args, part)
			} else {
				args = append(args, strings.Fields(part)...)
			}
		}
		var out, errs bytes.Buffer
		code := cli.Run(t.Context(), args, cli.Streams{Out: &out, Err: &errs, Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
		require.Zero(t, code, "%s: %s", line, errs.String())
		all.Write(out.Bytes())
	}
	require.Contains(t, all.String(), "stripe:customer:cus_NimbusLab")
	require.Contains(t, all.String(), "customer.created", "the timeline of the new account has what waited")
	require.Contains(t, all.String(), "1 event on the timeline of Acme Robotics")
	// Beside it every command works, also the one that makes roles.
	var out, errs bytes.Buffer
	code := cli.Run(t.Context(), []string{"roles", "apply"}, cli.Streams{Out: &out, Err: &errs, Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
	require.Zero(t, code, "%s%s", out.String(), errs.String())
}

// receivesNamed: named sources have a topic, a route, and the secrets of the file.
func receivesNamed(t *testing.T, c *Command, set source.Set) {
	t.Helper()
	var ready Addresses
	content, err := os.ReadFile(c.ReadyFile)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &ready))
	secrets := map[string]string{}
	content, err = os.ReadFile(ready.SecretsFile)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(content, &secrets))
	client := &http.Client{}
	defer client.CloseIdleConnections()
	sender := vendors.Sender{Sources: set, URL: ready.Receivers, Secrets: secrets, Client: client}
	simulator, err := vendors.New(set, 1)
	require.NoError(t, err)
	kafka, err := stream.NewClient(stream.Config{Brokers: ready.Kafka}, stream.Deps{Name: "test"})
	require.NoError(t, err)
	defer kafka.Close()
	topics, err := kadm.NewClient(kafka).ListTopics(t.Context())
	require.NoError(t, err)
	for _, name := range []string{"clerk", "billing"} {
		require.True(t, topics.Has("raw."+name))
		d, err := simulator.Delivery(name)
		require.NoError(t, err)
		answer, err := sender.Post(t.Context(), d)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.Status, "%s: %s", name, answer.Body)
	}
}

// A database that ends by itself ends dev, which says so.
func TestDevEndsWithItsDatabase(t *testing.T) {
	t.Parallel()
	c := command(dataDir(t))
	c.NoDemo = true
	done := make(chan error, 1)
	go func() { done <- c.Start(t.Context(), new(buffer), onlyVendors(cli.Connections{})) }()
	require.Eventually(t, func() bool { _, err := os.Stat(c.ReadyFile); return err == nil }, time.Minute, 10*time.Millisecond)
	found, err := filepath.Glob(filepath.Join(c.DataDir, "postgres", "*", "postmaster.pid"))
	require.NoError(t, err)
	if found == nil {
		found = []string{filepath.Join(c.DataDir, "postgres", "postmaster.pid")}
	}
	content, err := os.ReadFile(found[0])
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGQUIT))
	err = <-done
	require.EqualError(t, err, "the local Postgres ended: its log is in "+filepath.Join(c.DataDir, "dev.log")+". Everything else was stopped; what was received is kept: run throughline dev again")
	require.NoFileExists(t, c.ReadyFile)
}

func TestWhatCannotStartIsNotValid(t *testing.T) {
	t.Parallel()
	for says, change := range map[string]func(*Command){
		"--console-addr is \"0.0.0.0:99999\": its port":   func(c *Command) { c.ConsoleAddr = "0.0.0.0:99999" },
		"--registry-addr is \"bar:baz\": its port":        func(c *Command) { c.RegistryAddr = "bar:baz" },
		"--listen is \"8080\"":                            func(c *Command) { c.Listen = "8080" },
		"--data-dir is empty":                             func(c *Command) { c.DataDir = "" },
		"--kafka-addr is \"0.0.0.0:19092\": the embedded": func(c *Command) { c.KafkaAddr = "0.0.0.0:19092" },
	} {
		c := command(t.TempDir())
		settings.Defaults(&c.Alerts)
		require.NoError(t, c.Validate())
		change(c)
		require.ErrorContains(t, c.Validate(), says)
	}
}

// A database that is named and not there may be the one that an earlier start told the other commands of.
func TestDevNamesTheVariableOfItsDatabase(t *testing.T) {
	t.Parallel()
	c := command(dataDir(t))
	err := c.Start(t.Context(), new(buffer), onlyVendors(cli.Connections{Postgres: postgres.Config{URL: "postgres://throughline@127.0.0.1:1/throughline"}}))
	require.Contains(t, fault.Advice(err), "unset it")
}

func TestDevSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	require.NoError(t, err)
	number, err := strconv.Atoi(port)
	require.NoError(t, err)
	tests := map[string]struct {
		change func(*Command)
		set    cli.Connections
		says   []string
	}{
		"Postgres' port":     {func(c *Command) { c.PostgresPort = number }, cli.Connections{}, []string{port, "--postgres-port"}},
		"the broker's port":  {func(c *Command) { c.KafkaAddr = taken.Addr().String() }, cli.Connections{}, []string{port, `make run ARGS="--kafka-addr `}},
		"the registry's":     {func(c *Command) { c.RegistryAddr = taken.Addr().String() }, cli.Connections{}, []string{port, `make run ARGS="--registry-addr `}},
		"the admin port":     {func(c *Command) { c.AdminAddr = taken.Addr().String() }, cli.Connections{}, []string{port, `make run ARGS="--admin-addr `}},
		"the console's":      {func(c *Command) { c.ConsoleAddr = taken.Addr().String() }, cli.Connections{}, []string{port}},
		"the receivers'":     {func(c *Command) { c.Listen = taken.Addr().String() }, cli.Connections{}, []string{port, `make run ARGS="--listen `}},
		"a bad database URL": {func(*Command) {}, cli.Connections{Postgres: postgres.Config{URL: "mysql://x"}}, []string{"THROUGHLINE_POSTGRES_URL"}},
		"a bad registry URL": {func(c *Command) { c.RegistryURL = "registry" }, cli.Connections{}, []string{"THROUGHLINE_SCHEMA_REGISTRY_URL"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			c := command(dataDir(t))
			c.NoDemo = true
			tt.change(c)
			err := c.Start(t.Context(), new(buffer), onlyVendors(tt.set))
			for _, want := range tt.says {
				require.ErrorContains(t, err, want)
			}
			require.NotContains(t, err.Error(), "\n", "one line")
		})
	}
}
