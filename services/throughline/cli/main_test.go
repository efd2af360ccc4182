package cli_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/services/throughline/cli"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

// shell is where commands of a test run. Nothing of the machine's environment
// reaches them.
type shell struct {
	t     *testing.T
	env   map[string]string
	input string
	more  []cli.Command
	// tty: all streams are terminals, of width columns (0: not known).
	tty   bool
	width int
}

// inDatabase gives a shell whose commands use a database of the test's own.
func inDatabase(t *testing.T) *shell {
	t.Helper()
	return &shell{t: t, env: map[string]string{"THROUGHLINE_POSTGRES_URL": postgrestest.URL(t), "THROUGHLINE_BY": "kim"}}
}

type result struct {
	code     int
	out, err string
}

func (s *shell) run(args ...string) result {
	s.t.Helper()
	return s.runContext(s.t.Context(), args...)
}

func (s *shell) runContext(ctx context.Context, args ...string) result {
	s.t.Helper()
	var out, err bytes.Buffer
	code := cli.Run(ctx, args, s.streams(&out, &err), s.more...)
	return result{code: code, out: out.String(), err: err.String()}
}

func (s *shell) streams(out, err io.Writer) cli.Streams {
	return cli.Streams{
		In: strings.NewReader(s.input), Out: out, Err: err,
		Env:        func(name string) (string, bool) { value, ok := s.env[name]; return value, ok },
		InTerminal: s.tty, OutTerminal: s.tty, ErrTerminal: s.tty,
		OutWidth: s.width,
	}
}

// must runs a command that has to succeed, and gives what it printed.
func (s *shell) must(args ...string) string {
	s.t.Helper()
	r := s.run(args...)
	require.Zero(s.t, r.code, "throughline %s: %s", strings.Join(args, " "), r.err)
	return r.out
}

// golden runs commands one after the other and compares all that is seen, exit
// codes included, with a file in testdata. scrub takes out what differs from run
// to run.
func (s *shell) golden(file string, scrub func(string) string, commands ...[]string) {
	s.t.Helper()
	var seen strings.Builder
	for _, args := range commands {
		r := s.run(args...)
		fmt.Fprintf(&seen, "$ throughline %s\n%s", strings.Join(args, " "), r.out)
		if r.err != "" {
			fmt.Fprintf(&seen, "[stderr]\n%s", r.err)
		}
		fmt.Fprintf(&seen, "[exit %d]\n\n", r.code)
	}
	got := seen.String()
	if scrub != nil {
		got = scrub(got)
	}
	compare(s.t, filepath.Join("testdata", file+".golden"), got)
}

func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "write it with: go test -update")
	require.Equal(t, string(want), got, "if the change is meant: go test -update")
}

// inEmptyDatabase is inDatabase before the migrations.
func inEmptyDatabase(t *testing.T) *shell {
	t.Helper()
	return &shell{t: t, env: map[string]string{"THROUGHLINE_POSTGRES_URL": postgrestest.EmptyURL(t)}}
}

var (
	took  = regexp.MustCompile(`"took": "[^"]*"`)
	times = regexp.MustCompile(`20\d\d-\d\d-\d\dT[0-9:.]+Z`)
)

func scrubTook(text string) string { return took.ReplaceAllString(text, `"took": "TOOK"`) }

func scrubTimes(text string) string { return times.ReplaceAllString(text, "TIME") }

// start is run for a command that goes on: its output can be read meanwhile.
func (s *shell) start(ctx context.Context, out, err io.Writer, args ...string) int {
	return cli.Run(ctx, args, s.streams(out, err), s.more...)
}

// scrubStatusTime takes out what is now, and leaves the times of the test's records.
func scrubStatusTime(text string) string {
	return times.ReplaceAllStringFunc(text, func(at string) string {
		if strings.HasPrefix(at, "2026-01-0") {
			return at
		}
		return "TIME"
	})
}
