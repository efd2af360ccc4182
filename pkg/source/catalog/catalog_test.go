package catalog

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is in the list has all that a source has to have, and every source folder
// is in the list.
func TestEverySourceIsWhole(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{"catalog": true, "mapping": true, "sourcetest": true, "testdata": true}
	for _, s := range Set().Sources() {
		name := s.Name()
		require.Regexp(t, `^[a-z0-9]+$`, name)
		require.False(t, listed[name], "%s is listed twice", name)
		listed[name] = true
		found, ok := Set().Find(name)
		require.True(t, ok)
		require.Equal(t, name, found.Name())
		require.Equal(t, s.Profile().Kinds, Set().Kinds(name))

		dir := filepath.Join("..", name)
		for _, file := range []string{"doc.go", "README.md"} {
			require.FileExists(t, filepath.Join(dir, file))
		}
		bodies, err := filepath.Glob(filepath.Join(dir, "testdata", "*.golden.json"))
		require.NoError(t, err)
		require.NotEmpty(t, bodies, "%s has no goldens", name)
		require.NotEmpty(t, s.Profile().Types, "%s names no event types", name)
		tests, err := os.ReadFile(filepath.Join(dir, name+"_test.go"))
		require.NoError(t, err)
		for _, call := range []string{"sourcetest.Run(", "sourcetest.Fuzz(", "sourcetest.Bench("} {
			require.Contains(t, string(tests), call, name)
		}
	}
	for _, f := range Formats() {
		for _, file := range []string{"doc.go", "README.md", f.Name + "_test.go"} {
			require.FileExists(t, filepath.Join("..", f.Name, file))
		}
		listed[f.Name] = true
	}
	folders, err := os.ReadDir("..")
	require.NoError(t, err)
	for _, f := range folders {
		if f.IsDir() {
			require.True(t, listed[f.Name()], "%s is not in the catalog", f.Name())
		}
	}
}

func TestNamedSources(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	good := file("good.yaml", "references: [{kind: order, id: /data/order}]")
	set, err := With([]Named{{"billing", "standardwebhooks", good}, {"product-events", "standardwebhooks", ""}})
	require.NoError(t, err)
	require.Equal(t, append(Set().Names(), "billing", "product-events"), set.Names())
	require.Equal(t, "order", set.Kinds("billing")[0].Name)
	require.Equal(t, "customer", set.Kinds("product-events")[0].Name)

	bad := file("bad.json", `{"references": [{"kind": "Order", "id": "data"}], "tipe": "/x"}`)
	_, err = With([]Named{{"a", "standardwebhooks", bad}, {"b", "soap", ""}, {"c", "standardwebhooks", filepath.Join(dir, "none.yaml")}})
	for _, problem := range []string{
		"--a-mapping: references[0].kind", "--a-mapping: references[0].id", "--a-mapping: tipe", `gives "b" the format "soap"`, "--c-mapping: open",
	} {
		require.ErrorContains(t, err, problem)
	}
	_, err = With([]Named{{"stripe", "standardwebhooks", ""}})
	require.ErrorContains(t, err, `two sources are named "stripe"`)
}
