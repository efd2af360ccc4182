package cli_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/throughline/cli"
)

const root = "../../.."

// pages gives the text of every page for operators, by its path.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, dir := range []string{"README.md", "docs", "services", "pkg"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || filepath.Ext(path) != ".md" || strings.Contains(path, "/adr/") {
				return err
			}
			text, err := os.ReadFile(path)
			found[path] = string(text)
			return err
		}))
	}
	require.Greater(t, len(found), 20)
	return found
}

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// Every command of ours in a shell block of a page is one that the command line
// takes, flags and arguments included.
func TestDocumentedCommandsAreRight(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t, env: map[string]string{}}
	tried := 0
	for path, text := range pages(t) {
		for _, block := range shellBlock.FindAllStringSubmatch(text, -1) {
			for line := range strings.Lines(block[1]) {
				line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
				command, ok := strings.CutPrefix(strings.TrimPrefix(line, "bin/"), "throughline ")
				if !ok || strings.ContainsAny(command, "|<>$\\…") {
					continue
				}
				tried++
				r := sh.run(append(words(command), "--validate")...)
				if strings.Contains(r.err, "no such file") { // the reader's
					continue
				}
				require.Zero(t, r.code, "%s: %s: %s", path, line, r.err)
			}
		}
	}
	require.Greater(t, tried, 80)
}

// Each example of --help is a command line that is taken as it stands, and stands in the --help of its command.
func TestExamplesCanBeTyped(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t, env: map[string]string{}}
	for path, lines := range cli.ShownLines() {
		help := sh.run(append(words(path), "--help")...)
		require.Zero(t, help.code, help.err)
		for _, line := range lines {
			require.True(t, strings.HasPrefix(line, path), line)
			require.Contains(t, help.out, "\n    throughline "+line+" ")
			r := sh.run(append(words(line), "--validate")...)
			require.Zero(t, r.code, "%s: %s", line, r.err)
		}
	}
}

// words splits a command line at blanks outside of quotes.
func words(command string) []string {
	var args []string
	for i, part := range strings.Split(command, "'") {
		if i%2 == 1 {
			args = append(args, part)
		} else {
			args = append(args, strings.Fields(part)...)
		}
	}
	return args
}

var (
	variable = regexp.MustCompile("`(THROUGHLINE_[A-Z_]+[A-Z])(=|`)|export (THROUGHLINE_[A-Z_]+)=")
	named    = regexp.MustCompile("^THROUGHLINE_[A-Z]+_(SECRETS|PUBLIC_URL|MAX_RATE|TENANT|TEST_DATA|MAPPING|API_KEY|API_URL)$")
)

// Every variable that a page names is a setting.
func TestDocumentedVariablesExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "docs/operations/settings.md"))
	require.NoError(t, err)
	known := string(text) + " `THROUGHLINE_BY` `THROUGHLINE_EGRESS_ALLOW_PRIVATE` `THROUGHLINE_QUARANTINE_RETENTION` `THROUGHLINE_FINDINGS_RETENTION` `THROUGHLINE_AUDIT_RETENTION` "
	for path, text := range pages(t) {
		for _, m := range variable.FindAllStringSubmatch(text, -1) {
			name := m[1] + m[3]
			bare := strings.TrimSuffix(name, "_FILE")
			if !named.MatchString(bare) && name != "THROUGHLINE_TENANTS" && !strings.HasPrefix(name, "THROUGHLINE_TEST_") { // removed; of tests
				require.True(t, strings.Contains(known, "`"+bare+"`") || strings.Contains(known, "`"+name+"`"), "%s names %s, which is no setting", path, name)
			}
		}
	}
}

// The reference names every topic, header, table and column.
func TestTheReferenceIsComplete(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join(root, "docs/reference/README.md"))
	require.NoError(t, err)
	page := string(content)
	for _, name := range []string{
		stream.AccountEvents, stream.DeadLetters, stream.AccountChanges, stream.HeaderSource, stream.HeaderReceivedAt, stream.HeaderDelivery,
		stream.HeaderTenant, stream.HeaderTraceparent, stream.HeaderQuarantineID, stream.HeaderAttempts, stream.HeaderFirstSeen,
	} {
		require.Contains(t, page, "`"+name+"`")
	}
	sh := &shell{t: t, env: map[string]string{"THROUGHLINE_POSTGRES_URL": postgrestest.URL(t)}}
	rows, err := sh.pool().Query(t.Context(), `SELECT column_name::text FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = 'account_events'`)
	require.NoError(t, err)
	defer rows.Close()
	columns := 0
	for rows.Next() {
		var column string
		require.NoError(t, rows.Scan(&column))
		require.Contains(t, page, "| `"+column+"` | ")
		columns++
	}
	require.Equal(t, 8, columns)
}
