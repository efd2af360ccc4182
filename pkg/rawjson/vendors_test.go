package rawjson_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// All that the sources' tests have of vendors' JSON reads as jsontext reads it.
func TestVendorsDocuments(t *testing.T) {
	t.Parallel()
	var files []string
	for _, pattern := range []string{"../source/*/testdata/*.json", "../source/*/testdata/*/*.json"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		files = append(files, found...)
	}
	require.Greater(t, len(files), 100)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		requireReference(t, raw)
		for _, cut := range []int{len(raw) / 3, len(raw) / 2, len(raw) - 2} {
			requireReference(t, raw[:cut])
		}
	}
}
