package settings_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/settings"
)

func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

func TestSecretFiles(t *testing.T) {
	t.Parallel()
	url, two := secretFile(t, "postgres://file\n"), secretFile(t, "whsec_new\r\nwhsec_old,whsec_older\n")
	for name, tc := range map[string]struct {
		env  map[string]string
		yaml string
		args []string
		url  settings.Secret
	}{
		"variable":              {env: map[string]string{"THROUGHLINE_STORAGE_URL_FILE": url}, url: "postgres://file"},
		"flag":                  {args: []string{"--storage-url-file", url}, url: "postgres://file"},
		"key":                   {yaml: "storage-url-file: " + url + "\n", url: "postgres://file"},
		"nested key":            {yaml: "storage: {url: {file: " + url + "}}\n", url: "postgres://file"},
		"flag over variable":    {env: map[string]string{"THROUGHLINE_STORAGE_URL_FILE": "/nowhere"}, args: []string{"--storage-url-file=" + url}, url: "postgres://file"},
		"variable over key":     {env: map[string]string{"THROUGHLINE_STORAGE_URL_FILE": url}, yaml: "storage-url-file: /nowhere\n", url: "postgres://file"},
		"beside an empty value": {env: map[string]string{"THROUGHLINE_STORAGE_URL_FILE": url, "THROUGHLINE_STORAGE_URL": ""}, url: "postgres://file"},
		"an empty path is none": {env: map[string]string{"THROUGHLINE_STORAGE_URL_FILE": "", "THROUGHLINE_STORAGE_URL": "x"}, url: "x"},
		"a path's line break":   {env: map[string]string{"THROUGHLINE_STORAGE_URL_FILE": url + "\n"}, url: "postgres://file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.env == nil {
				tc.env = map[string]string{}
			}
			tc.env["THROUGHLINE_STRIPE_SECRETS_FILE"] = two
			p := parse(t, tc.env, tc.yaml, tc.args...)
			require.NoError(t, p.err)
			require.Equal(t, tc.url, p.cfg.Storage.URL)
			require.Equal(t, []string{"whsec_new", "whsec_old", "whsec_older"}, []string(p.settings.Get("stripe").Secrets))
		})
	}
}

func TestSecretFileProblems(t *testing.T) {
	t.Parallel()
	good, directory := secretFile(t, "hunter2"), t.TempDir()
	empty, large := secretFile(t, "\n"), secretFile(t, strings.Repeat("hunter2", 10_000))
	const variable = "THROUGHLINE_STORAGE_URL_FILE"
	const notSet = "--storage-url (THROUGHLINE_STORAGE_URL) is not set: it should be like postgres://…"
	for name, tc := range map[string]struct {
		env  map[string]string
		args []string
		want []string
	}{
		"missing":        {env: map[string]string{variable: "/nowhere"}, want: []string{"--storage-url-file (" + variable + ") names a file that cannot be read: /nowhere: no such file or directory", notSet}},
		"a directory":    {env: map[string]string{variable: directory}, want: []string{"--storage-url-file (" + variable + ") names a file that cannot be read: " + directory + ": is a directory", notSet}},
		"empty":          {env: map[string]string{variable: empty}, want: []string{"--storage-url-file (" + variable + ") names a file that is empty: " + empty, notSet}},
		"too large":      {env: map[string]string{variable: large}, want: []string{"--storage-url-file (" + variable + ") names a file that is no secret: " + large + " is larger than 65536 bytes", notSet}},
		"both set":       {env: map[string]string{variable: good, "THROUGHLINE_STORAGE_URL": "x"}, want: []string{"--storage-url (THROUGHLINE_STORAGE_URL) and --storage-url-file (" + variable + ") are both set: keep one of them"}},
		"both flags":     {args: []string{"--storage-url-file", good, "--storage-url=x"}, want: []string{"--storage-url (THROUGHLINE_STORAGE_URL) and --storage-url-file (" + variable + ") are both set: keep one of them"}},
		"checked inside": {env: map[string]string{variable: good, "THROUGHLINE_HUBSPOT_SECRETS_FILE": secretFile(t, "a,,hunter2")}, want: []string{"--hubspot-secrets (THROUGHLINE_HUBSPOT_SECRETS): secret 2 of 3 is empty"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := problemsOf(t, parse(t, tc.env, "", tc.args...).err)
			require.Equal(t, tc.want, lines)
			require.NotContains(t, strings.Join(lines, " "), "hunter2")
		})
	}
}

func TestSecretFilesInHelp(t *testing.T) {
	t.Parallel()
	p := parse(t, nil, "", "--help")
	require.ErrorIs(t, p.err, settings.ErrDone)
	text := strings.Join(strings.Fields(p.out.String()), " ")
	require.Contains(t, text, "[$THROUGHLINE_STORAGE_URL, or a file: --storage-url-file, $THROUGHLINE_STORAGE_URL_FILE]")
	require.NotContains(t, text, "--storage-url-file=FILE", "its secret's line names it")
	require.Contains(t, text, "$OTEL_EXPORTER_OTLP_ENDPOINT, or a file: --otlp-endpoint-file, $THROUGHLINE_OTLP_ENDPOINT_FILE]")
}

// What was read is what to watch.
func TestFilesThatWereRead(t *testing.T) {
	t.Parallel()
	yaml, url := writeYAML(t, "stripe-secrets-file: /nowhere\n"), secretFile(t, "x")
	var files []string
	var cfg config
	sources := settings.NewSourceSettings([]string{"stripe"})
	cfg.Sources = sources.Plugins()
	_, err := settings.Parse([]string{"--config", yaml, "--storage-url-file", url}, &cfg, settings.WithEnv(lookup(nil)),
		settings.WithFiles(func(path string) { files = append(files, path) }))
	require.Error(t, err)
	require.ElementsMatch(t, []string{yaml, url, "/nowhere"}, files, "one that is missing may come")
}

// One rule for every setting, wherever it comes from: one line break at the end
// does not count, any other is a problem and no broken start.
func TestLineBreaks(t *testing.T) {
	t.Parallel()
	t.Run("AtTheEnd", func(t *testing.T) {
		t.Parallel()
		env := map[string]string{
			"THROUGHLINE_STORAGE_URL": "postgres://env\n", "THROUGHLINE_WAIT": "3s\r\n", "THROUGHLINE_TOPICS": "a,b\n", "THROUGHLINE_PPROF": "true\n",
			"THROUGHLINE_LOG_LEVEL": "warn\n", "THROUGHLINE_STRIPE_TENANT": "acct_1\n", "THROUGHLINE_STRIPE_PUBLIC_URL": "https://h.example\n",
			"THROUGHLINE_STRIPE_SECRETS": "one,two\n", "THROUGHLINE_TRACE_RATIO": "0.5\n", "THROUGHLINE_MEMORY_LIMIT": "64MiB\n",
		}
		p := parse(t, env, "labels: {team: \"data\\n\"}\nhubspot-secrets: [\"one\\n\", two]\nhubspot-tenant: |\n  62515\n", "--admin-addr", ":1\n", "--storage-conns=7\n", "--ports=1,2\n")
		require.NoError(t, p.err)
		require.Equal(t, settings.Secret("postgres://env"), p.cfg.Storage.URL)
		require.Equal(t, "3s", p.cfg.Wait.String())
		require.Equal(t, []string{"a", "b"}, p.cfg.Topics)
		require.True(t, p.cfg.Pprof)
		require.Equal(t, "warn", p.cfg.LogLevel)
		require.InDelta(t, 0.5, p.cfg.TraceRatio, 0)
		require.Equal(t, settings.Bytes(64<<20), p.cfg.MemoryLimit)
		require.Equal(t, settings.SourceSetting{Secrets: settings.Secrets{"one", "two"}, PublicURL: "https://h.example", Tenant: "acct_1"}, p.settings.Get("stripe"))
		require.Equal(t, settings.SourceSetting{Secrets: settings.Secrets{"one", "two"}, Tenant: "62515"}, p.settings.Get("hubspot"))
		require.Equal(t, map[string]string{"team": "data"}, p.cfg.Labels)
		require.Equal(t, ":1", p.cfg.AdminAddr)
		require.Equal(t, 7, p.cfg.Storage.Conns)
		require.Equal(t, []int{1, 2}, p.cfg.Ports)
	})
	t.Run("AnywhereElse", func(t *testing.T) {
		t.Parallel()
		env := map[string]string{"THROUGHLINE_STORAGE_URL": "x", "THROUGHLINE_STRIPE_TENANT": "acct\n1", "THROUGHLINE_LOG_LEVEL": "in\x00fo"}
		lines := problemsOf(t, parse(t, env, `topics: [a, "b\n\n"]`).err)
		require.ElementsMatch(t, []string{
			"--stripe-tenant (THROUGHLINE_STRIPE_TENANT): its value holds a line break or another control character",
			"--topics (THROUGHLINE_TOPICS): its value holds a line break or another control character",
			"--log-level (THROUGHLINE_LOG_LEVEL): its value holds a line break or another control character",
		}, lines)
	})
	t.Run("ASwitchLeavesTheNextArgument", func(t *testing.T) {
		t.Parallel()
		var c struct {
			On     bool     `name:"on"`
			Reason string   `name:"reason"`
			All    []string `arg:"" optional:""`
		}
		_, err := settings.Parse([]string{"--reason=two\nlines", "--on", "a\n"}, &c, settings.WithEnv(lookup(nil)))
		require.NoError(t, err)
		require.Equal(t, []string{"a\n"}, c.All)
		require.Equal(t, "two\nlines", c.Reason, "no variable sets it: it is no setting")
	})
}
