package receiver

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/tlsfiles"
)

// Config is what an operator sets for the receiver, beside the sources' secrets.
type Config struct {
	Listen                   string         `name:"listen" env:"THROUGHLINE_RECEIVER_LISTEN" default:":8080" placeholder:"HOST:PORT" help:"Address that vendors post to (${default}); port 0: a free one."`
	TLSCertFile              string         `name:"tls-cert-file" env:"THROUGHLINE_RECEIVER_TLS_CERT_FILE" placeholder:"FILE" help:"PEM file of the certificate to speak HTTPS with, and those of the authorities between; read again when it changes. Not set: HTTP, for a proxy in front that ends TLS."`
	TLSKeyFile               string         `name:"tls-key-file" env:"THROUGHLINE_RECEIVER_TLS_KEY_FILE" placeholder:"FILE" help:"PEM file of that certificate's key."`
	PublishTimeout           time.Duration  `name:"publish-timeout" env:"THROUGHLINE_PUBLISH_TIMEOUT" default:"4s" help:"Longest wait for the brokers before a vendor is told to retry (${default}); HubSpot and Intercom give up after 5s."`
	ReadTimeout              time.Duration  `name:"read-timeout" env:"THROUGHLINE_READ_TIMEOUT" default:"20s" help:"Longest time that a request may take to arrive (${default})."`
	MaxInFlight              int64          `name:"max-in-flight" env:"THROUGHLINE_MAX_IN_FLIGHT" default:"1024" help:"Most verified requests at a time (${default}); beyond it vendors are told to retry, and those that never do are spooled."`
	MaxInFlightBytes         settings.Bytes `name:"max-in-flight-bytes" env:"THROUGHLINE_MAX_IN_FLIGHT_BYTES" default:"12MiB" help:"Most bytes of verified bodies held at a time (${default}); as many again may be on their way to the spools."`
	MaxUnverified            int64          `name:"max-unverified" env:"THROUGHLINE_MAX_UNVERIFIED" default:"1024" help:"Most requests at a time whose signature is not checked yet (${default}); beyond it the oldest is cut, with 429."`
	MaxUnverifiedBytes       settings.Bytes `name:"max-unverified-bytes" env:"THROUGHLINE_MAX_UNVERIFIED_BYTES" default:"12MiB" help:"Most bytes of bodies held at a time whose signature is not checked yet (${default}); beyond it the oldest is cut, with 429."`
	MaxUnverifiedPerAddress  int64          `name:"max-unverified-per-address" env:"THROUGHLINE_MAX_UNVERIFIED_PER_ADDRESS" default:"64" help:"The same for requests of one address (${default}) from which none was verified lately."`
	MaxFailures              int64          `name:"max-failed-verifications" env:"THROUGHLINE_MAX_FAILED_VERIFICATIONS" default:"60" help:"Most requests in a minute of one address with a wrong signature that are answered 401 (${default}), the others 429."`
	MaxConnections           int64          `name:"max-connections" env:"THROUGHLINE_MAX_CONNECTIONS" default:"4096" help:"Most open connections (${default}); beyond it the one is closed on which nothing has begun or ended for the longest time, of strangers first. Keep it below the process's limit of open files."`
	MaxConnectionsPerAddress int64          `name:"max-connections-per-address" env:"THROUGHLINE_MAX_CONNECTIONS_PER_ADDRESS" default:"256" help:"The same for connections of one address (${default}) from which no delivery was verified lately."`
	TrustedProxies           []string       `name:"trusted-proxies" env:"THROUGHLINE_TRUSTED_PROXIES" placeholder:"CIDR,..." help:"Addresses of the proxies in front, whose X-Forwarded-For says whom the limits count for; not set: the peer's own address."`
	DrainDelay               time.Duration  `name:"drain-delay" env:"THROUGHLINE_DRAIN_DELAY" default:"5s" help:"How long a stop goes on receiving after readiness has gone, for load balancers to notice (${default}); below --shutdown-timeout, 0: not at all."`
	IdleTimeout              time.Duration  `name:"idle-timeout" env:"THROUGHLINE_IDLE_TIMEOUT" default:"620s" help:"How long a connection is kept between two requests (${default}); above that of the load balancer in front, so that it is the one that closes."`
	SpoolDir                 string         `name:"spool-dir" env:"THROUGHLINE_SPOOL_DIR" default:".throughline/spool" placeholder:"DIR" help:"Where deliveries of vendors that never retry are kept while the brokers are unavailable (${default}); put it on a disk that survives a restart."`
	SpoolBytes               settings.Bytes `name:"spool-bytes" env:"THROUGHLINE_SPOOL_BYTES" default:"256MiB" help:"Most bytes in each source's spool (${default})."`
}

// Validate gives every problem at once.
func (c *Config) Validate() error {
	var problems []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		problems = append(problems, fmt.Errorf("--listen is %q: it should be like :8080 or 127.0.0.1:8080", c.Listen))
	}
	for _, bound := range []struct {
		flag string
		ok   bool
	}{
		{"--publish-timeout", c.PublishTimeout > 0},
		{"--read-timeout", c.ReadTimeout > 0},
		{"--max-in-flight", c.MaxInFlight > 0},
		{"--max-in-flight-bytes", c.MaxInFlightBytes > 0},
		{"--spool-bytes", c.SpoolBytes > 0},
		{"--max-unverified", c.MaxUnverified > 0},
		{"--max-unverified-bytes", c.MaxUnverifiedBytes > 0},
		{"--max-unverified-per-address", c.MaxUnverifiedPerAddress > 0},
		{"--max-failed-verifications", c.MaxFailures > 0},
		{"--max-connections", c.MaxConnections > 0},
		{"--max-connections-per-address", c.MaxConnectionsPerAddress > 0},
		{"--idle-timeout", c.IdleTimeout > 0},
	} {
		if !bound.ok {
			problems = append(problems, errors.New(bound.flag+" should be above 0"))
		}
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		problems = append(problems, errors.New("--tls-cert-file and --tls-key-file must both be set, or neither"))
	} else if c.TLSCertFile != "" {
		if _, err := tlsfiles.NewCertificate(c.TLSCertFile, c.TLSKeyFile, nil); err != nil {
			problems = append(problems, fmt.Errorf("--tls-cert-file: %w", err))
		}
	}
	if c.DrainDelay < 0 {
		problems = append(problems, errors.New("--drain-delay should not be below 0"))
	}
	if _, err := parseProxies(c.TrustedProxies); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// check holds the bounds against what the sources need.
func (c *Config) check(endpoints []Endpoint, stop time.Duration) error {
	var problems []error
	if err := service.CheckDrain("--drain-delay", c.DrainDelay, stop); err != nil {
		problems = append(problems, err)
	}
	for _, e := range endpoints {
		profile := e.Source.Profile()
		for _, bound := range []struct {
			flag  string
			bytes settings.Bytes
		}{{"--max-in-flight-bytes", c.MaxInFlightBytes}, {"--max-unverified-bytes", c.MaxUnverifiedBytes}} {
			if profile.Limits.BodyBytes >= int64(bound.bytes) {
				problems = append(problems, fmt.Errorf("%s is %s: it must be above the %s that %s may send at once", bound.flag, bound.bytes, settings.Bytes(profile.Limits.BodyBytes), profile.Title))
			}
		}
		if profile.NeverRetries && c.SpoolDir == "" {
			problems = append(problems, fmt.Errorf("--spool-dir is not set: %s never sends twice and needs a spool", profile.Title))
		}
	}
	return errors.Join(problems...)
}

func (c *Config) spoolDir(name string) string { return filepath.Join(c.SpoolDir, name) }

// Endpoint is one source that is received, at /webhooks/<source>.
type Endpoint struct {
	Source  source.Webhook
	Secrets []string // newest first, at least one, each as the source's Open takes it
	// PublicURL is the address that the vendor posts to, as the vendor knows
	// it; a URL without a path stands for its /webhooks/<source>. It is needed
	// where the signature covers it (Profile().NeedsPublicURL), else may be "".
	PublicURL string
	// Tenant is the vendor account for deliveries that do not say it, or "".
	Tenant string
	// MaxRate bounds the events a second, 0 not at all. Not for a source whose vendor never retries.
	MaxRate float64
}

// Endpoints makes the endpoints of these sources of the set from their settings
// (settings.SourceSettings.Get). No names: every source that has secrets. The
// error holds every problem, one a line: an unknown source, a source without a
// secret or with a bad one, a missing public URL, nothing to receive.
func Endpoints(set source.Set, names []string, setting func(name string) settings.SourceSetting) ([]Endpoint, error) {
	var problems []error
	if len(names) == 0 {
		names = slices.DeleteFunc(set.Names(), func(name string) bool { return len(setting(name).Secrets) == 0 })
		if len(names) == 0 {
			problems = append(problems, fmt.Errorf("no source has a secret, so there is nothing to receive: set the secrets of one or more of %s, for example --stripe-secrets", strings.Join(set.Names(), ", ")))
		}
	}
	var endpoints []Endpoint
	for i, name := range names {
		found, _ := set.Find(name)
		src, ok := found.(source.Webhook)
		switch {
		case !ok:
			problems = append(problems, fmt.Errorf("--sources names %q: the sources are %s", name, strings.Join(set.Names(), ", ")))
		case !slices.Contains(names[:i], name):
			endpoint, err := newEndpoint(src, setting(name))
			problems = append(problems, err)
			endpoints = append(endpoints, endpoint)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return endpoints, nil
}

func newEndpoint(src source.Webhook, set settings.SourceSetting) (Endpoint, error) {
	name := src.Name()
	var problems []error
	if _, err := src.Open(set.Secrets); err != nil {
		problems = append(problems, secretsProblem(name, err))
	} else if err := set.Secrets.CheckStrength(); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			problems = append(problems, secretsProblem(name, errors.New(line)))
		}
	}
	if set.PublicURL == "" && src.Profile().NeedsPublicURL {
		problems = append(problems, fmt.Errorf("--%s-public-url is not set: %s signs the address that it posts to, like https://hooks.example.com%s", name, src.Profile().Title, path(name)))
	}
	problems = append(problems, checkRate(name, src.Profile().Title, set.MaxRate, src.Profile().NeverRetries))
	return Endpoint{Source: src, Secrets: set.Secrets, PublicURL: set.PublicURL, Tenant: set.Tenant, MaxRate: set.MaxRate}, errors.Join(problems...)
}

// secretsProblem names the setting of secrets that a source does not open.
func secretsProblem(name string, err error) error {
	return fmt.Errorf("--%s-secrets: %w", name, err)
}

// path is where a source's deliveries come in.
func path(name string) string { return "/webhooks/" + name }
