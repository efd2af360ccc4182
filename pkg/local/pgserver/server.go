package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/local/process"
)

// startTimeout bounds one start of the server, crash recovery of a large data directory included.
const startTimeout = 60 * time.Second

// Options say which server to run.
type Options struct {
	// DataDir holds the database files. It is created when absent and found again by the next Start. Required.
	DataDir string
	// Port on 127.0.0.1; 0 takes a free one.
	Port int
	// PortSetting is what the user changes to choose another port ("--postgres-port or THROUGHLINE_…"). It is
	// only read for the error that says the port is taken; empty names no setting.
	PortSetting string
	// User owns Database, and URL is for it; empty is "throughline". Without PassFile it is the superuser.
	User string
	// Database is created when absent; empty is "throughline".
	Database string
	// PassFile, if set, keeps random passwords of User, which is no superuser then, and of the superuser, "postgres",
	// in libpq's format, readable by this process's user alone. Without it every user of the machine may do all that
	// the server's user may: for tests.
	PassFile string
	// Setup, if set, is run in Database at each start, as superuser.
	Setup string
	// CacheDir is where fetched programs are kept; empty is throughline/postgres below os.UserCacheDir, or for root
	// below /var/cache, because the server's user cannot run programs from root's home.
	CacheDir string
	// Unsafe gives up durability (fsync, synchronous commit, full page writes) for speed: for tests, whose data
	// nobody needs after a crash.
	Unsafe bool
	// Env are variables of the server's process beside its own ("NAME=value"): for tests.
	Env []string
	// Tell, if set, hears in words for people what takes long: the fetch of the programs.
	Tell func(line string)
	// Log may be nil. The server's own log goes to server.log in DataDir, begun anew at each start.
	Log *zap.Logger
}

// Server is one running server. Its methods may be called from any goroutine.
type Server struct {
	opts Options
	port int
	proc *process.Process
}

// Start runs a server and returns when it accepts connections and Database exists. The context bounds the start
// alone; the server runs until Stop, or until this process ends.
//
// Every error is one line that says what to do: no programs, a taken port, a data directory that is in use or
// belongs to another major version.
func Start(ctx context.Context, opts Options) (*Server, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	bins, err := locate(ctx, opts)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	owner, err := ownerFor(opts.DataDir)
	if err != nil {
		return nil, err
	}
	if err := prepareDataDir(ctx, opts, bins, owner); err != nil {
		return nil, err
	}
	s, err := startOnPort(ctx, opts, bins, owner)
	if err != nil {
		return nil, err
	}
	if err := s.prepareDatabase(ctx); err != nil {
		return nil, errors.Join(err, s.Stop(context.WithoutCancel(ctx)))
	}
	opts.Log.Info("postgres started", zap.Int("port", s.port), zap.Int("major", bins.major), zap.String("data", opts.DataDir))
	return s, nil
}

// URL is the connection string of the database, for pgx and libpq. It names the file of the password, if there is one.
func (s *Server) URL() string { return s.urlOf(s.opts.User, s.opts.Database) }

// Port is the port on 127.0.0.1 that the server listens on.
func (s *Server) Port() int { return s.port }

// Done is closed when the server has ended, whether by Stop or by itself.
func (s *Server) Done() <-chan struct{} { return s.proc.Done() }

// Stop ends the server: it disconnects every client, writes a checkpoint and waits for the end. When ctx ends
// first the server is told to quit at once, which its next start repairs. Stopping twice is harmless.
func (s *Server) Stop(ctx context.Context) error {
	s.proc.Signal(syscall.SIGINT)
	select {
	case <-s.proc.Done():
		return nil
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), quitGrace)
	defer cancel()
	// It ends one way or the other; ctx's end is what the caller hears of.
	_ = s.proc.Stop(grace, syscall.SIGQUIT)
	return fmt.Errorf("stopping postgres: it did not end in time and was told to quit: %w", ctx.Err())
}

// quitGrace is what Postgres itself waits (5 s) before it kills the children of a server that quits at once.
const quitGrace = 6 * time.Second

func (o Options) withDefaults() (Options, error) {
	if o.DataDir == "" {
		return o, errors.New("starting postgres: no data directory given")
	}
	dir, err := filepath.Abs(o.DataDir)
	if err != nil {
		return o, fmt.Errorf("finding the postgres data directory: %w", err)
	}
	o.DataDir = dir
	if o.PassFile != "" {
		if o.PassFile, err = filepath.Abs(o.PassFile); err != nil {
			return o, fmt.Errorf("finding the file of the postgres passwords: %w", err)
		}
	}
	if o.User == "" {
		o.User = "throughline"
	}
	if o.Database == "" {
		o.Database = "throughline"
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Tell == nil {
		o.Tell = func(string) {}
	}
	if o.CacheDir == "" {
		o.CacheDir = filepath.Join(cacheBase(), "throughline", "postgres")
	}
	return o, nil
}

func cacheBase() string {
	if os.Geteuid() == 0 {
		return "/var/cache"
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return os.TempDir() // no home directory
	}
	return base
}

func (s *Server) urlOf(user, database string) string {
	query := "sslmode=disable"
	if s.opts.PassFile != "" {
		query += "&passfile=" + strings.ReplaceAll(url.QueryEscape(s.opts.PassFile), "+", "%20") // libpq knows no plus
	}
	u := url.URL{
		Scheme:   "postgres",
		User:     url.User(user),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path:     "/" + database,
		RawQuery: query,
	}
	return u.String()
}

// superuser is who initdb makes.
func (o Options) superuser() string {
	if o.PassFile != "" {
		return "postgres"
	}
	return o.User
}
