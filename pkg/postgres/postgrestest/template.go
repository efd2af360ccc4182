package postgrestest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/postgres"
)

// templateLock is the advisory lock under which the template is made; any fixed number that nothing else uses.
const templateLock = 7_431_002_218_001

// prepareTemplate makes the migrated database that every test's database is copied from, unless another test
// binary has. Its name holds a hash of the migrations, so a changed schema gets a new one. It is built under
// another name and renamed: one that exists is whole.
func prepareTemplate(ctx context.Context, url string) (string, error) {
	hash, err := migrationsHash()
	if err != nil {
		return "", err
	}
	name := "throughline_test_template_" + hash
	building := name + "_building"
	return name, admin(ctx, url, func(conn *pgx.Conn) error {
		// The lock goes with the connection.
		if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", templateLock); err != nil {
			return fmt.Errorf("waiting for the template database: %w", err)
		}
		var exists bool
		if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists); err != nil || exists {
			return err
		}
		for _, statement := range []string{"DROP DATABASE IF EXISTS " + building, "CREATE DATABASE " + building + " TEMPLATE template0"} {
			if _, err := conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("making the template database: %w", err)
			}
		}
		if err := migrate(ctx, withDatabase(url, building)); err != nil {
			return err
		}
		if _, err := conn.Exec(ctx, "ALTER DATABASE "+building+" RENAME TO "+name); err != nil {
			return fmt.Errorf("naming the template database: %w", err)
		}
		return nil
	})
}

func migrate(ctx context.Context, url string) error {
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return fmt.Errorf("connecting to the template database: %w", err)
	}
	defer pool.Close()
	return postgres.Migrate(ctx, pool, nil)
}

func migrationsHash() (string, error) {
	files, err := postgres.Migrations()
	if err != nil {
		return "", err
	}
	hash := sha256.New()
	err = fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		_, writeErr := fmt.Fprintf(hash, "%s\x00%s\x00", path, text)
		return writeErr
	})
	if err != nil {
		return "", fmt.Errorf("hashing the migrations: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil))[:12], nil
}
