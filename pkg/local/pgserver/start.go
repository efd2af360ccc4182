package pgserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/local/process"
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
		ports, err := process.FreePorts(1)
		if err != nil {
			return nil, fmt.Errorf("starting postgres: %w", err)
		}
		s, err := startServer(ctx, opts, ports[0], bins, own)
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
	cmd := command(context.Background(), own, bins.path("postgres"), serverArgs(opts, port)...) // Stop ends it
	cmd.Env = append(cmd.Env, opts.Env...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	proc, err := process.Start(cmd)
	if err != nil {
		return nil, fmt.Errorf("starting postgres: %w", err)
	}
	s := &Server{opts: opts, port: port, proc: proc}
	// While it recovers it refuses connections.
	err = proc.Await(ctx, s.ping)
	if err == nil {
		return s, nil
	}
	ended := !proc.Running()
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), quitGrace)
	defer cancel()
	if stopErr := s.Stop(stopCtx); stopErr != nil {
		err = fmt.Errorf("%w (%w)", err, stopErr)
	}
	if text, readErr := os.ReadFile(logPath); readErr == nil && ended {
		err = fmt.Errorf("%w: %s", process.ErrEnded, reason(string(text)))
	}
	return nil, fmt.Errorf("starting postgres: %w (see %s)", err, logPath)
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

// command runs a program as the owner's user. It runs in the root directory, which every user can enter; all its
// paths are absolute.
func command(ctx context.Context, own owner, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = "/"
	// Messages in English for reason, and no PG* variable of the user's that would redirect the server.
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH"), "TZ=UTC"}
	cmd.SysProcAttr = own.attributes()
	return cmd
}

func (s *Server) ping(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.urlOf(s.opts.superuser(), "postgres"))
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
