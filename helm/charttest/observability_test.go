package charttest

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/pkg/tlsfiles/tlsfilestest"
	"github.com/throughline-dev/throughline/services/console/console"
	"github.com/throughline-dev/throughline/services/drift/drift"
	"github.com/throughline-dev/throughline/services/learner/learner"
	"github.com/throughline-dev/throughline/services/puller/puller"
	"github.com/throughline-dev/throughline/services/receiver/receiver"
	"github.com/throughline-dev/throughline/services/whole"
)

type alert struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func alerts(t testing.TB) (all []alert) {
	t.Helper()
	for _, g := range load[struct {
		Groups []struct {
			Rules []alert `yaml:"rules"`
		} `yaml:"groups"`
	}](t, "files/alerts.yaml").Groups {
		all = append(all, g.Rules...)
	}
	require.NotEmpty(t, all)
	return all
}

// expressions gives every expression of the alerts and the dashboards, by where it stands.
func expressions(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, a := range alerts(t) {
		all["alert "+a.Alert] = a.Expr
	}
	files, err := filepath.Glob(chart + "/dashboards/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		var dashboard struct {
			Panels []struct {
				Title   string `json:"title"`
				Targets []struct {
					Expr string `json:"expr"`
				} `json:"targets"`
			} `json:"panels"`
		}
		require.NoError(t, json.Unmarshal([]byte(read(t, file)), &dashboard))
		for _, p := range dashboard.Panels {
			for i, target := range p.Targets {
				all[filepath.Base(file)+" "+p.Title+string(rune('A'+i))] = target.Expr
			}
		}
	}
	return all
}

// metric gives a name and its labels, up to the closing brace.
var (
	metric    = regexp.MustCompile(`\b((?:throughline|process)_[a-z0-9_]+)(?:\{([^}]*)\})?`)
	suffix    = regexp.MustCompile(`_(bucket|sum|count)$`)
	family    = regexp.MustCompile(`throughline_\(([a-z|]+)\)(_[a-z_]+)`)
	labelName = regexp.MustCompile(`([a-z_]+)(?:=~|!=|!~|=)"`)
	described = regexp.MustCompile(`^Desc\{fqName: "([^"]+)", help: ".*", constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
)

// Whatever an alert or a dashboard asks for is a metric that a service has, with these labels.
func TestMetricsExist(t *testing.T) {
	t.Parallel()
	have := metrics(t)
	require.Greater(t, len(have), 40)
	for where, expression := range expressions(t) {
		expression = family.ReplaceAllStringFunc(expression, func(s string) string {
			parts := family.FindStringSubmatch(s)
			var names []string
			for stage := range strings.SplitSeq(parts[1], "|") {
				names = append(names, "throughline_"+stage+parts[2])
			}
			return strings.Join(names, " ")
		})
		found := metric.FindAllStringSubmatch(expression, -1)
		require.NotEmpty(t, found, where)
		for _, m := range found {
			name := m[1]
			if _, ok := have[name]; !ok {
				name = suffix.ReplaceAllString(name, "")
			}
			labels, ok := have[name]
			require.True(t, ok, "%s asks for %s, which there is not", where, m[1])
			for _, label := range labelName.FindAllStringSubmatch(m[2], -1) {
				if label[1] != "namespace" { // Prometheus adds it
					require.Contains(t, labels, label[1], "%s asks for a label of %s", where, name)
				}
			}
		}
	}
}

// metrics gives those of all services, with their labels.
func metrics(t *testing.T) map[string][]string {
	rt := service.NewRuntime(service.Options{Name: "charttest"})
	registry, err := event.NewRegistry(event.RegistryConfig{URL: settings.URL(streamtest.Registry(t))})
	require.NoError(t, err)
	pool, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/nowhere") // it connects when it is used
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	set := catalog.Set()
	endpoints, err := receiver.Endpoints(set, set.Names(), func(string) settings.SourceSetting {
		return settings.SourceSetting{Secrets: settings.Secrets{"0123456789abcdef0123456789abcdef"}, PublicURL: "https://hooks.example.com"}
	})
	require.NoError(t, err)
	deps := stage.Deps{Kafka: stream.Config{Brokers: []string{"127.0.0.1:1"}}, Pool: pool, Registry: registry, Sources: set, Runtime: rt}
	cert, key := tlsfilestest.NewAuthority(t).Issue("receiver")
	services, err := whole.New(t.Context(), deps, whole.Options{Endpoints: endpoints, Receiver: receiver.Config{SpoolDir: t.TempDir(), TLSCertFile: cert, TLSKeyFile: key}, Console: &console.Options{}, Drift: &drift.Options{}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, services.Close()) })
	services.Components() // registers the loops' metrics
	_, err = puller.New(deps, puller.Options{Setting: func(string) settings.SourceSetting { return settings.SourceSetting{} }})
	require.NoError(t, err)
	_, err = learner.New(deps, learner.Options{})
	require.NoError(t, err)

	all := map[string][]string{}
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		rt.Registry.Describe(descriptions)
	}()
	for d := range descriptions {
		parts := described.FindStringSubmatch(d.String())
		require.NotNil(t, parts, d.String())
		labels := strings.Split(parts[3], ",")
		for pair := range strings.SplitSeq(parts[2], ",") {
			name, _, _ := strings.Cut(pair, "=")
			labels = append(labels, name)
		}
		all[parts[1]] = labels
	}
	return all
}

// Every alert says how bad it is and what is the matter.
func TestAlerts(t *testing.T) {
	t.Parallel()
	tested := read(t, chart, "tests/alerts.yaml")
	for _, a := range alerts(t) {
		require.Contains(t, []string{"critical", "warning", "info"}, a.Labels["severity"], a.Alert)
		require.NotEmpty(t, a.Annotations["summary"], a.Alert)
		require.Contains(t, tested, "alertname: "+a.Alert+"\n", "every alert has a test")
		runbook := read(t, "../../docs/operations/runbooks", a.Alert+".md")
		require.Contains(t, runbook, "Severity: "+a.Labels["severity"]+".", a.Alert)
	}
}
