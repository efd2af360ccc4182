package pgserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/local/process"
)

// writePasswords makes the file of the passwords anew, for a new data directory, and one in dir from which initdb
// reads the superuser's. The caller removes the latter.
func writePasswords(o Options, dir string, own owner) (forInitdb string, err error) {
	superuser := rand.Text()
	text := fmt.Sprintf("127.0.0.1:*:*:%s:%s\n127.0.0.1:*:*:%s:%s\n", o.superuser(), superuser, o.User, rand.Text())
	if err := process.ReplaceFile(o.PassFile, []byte(text), 0o600); err != nil {
		return "", err
	}
	file, err := os.CreateTemp(dir, ".initdb-password-") // 0600
	if err != nil {
		return "", fmt.Errorf("writing the password for initdb: %w", err)
	}
	_, err = file.WriteString(superuser + "\n")
	if err = errors.Join(err, file.Close(), own.take(file.Name())); err != nil {
		return "", errors.Join(fmt.Errorf("writing the password for initdb: %w", err), os.Remove(file.Name()))
	}
	return file.Name(), nil
}

// password gives a role's password, from the file.
func (o Options) password(role string) (string, error) {
	text, err := os.ReadFile(o.PassFile)
	if err != nil {
		return "", fmt.Errorf("reading the postgres passwords: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if password, ok := strings.CutPrefix(strings.TrimSpace(line), "127.0.0.1:*:*:"+role+":"); ok {
			return password, nil
		}
	}
	return "", fmt.Errorf("reading the postgres passwords: %s has none for %s", o.PassFile, role)
}

// checkPasswords refuses a data directory whose passwords are not known, as those of earlier versions are, which let
// every local user in.
func checkPasswords(o Options) error {
	if o.PassFile == "" {
		return nil
	}
	_, err := os.Stat(o.PassFile)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the passwords of %s are not known: there is no %s, and none is made by versions that let every local user in; move the directory away to begin anew", o.DataDir, o.PassFile)
	}
	if err != nil {
		return fmt.Errorf("looking for the postgres passwords: %w", err)
	}
	return nil
}

// prepareDatabase makes the role and the database where they are missing, and runs Setup.
func (s *Server) prepareDatabase(ctx context.Context) error {
	o := s.opts
	err := s.asSuperuser(ctx, "postgres", func(conn *pgx.Conn) error {
		if err := s.createRole(ctx, conn); err != nil {
			return err
		}
		var exists bool
		err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", o.Database).Scan(&exists)
		if err != nil || exists {
			return err
		}
		_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{o.Database}.Sanitize()+" OWNER "+pgx.Identifier{o.User}.Sanitize())
		return err
	})
	if err != nil {
		return fmt.Errorf("creating database %s: %w", o.Database, err)
	}
	if o.Setup == "" {
		return nil
	}
	err = s.asSuperuser(ctx, o.Database, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, o.Setup)
		return err
	})
	if err != nil {
		return fmt.Errorf("setting up database %s: %w", o.Database, err)
	}
	return nil
}

// createRole makes User, a role without any right of its own, with its password.
func (s *Server) createRole(ctx context.Context, conn *pgx.Conn) error {
	if s.opts.PassFile == "" {
		return nil // initdb made it
	}
	var exists bool
	err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)", s.opts.User).Scan(&exists)
	if err != nil || exists {
		return err
	}
	password, err := s.opts.password(s.opts.User)
	if err != nil {
		return err
	}
	// It is letters and digits. The server keeps no log of statements.
	_, err = conn.Exec(ctx, "CREATE ROLE "+pgx.Identifier{s.opts.User}.Sanitize()+" LOGIN PASSWORD '"+password+"'")
	return err
}

func (s *Server) asSuperuser(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, s.urlOf(s.opts.superuser(), database))
	if err != nil {
		return fmt.Errorf("connecting to the new server: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return do(conn)
}
