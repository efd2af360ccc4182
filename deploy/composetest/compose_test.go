package composetest

import (
	"bytes"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/throughline-dev/throughline/pkg/local/kafka"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/alerter/alerter"
	"github.com/throughline-dev/throughline/services/console/console"
	"github.com/throughline-dev/throughline/services/drift/drift"
	"github.com/throughline-dev/throughline/services/learner/learner"
	"github.com/throughline-dev/throughline/services/normalizer/normalizer"
	"github.com/throughline-dev/throughline/services/puller/puller"
	"github.com/throughline-dev/throughline/services/quarantine/quarantine"
	"github.com/throughline-dev/throughline/services/receiver/receiver"
	"github.com/throughline-dev/throughline/services/sink/sink"
	throughline "github.com/throughline-dev/throughline/services/throughline/cli"
)

func none(string) (string, bool) { return "", false }

// configurations gives the services' configurations, as their mains make them.
func configurations() map[string]any {
	return map[string]any{
		"receiver":   receiver.NewSettings(nil, none),
		"normalizer": normalizer.NewConfig(nil, none),
		"sink":       new(sink.Config),
		"quarantine": quarantine.NewConfig(nil, none),
		"puller":     puller.NewConfig(nil, none),
		"learner":    learner.NewConfig(nil, none),
		"drift":      drift.NewConfig(nil, none),
		"console":    console.NewConfig(nil, none),
		"alerter":    new(alerter.Config),
	}
}

// userOf are images that run as a user of their own who is not root.
var userOf = []string{"apache/kafka", "confluentinc/cp-schema-registry", "prom/prometheus", "grafana/grafana"}

// writesAtStart are images that write their configuration where they start.
var writesAtStart = []string{"apache/kafka", "confluentinc/cp-schema-registry"}

func TestRules(t *testing.T) {
	t.Parallel()
	project := Load(t)
	root, err := filepath.Abs(Root)
	require.NoError(t, err)
	for name, s := range project.Services {
		image, tag, _ := strings.Cut(s.Image, ":")
		require.NotEqual(t, "latest", tag, name)
		require.Contains(t, s.SecurityOpt, "no-new-privileges:true", name)
		require.Equal(t, []string{"ALL"}, s.CapDrop, name)
		require.Empty(t, s.CapAdd, name)
		require.False(t, s.Privileged, name)
		require.Equal(t, !slices.Contains(writesAtStart, image), s.ReadOnly, name)
		require.Equal(t, "local", s.Logging.Driver, "%s: logs are bounded", name)
		if Ours(s) {
			require.Equal(t, "65532:65532", s.User, name)
			require.Equal(t, "throughline:local", s.Image, name)
			require.Equal(t, root, s.Build.Context, name)
			require.Positive(t, s.MemLimit, name)
		} else {
			require.Regexp(t, `^v?\d+\.\d+`, tag, "%s: a version", name)
			require.True(t, s.User != "" && !strings.HasPrefix(s.User, "0") || slices.Contains(userOf, image), "%s runs as nobody's user", name)
		}
		for _, port := range s.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, name)
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				require.True(t, v.ReadOnly, "%s: %s", name, v.Source)
				require.FileExists(t, anyFile(t, v.Source), name)
				continue
			}
			require.Equal(t, types.VolumeTypeVolume, v.Type, name)
			require.Contains(t, project.Volumes, v.Source, name)
		}
		if s.Restart == "no" {
			continue // it does its work and ends
		}
		require.Equal(t, "unless-stopped", s.Restart, name)
		require.NotNil(t, s.HealthCheck, name)
		require.Equal(t, "CMD", s.HealthCheck.Test[0], name)
		require.NotNil(t, s.HealthCheck.StartPeriod, name)
	}
	for _, name := range []string{"kafka", "postgres", "prometheus", "grafana"} {
		require.NotEmpty(t, slices.DeleteFunc(slices.Clone(project.Services[name].Volumes), func(v types.ServiceVolumeConfig) bool { return v.Type != types.VolumeTypeVolume }),
			"%s keeps its data", name)
	}
	require.Equal(t, "apache/kafka:"+kafka.Version, project.Services["kafka"].Image, "the version that the tests know")
	properties := KafkaProperties(project.Services["kafka"])
	require.Equal(t, "2", properties["add.partitions.to.txn.retry.backoff.ms"])
	require.Equal(t, "1048576", properties["offsets.topic.segment.bytes"], "one broker alone (ADR 0012)")
}

// anyFile gives path, or a file in it.
func anyFile(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	if !info.IsDir() {
		return path
	}
	entries, err := os.ReadDir(path)
	require.NoError(t, err)
	require.NotEmpty(t, entries, path)
	return filepath.Join(path, entries[0].Name())
}

// A service waits for all that it needs, until it is healthy or done, not only started.
func TestOrder(t *testing.T) {
	t.Parallel()
	project := Load(t)
	hosts := regexp.MustCompile(`\b(kafka|postgres|schema-registry):\d+`)
	for name, s := range project.Services {
		for dependency, d := range s.DependsOn {
			want := types.ServiceConditionHealthy
			if project.Services[dependency].Restart == "no" {
				want = types.ServiceConditionCompletedSuccessfully
			}
			require.Equal(t, want, d.Condition, "%s on %s", name, dependency)
		}
		if s.Restart == "no" || !Ours(s) {
			continue
		}
		env := Environment(s)
		for variable, value := range env {
			for _, m := range hosts.FindAllStringSubmatch(value, -1) {
				require.Contains(t, s.DependsOn, m[1], "%s: %s", name, variable)
			}
		}
		if env["THROUGHLINE_KAFKA_BROKERS"] != "" {
			require.Contains(t, s.DependsOn, "topics", name)
		}
		if env["THROUGHLINE_POSTGRES_URL_FILE"] != "" {
			require.Contains(t, s.DependsOn, "postgres", name)
			require.Contains(t, s.DependsOn, "migrate", name)
		}
	}
	require.Len(t, Ordered(t, project), len(project.Services))
}

// Every service of ours is there, and each variable that it is given is one that its program reads.
func TestVariables(t *testing.T) {
	t.Parallel()
	project := Load(t)
	seen := map[string]bool{}
	for name, s := range project.Services {
		if !Ours(s) {
			continue
		}
		program, args := Program(s)
		env := Environment(s)
		plain := map[string]bool{}
		if config, ok := configurations()[program]; ok {
			seen[program] = true
			require.Equal(t, program, name)
			require.Empty(t, args, name)
			all, err := settings.Reference(config)
			require.NoError(t, err)
			for _, setting := range all {
				for _, variable := range setting.Envs {
					plain[variable] = !setting.Hidden || setting.FileEnv == ""
				}
				if setting.FileEnv != "" {
					plain[setting.FileEnv] = true
				}
				if slices.Contains(setting.Envs, "THROUGHLINE_SHUTDOWN_TIMEOUT") {
					bound, err := time.ParseDuration(setting.Default)
					require.NoError(t, err)
					require.Equal(t, bound+5*time.Second, time.Duration(*s.StopGracePeriod), name)
				}
			}
			require.Equal(t, []string{"CMD", "/usr/local/bin/throughline", "ready"}, []string(s.HealthCheck.Test), name)
		} else {
			require.Equal(t, "throughline", program, name)
			help := commandLine(t, append(args, "--help")...)
			for variable := range env {
				plain[variable] = strings.Contains(help, strings.TrimSuffix(variable, "_FILE"))
			}
			if len(args) > 0 {
				commandLine(t, append(args, "--validate")...)
			}
		}
		for variable := range env {
			require.True(t, plain[variable], "%s is given %s, which it does not read, or which is a secret and should be a file", name, variable)
		}
	}
	require.Len(t, seen, len(configurations()), "every service is there")

	var listed map[string]any
	text, err := os.ReadFile(filepath.Join(Root, "helm/throughline/files/services.yaml"))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, &listed))
	for name := range listed {
		require.True(t, seen[name], "%s is a service of the chart", name)
	}
}

func commandLine(t *testing.T, args ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	code := throughline.Run(t.Context(), args, throughline.Streams{In: strings.NewReader(""), Out: &out, Err: &errs, Env: none})
	require.Zero(t, code, "throughline %s: %s", strings.Join(args, " "), errs.String())
	return out.String()
}

// Every vendor can be received from, at the address that it knows, and what comes once is kept on a volume.
func TestSources(t *testing.T) {
	t.Parallel()
	s := Load(t, "PUBLIC_URL=https://hooks.example.com/").Services["receiver"]
	env, set := Environment(s), catalog.Set()
	for _, name := range set.Names() {
		source, _ := set.Find(name)
		require.Equal(t, Secrets+name+"-secrets", env[settings.SourceVariable(name, "SECRETS_FILE")])
		if source.Profile().NeedsPublicURL {
			called, err := settings.CalledURL(env[settings.SourceVariable(name, "PUBLIC_URL")], name)
			require.NoError(t, err)
			require.Equal(t, "https://hooks.example.com/webhooks/"+name, called)
		}
		if source.Profile().NeverRetries {
			require.True(t, slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == env["THROUGHLINE_SPOOL_DIR"] }))
		}
	}
}

// Whoever needs a secret names its file, is given it, and make-secrets makes it; nothing else is made.
func TestSecrets(t *testing.T) {
	t.Parallel()
	project := Load(t)
	secretName := regexp.MustCompile(`(?i)passw|secret|token|_key`)
	for name, s := range project.Services {
		var given, named []string
		for _, secret := range s.Secrets {
			given = append(given, secret.Source)
			require.Contains(t, project.Secrets, secret.Source)
		}
		for variable, value := range Environment(s) {
			if file, ok := strings.CutPrefix(value, Secrets); ok {
				named = append(named, file)
			} else {
				require.False(t, secretName.MatchString(variable), "%s: %s should be a file", name, variable)
			}
		}
		require.ElementsMatch(t, given, named, name)
	}

	dir := filepath.Join(t.TempDir(), "secrets")
	made := MakeSecrets(t, dir)
	var files []string
	for name, secret := range project.Secrets {
		require.Equal(t, "deploy/compose/secrets", filepath.Dir(relative(t, secret.File)))
		require.Equal(t, name, filepath.Base(secret.File))
		files = append(files, name)
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var have []string
	values := map[string]bool{}
	for _, entry := range entries {
		have = append(have, entry.Name())
		info, err := entry.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o644), info.Mode(), "containers read it as users of their own")
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		require.NoError(t, err)
		require.Greater(t, len(content), 32)
		require.NotContains(t, made, strings.TrimSpace(string(content)), "no secret is printed")
		values[string(content)] = true
	}
	require.ElementsMatch(t, files, have)
	require.Len(t, values, len(files), "each is another")
	info, err := os.Stat(dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), "nobody else comes in")

	require.Empty(t, MakeSecrets(t, dir), "what is there stays")
	require.NoError(t, os.Remove(filepath.Join(dir, "postgres-password")))
	out, err := exec.CommandContext(t.Context(), "sh", script, dir).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "put the password of that address into it")
	ignored, err := os.ReadFile(filepath.Join(Root, ".gitignore"))
	require.NoError(t, err)
	require.Contains(t, string(ignored), "/deploy/compose/secrets/\n")
}

func relative(t *testing.T, path string) string {
	t.Helper()
	root, err := filepath.Abs(Root)
	require.NoError(t, err)
	rel, err := filepath.Rel(root, path)
	require.NoError(t, err)
	return rel
}

// Prometheus asks every service of ours that stays up, by the port that it listens on, and has the chart's alerts; Grafana
// shows the chart's dashboards.
func TestObservability(t *testing.T) {
	t.Parallel()
	project := Load(t)
	var config struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			StaticConfigs []struct {
				Targets []string          `yaml:"targets"`
				Labels  map[string]string `yaml:"labels"`
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	decode(t, "deploy/compose/prometheus.yml", &config)
	var want []string
	for name, s := range project.Services {
		if admin, ok := Environment(s)["THROUGHLINE_ADMIN_ADDR"]; ok {
			want = append(want, name+admin)
		}
	}
	require.Len(t, want, len(configurations()))
	require.ElementsMatch(t, want, config.ScrapeConfigs[0].StaticConfigs[0].Targets)
	require.NotEmpty(t, config.ScrapeConfigs[0].StaticConfigs[0].Labels["namespace"], "the dashboards choose by it")
	require.Equal(t, "helm/throughline/files/alerts.yaml", mounted(t, project.Services["prometheus"], config.RuleFiles[0]))

	var dashboards struct {
		Providers []struct {
			Options struct {
				Path string `yaml:"path"`
			} `yaml:"options"`
		} `yaml:"providers"`
	}
	decode(t, "deploy/compose/grafana/dashboards/throughline.yaml", &dashboards)
	grafana := project.Services["grafana"]
	require.Equal(t, "helm/throughline/dashboards", mounted(t, grafana, dashboards.Providers[0].Options.Path))
	var sources struct {
		Datasources []struct {
			URL string `yaml:"url"`
		} `yaml:"datasources"`
	}
	decode(t, "deploy/compose/grafana/datasources/prometheus.yaml", &sources)
	require.Equal(t, "http://prometheus:9090", sources.Datasources[0].URL)
	for name, s := range project.Services {
		if slices.Contains([]string{"prometheus", "grafana"}, name) {
			require.Equal(t, []string{"observability"}, s.Profiles)
		} else {
			require.NotContains(t, s.Profiles, "observability")
		}
	}
}

func decode(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root, path))
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(text, into), path)
}

// mounted gives what a container finds at a path, as a path in the repository.
func mounted(t *testing.T, s types.ServiceConfig, target string) string {
	t.Helper()
	for _, v := range s.Volumes {
		if v.Target == target {
			return relative(t, v.Source)
		}
	}
	require.Fail(t, "nothing is mounted", target)
	return ""
}

// A password of the user's own may hold what means something in an address.
func TestAPasswordOfYourOwn(t *testing.T) {
	t.Parallel()
	const password = `p@ss/w:rd#1 %2f"é`
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "postgres-password"), []byte(password+"\n"), 0o600))
	MakeSecrets(t, dir)
	address, err := os.ReadFile(filepath.Join(dir, "postgres-url"))
	require.NoError(t, err)
	made, err := url.Parse(strings.TrimSpace(string(address)))
	require.NoError(t, err)
	got, _ := made.User.Password()
	require.Equal(t, password, got)
	require.Equal(t, "postgres:5432", made.Host)
}
