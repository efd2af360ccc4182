package kafka

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/local/process"
)

// lockPoll is how often a fetch that waits for another looks again.
const lockPoll = 100 * time.Millisecond

//go:embed pom.xml
var pom []byte

// Fetch brings Kafka's jars into the user's cache directory
// (throughline/kafka-4.3.1 under os.UserCacheDir), unless they are there, and
// gives that directory. Start does it by itself; a set-up step calls it so that
// the first test does not wait. Maven does the fetching, as the machine has it
// configured; a missing mvn gives one line that says what to install.
func Fetch(ctx context.Context, log *zap.Logger) (dir string, err error) {
	if log == nil {
		log = zap.NewNop()
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache directory: %w", err)
	}
	cache = filepath.Join(cache, "throughline")
	dir = filepath.Join(cache, "kafka-"+Version)
	if complete(dir) {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("making the cache directory: %w", err)
	}
	// One fetch at a time: test binaries of several packages start together.
	lock := flock.New(dir + ".lock")
	if _, err := lock.TryLockContext(ctx, lockPoll); err != nil {
		return "", fmt.Errorf("waiting for another fetch of Kafka: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if complete(dir) {
		return dir, nil
	}
	began := time.Now()
	log.Info("fetching Kafka with Maven, once", zap.String("version", Version), zap.String("into", dir))
	if err := fetchInto(ctx, cache, dir); err != nil {
		return "", fmt.Errorf("fetching Kafka %s: %w", Version, err)
	}
	log.Info("fetched Kafka", zap.Duration("took", time.Since(began)))
	return dir, nil
}

// classPath lists the jars of a directory one by one and in order, since a wildcard
// has none.
func classPath(dir string) (string, error) {
	jars, err := filepath.Glob(filepath.Join(dir, "*.jar"))
	if err != nil {
		return "", fmt.Errorf("listing Kafka's jars: %w", err)
	}
	return strings.Join(jars, string(os.PathListSeparator)), nil
}

// complete says whether dir holds what the present pom.xml asks for. The copy
// of it is written last, and the directory gets its name after that.
func complete(dir string) bool {
	have, err := os.ReadFile(filepath.Join(dir, "pom.xml"))
	return err == nil && bytes.Equal(have, pom)
}

// fetchInto fills a directory beside dir and gives it dir's name when it is
// whole, so that a fetch that was cut off is never taken for a good one.
func fetchInto(ctx context.Context, cache, dir string) error {
	work, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	// Maven reads the pom from outside the directory it fills.
	pomFile, jars := filepath.Join(work, "pom.xml"), filepath.Join(work, "jars")
	if err := os.WriteFile(pomFile, pom, 0o644); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "mvn", "--batch-mode", "--quiet", "--file", pomFile,
		"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+jars)
	out, err := process.Run(cmd)
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("mvn is missing: %s", installHint)
	}
	if err != nil {
		return fmt.Errorf("running mvn: %w\n%s", err, process.LastLines(out, tailLines))
	}
	if err := os.WriteFile(filepath.Join(jars, "pom.xml"), pom, 0o644); err != nil {
		return err
	}
	// What another pom.xml brought goes; brokers that run on it have its
	// files open and do not mind.
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(jars, dir)
}
