package postgrestest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/throughline-dev/throughline/pkg/local/pgserver"
)

// seedKept is how long the seed of other migrations or of another Postgres is kept: branches are changed to and fro.
const seedKept = 24 * time.Hour

// copySeed gives a new server the data directory of one that has the template database. It is made once for these
// migrations and this Postgres (throughline/postgrestest below os.UserCacheDir): a copy takes a tenth of what initdb
// and the migrations take, and dozens of test binaries start a server. Without a cache directory that can be written it does nothing.
func copySeed(ctx context.Context, options pgserver.Options) error {
	dir, ok := seedDir()
	if !ok {
		return nil
	}
	hash, err := migrationsHash()
	if err != nil {
		return err
	}
	version, err := pgserver.Version(ctx, options)
	if err != nil {
		return err
	}
	key := sha256.Sum256([]byte(hash + "\x00" + version))
	seed := filepath.Join(dir, hex.EncodeToString(key[:])[:12])
	lock := flock.New(filepath.Join(dir, "lock")) // test binaries of several packages start together
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("waiting for the test servers' seed: %w", err)
	}
	defer lock.Unlock()
	if _, err := os.Stat(seed); errors.Is(err, os.ErrNotExist) {
		if err := makeSeed(ctx, dir, seed); err != nil {
			return fmt.Errorf("making the test servers' seed: %w", err)
		}
	}
	if err := os.CopyFS(options.DataDir, os.DirFS(seed)); err != nil {
		return fmt.Errorf("copying the test servers' seed: %w", err)
	}
	return os.Chmod(options.DataDir, 0o700) // as Postgres demands
}

// seedDir gives a directory that lasts, if this user has one.
func seedDir() (dir string, ok bool) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", false
	}
	dir = filepath.Join(cache, "throughline", "postgrestest")
	return dir, os.MkdirAll(dir, 0o700) == nil
}

// makeSeed runs a server in a temporary directory, and puts its data in place when it has ended in order.
func makeSeed(ctx context.Context, dir, seed string) error {
	if err := removeOldSeeds(dir); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", dirPattern) // where the server's user may go; a killed one's is swept
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil {
		return err
	}
	data := filepath.Join(work, "data")
	server, err := pgserver.Start(ctx, serverOptions(data))
	if err != nil {
		return err
	}
	_, err = prepareTemplate(ctx, server.URL())
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := errors.Join(err, server.Stop(stopCtx)); err != nil {
		return err
	}
	whole := seed + ".new"
	if err := os.RemoveAll(whole); err != nil {
		return err
	}
	if err := os.CopyFS(whole, os.DirFS(data)); err != nil {
		return err
	}
	return os.Rename(whole, seed)
}

func removeOldSeeds(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && entry.IsDir() && time.Since(info.ModTime()) > seedKept {
			if err := os.RemoveAll(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}
