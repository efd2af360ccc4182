//go:build chart

package charttest

import (
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/tlsfiles/tlsfilestest"
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

// contents are what the Secrets and ConfigMaps hold, by the name of their files.
var contents = map[string]string{
	"postgres-url": "postgres://u:secret@postgres:5432/throughline", "postgres-direct-url": "postgres://u:secret@postgres:5433/throughline",
	"otlp-endpoint": "http://u:secret@collector:4318", "freemail.txt": "example.com\n", "product-events-mapping.yaml": "references: [{kind: order, id: /data/order}]",
	"alerts-rules.yaml": "rules: {spool: {for: 5m}}", "alerts-slack-url": "https://hooks.example.com/services/x", "alerts-teams-url": "https://hooks.example.com/x", "alerts-webhook-url": "https://hooks.example.com/y",
	"billing-mapping.yaml": "references: [{kind: order, id: /data/order}]",
}

// A signing secret that every source takes.
const signing = "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY="

// Each program takes the settings that its container is given, with files in the
// places of the mounts: what --validate says of them is nothing.
func TestProgramsTakeTheirSettings(t *testing.T) {
	t.Parallel()
	for _, file := range valueFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			for _, o := range parse(t, render(t, "helm4", file)) {
				if !o.runs() {
					continue
				}
				requireStarts(t, o, nil)
			}
		})
	}
}

// requireStarts checks that a service's program takes the settings of its container.
// configMaps are those that it may read.
func requireStarts(t *testing.T, o *object, configMaps map[string]map[string]string) {
	t.Helper()
	c := o.Spec.Template.Spec.Containers[0]
	env := environment(t, o, c, configMaps)
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	cfg := map[string]func() any{
		"receiver":   func() any { return receiver.NewSettings(c.Args, lookup) },
		"normalizer": func() any { return normalizer.NewConfig(c.Args, lookup) },
		"sink":       func() any { return new(sink.Config) },
		"quarantine": func() any { return quarantine.NewConfig(c.Args, lookup) },
		"drift":      func() any { return drift.NewConfig(c.Args, lookup) },
		"learner":    func() any { return learner.NewConfig(c.Args, lookup) },
		"puller":     func() any { return puller.NewConfig(c.Args, lookup) },
		"alerter":    func() any { return new(alerter.Config) },
		"console":    func() any { return console.NewConfig(c.Args, lookup) },
	}[c.Name]()
	_, err := settings.Parse(append([]string{"--validate"}, c.Args...), cfg, settings.WithName(c.Name, "A service."), settings.WithEnv(lookup), settings.WithOutput(io.Discard, io.Discard))
	require.ErrorIs(t, err, settings.ErrDone, "%s %v", o.id(), env)
}

// environment gives a container's variables, with its files in a folder of the test.
func environment(t *testing.T, o *object, c container, configMaps map[string]map[string]string) map[string]string {
	t.Helper()
	env := map[string]string{}
	for _, from := range c.EnvFrom {
		maps.Copy(env, configMaps[from.ConfigMap.Name])
	}
	for _, e := range c.Env {
		env[e.Name] = e.Value
		if e.ValueFrom != nil {
			env[e.Name] = o.Metadata.Name + "-0"
		}
	}
	dir := t.TempDir()
	var authority *tlsfilestest.Authority // made where one is needed
	for variable, path := range env {
		if !strings.HasPrefix(path, "/etc/throughline/") {
			continue
		}
		name := filepath.Base(path)
		text, ok := contents[name]
		if extension := filepath.Ext(name); extension == ".crt" || extension == ".key" {
			if authority == nil {
				authority = tlsfilestest.NewAuthority(t)
				authority.Issue("ours")
			}
			env[variable] = filepath.Join(filepath.Dir(authority.CAFile), "ours"+extension)
			continue
		}
		if !ok {
			text = signing
		}
		env[variable] = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(env[variable], []byte(text), 0o600))
	}
	return env
}

var variable = regexp.MustCompile(`^THROUGHLINE_[A-Z0-9_]+$`)

// The jobs' arguments are commands of the CLI.
func TestJobsAreCommands(t *testing.T) {
	t.Parallel()
	allowed := map[string]bool{"migrate": true, "roles apply": true, "topics apply": true, "acls apply": true, "doctor": true, "accounts moves": true, "alerts report": true, "reconcile stripe": true}
	for _, file := range valueFiles(t) {
		for _, o := range parse(t, render(t, "helm4", file)) {
			template, ok := o.pods()
			if !ok || o.runs() {
				continue
			}
			for _, c := range slices.Concat(template.Spec.Init, template.Spec.Containers) {
				var words []string
				for _, a := range c.Args {
					if !strings.HasPrefix(a, "-") {
						words = append(words, a)
					}
				}
				require.True(t, allowed[strings.Join(words, " ")], "%s runs %v", o.id(), c.Args)
				for _, e := range c.Env {
					require.True(t, variable.MatchString(e.Name) || e.Name == "TZ", e.Name)
				}
			}
		}
	}
}
