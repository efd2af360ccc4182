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
	listed := map[string]bool{"catalog": true, "sourcetest": true, "testdata": true}
	for _, s := range Sources() {
		name := s.Name()
		require.Regexp(t, `^[a-z0-9]+$`, name)
		require.False(t, listed[name], "%s is listed twice", name)
		listed[name] = true
		found, ok := Find(name)
		require.True(t, ok)
		require.Equal(t, name, found.Name())
		require.Equal(t, s.Profile().Kinds, Kinds(name))

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
		for _, call := range []string{"sourcetest.Run(", "sourcetest.Fuzz("} {
			require.Contains(t, string(tests), call, name)
		}
	}
	folders, err := os.ReadDir("..")
	require.NoError(t, err)
	for _, f := range folders {
		if f.IsDir() {
			require.True(t, listed[f.Name()], "%s is not in the catalog", f.Name())
		}
	}
	_, ok := Find("pigeon")
	require.False(t, ok)
	require.Nil(t, Kinds("pigeon"))
}
