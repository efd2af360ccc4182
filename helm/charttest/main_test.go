package charttest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write what is generated: files/settings.yaml and the table of README.md")

const chart = "../throughline"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func read(t testing.TB, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return string(text)
}

// load reads a YAML file of the chart strictly.
func load[T any](t testing.TB, file string) T {
	t.Helper()
	var v T
	require.NoError(t, yaml.Unmarshal([]byte(read(t, chart, file)), &v), file)
	return v
}

// compare holds a generated file to what it should be, or writes it with -update.
func compare(t testing.TB, path, want string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(want), 0o644))
	}
	require.Empty(t, difference(want, read(t, path)), "%s is not what the code says: go test ./helm/charttest -update", path)
}

// difference gives the first line that is not the wanted one.
func difference(want, have string) string {
	lines := strings.Split(have, "\n")
	for i, line := range strings.Split(want, "\n") {
		if i >= len(lines) || line != lines[i] {
			return fmt.Sprintf("line %d should be %q", i+1, line)
		}
	}
	if len(have) > len(want) {
		return "it goes on"
	}
	return ""
}
