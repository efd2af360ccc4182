// Package console is the console service: the HTTP API and the pages on one port, behind signing in.
//
// Any number of replicas may run: sessions are in Postgres, and a live tail goes on at another one.
package console

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/scrape"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/tlsfiles"
	"github.com/throughline-dev/throughline/services/console/signin"
)

// Config is what an operator sets. Make it with NewConfig.
type Config struct {
	settings.Common `embed:""`
	Kafka           stream.Config   `embed:""`
	Postgres        postgres.Config `embed:""`
	Resolve         resolve.Config  `embed:""`
	Server          Server          `embed:""`
	SignIn          signin.Config   `embed:""`
	Sources         stage.Sources   `embed:""`
}

// Server is how the console is served.
type Server struct {
	Listen      string        `name:"console-listen" env:"THROUGHLINE_CONSOLE_LISTEN" default:"127.0.0.1:8088" placeholder:"HOST:PORT" help:"Address of the console and the HTTP API (${default}); port 0: a free one."`
	TLSCertFile string        `name:"console-tls-cert-file" env:"THROUGHLINE_CONSOLE_TLS_CERT_FILE" placeholder:"FILE" help:"PEM file of the certificate to speak HTTPS with; read again when it changes. Not set: HTTP, for a proxy in front that ends TLS."`
	TLSKeyFile  string        `name:"console-tls-key-file" env:"THROUGHLINE_CONSOLE_TLS_KEY_FILE" placeholder:"FILE" help:"PEM file of that certificate's key."`
	Receivers   []string      `name:"console-receiver-metrics" env:"THROUGHLINE_CONSOLE_RECEIVER_METRICS" placeholder:"URL,..." help:"Metrics of the receivers, for what they reject: http://receiver:9090/metrics. A name stands for all addresses that it has. Not set: it is not known."`
	Export      string        `name:"console-export" env:"THROUGHLINE_CONSOLE_EXPORT" enum:"viewer,operator,off" default:"operator" help:"Who may export timelines, searches and the quarantine as files (${default}): viewer, everybody who may sign in; operator, operators and admins; off, nobody. Exports are in the audit log."`
	DrainDelay  time.Duration `name:"console-drain-delay" env:"THROUGHLINE_CONSOLE_DRAIN_DELAY" default:"5s" help:"How long a stop goes on answering after readiness has gone, for load balancers to notice (${default}); below --shutdown-timeout, 0: not at all."`
	Patience    time.Duration `name:"console-statement-timeout" env:"THROUGHLINE_CONSOLE_STATEMENT_TIMEOUT" default:"5s" help:"Longest time that Postgres may work for one answer (${default})."`
}

// Validate reports every problem.
func (s Server) Validate() error {
	var problems []error
	if _, _, err := net.SplitHostPort(s.Listen); err != nil {
		problems = append(problems, fmt.Errorf("--console-listen is %q: it should be like 127.0.0.1:8088 or :8088", s.Listen))
	}
	if (s.TLSCertFile == "") != (s.TLSKeyFile == "") {
		problems = append(problems, errors.New("--console-tls-cert-file and --console-tls-key-file must both be set, or neither"))
	} else if s.TLSCertFile != "" {
		if _, err := tlsfiles.NewCertificate(s.TLSCertFile, s.TLSKeyFile, nil); err != nil {
			problems = append(problems, fmt.Errorf("--console-tls-cert-file: %w", err))
		}
	}
	for _, address := range s.Receivers {
		if _, err := scrape.Parse(address); err != nil {
			problems = append(problems, fmt.Errorf("--console-receiver-metrics: %w", err))
		}
	}
	if s.Patience < 100*time.Millisecond || s.Patience > time.Minute {
		problems = append(problems, fmt.Errorf("--console-statement-timeout is %s: it should be 100ms to 1m", s.Patience))
	}
	return errors.Join(problems...)
}

// NewConfig makes a configuration for these arguments and environment, which may name sources.
func NewConfig(args []string, lookup func(string) (string, bool)) *Config {
	return &Config{Sources: stage.NewSources(args, lookup)}
}

// Validate reports what the parts cannot see alone.
func (c *Config) Validate() error {
	return errors.Join(c.SignIn.CheckListen(c.Server.Listen), service.CheckDrain("--console-drain-delay", c.Server.DrainDelay, c.ShutdownTimeout))
}

// SourceSet gives the sources, after Parse.
func (c *Config) SourceSet() (source.Set, error) { return c.Sources.SourceSet() }

// Run is the whole service (service.Main).
func (c *Config) Run(ctx context.Context, rt *service.Runtime) error {
	set, err := c.SourceSet()
	if err != nil {
		return err
	}
	pool, err := postgres.Open(ctx, c.Postgres, "throughline-"+rt.Name)
	if err != nil {
		return fault.Advise(err, postgres.Advice(err))
	}
	defer pool.Close()
	d := stage.Deps{Kafka: c.Kafka, Pool: pool, Sources: set, Runtime: rt}
	s, err := New(d, Options{Server: c.Server, SignIn: c.SignIn, Resolve: c.Resolve})
	if err != nil {
		return err
	}
	return d.Group(s).Run(ctx)
}
