//go:build chart

package charttest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// helms are those that the chart has to pass.
var helms = []string{"helm3", "helm4"}

// kubeconform checks manifests against the API's schemas. What has no schema in a
// Go module (Strimzi's, CloudNativePG's) is held to its form by other tests.
func kubeconform(t testing.TB, manifests string) {
	t.Helper()
	out, errs, ok := run(t, manifests, "kubeconform", "-strict", "-summary", "-skip=KafkaTopic,KafkaUser,Cluster",
		"-schema-location="+filepath.Dir(tool(t, "schemas/_definitions.json"))+"/{{.ResourceKind}}{{.KindSuffix}}.json")
	require.True(t, ok, "%s%s", out, errs)
}

// Both helms take every value file, lint it, render it to the same manifests, twice
// alike, and these are what the API server knows.
func TestRender(t *testing.T) {
	t.Parallel()
	for _, file := range valueFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			for _, helm := range helms {
				out, errs, ok := run(t, "", helm, "lint", "--strict", chart, "--values="+file, "--kube-version=1.37.2")
				require.True(t, ok, "%s lint: %s%s", helm, out, errs)
			}
			manifests := render(t, "helm4", file)
			require.Equal(t, manifests, renderAnew(t, "helm4", file), "two renders differ")
			require.Equal(t, parse(t, manifests), parse(t, render(t, "helm3", file)), "helm 3 and 4 render other objects")
			kubeconform(t, manifests)
		})
	}
}

// What the schemas do not know is refused: else they would prove nothing.
func TestSchemasRefuse(t *testing.T) {
	t.Parallel()
	const good = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {selector: {}, template: {spec: {containers: [{name: a}]}}}\n"
	kubeconform(t, good)
	for _, bad := range []string{
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {selector: {}, replica: 1, template: {spec: {containers: [{name: a}]}}}\n",
		"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {selector: {}, replicas: two, template: {spec: {containers: [{name: a}]}}}\n",
		"apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a}\nspec: {hostname: [a]}\n",
		"apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {name: a}\nspec: {scaleTargetRef: {name: a}, triggers: [{type: kafka, metadata: {lagThreshold: 5}}]}\n",
		"apiVersion: example.com/v1\nkind: Unknown\nmetadata: {name: a}\n",
	} {
		_, _, ok := run(t, bad, "kubeconform", "-strict", "-schema-location="+filepath.Dir(tool(t, "schemas/_definitions.json"))+"/{{.ResourceKind}}{{.KindSuffix}}.json")
		require.False(t, ok, bad)
	}
}

// The chart packs, and what is for CI stays out of the package.
func TestPackage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, helm := range helms {
		out, errs, ok := run(t, "", helm, "package", chart, "--destination="+dir)
		require.True(t, ok, "%s%s", out, errs)
	}
	packages, err := filepath.Glob(dir + "/throughline-*.tgz")
	require.NoError(t, err)
	require.Len(t, packages, 1)
	info, err := os.Stat(packages[0])
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(100<<10), "Helm keeps the chart in a Secret of at most 1 MiB")
}
