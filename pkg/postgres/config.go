package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// connectTimeout bounds one connection attempt, so that an address which swallows packets shows as an error.
const connectTimeout = 5 * time.Second

// maxConnsLimit is far above what a service needs; a larger number is a slip that would exhaust the server.
const maxConnsLimit = 1000

// Config is where the database is. It is embedded in a service's configuration and read by kong.
type Config struct {
	URL      settings.URL `name:"postgres-url" env:"THROUGHLINE_POSTGRES_URL" file:"" placeholder:"URL" help:"Postgres to use: postgres://user:password@host:5432/database."`
	MaxConns int32        `name:"postgres-max-conns" env:"THROUGHLINE_POSTGRES_MAX_CONNS" default:"10" help:"Most connections of this process to Postgres (${default})."`
}

// Validate reports every problem at once, each with the variable that fixes it. The URL is never part of an
// error, because it may hold a password.
func (c Config) Validate() error {
	var problems []error
	if problem := urlProblem(string(c.URL)); problem != "" {
		problems = append(problems, errors.New("THROUGHLINE_POSTGRES_URL "+problem))
	}
	if c.MaxConns < 1 || c.MaxConns > maxConnsLimit {
		problems = append(problems, fmt.Errorf("THROUGHLINE_POSTGRES_MAX_CONNS is %d: it must be between 1 and %d", c.MaxConns, maxConnsLimit))
	}
	return errors.Join(problems...)
}

const urlExample = "postgres://user:password@host:5432/database"

func urlProblem(raw string) string {
	if raw == "" {
		return "is not set: it should be like " + urlExample
	}
	u, err := url.Parse(raw)
	if err != nil {
		return "is not a URL (are special characters of the password percent-encoded?): it should be like " + urlExample
	}
	if u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return "does not begin with postgres://: it should be like " + urlExample
	}
	if u.Host == "" && !u.Query().Has("host") {
		return "names no host: it should be like " + urlExample
	}
	if _, err := pgxpool.ParseConfig(raw); err != nil {
		return "is a URL that Postgres does not understand (port, sslmode or another parameter): it should be like " + urlExample
	}
	return ""
}

// Open validates the configuration, makes a pool whose connections carry name as their application_name (what
// pg_stat_activity shows), and proves that the database answers. It does not retry. The caller closes the pool.
func Open(ctx context.Context, c Config, name string) (*pgxpool.Pool, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	pc, err := pgxpool.ParseConfig(string(c.URL))
	if err != nil {
		return nil, errors.New("reading THROUGHLINE_POSTGRES_URL: it is not understood")
	}
	pc.MaxConns = c.MaxConns
	pc.ConnConfig.ConnectTimeout = connectTimeout
	pc.ConnConfig.RuntimeParams["application_name"] = name
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("making the Postgres pool: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("connecting to Postgres (THROUGHLINE_POSTGRES_URL): %w", err)
	}
	return pool, nil
}
