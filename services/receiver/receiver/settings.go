package receiver

import (
	"context"
	"fmt"
	"io"
	"log"

	"github.com/alecthomas/kong"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Settings is the whole configuration of a receiver process, for service.Main.
type Settings struct {
	settings.Common
	Sources []string      `name:"sources" env:"THROUGHLINE_SOURCES" placeholder:"NAME" help:"Sources to receive; every one that has secrets when not set."`
	Config  Config        `embed:""`
	Kafka   stream.Config `embed:""`
	Vendors kong.Plugins  `embed:""`

	vendors *settings.SourceSettings
	args    []string
	lookup  func(string) (string, bool)
}

// NewSettings makes settings with flags for every source, and for those that
// these arguments and this environment name.
func NewSettings(args []string, lookup func(string) (string, bool)) *Settings {
	vendors := catalog.NewSettings(args, lookup)
	return &Settings{Vendors: vendors.Plugins(), vendors: vendors, args: args, lookup: lookup}
}

// Validate finds what is wrong with the sources' settings; the embedded parts
// are asked by themselves.
func (s *Settings) Validate() error {
	endpoints, err := s.endpoints()
	if err != nil {
		return err
	}
	return s.Config.check(endpoints, s.ShutdownTimeout)
}

// endpoints gives what the settings say is received.
func (s *Settings) endpoints() ([]Endpoint, error) {
	set, err := catalog.FromSettings(s.vendors)
	if err != nil {
		return nil, err
	}
	return Endpoints(set, s.Sources, s.vendors.Get)
}

// Run is a receiver process's work (service.Main).
func (s *Settings) Run(ctx context.Context, rt *service.Runtime) error {
	endpoints, err := s.endpoints()
	if err != nil {
		return err
	}
	r, err := New(Options{Runtime: rt, Config: s.Config, Kafka: s.Kafka, Endpoints: endpoints})
	if err != nil {
		return err
	}
	rt.OnReload(func() error { return s.reload(r) })
	return r.Run(ctx)
}

// reload reads the settings again and gives r their secrets; on an error r keeps
// all that it has.
func (s *Settings) reload(r *Receiver) error {
	fresh := NewSettings(s.args, s.lookup)
	if _, err := settings.Parse(s.args, fresh, settings.WithEnv(s.lookup), settings.WithOutput(io.Discard, io.Discard)); err != nil {
		return fmt.Errorf("reading the settings again: %w", err)
	}
	endpoints, err := fresh.endpoints()
	if err != nil {
		return err
	}
	return r.ReplaceSecrets(endpoints)
}

// silentLog takes net/http's lines (broken handshakes, clients that go away) as
// what they are: nothing to wake anybody for.
func silentLog(l *zap.Logger) *log.Logger {
	std, err := zap.NewStdLogAt(l.Named("http"), zapcore.DebugLevel)
	if err != nil {
		return nil // cannot happen: the level is one
	}
	return std
}
