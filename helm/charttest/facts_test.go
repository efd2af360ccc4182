package charttest

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"go.yaml.in/yaml/v3"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/alerter/alerter"
	"github.com/throughline-dev/throughline/services/console/console"
	"github.com/throughline-dev/throughline/services/drift/drift"
	"github.com/throughline-dev/throughline/services/learner/learner"
	"github.com/throughline-dev/throughline/services/normalizer/normalizer"
	"github.com/throughline-dev/throughline/services/puller/puller"
	"github.com/throughline-dev/throughline/services/quarantine/quarantine"
	"github.com/throughline-dev/throughline/services/receiver/receiver"
	"github.com/throughline-dev/throughline/services/sink/sink"
)

// A named source, so that its settings are listed.
const exampleSource = "example"

func exampleEnv(name string) (string, bool) {
	return exampleSource + "=" + catalog.Formats()[0].Name, name == "THROUGHLINE_NAMED_SOURCES"
}

// programs gives the services' configurations, as their mains make them.
func programs() map[string]any {
	return map[string]any{
		"receiver":   receiver.NewSettings(nil, exampleEnv),
		"normalizer": normalizer.NewConfig(nil, exampleEnv),
		"sink":       new(sink.Config),
		"quarantine": quarantine.NewConfig(nil, exampleEnv),
		"drift":      drift.NewConfig(nil, exampleEnv),
		"learner":    learner.NewConfig(nil, exampleEnv),
		"puller":     puller.NewConfig(nil, exampleEnv),
		"alerter":    new(alerter.Config),
		"console":    console.NewConfig(nil, exampleEnv),
	}
}

// variables gives what a service reads: plain variables, and those of secrets.
func variables(t testing.TB, name string) (plain, secret []string, defaults map[string]string) {
	t.Helper()
	all, err := settings.Reference(programs()[name])
	require.NoError(t, err)
	defaults = map[string]string{}
	for _, s := range all {
		to := &plain
		if s.Hidden && s.FileEnv != "" {
			to = &secret
		}
		*to = append(*to, s.Envs...)
		if s.FileEnv != "" {
			plain = append(plain, s.FileEnv)
		}
		for _, env := range s.Envs {
			defaults[env] = s.Default
		}
	}
	return plain, secret, defaults
}

type program struct {
	Kind  string         `yaml:"kind"`
	Needs []string       `yaml:"needs"`
	Ports map[string]int `yaml:"ports"`
	Group string         `yaml:"group"`
	Topic string         `yaml:"topic"`
}

// files/services.yaml is what the programs are.
func TestServices(t *testing.T) {
	t.Parallel()
	listed := load[map[string]program](t, "files/services.yaml")
	require.ElementsMatch(t, slices.Collect(maps.Keys(programs())), slices.Collect(maps.Keys(listed)))
	values := load[struct {
		Services map[string]any `yaml:"services"`
	}](t, "values.yaml")
	require.ElementsMatch(t, slices.Collect(maps.Keys(listed)), slices.Collect(maps.Keys(values.Services)))

	names := stream.Names{}
	groups := map[string]string{"receiver": "", "normalizer": names.Group(stream.Normalizer), "sink": names.Group(stream.Sink), "quarantine": names.Group(stream.Quarantine), "drift": names.Group(stream.Drift), "puller": ""}
	topics := map[string]string{"sink": stream.AccountEvents, "quarantine": stream.DeadLetters}
	// A variable that only those read who need the thing.
	tells := map[string]string{
		"kafka": "THROUGHLINE_KAFKA_BROKERS", "postgres": "THROUGHLINE_POSTGRES_MAX_CONNS", "registry": "THROUGHLINE_SCHEMA_REGISTRY_URL",
		"resolve": "THROUGHLINE_RESOLVE_RULES", "webhooks": "THROUGHLINE_RECEIVER_LISTEN",
		"apis": "THROUGHLINE_STRIPE_API_URL", "signin": "THROUGHLINE_CONSOLE_LOGIN",
	}
	for name, p := range listed {
		require.DirExists(t, "../../services/"+name)
		require.Equal(t, groups[name], p.Group, name)
		require.Equal(t, topics[name], p.Topic, name)
		plain, _, _ := variables(t, name)
		for need, variable := range tells {
			require.Equal(t, slices.Contains(plain, variable), slices.Contains(p.Needs, need), "%s needs %s", name, need)
		}
		reads := slices.Contains(plain, "THROUGHLINE_NAMED_SOURCES")
		require.Equal(t, reads, slices.Contains(p.Needs, "sources") || slices.Contains(p.Needs, "webhooks"), name)
	}
}

// files/settings.yaml lists what each service reads. With -update it is written.
func TestSettings(t *testing.T) {
	t.Parallel()
	type listed struct {
		Plain  []string `yaml:"plain"`
		Secret []string `yaml:"secret"`
	}
	all := map[string]listed{}
	for name := range programs() {
		plain, secret, _ := variables(t, name)
		slices.Sort(plain)
		slices.Sort(secret)
		all[name] = listed{plain, secret}
	}
	text, err := yaml.Marshal(all)
	require.NoError(t, err)
	compare(t, chart+"/files/settings.yaml", "# Generated from the services' settings (go test ./helm/charttest -update). Do not edit.\n"+string(text))
}

type sources struct {
	Vendors map[string]struct {
		Spool     bool `yaml:"spool"`
		PublicURL bool `yaml:"publicURL"`
	} `yaml:"vendors"`
	Formats []string `yaml:"formats"`
}

// Every source of the catalog is a value, and the chart knows what it must.
func TestSources(t *testing.T) {
	t.Parallel()
	known := load[sources](t, "files/sources.yaml")
	values := load[struct {
		Sources map[string]map[string]any `yaml:"sources"`
	}](t, "values.yaml")
	set := catalog.Set()
	require.ElementsMatch(t, set.Names(), slices.Collect(maps.Keys(known.Vendors)))
	require.ElementsMatch(t, set.Names(), slices.Collect(maps.Keys(values.Sources)))
	for _, name := range set.Names() {
		s, _ := set.Find(name)
		require.Equal(t, s.Profile().NeverRetries, known.Vendors[name].Spool, name)
		require.Equal(t, s.Profile().NeedsPublicURL, known.Vendors[name].PublicURL, name)
		require.Equal(t, false, values.Sources[name]["enabled"], "%s is off until somebody turns it on", name)
		require.ElementsMatch(t, []string{"enabled", "existingSecret", "key", "tenant", "publicURL", "testData", "maxRate"}, slices.Collect(maps.Keys(values.Sources[name])), name)
	}
	var formats []string
	for _, f := range catalog.Formats() {
		formats = append(formats, f.Name)
	}
	require.Equal(t, formats, known.Formats)
}

// The variables of a source's values are settings: a value that nobody reads would be silent.
func TestSourceVariables(t *testing.T) {
	t.Parallel()
	plain, _, _ := variables(t, "receiver")
	for _, name := range append(catalog.Set().Names(), exampleSource) {
		for _, setting := range []string{"SECRETS_FILE", "PUBLIC_URL", "MAX_RATE", "TENANT", "TEST_DATA"} {
			require.Contains(t, plain, settings.SourceVariable(name, setting))
		}
	}
	require.Contains(t, plain, settings.SourceVariable(exampleSource, "MAPPING"))
}

// files/topics.yaml is what `throughline topics apply` makes.
func TestTopics(t *testing.T) {
	t.Parallel()
	listed := load[struct {
		All        map[string]string `yaml:"all"`
		Raw        map[string]string `yaml:"raw"`
		Normalized map[string]string `yaml:"normalized"`
		Names      []string          `yaml:"names"`
	}](t, "files/topics.yaml")
	defaults := struct {
		Options stream.TopicOptions `embed:""`
	}{}
	settings.Defaults(&defaults)

	cluster := streamtest.Fake(t)
	client, err := stream.NewClient(stream.Config{Brokers: cluster.ListenAddrs()}, stream.Deps{Name: "charttest"})
	require.NoError(t, err)
	defer client.Close()
	options := defaults.Options
	options.ReplicationFactor = 1
	_, err = stream.ApplyTopics(t.Context(), client, stream.Names{}, []string{"stripe"}, options)
	require.NoError(t, err)
	admin := kadm.NewClient(client)
	topics, err := admin.ListTopics(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, append(slices.Clone(listed.Names), "raw.stripe"), topics.Names())
	for _, name := range topics.Names() {
		want := map[string]string{"min.insync.replicas": "1"} // as many as there are replicas here
		maps.Copy(want, listed.All)
		if strings.HasPrefix(name, "raw.") {
			maps.Copy(want, listed.Raw)
		} else {
			maps.Copy(want, listed.Normalized)
		}
		described, err := admin.DescribeTopicConfigs(t.Context(), name)
		require.NoError(t, err)
		set := map[string]string{}
		for _, c := range described[0].Configs {
			if c.Source.String() == "DYNAMIC_TOPIC_CONFIG" {
				set[c.Key] = c.MaybeValue()
			}
		}
		require.Equal(t, want, set, name)
	}

	values := load[struct {
		Topics struct {
			Partitions     int32         `yaml:"partitions"`
			RawRetention   time.Duration `yaml:"rawRetention"`
			EventRetention time.Duration `yaml:"eventRetention"`
		} `yaml:"topics"`
	}](t, "values.yaml").Topics
	require.Equal(t, defaults.Options.Partitions, values.Partitions)
	require.Equal(t, defaults.Options.RawRetention, values.RawRetention)
	require.Equal(t, defaults.Options.EventRetention, values.EventRetention)
}

// A default that the chart repeats is the program's.
func TestDefaults(t *testing.T) {
	t.Parallel()
	var values map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(read(t, chart, "values.yaml")), &values))
	services := load[map[string]program](t, "files/services.yaml")
	at := func(path ...string) any {
		var v any = values
		for _, key := range path {
			require.IsType(t, map[string]any{}, v, path)
			require.Contains(t, v, key, path)
			v = v.(map[string]any)[key]
		}
		return v
	}
	seconds := func(v any) string { return yamlText(v) + "s" }
	var rules []string
	for _, rule := range at("resolve", "rules").([]any) {
		rules = append(rules, rule.(string))
	}
	_, _, receives := variables(t, "receiver")
	_, _, normalizes := variables(t, "normalizer")
	_, _, sinks := variables(t, "sink")
	require.Equal(t, receives["THROUGHLINE_SHUTDOWN_TIMEOUT"], seconds(at("defaults", "stopTimeoutSeconds")))
	require.Equal(t, receives["THROUGHLINE_DRAIN_DELAY"], seconds(at("services", "receiver", "drainDelaySeconds")))
	require.Equal(t, receives["THROUGHLINE_SPOOL_BYTES"], at("services", "receiver", "spool", "bytes"))
	require.Equal(t, receives["THROUGHLINE_RECEIVER_LISTEN"], ":"+yamlText(services["receiver"].Ports["http"]))
	_, _, shows := variables(t, "console")
	oidc := at("services", "console", "oidc").(map[string]any)
	var scopes []string
	for _, scope := range oidc["scopes"].([]any) {
		scopes = append(scopes, scope.(string))
	}
	require.Equal(t, shows["THROUGHLINE_CONSOLE_LISTEN"], "127.0.0.1:"+yamlText(services["console"].Ports["http"]))
	require.Equal(t, shows["THROUGHLINE_CONSOLE_LOGIN"], at("services", "console", "login"))
	require.Equal(t, shows["THROUGHLINE_OIDC_SCOPES"], strings.Join(scopes, ","))
	require.Equal(t, shows["THROUGHLINE_OIDC_GROUPS_CLAIM"], oidc["groupsClaim"])
	require.Equal(t, receives["THROUGHLINE_LOG_LEVEL"], at("log", "level"))
	require.Equal(t, receives["THROUGHLINE_LOG_FORMAT"], at("log", "format"))
	require.Equal(t, receives["THROUGHLINE_TRACE_RATIO"], yamlText(at("traces", "ratio")))
	require.Equal(t, normalizes["THROUGHLINE_NORMALIZER_WORKERS"], yamlText(at("services", "normalizer", "workers")))
	require.Equal(t, normalizes["THROUGHLINE_RESOLVE_RULES"], strings.Join(rules, ","))
	require.Equal(t, sinks["THROUGHLINE_SINK_WRITERS"], yamlText(at("services", "sink", "writers")))
	require.Equal(t, sinks["THROUGHLINE_POSTGRES_MAX_CONNS"], yamlText(at("postgres", "maxConns")))
}

func yamlText(v any) string {
	text, _ := yaml.Marshal(v) // a scalar always is
	return strings.TrimSpace(string(text))
}

// Each alert has a runbook, and each runbook an alert.
func TestRunbooks(t *testing.T) {
	t.Parallel()
	const dir = "../../docs/operations/runbooks"
	want := []string{"README.md"}
	for _, a := range alerts(t) {
		want = append(want, a.Alert+".md")
		require.Contains(t, read(t, dir, "README.md"), "("+a.Alert+".md)")
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
	}
	require.ElementsMatch(t, want, have)
}
