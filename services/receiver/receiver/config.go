package receiver

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// Config is what an operator sets for the receiver, beside the sources' secrets.
type Config struct {
	Listen           string        `name:"listen" env:"THROUGHLINE_RECEIVER_LISTEN" default:":8080" placeholder:"HOST:PORT" help:"Address that vendors post to (${default}); port 0: a free one."`
	PublishTimeout   time.Duration `name:"publish-timeout" env:"THROUGHLINE_PUBLISH_TIMEOUT" default:"4s" help:"Longest wait for the brokers before a vendor is told to come again (${default}); HubSpot and Intercom hang up after 5s."`
	ReadTimeout      time.Duration `name:"read-timeout" env:"THROUGHLINE_READ_TIMEOUT" default:"20s" help:"Longest time that a request may take to arrive (${default})."`
	MaxInFlight      int64         `name:"max-in-flight" env:"THROUGHLINE_MAX_IN_FLIGHT" default:"1024" help:"Most requests at a time (${default}); beyond it vendors are told to come again."`
	MaxInFlightBytes int64         `name:"max-in-flight-bytes" env:"THROUGHLINE_MAX_IN_FLIGHT_BYTES" default:"12582912" help:"Most bytes of bodies held at a time (${default})."`
	SpoolDir         string        `name:"spool-dir" env:"THROUGHLINE_SPOOL_DIR" default:".throughline/spool" placeholder:"DIR" help:"Where deliveries of vendors that never retry wait while the brokers are away (${default}); put it on a disk that survives a restart."`
	SpoolBytes       int64         `name:"spool-bytes" env:"THROUGHLINE_SPOOL_BYTES" default:"268435456" help:"Most bytes in each source's spool (${default})."`
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
	} {
		if !bound.ok {
			problems = append(problems, errors.New(bound.flag+" should be above 0"))
		}
	}
	return errors.Join(problems...)
}

// check holds the bounds against what the sources need.
func (c *Config) check(doors []Door) error {
	var problems []error
	for _, d := range doors {
		profile := d.Source.Profile()
		if profile.Limits.BodyBytes >= c.MaxInFlightBytes {
			problems = append(problems, fmt.Errorf("--max-in-flight-bytes is %d: it must be above the %[3]d that %[2]s may send at once", c.MaxInFlightBytes, profile.Title, profile.Limits.BodyBytes))
		}
		if profile.NeverRetries && c.SpoolDir == "" {
			problems = append(problems, fmt.Errorf("--spool-dir is not set: %s never sends twice and needs a spool", profile.Title))
		}
	}
	return errors.Join(problems...)
}

func (c *Config) spoolDir(name string) string { return filepath.Join(c.SpoolDir, name) }

// Door is one source that is received.
type Door struct {
	Source  source.Webhook
	Secrets []string // at least one, newest first
	// PublicURL is the address that the vendor posts to, as the vendor knows
	// it; a URL without a path stands for its /webhooks/<source>. It is needed
	// where the signature covers it (Profile().NeedsPublicURL), else may be "".
	PublicURL string
	// Tenant is the vendor account for deliveries that do not say it, or "".
	Tenant string
}

// Doors makes the doors of these sources from their settings
// (settings.SourceSettings.Get). No names: every source that has secrets. The
// error holds every problem, one a line: an unknown source, a source without a
// secret or with an empty one, a missing public URL, nothing to receive.
func Doors(names []string, setting func(name string) settings.SourceSetting) ([]Door, error) {
	var problems []error
	var chosen []source.Webhook
	for _, name := range names {
		found, _ := catalog.Find(name)
		src, ok := found.(source.Webhook)
		if !ok {
			problems = append(problems, fmt.Errorf("--sources names %q: the sources are %s", name, strings.Join(SourceNames(), ", ")))
			continue
		}
		if !slices.ContainsFunc(chosen, func(s source.Webhook) bool { return s.Name() == name }) {
			chosen = append(chosen, src)
		}
	}
	if len(names) == 0 {
		for _, found := range catalog.Sources() {
			if src, ok := found.(source.Webhook); ok && len(setting(src.Name()).Secrets) > 0 {
				chosen = append(chosen, src)
			}
		}
		if len(chosen) == 0 {
			problems = append(problems, fmt.Errorf("no source has a secret, so there is nothing to receive: set the secrets of one or more of %s, for example --stripe-secrets", strings.Join(SourceNames(), ", ")))
		}
	}
	var doors []Door
	for _, src := range chosen {
		door, err := newDoor(src, setting(src.Name()))
		problems = append(problems, err)
		doors = append(doors, door)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return doors, nil
}

// SourceNames gives the names of all sources that there are.
func SourceNames() []string {
	var names []string
	for _, src := range catalog.Sources() {
		names = append(names, src.Name())
	}
	return names
}

func newDoor(src source.Webhook, set settings.SourceSetting) (Door, error) {
	name := src.Name()
	var problems []error
	if _, err := src.Open(set.Secrets); err != nil {
		problems = append(problems, fmt.Errorf("--%s-secrets: %w", name, err))
	}
	if set.PublicURL == "" && src.Profile().NeedsPublicURL {
		problems = append(problems, fmt.Errorf("--%s-public-url is not set: %s signs the address that it posts to, like https://hooks.example.com%s", name, src.Profile().Title, path(name)))
	}
	return Door{Source: src, Secrets: set.Secrets, PublicURL: set.PublicURL, Tenant: set.Tenant}, errors.Join(problems...)
}

// path is where a source's deliveries come in.
func path(name string) string { return "/webhooks/" + name }

// publicAddress makes of a configured public URL the part of the called URL
// that never changes: scheme, host and path.
func publicAddress(configured, name string) (string, error) {
	if configured == "" {
		return "", nil
	}
	u, err := url.Parse(configured)
	if err != nil || u.Host == "" {
		// The parser's text would repeat the value, which may carry a token.
		return "", fmt.Errorf("--%s-public-url should be a whole address like https://hooks.example.com%s", name, path(name))
	}
	called := u.EscapedPath()
	if called == "" || called == "/" {
		called = path(name)
	}
	return u.Scheme + "://" + u.Host + called, nil
}
