package settings_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/settings"
)

type storage struct {
	URL   settings.Secret `name:"storage-url" env:"THROUGHLINE_STORAGE_URL" help:"Where to store."`
	Conns int             `name:"storage-conns" env:"THROUGHLINE_STORAGE_CONNS" default:"10" help:"Connections."`
}

func (s storage) Validate() error {
	if s.URL == "" {
		return fmt.Errorf("THROUGHLINE_STORAGE_URL is not set: it should be like postgres://…")
	}
	return nil
}

type config struct {
	settings.Common
	Storage storage       `embed:""`
	Sources kong.Plugins  `embed:""`
	Topics  []string      `name:"topics" env:"THROUGHLINE_TOPICS" help:"Topics."`
	Ports   []int         `name:"ports" help:"Ports."`
	Wait    time.Duration `name:"wait" env:"THROUGHLINE_WAIT" default:"1s" help:"Wait."`
	Labels  map[string]string
}

// parsed is one run of Parse in a closed environment.
type parsed struct {
	cfg      config
	settings *settings.SourceSettings
	out      bytes.Buffer
	err      error
}

func parse(t *testing.T, env map[string]string, yaml string, args ...string) *parsed {
	t.Helper()
	p := &parsed{settings: settings.NewSourceSettings([]string{"stripe", "hubspot"})}
	p.cfg.Sources = p.settings.Plugins()
	if yaml != "" {
		args = append(args, "--config", writeYAML(t, yaml))
	}
	_, p.err = settings.Parse(args, &p.cfg, settings.WithName("sink", "Writes events."), settings.WithOutput(&p.out, &p.out), settings.WithEnv(lookup(env)))
	return p
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func writeYAML(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "throughline.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func problemsOf(t *testing.T, err error) []string {
	t.Helper()
	var config *settings.ConfigError
	require.ErrorAs(t, err, &config)
	require.Equal(t, settings.ExitConfig, settings.ExitCode(err))
	return config.Problems
}

func TestPrecedence(t *testing.T) {
	t.Parallel()
	const url = "storage-url: postgres://file\n"
	env := map[string]string{"THROUGHLINE_WAIT": "3s", "THROUGHLINE_STORAGE_URL": "postgres://env"}
	for _, tc := range []struct {
		name string
		env  map[string]string
		yaml string
		args []string
		want time.Duration
	}{
		{"default", nil, url, nil, time.Second},
		{"file", nil, url + "wait: 2s\n", nil, 2 * time.Second},
		{"environment over file", env, "wait: 2s\n", nil, 3 * time.Second},
		{"flag over all", env, "wait: 2s\n", []string{"--wait=4s"}, 4 * time.Second},
		{"flag over file", nil, url + "wait: 2s\n", []string{"--wait=4s"}, 4 * time.Second},
		{"a bad value in the file does not matter under the environment", env, "wait: soon\n", nil, 3 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := parse(t, tc.env, tc.yaml, tc.args...)
			require.NoError(t, p.err)
			require.Equal(t, tc.want, p.cfg.Wait)
			require.Equal(t, "info", p.cfg.LogLevel)
		})
	}
}

func TestConfigFileFromEnvironment(t *testing.T) {
	t.Parallel()
	path := writeYAML(t, "storage: {url: postgres://file, conns: 7}\n")
	p := parse(t, map[string]string{"THROUGHLINE_CONFIG": path}, "")
	require.NoError(t, p.err)
	require.Equal(t, 7, p.cfg.Storage.Conns)
}

func TestOTLPEndpointHonoursTheStandardVariable(t *testing.T) {
	t.Parallel()
	env := map[string]string{"THROUGHLINE_STORAGE_URL": "x", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://standard:4318"}
	require.EqualValues(t, "http://standard:4318", parse(t, env, "").cfg.OTLPEndpoint)
	env["THROUGHLINE_OTLP_ENDPOINT"] = "http://ours:4318"
	require.EqualValues(t, "http://ours:4318", parse(t, env, "").cfg.OTLPEndpoint)
}

func TestFileValues(t *testing.T) {
	t.Parallel()
	p := parse(t, nil, `
storage-url: postgres://file
pprof: true
ports: [1, 2]
topics: ["a,b", c]
labels: {team: data, tier: "1"}
trace: {ratio: 0.5}
shutdown:
  timeout: 20s
stripe: {secrets: [whsec_new, whsec_old], public-url: https://hooks.example.com/webhooks/stripe}
hubspot-secrets: one, two
hubspot-tenant: 62515
admin-addr: null
`)
	require.NoError(t, p.err)
	require.True(t, p.cfg.Pprof)
	require.Equal(t, []int{1, 2}, p.cfg.Ports)
	require.Equal(t, []string{"a,b", "c"}, p.cfg.Topics)
	require.Equal(t, map[string]string{"team": "data", "tier": "1"}, p.cfg.Labels)
	require.InDelta(t, 0.5, p.cfg.TraceRatio, 0)
	require.Equal(t, 20*time.Second, p.cfg.ShutdownTimeout)
	require.Equal(t, "127.0.0.1:9090", p.cfg.AdminAddr)
	stripe, hubspot := p.settings.Get("stripe"), p.settings.Get("hubspot")
	require.Equal(t, []string{"whsec_new", "whsec_old"}, []string(stripe.Secrets))
	require.Equal(t, "https://hooks.example.com/webhooks/stripe", stripe.PublicURL)
	require.Equal(t, []string{"one", "two"}, []string(hubspot.Secrets))
	require.Equal(t, "62515", hubspot.Tenant)
	require.Zero(t, p.settings.Get("zendesk"))
}

func TestSourceSettings(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"THROUGHLINE_STORAGE_URL": "x", "THROUGHLINE_STRIPE_SECRETS": `a, b\,c`, "THROUGHLINE_STRIPE_TENANT": "acct_1",
	}
	p := parse(t, env, "stripe-secrets: [from-file]\n", "--hubspot-secrets=x", "--hubspot-secrets", "y,z", "--hubspot-public-url=https://h.example")
	require.NoError(t, p.err)
	stripe := p.settings.Get("stripe")
	require.Equal(t, []string{"a", "b,c"}, []string(stripe.Secrets))
	require.Equal(t, "acct_1", stripe.Tenant)
	hubspot := p.settings.Get("hubspot")
	require.Equal(t, []string{"x", "y", "z"}, []string(hubspot.Secrets))
	require.Equal(t, "https://h.example", hubspot.PublicURL)
}

func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"THROUGHLINE_WAIT": "soon", "THROUGHLINE_STRIPE_SECRETS": "a,,hunter2", "THROUGHLINE_LOG_FORMAT": "xml",
		"OTEL_EXPORTER_OTLP_ENDPOINT": "collector",
	}
	p := parse(t, env, "storage-cons: 3\nstripe: {public-url: hooks, tokn: x}\nzzzzzzzz: 1\nports: {a: b}\n",
		"--storage-conns=many", "--trace-ratio=2", "--shutdown-timeout=-1s", "--validate")
	var config *settings.ConfigError
	require.ErrorAs(t, p.err, &config)
	text := strings.ReplaceAll(config.Error(), configPath(config), "FILE")
	require.Equal(t, []string{
		`--storage-conns (THROUGHLINE_STORAGE_CONNS): expected a valid 64 bit int but got "many"`,
		`FILE:1: unknown key "storage-cons": did you mean "storage-conns"?`,
		`FILE:2: unknown key "stripe-tokn": did you mean "stripe-tenant"?`,
		`FILE:3: unknown key "zzzzzzzz"`,
		`FILE:4: unknown key "ports-a": did you mean "ports"?`,
		`--wait (THROUGHLINE_WAIT): should be a duration like 90s, 12h, 1h30m, 30d or 4w, but is "soon"`,
		`--log-format (THROUGHLINE_LOG_FORMAT) must be one of json, console, auto, but is "xml"`,
		`--stripe-secrets (THROUGHLINE_STRIPE_SECRETS): secret 2 of 3 is empty`,
		`--stripe-public-url (THROUGHLINE_STRIPE_PUBLIC_URL): should be an absolute URL like https://hooks.example.com/webhooks/…`,
		`--otlp-endpoint (THROUGHLINE_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_ENDPOINT) should be an absolute URL like http://collector:4318`,
		`--trace-ratio (THROUGHLINE_TRACE_RATIO) is 2: it should be between 0 and 1`,
		`--shutdown-timeout (THROUGHLINE_SHUTDOWN_TIMEOUT) is -1s: it should be above 0 and at most 10m0s`,
		`--storage-url (THROUGHLINE_STORAGE_URL) is not set: it should be like postgres://…`,
	}, strings.Split(text, "\n"))
}

// configPath is the file that a problem begins with.
func configPath(e *settings.ConfigError) string {
	for _, line := range e.Problems {
		if path, _, ok := strings.Cut(line, ".yaml:"); ok {
			return path + ".yaml"
		}
	}
	return "none"
}

func TestBadFiles(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ yaml, want string }{
		"syntax":           {"wait: 1s\n\t- hunter2\n", "is not valid YAML near line 2"},
		"unknown anchor":   {"storage-url: *hunter2\n", "is not valid YAML"},
		"not a mapping":    {"- hunter2\n", `should hold settings as "name: value" lines`},
		"key twice":        {"stripe-secrets: hunter2\nstripe: {secrets: hunter2}\n", `:2: the key "stripe-secrets" is there twice`},
		"list for a value": {"wait: [1s]\n", `:1: the value of "wait" should be a plain value`},
		"underscores":      {"storage_url: hunter2\n", `unknown key "storage_url": did you mean "storage-url"?`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := parse(t, map[string]string{"THROUGHLINE_STORAGE_URL": "x"}, tc.yaml)
			lines := problemsOf(t, p.err)
			require.Len(t, lines, 1)
			require.Contains(t, lines[0], tc.want)
			require.NotContains(t, lines[0], "hunter2")
		})
	}
	t.Run("missing", func(t *testing.T) {
		t.Parallel()
		p := parse(t, map[string]string{"THROUGHLINE_STORAGE_URL": "x", "THROUGHLINE_CONFIG": "/nowhere.yaml"}, "")
		require.Equal(t, []string{"--config (THROUGHLINE_CONFIG) names a file that cannot be read: /nowhere.yaml: no such file or directory"}, problemsOf(t, p.err))
	})
	t.Run("empty", func(t *testing.T) {
		t.Parallel()
		require.NoError(t, parse(t, map[string]string{"THROUGHLINE_STORAGE_URL": "x"}, "# nothing\n").err)
	})
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	env := map[string]string{"THROUGHLINE_STORAGE_URL": "x"}
	require.Contains(t, problemsOf(t, parse(t, env, "", "--wat=1").err)[0], "unknown flag --wat, did you mean")
	for flag, says := range map[string]string{
		"--receiver-listen":             "unknown flag --receiver-listen: THROUGHLINE_RECEIVER_LISTEN is --listen",
		"--throughline-receiver-listen": "unknown flag --throughline-receiver-listen: THROUGHLINE_RECEIVER_LISTEN is --listen",
		"--receiver-port":               "unknown flag --receiver-port",
	} {
		var receiver struct {
			Listen string `name:"listen" env:"THROUGHLINE_RECEIVER_LISTEN"`
		}
		_, err := settings.Parse([]string{flag, ":1"}, &receiver, settings.WithEnv(lookup(nil)))
		require.Equal(t, []string{says}, problemsOf(t, err))
	}
	lines := problemsOf(t, parse(t, env, "", "--stripe-secrets", "whsec_a,", "whsec_b").err)
	require.Equal(t, []string{"unexpected argument [hidden]"}, lines)
	lines = problemsOf(t, parse(t, env, "", "--storage-url", "-hunter2").err)
	require.Equal(t, []string{
		"--storage-url (THROUGHLINE_STORAGE_URL): its value is missing, or begins with a dash (then write --storage-url=…)",
		"--storage-url (THROUGHLINE_STORAGE_URL) is not set: it should be like postgres://…",
	}, lines)
}

func TestAnswersWithoutARun(t *testing.T) {
	t.Parallel()
	env := map[string]string{"THROUGHLINE_STORAGE_URL": "hunter2", "THROUGHLINE_STRIPE_SECRETS": "hunter2"}
	t.Run("validate", func(t *testing.T) {
		t.Parallel()
		p := parse(t, env, "", "--validate")
		require.ErrorIs(t, p.err, settings.ErrDone)
		require.Equal(t, settings.ExitOK, settings.ExitCode(p.err))
		require.Equal(t, "sink: the configuration is valid\n", p.out.String())
	})
	t.Run("version", func(t *testing.T) {
		t.Parallel()
		p := parse(t, nil, "", "--version") // an incomplete configuration is no obstacle
		require.ErrorIs(t, p.err, settings.ErrDone)
		require.Equal(t, "sink "+settings.Version()+"\n", p.out.String())
	})
	t.Run("help", func(t *testing.T) {
		t.Parallel()
		p := parse(t, env, "", "--help", "--storage-url=hunter2")
		require.ErrorIs(t, p.err, settings.ErrDone)
		for _, want := range []string{"Writes events.", "$THROUGHLINE_CONFIG", "$THROUGHLINE_STRIPE_SECRETS", "$THROUGHLINE_OTLP_ENDPOINT", "$THROUGHLINE_ADMIN_ADDR", "--validate"} {
			require.Contains(t, p.out.String(), want)
		}
		require.NotContains(t, p.out.String(), "hunter2")
	})
}

func TestCommands(t *testing.T) {
	t.Parallel()
	type cli struct {
		settings.Common
		Send struct {
			Storage storage `embed:""`
			Source  string  `arg:""`
		} `cmd:"" help:"Send."`
		Show struct{} `cmd:"" help:"Show."`
	}
	read := func(args ...string) (cli, *kong.Context, error) {
		var c cli
		ctx, err := settings.Parse(args, &c, settings.WithEnv(lookup(nil)))
		return c, ctx, err
	}
	_, ctx, err := read("show")
	require.NoError(t, err, "the settings of another command do not matter")
	require.Equal(t, "show", ctx.Command())
	_, _, err = read("send", "stripe")
	require.Equal(t, []string{"--storage-url (THROUGHLINE_STORAGE_URL) is not set: it should be like postgres://…"}, problemsOf(t, err))
	c, _, err := read("send", "stripe", "--config", writeYAML(t, "send: {storage: {url: x}}\nlog-level: warn\n"))
	require.NoError(t, err)
	require.Equal(t, "warn", c.LogLevel)
	require.Equal(t, settings.Secret("x"), c.Send.Storage.URL)
	_, _, err = read()
	require.Len(t, problemsOf(t, err), 1)
}

func TestSecretsAreHidden(t *testing.T) {
	t.Parallel()
	type holder struct {
		One  settings.Secret
		Many settings.Secrets
	}
	h := holder{One: "hunter2", Many: settings.Secrets{"hunter2"}}
	encoded, err := json.Marshal(map[string]any{"h": h, "s": settings.SourceSetting{Secrets: h.Many}})
	require.NoError(t, err)
	printed := fmt.Sprintf("%v %+v %#v %s %q %x %d %v", h, h, h, h.One, h.Many, h.One, h.Many, &h) + h.One.String() + h.Many.String() + string(encoded)
	require.NotContains(t, printed, "hunter2")
	require.NotContains(t, printed, fmt.Sprintf("%x", "hunter2"))
	require.Contains(t, printed, "[hidden]")
}

type pair struct {
	User     string          `name:"user" env:"THROUGHLINE_USER"`
	Password settings.Secret `name:"password" env:"THROUGHLINE_PASSWORD"`
}

func (p pair) Validate() error {
	return errors.New("THROUGHLINE_USER and --password must both be set")
}

func TestAProblemNamesBothWaysOfEverySetting(t *testing.T) {
	t.Parallel()
	_, err := settings.Parse(nil, &pair{}, settings.WithEnv(lookup(nil)))
	require.Equal(t, []string{"--user (THROUGHLINE_USER) and --password (THROUGHLINE_PASSWORD) must both be set"}, problemsOf(t, err))
}
