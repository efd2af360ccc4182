// Package alerter is the alerter service: pkg/alert with its configuration, metrics and loop. It needs Postgres, the
// receivers that it is given, and the services' admin addresses where it is given them; it needs no Kafka.
//
// Any number of replicas may run: one of them evaluates at a time.
package alerter

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/alert"
	"github.com/throughline-dev/throughline/pkg/alert/receivers"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stage"
)

// Config is what an operator sets.
type Config struct {
	settings.Common `embed:""`
	Postgres        postgres.Config  `embed:""`
	Alerts          receivers.Config `embed:""`
	Tuning          Tuning           `embed:""`
}

// Tuning is what may be left as it is.
type Tuning struct {
	Every time.Duration `name:"every" env:"THROUGHLINE_ALERTS_EVERY" default:"1m" help:"How often it looks (${default})."`
}

// Validate reports every problem.
func (t Tuning) Validate() error {
	if t.Every < 10*time.Second || t.Every > time.Hour {
		return fmt.Errorf("--every is %v: it should be 10s to 1h", t.Every)
	}
	return nil
}

// Run is the whole service (service.Main).
func (c *Config) Run(ctx context.Context, rt *service.Runtime) error {
	if _, err := alert.ReadFile(c.Alerts.RulesFile); err != nil { // without a database that must be there
		return err
	}
	pool, err := postgres.Open(ctx, c.Postgres, "throughline-"+rt.Name)
	if err != nil {
		return fault.Advise(err, postgres.Advice(err))
	}
	defer pool.Close()
	d := stage.Deps{Pool: pool, Runtime: rt}
	a, err := Make(d, Options{Alerts: c.Alerts, Tuning: c.Tuning})
	if err != nil {
		return err
	}
	return d.Group(a).Run(ctx)
}

// Options are what the service is told.
type Options struct {
	Alerts receivers.Config
	Tuning Tuning // zero: the defaults
}

// Make makes the service of what an operator sets. It calls nobody. An error is what a person must fix.
func Make(d stage.Deps, o Options) (*Alerter, error) {
	if o.Tuning == (Tuning{}) {
		settings.Defaults(&o.Tuning)
	}
	rules, err := alert.ReadFile(o.Alerts.RulesFile)
	if err != nil {
		return nil, err
	}
	sender, err := receivers.NewSender(o.Alerts, rules.Items)
	if err != nil {
		return nil, err
	}
	engine := &alert.Engine{Rules: rules, Store: alert.NewStore(d.Pool), Look: alert.NewLooker(d.Pool, o.Alerts.Metrics).Look, Deliver: sender.Send, Receivers: o.Alerts.Configured()}
	return New(d, engine, o.Tuning.Every), nil
}

// Alerter is the service.
type Alerter struct {
	deps    stage.Deps
	engine  *alert.Engine
	every   time.Duration
	metrics *metrics
}

// New makes the service.
func New(d stage.Deps, engine *alert.Engine, every time.Duration) *Alerter {
	return &Alerter{deps: d, engine: engine, every: every, metrics: newMetrics(d.Runtime.Registry)}
}

// Components gives the service's parts.
func (a *Alerter) Components() []service.Component {
	return []service.Component{{Name: "alerter", Run: a.run}}
}

// run evaluates until ctx ends.
func (a *Alerter) run(ctx context.Context) error {
	if len(a.engine.Receivers) == 0 {
		a.deps.Runtime.Log.Warn("nobody is told of alerts: no receiver is configured (THROUGHLINE_ALERTS_SLACK_URL, …); they are seen with `throughline alerts`, in the console and as metrics")
	}
	told := a.deps.Told("alerter-evaluation")
	ticker := time.NewTicker(a.every)
	defer ticker.Stop()
	for {
		result, err := a.engine.Evaluate(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			told.Failed("evaluating alerts", err, a.every)
		} else {
			told.Succeeded("evaluating alerts")
			a.observe(ctx, result)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// observe measures and logs an evaluation. One that another replica made is seen in the database.
func (a *Alerter) observe(ctx context.Context, e alert.Evaluation) {
	if e.Skipped {
		store := a.engine.Store
		var err error
		if e.States, err = store.States(ctx); err == nil {
			if e.At, err = store.Evaluated(ctx); err == nil {
				e.Receivers, err = store.Receivers(ctx)
			}
		}
		if err != nil {
			return // the next evaluation tells
		}
	}
	a.metrics.observe(e)
	for receiver, n := range e.Told {
		a.deps.Runtime.Log.Info("told a receiver", zap.String("receiver", receiver), zap.Int("alerts", n))
	}
	for _, receiver := range e.Failures() {
		a.deps.Runtime.Log.Warn("a receiver could not be told; it is tried again", zap.String("receiver", receiver), zap.Error(e.Failed[receiver]))
	}
}
