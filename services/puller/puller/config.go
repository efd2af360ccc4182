package puller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stage"
)

// Config is what an operator sets. Make it with NewConfig.
type Config struct {
	stage.Config `embed:""`
	Tuning       Tuning        `embed:""`
	Sources      stage.Sources `embed:""`
}

// NewConfig makes a configuration for these arguments and environment, which may
// name sources.
func NewConfig(args []string, lookup func(string) (string, bool)) *Config {
	var apis []string
	for _, src := range catalog.Set().Sources() {
		if _, ok := src.(source.Pager); ok {
			apis = append(apis, src.Name())
		}
	}
	return &Config{Sources: stage.NewSources(args, lookup, settings.WithAPIs(apis...))}
}

// SourceSet gives the sources, after Parse (stage.Main).
func (c *Config) SourceSet() (source.Set, error) { return c.Sources.SourceSet() }

// Tuning is what may be left as it is.
type Tuning struct {
	PollEvery     time.Duration `name:"poll-every" env:"THROUGHLINE_PULLER_POLL_EVERY" default:"1m" help:"How often a stream is asked for new events whose vendor never pushes them (${default})."`
	PollSince     time.Duration `name:"poll-since" env:"THROUGHLINE_PULLER_POLL_SINCE" default:"24h" help:"How far back the first poll of a stream goes (${default}); throughline backfill brings in what lies before."`
	ReconcileAt   string        `name:"reconcile-at" env:"THROUGHLINE_PULLER_RECONCILE_AT" default:"03:00" help:"When every day the vendors' events are compared with those that are here, in UTC (${default}); never: not at all."`
	ReconcileDays int           `name:"reconcile-days" env:"THROUGHLINE_PULLER_RECONCILE_DAYS" default:"3" help:"How many days are compared (${default})."`
	ReconcileHeal bool          `name:"reconcile-heal" env:"THROUGHLINE_PULLER_RECONCILE_HEAL" default:"true" negatable:"" help:"Publish what is missing (${default}); false: only report it."`
	Retention     time.Duration `name:"timeline-retention" env:"THROUGHLINE_TIMELINE_RETENTION" default:"0" help:"How long account_events keeps events, where you delete older ones; 0: for ever. A comparison looks no further back, and brings nothing back that is older."`
	AllowPrivate  bool          `name:"egress-allow-private" env:"THROUGHLINE_EGRESS_ALLOW_PRIVATE" help:"Call a vendor's API also where its name leads to a private address or this machine, and by http: a gateway, or a fake."`
}

// never is the ReconcileAt that switches comparisons off.
const never = "never"

// Validate reports every problem.
func (t Tuning) Validate() error {
	var problems []error
	if t.PollEvery < time.Second {
		problems = append(problems, fmt.Errorf("--poll-every is %s: it should be 1s or more", t.PollEvery))
	}
	if t.PollSince < time.Minute {
		problems = append(problems, fmt.Errorf("--poll-since is %s: it should be 1m or more", t.PollSince))
	}
	if _, err := time.Parse("15:04", t.ReconcileAt); err != nil && t.ReconcileAt != never {
		problems = append(problems, fmt.Errorf("--reconcile-at is %q: it should be a time of the day like 03:00, or never", t.ReconcileAt))
	}
	if t.ReconcileDays < 1 {
		problems = append(problems, fmt.Errorf("--reconcile-days is %d: it should be 1 or more", t.ReconcileDays))
	}
	if err := pull.CheckRetention(t.Retention); err != nil {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// due is when the newest comparison that should have begun was to begin; zero: none
// ever.
func (t Tuning) due(now time.Time) time.Time {
	at, err := time.Parse("15:04", t.ReconcileAt)
	if err != nil {
		return time.Time{}
	}
	now = now.UTC()
	today := time.Date(now.Year(), now.Month(), now.Day(), at.Hour(), at.Minute(), 0, 0, time.UTC)
	if today.After(now) {
		today = today.AddDate(0, 0, -1)
	}
	return today
}

// Build makes the service from its configuration (stage.Main).
func (c *Config) Build(_ context.Context, d stage.Deps) (stage.Service, error) {
	return New(d, Options{Tuning: c.Tuning, Setting: c.Sources.Get})
}
