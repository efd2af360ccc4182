package pgserver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"

	"github.com/throughline-dev/throughline/pkg/local/process"
)

// fetchVersion is the release that is fetched where none is installed, of major version fetchMajor.
const (
	fetchVersion = embeddedpostgres.V18
	fetchMajor   = 18
)

// fetch returns the bin directory of the release kept in cacheDir, fetching it into there first if need be.
//
// Of embedded-postgres only the first half is wanted: find the archive for this platform, check its SHA-256,
// unpack it. The second half (initdb, start) does not work as root and wipes data directories. The library has
// no call for the first half alone, so it is given a data directory that os.RemoveAll always refuses (a path
// that ends in "."): Start then returns after unpacking and before it runs anything. Whether it got that far is
// judged by the files.
//
// tell hears how much has come, a few times.
func fetch(cacheDir string, tell func(string)) (string, error) {
	final := filepath.Join(cacheDir, string(fetchVersion))
	if complete(final) {
		return filepath.Join(final, "bin"), nil
	}
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return "", fmt.Errorf("making the cache for postgres: %w", err)
	}
	work, err := os.MkdirTemp(cacheDir, "unpack-")
	if err != nil {
		return "", fmt.Errorf("making the cache for postgres: %w", err)
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil {
		return "", fmt.Errorf("opening the cache for postgres: %w", err)
	}
	ports, err := process.FreePorts(1)
	if err != nil {
		return "", err
	}
	through, err := watch(repository, "fetching PostgreSQL "+string(fetchVersion), tell)
	if err != nil {
		return "", err
	}
	defer through.close()
	unpacked := filepath.Join(work, "postgres")
	startErr := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(fetchVersion).
		Port(uint32(ports[0])). // a port number fits
		CachePath(filepath.Join(work, "archive")).
		RuntimePath(filepath.Join(work, "runtime")).
		BinariesPath(unpacked).
		BinaryRepositoryURL(through.url).
		DataPath(work + string(filepath.Separator) + ".").
		Logger(io.Discard)).Start()
	if !complete(unpacked) {
		return "", fmt.Errorf("fetching postgres %s: %w", fetchVersion, errors.Join(through.failed(), startErr))
	}
	// Another process may have finished first: its copy is as good, and the rename onto it is refused.
	if err := os.Rename(unpacked, final); err != nil && !complete(final) {
		return "", fmt.Errorf("keeping the fetched postgres: %w", err)
	}
	if !complete(final) {
		return "", errors.New("keeping the fetched postgres: programs are missing")
	}
	return filepath.Join(final, "bin"), nil
}

func complete(dir string) bool {
	return executable(filepath.Join(dir, "bin", "initdb")) && executable(filepath.Join(dir, "bin", "postgres"))
}
