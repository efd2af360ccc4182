// Package dev runs all of Throughline in one process on one machine: broker,
// schema registry, Postgres, every service, and a demo story that goes through
// the real receivers. It is what `make run` starts.
package dev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"

	"github.com/throughline-dev/throughline/pkg/alert/receivers"
	"github.com/throughline-dev/throughline/pkg/local/broker"
	"github.com/throughline-dev/throughline/pkg/local/process"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/services/throughline/cli"
)

// Command is `throughline dev` as kong reads it.
type Command struct {
	NoDemo    bool   `name:"no-demo" help:"Start empty, without the demo story."`
	ReadyFile string `name:"ready-file" type:"path" placeholder:"PATH" help:"Write the addresses to this file, as JSON, when everything is up; it is removed at the end."`
	DataDir   string `name:"data-dir" default:".throughline" type:"path" placeholder:"DIR" help:"Data directory, kept between starts (${default})."`

	Listen       string `name:"listen" env:"THROUGHLINE_RECEIVER_LISTEN" default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address of the receivers (${default})."`
	ConsoleAddr  string `name:"console-addr" default:"127.0.0.1:8088" placeholder:"HOST:PORT" help:"Address of the console and the HTTP API, on loopback (${default})."`
	AdminAddr    string `name:"admin-addr" default:"127.0.0.1:9090" placeholder:"HOST:PORT" help:"Address of /metrics, /livez and /readyz (${default})."`
	KafkaAddr    string `name:"kafka-addr" default:"127.0.0.1:19092" placeholder:"HOST:PORT" help:"Address of the embedded broker, on loopback (${default})."`
	RegistryAddr string `name:"registry-addr" default:"127.0.0.1:18081" placeholder:"HOST:PORT" help:"Address of the embedded schema registry (${default})."`
	PostgresPort int    `name:"postgres-port" default:"15432" placeholder:"PORT" help:"Port of the local Postgres on 127.0.0.1 (${default})."`

	Pprof bool `name:"pprof" env:"THROUGHLINE_PPROF" help:"Serve profiles on the admin address, under /debug/pprof/."`

	RegistryURL settings.URL `name:"schema-registry-url" env:"THROUGHLINE_SCHEMA_REGISTRY_URL" placeholder:"URL" help:"Use this schema registry instead of the embedded one."`

	Resolve resolve.Config   `embed:""`
	Alerts  receivers.Config `embed:"" group:"Alerts"`
}

// Validate gives every problem at once.
func (c *Command) Validate() error {
	var problems []error
	for flag, addr := range c.addresses() {
		if problem := problemOf(addr); problem != "" {
			problems = append(problems, fmt.Errorf("%s is %q: %s", flag, addr, problem))
		}
	}
	if host, _, err := net.SplitHostPort(c.KafkaAddr); err == nil && !broker.ListensOn(host) {
		problems = append(problems, fmt.Errorf("--kafka-addr is %q: the embedded broker listens on 127.0.0.1 only; for another host set THROUGHLINE_KAFKA_BROKERS to a real Kafka", c.KafkaAddr))
	}
	if c.DataDir == "" {
		problems = append(problems, errors.New("--data-dir is empty"))
	}
	if c.PostgresPort < 0 || c.PostgresPort > 65535 {
		problems = append(problems, fmt.Errorf("--postgres-port is %d: it should be 0 (a free one) to 65535", c.PostgresPort))
	}
	return errors.Join(append(problems, c.Alerts.Validate())...)
}

// problemOf says why nothing can listen at an address; "" when nothing is known against it.
func problemOf(addr string) string {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "it should be like 127.0.0.1:8080"
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "its port should be 0 (a free one) to 65535"
	}
	return ""
}

// Run is kong's way to Start, as a command of the throughline command line.
func (c *Command) Run(ctx context.Context, out io.Writer, set cli.Connections) error {
	return c.Start(ctx, out, set)
}

// Start starts everything, says on out what there is, and works until ctx ends.
// Brokers and a database that set names are used instead of those of its own.
// Every error is a line that says what to do.
func (c *Command) Start(ctx context.Context, out io.Writer, set cli.Connections) (err error) {
	started := time.Now()
	if err := c.makeDataDir(); err != nil {
		return fmt.Errorf("making the data directory (--data-dir): %w", err)
	}
	lock, err := c.lockData()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	if c.ReadyFile != "" {
		if err := os.Remove(c.ReadyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing an old ready file (--ready-file): %w", err)
		}
	}
	logFile, err := os.OpenFile(filepath.Join(c.DataDir, logName), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("opening the log (--data-dir): %w", err)
	}
	defer func() { err = errors.Join(err, logFile.Close()) }()

	s := &stack{command: c, set: set, out: out, rt: service.NewRuntime(service.Options{
		Name: "dev", Log: service.NewLogger(logFile, "dev", "info", "json"), StopTimeout: stopTimeout,
	})}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.open(ctx); err != nil {
		return c.orAnotherPort(err)
	}
	return c.orAnotherPort(s.run(ctx, started))
}

// addresses gives the addresses to listen at, by flag.
func (c *Command) addresses() map[string]string {
	return map[string]string{"--listen": c.Listen, "--console-addr": c.ConsoleAddr, "--admin-addr": c.AdminAddr, "--kafka-addr": c.KafkaAddr, "--registry-addr": c.RegistryAddr}
}

// orAnotherPort says how another address is chosen, where one is taken.
func (c *Command) orAnotherPort(err error) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	for flag, addr := range c.addresses() {
		if strings.Contains(err.Error(), addr) {
			return fmt.Errorf("the address %s is taken: stop the program that holds it, or choose another by %s (make run ARGS=\"%s 127.0.0.1:PORT\"): %w", addr, flag, flag, syscall.EADDRINUSE)
		}
	}
	return err
}

// makeDataDir makes the data directory, which is for this user alone. One that an
// earlier version made for all to read is closed; a directory of somebody else's files
// is not ours to close, and what is put into it is.
func (c *Command) makeDataDir() error {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(c.DataDir)
	if err != nil {
		return err
	}
	ours := len(entries) == 0 || slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == logName })
	if !ours {
		return nil
	}
	return os.Chmod(c.DataDir, 0o700)
}

// lockData takes the data directory for this process before anything in it is
// touched: a second start must not empty the log of the first, nor remove its
// ready file. The kernel releases the lock when its holder dies.
func (c *Command) lockData() (*flock.Flock, error) {
	lock := flock.New(filepath.Join(c.DataDir, "lock"), flock.SetPermissions(0o600))
	taken, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking the data directory (--data-dir): %w", err)
	}
	if !taken {
		return nil, fmt.Errorf("already running%s, with the data in %s: use that one, stop it with Ctrl-C, or choose another directory (--data-dir)", c.runningAt(), c.DataDir)
	}
	return lock, nil
}

// logName is the services' log, below the data directory.
const logName = "dev.log"

// stopTimeout bounds the ordered stop of all services together.
const stopTimeout = 15 * time.Second

// Addresses is what the ready file holds.
type Addresses struct {
	Receivers      string   `json:"receivers"` // http://127.0.0.1:8080, to which /webhooks/<source> is added
	Console        string   `json:"console"`   // http://127.0.0.1:8088, with the HTTP API at /api/v1
	Kafka          []string `json:"kafka"`
	SchemaRegistry string   `json:"schema_registry"`
	Postgres       string   `json:"postgres"`
	Admin          string   `json:"admin"`
	SecretsFile    string   `json:"secrets_file"`
	TokenFile      string   `json:"token_file"` // what opens the console
}

// writeReady writes the ready file whole or not at all.
func (c *Command) writeReady(a Addresses) error {
	if c.ReadyFile == "" {
		return nil
	}
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the ready file: %w", err)
	}
	return process.ReplaceFile(c.ReadyFile, append(text, '\n'), 0o600)
}

// addressesFile, in the data directory, holds the addresses of what runs there.
const addressesFile = "addresses.json"

// writeAddresses leaves the addresses for a second start, which says them.
func (c *Command) writeAddresses(a Addresses) error {
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the addresses: %w", err)
	}
	return process.ReplaceFile(filepath.Join(c.DataDir, addressesFile), append(text, '\n'), 0o600)
}

func (c *Command) removeAddresses() error {
	if err := os.Remove(filepath.Join(c.DataDir, addressesFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("removing the addresses: %w", err)
	}
	return nil
}

// runningAt says where what runs in the data directory receives; "" while it starts.
func (c *Command) runningAt() string {
	text, err := os.ReadFile(filepath.Join(c.DataDir, addressesFile))
	var a Addresses
	if err != nil || json.Unmarshal(text, &a) != nil {
		return ""
	}
	return " at " + a.Receivers
}
