package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// freePortTries is how often a free port is chosen anew when somebody else takes it before the server does.
const freePortTries = 5

func startOnPort(ctx context.Context, opts Options, bins binaries, own owner) (*Server, error) {
	if opts.Port != 0 {
		if err := portFree(opts); err != nil {
			return nil, err
		}
		return startServer(ctx, opts, opts.Port, bins, own)
	}
	var last error
	for range freePortTries {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		s, err := startServer(ctx, opts, port, bins, own)
		if err == nil || ctx.Err() != nil {
			return s, err
		}
		last = err
	}
	return nil, last
}

func startServer(ctx context.Context, opts Options, port int, bins binaries, own owner) (*Server, error) {
	logPath := filepath.Join(opts.DataDir, "server.log")
	logFile, err := os.Create(logPath)
	if err != nil {
		return nil, fmt.Errorf("making the postgres log: %w", err)
	}
	// The server has its own descriptor once it runs.
	defer logFile.Close()
	proc, err := run(own, logFile, bins.path("postgres"), serverArgs(opts, port)...)
	if err != nil {
		return nil, fmt.Errorf("starting postgres: %w", err)
	}
	s := &Server{opts: opts, port: port, proc: proc}
	if err := s.awaitReady(ctx); err != nil {
		proc.signal(syscall.SIGINT)
		stopErr := proc.wait(context.WithoutCancel(ctx))
		text, readErr := os.ReadFile(logPath)
		if readErr == nil && stopErr != nil {
			return nil, fmt.Errorf("starting postgres: %w: %s (see %s)", err, reason(string(text)), logPath)
		}
		return nil, fmt.Errorf("starting postgres: %w (see %s)", err, logPath)
	}
	return s, nil
}

// serverArgs: loopback only, and no Unix socket, whose path would have to be short and writable.
func serverArgs(opts Options, port int) []string {
	settings := []string{
		"listen_addresses=127.0.0.1",
		"unix_socket_directories=",
		"max_connections=200",
		"logging_collector=off",
		"log_destination=stderr",
	}
	if opts.Unsafe {
		settings = append(settings, "fsync=off", "synchronous_commit=off", "full_page_writes=off", "autovacuum=off")
	}
	args := []string{"-D", opts.DataDir, "-p", strconv.Itoa(port)}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return args
}

var errExited = errors.New("the server ended")

// awaitReady waits until the server answers a query. While it recovers it refuses connections.
func (s *Server) awaitReady(ctx context.Context) error {
	for {
		err := s.ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.proc.done:
			return errExited
		case <-ctx.Done():
			return fmt.Errorf("waiting for it to answer: %w", errors.Join(ctx.Err(), err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *Server) ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.urlOf("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	// Another server may have taken the port between our look and this one's start.
	var dir string
	if err := conn.QueryRow(ctx, "SHOW data_directory").Scan(&dir); err != nil {
		return err
	}
	if dir != s.opts.DataDir {
		return fmt.Errorf("port %d belongs to another server", s.port)
	}
	return nil
}

func (s *Server) createDatabase(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.urlOf("postgres"))
	if err != nil {
		return fmt.Errorf("connecting to the new server: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var exists bool
	err = conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", s.opts.Database).Scan(&exists)
	if err != nil {
		return fmt.Errorf("looking for database %s: %w", s.opts.Database, err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{s.opts.Database}.Sanitize()); err != nil {
		return fmt.Errorf("creating database %s: %w", s.opts.Database, err)
	}
	return nil
}

func portFree(opts Options) error {
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(opts.Port)))
	if err == nil {
		return listener.Close()
	}
	if !errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("opening port %d for postgres: %w", opts.Port, err)
	}
	advice := "stop what listens there"
	if opts.PortSetting != "" {
		advice += ", or choose another port with " + opts.PortSetting
	}
	return fmt.Errorf("port 127.0.0.1:%d for postgres is taken: %s", opts.Port, advice)
}

func freePort() (int, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("finding a free port for postgres: %w", err)
	}
	defer listener.Close()
	addr, ok := listener.Addr().(*net.TCPAddr)
	if !ok {
		return 0, errors.New("finding a free port for postgres: the listener has no TCP address")
	}
	return addr.Port, nil
}
