// Package settings reads the configuration of a process: flags, environment, a YAML
// file and defaults, with every problem reported at once.
package settings

import (
	"errors"
	"fmt"
	"net"
	"time"
)

// maxShutdownTimeout is beyond any sensible grace period of a supervisor.
const maxShutdownTimeout = 10 * time.Minute

// minMemoryLimit is less than any stage lives on; below it the collector would
// do nothing but run.
const minMemoryLimit Bytes = 32 << 20

// Common is the configuration that every process has. A service embeds it in
// its own, which makes that a Config.
type Common struct {
	LogLevel        string        `name:"log-level" env:"THROUGHLINE_LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"Log level: ${enum}."`
	LogFormat       string        `name:"log-format" env:"THROUGHLINE_LOG_FORMAT" enum:"json,console,auto" default:"json" help:"Log format: ${enum}; auto is console on a terminal, else json."`
	AdminAddr       string        `name:"admin-addr" env:"THROUGHLINE_ADMIN_ADDR" default:"127.0.0.1:9090" placeholder:"HOST:PORT" help:"Address of /livez, /readyz and /metrics (${default}); empty: none, port 0: a free one. In a container, where probes come from outside: :9090. Keep it off the internet."`
	Pprof           bool          `name:"pprof" env:"THROUGHLINE_PPROF" help:"Serve Go profiles at /debug/pprof/ of the admin address."`
	OTLPEndpoint    URL           `name:"otlp-endpoint" env:"THROUGHLINE_OTLP_ENDPOINT,OTEL_EXPORTER_OTLP_ENDPOINT" file:"" placeholder:"URL" help:"OpenTelemetry collector (OTLP over HTTP) that traces go to, like http://collector:4318; empty: none are made."`
	TraceRatio      float64       `name:"trace-ratio" env:"THROUGHLINE_TRACE_RATIO" default:"0.1" help:"Share of the traces that begin here to sample, 0 to 1 (${default}); a trace that began elsewhere keeps its decision."`
	MemoryLimit     Bytes         `name:"memory-limit" env:"THROUGHLINE_MEMORY_LIMIT" default:"256MiB" placeholder:"SIZE" help:"Memory that the process keeps below where it can (${default}), or below 90% of its container's limit when that is less; 0: the container's limit alone. GOMEMLIMIT overrides it."`
	ShutdownTimeout time.Duration `name:"shutdown-timeout" env:"THROUGHLINE_SHUTDOWN_TIMEOUT" default:"20s" help:"Longest time for a graceful stop (${default}); keep it below the supervisor's grace period, which is 30s in Kubernetes."`
}

// Config is a pointer to a struct that embeds Common.
type Config interface{ Process() *Common }

// Process gives the settings that every process has; it makes a struct that
// embeds Common a Config.
func (c *Common) Process() *Common { return c }

// Validate gives every problem at once.
func (c *Common) Validate() error {
	var problems []error
	if c.AdminAddr != "" {
		if _, _, err := net.SplitHostPort(c.AdminAddr); err != nil {
			problems = append(problems, fmt.Errorf("--admin-addr is %q: it should be like :9090 or 127.0.0.1:9090", c.AdminAddr))
		}
	}
	if c.OTLPEndpoint != "" {
		if problem := c.OTLPEndpoint.HTTPProblem("http://collector:4318"); problem != "" {
			problems = append(problems, errors.New("--otlp-endpoint "+problem))
		}
	}
	if !(c.TraceRatio >= 0 && c.TraceRatio <= 1) { // so written, NaN is refused
		problems = append(problems, fmt.Errorf("--trace-ratio is %v: it should be between 0 and 1", c.TraceRatio))
	}
	if c.MemoryLimit != 0 && c.MemoryLimit < minMemoryLimit {
		problems = append(problems, fmt.Errorf("--memory-limit is %v: it should be 0 or at least %v", c.MemoryLimit, minMemoryLimit))
	}
	if c.ShutdownTimeout <= 0 || c.ShutdownTimeout > maxShutdownTimeout {
		problems = append(problems, fmt.Errorf("--shutdown-timeout is %v: it should be above 0 and at most %v", c.ShutdownTimeout, maxShutdownTimeout))
	}
	return errors.Join(problems...)
}
