//go:build chart

package charttest

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

const plain = "../../deploy/k8s"

// site are the variables that belong to a place: base takes them from the
// ConfigMaps that kustomization.yaml makes, so that an overlay sets them in one file.
var site = map[string]string{
	"THROUGHLINE_KAFKA_BROKERS": "throughline-settings", "THROUGHLINE_SCHEMA_REGISTRY_URL": "throughline-settings", "THROUGHLINE_LOG_LEVEL": "throughline-settings",
	"THROUGHLINE_SOURCES": "throughline-receiver", "THROUGHLINE_STRIPE_SECRETS_FILE": "throughline-receiver",
	"THROUGHLINE_CONSOLE_PUBLIC_URL": "throughline-console", "THROUGHLINE_STRIPE_API_KEY_FILE": "throughline-puller",
}

// pullers is the component that is not in base, because it does nothing without a Secret.
const pullers = "puller"

// deploy/k8s/base is the chart's manifests without what is Helm's. With -update it is written.
func TestBase(t *testing.T) {
	t.Parallel()
	render := func(more ...string) string {
		out, errs, ok := run(t, "", "helm4", append([]string{"template", "throughline", chart, "--values=testdata/base.yaml", "--kube-version=1.37.2"}, more...)...)
		require.True(t, ok, errs)
		return out
	}
	holds(t, "base", plainFiles(t, render()))
	with := plainFiles(t, render("--values=testdata/puller.yaml"))
	holds(t, "components/puller", map[string]*bytes.Buffer{pullers: with[pullers]})
}

// holds compares a folder of manifests, and what its kustomization lists.
func holds(t *testing.T, folder string, files map[string]*bytes.Buffer) {
	t.Helper()
	var want []string
	for component, text := range files {
		compare(t, filepath.Join(plain, folder, component+".yaml"), text.String())
		want = append(want, component+".yaml")
	}
	var kustomization struct {
		Resources []string `yaml:"resources"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, plain, folder+"/kustomization.yaml")), &kustomization))
	require.ElementsMatch(t, want, kustomization.Resources)
}

// plainFiles gives the manifests of each component without what is Helm's.
func plainFiles(t *testing.T, out string) map[string]*bytes.Buffer {
	t.Helper()
	files := map[string]*bytes.Buffer{}
	decoder := yaml.NewDecoder(strings.NewReader(out))
	for {
		var o map[string]any
		if decoder.Decode(&o) != nil {
			break
		}
		if o == nil {
			continue
		}
		component := o["metadata"].(map[string]any)["labels"].(map[string]any)["app.kubernetes.io/component"].(string)
		file := files[component]
		if file == nil {
			file = bytes.NewBufferString("# Made of the chart (go test -tags chart ./helm/charttest -update). Do not edit: patch it in an overlay.\n")
			files[component] = file
		} else {
			file.WriteString("---\n")
		}
		encoder := yaml.NewEncoder(file)
		encoder.SetIndent(2)
		require.NoError(t, encoder.Encode(withoutHelm(o)))
		require.NoError(t, encoder.Close())
	}
	return files
}

// withoutHelm gives an object as kubectl applies it: without Helm's labels and
// hooks, and with what belongs to a place taken from ConfigMaps.
func withoutHelm(o map[string]any) map[string]any {
	clean := func(m map[string]any) {
		if labels, ok := m["labels"].(map[string]any); ok {
			for _, label := range []string{"helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version", "app.kubernetes.io/instance"} {
				delete(labels, label)
			}
		}
		if annotations, ok := m["annotations"].(map[string]any); ok {
			maps.DeleteFunc(annotations, func(key string, _ any) bool { return strings.HasPrefix(key, "helm.sh/") })
			if len(annotations) == 0 {
				delete(m, "annotations")
			}
		}
		delete(m, "namespace") // an overlay sets it
	}
	var visit func(v any)
	visit = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if m, ok := v["metadata"].(map[string]any); ok {
				clean(m)
			}
			if s, ok := v["matchLabels"].(map[string]any); ok {
				delete(s, "app.kubernetes.io/instance")
			}
			if s, ok := v["selector"].(map[string]any); ok {
				delete(s, "app.kubernetes.io/instance")
			}
			if env, ok := v["env"].([]any); ok {
				v["env"], v["envFrom"] = bySite(env)
			}
			if sources, ok := v["sources"].([]any); ok {
				for _, s := range sources { // all keys of the Secret of the sources
					if secret, ok := s.(map[string]any)["secret"].(map[string]any); ok && (secret["name"] == "throughline-sources" || secret["name"] == "throughline-apis") {
						delete(secret, "items")
					}
				}
			}
			for _, inner := range v {
				visit(inner)
			}
		case []any:
			for _, inner := range v {
				visit(inner)
			}
		}
	}
	visit(o)
	if o["kind"] == "Job" {
		o["spec"].(map[string]any)["ttlSecondsAfterFinished"] = 3600 // so that the next version's can be applied
	}
	return o
}

// bySite splits variables into those that stay and the ConfigMaps of the others.
func bySite(env []any) (stay, from []any) {
	maps := []string{"throughline-settings"}
	for _, e := range env {
		name := e.(map[string]any)["name"].(string)
		if _, ok := site[name]; !ok {
			stay = append(stay, e)
		} else if !slices.Contains(maps, site[name]) {
			maps = append(maps, site[name])
		}
	}
	for _, name := range maps {
		from = append(from, map[string]any{"configMapRef": map[string]any{"name": name}})
	}
	return stay, from
}

// Each overlay builds, is what the API server knows, keeps the policies, and runs
// what the chart runs: same programs, ports, probes, security, and variables that
// the program reads.
func TestOverlays(t *testing.T) {
	t.Parallel()
	ofChart := map[string]*object{}
	for _, values := range [][]string{{"--values=testdata/base.yaml", "--values=testdata/puller.yaml"}, {"--values=testdata/base.yaml"}} { // base's learner has no keys
		out, errs, ok := run(t, "", "helm4", append([]string{"template", "throughline", chart, "--kube-version=1.37.2"}, values...)...)
		require.True(t, ok, errs)
		for _, o := range parse(t, out) {
			ofChart[o.id()] = o
		}
	}
	overlays, err := os.ReadDir(filepath.Join(plain, "overlays"))
	require.NoError(t, err)
	require.Len(t, overlays, 2)
	for _, overlay := range overlays {
		t.Run(overlay.Name(), func(t *testing.T) {
			t.Parallel()
			built, errs, ok := run(t, "", "kustomize", "build", filepath.Join(plain, "overlays", overlay.Name()))
			require.True(t, ok, errs)
			kubeconform(t, built)
			all := parse(t, built)
			settings := map[string]map[string]string{}
			for _, o := range all {
				if o.Kind == "ConfigMap" {
					settings[o.Metadata.Name] = o.Data
				}
			}
			for _, o := range all {
				for name, check := range policies {
					if name != "names and labels" { // there is no release here
						require.Empty(t, check(o, all), "%s: %s", o.id(), name)
					}
				}
				if o.Kind != "Namespace" {
					require.NotEmpty(t, o.Metadata.Namespace, o.id())
				}
				if template, ok := o.pods(); ok {
					require.Contains(t, ofChart, o.id())
					theirs, _ := ofChart[o.id()].pods()
					sameProgram(t, o, theirs.Spec.Containers[0], template.Spec.Containers[0], settings)
					require.Equal(t, theirs.Spec.Security, template.Spec.Security, o.id())
					require.Equal(t, theirs.Spec.Grace, template.Spec.Grace, o.id())
					if o.runs() {
						requireStarts(t, o, settings)
					}
				}
			}
		})
	}
}

// sameProgram holds a plain container to the chart's.
func sameProgram(t *testing.T, o *object, theirs, ours container, settings map[string]map[string]string) {
	t.Helper()
	require.Equal(t, theirs.Command, ours.Command, o.id())
	require.Equal(t, theirs.Ports, ours.Ports, o.id())
	require.Equal(t, theirs.Security, ours.Security, o.id())
	for _, pair := range [][2]*probe{{theirs.Startup, ours.Startup}, {theirs.Liveness, ours.Liveness}, {theirs.Readiness, ours.Readiness}} {
		require.Equal(t, pair[0], pair[1], o.id())
	}
	have := map[string]bool{}
	for _, e := range ours.Env {
		have[e.Name] = true
	}
	for _, from := range ours.EnvFrom {
		require.Contains(t, settings, from.ConfigMap.Name, "%s reads a ConfigMap that there is not", o.id())
		for name := range settings[from.ConfigMap.Name] {
			have[name] = true
		}
	}
	for _, e := range theirs.Env {
		require.True(t, have[e.Name], "%s lacks %s, which the chart sets", o.id(), e.Name)
	}
	if o.runs() {
		all := map[string]bool{}
		for name := range programs() { // what is for all services is read by one of them at least
			variables, _, _ := variables(t, name)
			for _, v := range variables {
				all[v] = true
			}
		}
		for name := range have {
			require.True(t, all[name], "%s sets %s, which nobody reads", o.id(), name)
		}
	}
}
