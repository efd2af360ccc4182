package cli

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

var envTag = regexp.MustCompile(`\benv:"(THROUGHLINE_[A-Z0-9_]+)"`)

// pkg/settings/variables.txt has every variable, so that each program can tell a misspelt one from another program's.
func TestVariablesAreListed(t *testing.T) {
	t.Parallel()
	var all []string
	views, err := allSettings()
	require.NoError(t, err)
	for _, v := range views {
		for variable := range strings.SplitSeq(v.Variable+", "+v.FileVariable, ", ") {
			all = append(all, variable)
			for _, name := range catalog.Set().Names() {
				all = append(all, strings.ReplaceAll(variable, settings.SourceVariable("<source>", ""), settings.SourceVariable(name, "")))
			}
		}
	}
	for _, dir := range []string{"pkg", "services"} { // and what commands alone read
		require.NoError(t, filepath.WalkDir(filepath.Join("../../..", dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			for _, m := range envTag.FindAllStringSubmatch(string(text), -1) {
				all = append(all, m[1])
			}
			return err
		}))
	}
	slices.Sort(all)
	all = slices.DeleteFunc(slices.Compact(all), func(variable string) bool { return variable == "" })
	list := strings.Join(all, "\n") + "\n"
	const path = "../../../pkg/settings/variables.txt"
	if flag.Lookup("update").Value.String() == "true" {
		require.NoError(t, os.WriteFile(path, []byte(list), 0o644))
		return
	}
	there, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, list, string(there), "write it with: go test -update")
}
