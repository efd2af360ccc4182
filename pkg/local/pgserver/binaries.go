package pgserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"go.uber.org/zap"
)

// minMajor is the oldest Postgres that the schema is tested with.
const minMajor = 15

// installDirs are where packages put server programs that are not on PATH: Debian and Ubuntu, the PostgreSQL
// yum repository, Alpine, Homebrew on Apple silicon and on Intel, Postgres.app.
var installDirs = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/usr/libexec/postgresql*",
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
	"/Applications/Postgres.app/Contents/Versions/*/bin",
}

// binaries is one installation: the directory of initdb and postgres, and their major version.
type binaries struct {
	dir   string
	major int
}

func (b binaries) path(program string) string { return filepath.Join(b.dir, program) }

// locate finds the programs to run. For a data directory that exists they are those of its major version: installed,
// kept from an earlier fetch, or fetched. Else they are the newest that are installed, else those that were or can be
// fetched.
func locate(ctx context.Context, opts Options) (binaries, error) {
	want := dataMajor(opts.DataDir)
	here := installed(ctx, append([]string{pathDir()}, expand(installDirs)...))
	if best, ok := choose(here, want); ok {
		return best, nil
	}
	kept := installed(ctx, expand([]string{filepath.Join(opts.CacheDir, "*", "bin")}))
	if best, ok := choose(kept, want); ok {
		return best, nil
	}
	if want != 0 && want != fetchMajor {
		return binaries{}, fmt.Errorf("postgres data directory %s was made by version %d, which is not installed: "+
			"install postgresql-%d, or move the directory away to start with an empty database", opts.DataDir, want, want)
	}
	opts.Log.Info("fetching PostgreSQL, once", zap.String("version", string(fetchVersion)), zap.String("into", opts.CacheDir))
	dir, err := fetch(opts.CacheDir, opts.Tell)
	if err != nil {
		return binaries{}, fmt.Errorf("no PostgreSQL %d or newer found, and fetching it did not work: install it "+
			"(apt-get install postgresql, brew install postgresql) or set THROUGHLINE_POSTGRES_URL to a running one (%w)", minMajor, err)
	}
	if fetched, ok := choose(installed(ctx, []string{dir}), want); ok {
		return fetched, nil
	}
	return binaries{}, fmt.Errorf("the PostgreSQL programs fetched to %s do not run here: install PostgreSQL %d or newer "+
		"(apt-get install postgresql)", dir, minMajor)
}

// choose returns the installation of the wanted major version, or the newest when want is 0.
func choose(found []binaries, want int) (binaries, bool) {
	var best binaries
	for _, b := range found {
		if (want == 0 || b.major == want) && b.major > best.major {
			best = b
		}
	}
	return best, best.dir != ""
}

// installed keeps of dirs those that hold an initdb and a postgres recent enough, in the given order.
func installed(ctx context.Context, dirs []string) []binaries {
	var found []binaries
	for _, dir := range dirs {
		if dir == "" || !executable(filepath.Join(dir, "initdb")) || !executable(filepath.Join(dir, "postgres")) {
			continue
		}
		out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
		if major := versionMajor(string(out)); err == nil && major >= minMajor {
			found = append(found, binaries{dir: dir, major: major})
		}
	}
	return found
}

// pathDir is the directory of the initdb on PATH, links resolved: initdb looks for postgres beside itself.
func pathDir() string {
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		return ""
	}
	if target, err := filepath.EvalSymlinks(initdb); err == nil {
		initdb = target
	}
	return filepath.Dir(initdb)
}

func expand(patterns []string) []string {
	var dirs []string
	for _, pattern := range patterns {
		matches, err := filepath.Glob(pattern)
		if err == nil {
			dirs = append(dirs, matches...)
		}
	}
	return dirs
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir() && info.Mode()&0o111 != 0
}

// versionMajor reads "postgres (PostgreSQL) 15.18 (Debian …)"; 0 when it is something else. Betas read "18beta1".
func versionMajor(version string) int {
	match := regexp.MustCompile(`\(PostgreSQL\) (\d+)`).FindStringSubmatch(version)
	if match == nil {
		return 0
	}
	major, err := strconv.Atoi(match[1])
	if err != nil {
		return 0
	}
	return major
}

// dataMajor is the major version that a data directory belongs to; 0 when there is none yet.
func dataMajor(dataDir string) int {
	text, err := os.ReadFile(filepath.Join(dataDir, "PG_VERSION"))
	if err != nil {
		return 0
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return major
}
