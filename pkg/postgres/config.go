package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// maxConnsLimit is far above what a service needs; a larger number is a slip that would exhaust the server.
const maxConnsLimit = 1000

const (
	defaultPeerTimeout = 20 * time.Second
	// minPeerTimeout is what a busy network may take to send bytes again.
	minPeerTimeout = time.Second
	// maxPeerTimeout is what a machine that is gone should not take to show.
	maxPeerTimeout = 10 * time.Minute
)

// Config is where the database is. It is embedded in a service's configuration and read by kong.
type Config struct {
	URL         settings.URL  `name:"postgres-url" env:"THROUGHLINE_POSTGRES_URL" file:"" placeholder:"URL" help:"Postgres to use: postgres://user:password@host:5432/database."`
	DirectURL   settings.URL  `name:"postgres-direct-url" env:"THROUGHLINE_POSTGRES_DIRECT_URL" file:"" placeholder:"URL" help:"The same database past a connection pooler in transaction mode (pgbouncer): for migrations, LISTEN and advisory locks, which need a session. Not needed where --postgres-url has no pooler in its way."`
	PeerTimeout time.Duration `name:"postgres-peer-timeout" env:"THROUGHLINE_POSTGRES_PEER_TIMEOUT" default:"20s" help:"How long Postgres' machine may be silent, with bytes of ours under way, before a connection counts as broken (${default})."`
	MaxConns    int32         `name:"postgres-max-conns" env:"THROUGHLINE_POSTGRES_MAX_CONNS" default:"10" help:"Most connections of this process to Postgres (${default})."`
}

// Validate reports every problem at once, each with the variable that fixes it. The URL is never part of an
// error, because it may hold a password.
func (c Config) Validate() error {
	var problems []error
	if problem := urlProblem(string(c.URL)); problem != "" {
		problems = append(problems, errors.New("THROUGHLINE_POSTGRES_URL "+problem))
	}
	if problem := urlProblem(string(c.DirectURL)); problem != "" && c.DirectURL != "" {
		problems = append(problems, errors.New("THROUGHLINE_POSTGRES_DIRECT_URL "+problem))
	}
	if c.MaxConns < 1 || c.MaxConns > maxConnsLimit {
		problems = append(problems, fmt.Errorf("THROUGHLINE_POSTGRES_MAX_CONNS is %d: it must be between 1 and %d", c.MaxConns, maxConnsLimit))
	}
	if c.PeerTimeout != 0 && (c.PeerTimeout < minPeerTimeout || c.PeerTimeout > maxPeerTimeout) {
		problems = append(problems, fmt.Errorf("THROUGHLINE_POSTGRES_PEER_TIMEOUT is %v: it must be between %v and %v", c.PeerTimeout, minPeerTimeout, maxPeerTimeout))
	}
	return errors.Join(problems...)
}

// peerTimeout is PeerTimeout, or its default where a program left it out.
func (c Config) peerTimeout() time.Duration {
	if c.PeerTimeout == 0 {
		return defaultPeerTimeout
	}
	return c.PeerTimeout
}

// directConns is how many connections a pool of Direct has at most.
const directConns = 4

// Direct gives the configuration of connections that have a session of their own: to DirectURL where that is set,
// else c itself.
func (c Config) Direct() Config {
	if c.DirectURL != "" {
		c.URL, c.MaxConns = c.DirectURL, directConns
	}
	return c
}

// variable names the setting that the URL is of.
func (c Config) variable() string {
	if c.DirectURL != "" && c.URL == c.DirectURL {
		return "THROUGHLINE_POSTGRES_DIRECT_URL"
	}
	return "THROUGHLINE_POSTGRES_URL"
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
		if problem := filesProblem(err); problem != "" {
			return problem
		}
		return "is a URL that Postgres does not understand (port, sslmode or another parameter): it should be like " + urlExample
	}
	return ""
}
