// Package whole assembles the services, or some of them, in one process: for
// `throughline dev`, the whole-system tests and the benchmarks. In production
// each is a process of its own.
package whole

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/services/alerter/alerter"
	"github.com/throughline-dev/throughline/services/console/console"
	"github.com/throughline-dev/throughline/services/drift/drift"
	"github.com/throughline-dev/throughline/services/learner/learner"
	"github.com/throughline-dev/throughline/services/normalizer/normalizer"
	"github.com/throughline-dev/throughline/services/puller/puller"
	"github.com/throughline-dev/throughline/services/quarantine/quarantine"
	"github.com/throughline-dev/throughline/services/receiver/receiver"
	"github.com/throughline-dev/throughline/services/sink/sink"
)

// The services, in the order in which they start: downstream first.
const (
	Alerter    = "alerter"
	Drift      = "drift"
	Console    = "console"
	Learner    = "learner"
	Puller     = "puller"
	Quarantine = "quarantine"
	Sink       = "sink"
	Normalizer = "normalizer"
	Receiver   = "receiver"
)

// Options say what the services are told. Everything else is as it is without a
// setting.
type Options struct {
	// Only names the services to assemble; none given: all.
	Only []string
	// Resolve holds the rules of normalizer, sink and quarantine alike.
	Resolve resolve.Config
	// Tenants are the vendors' accounts of events that do not say theirs, by source.
	Tenants map[string]string
	// TestData are the sources whose test data joins the timeline.
	TestData map[string]bool
	// Alerter is what the alerter is told; nil: there is none.
	Alerter *alerter.Options
	// Drift is what drift is told; nil: there is none.
	Drift *drift.Options
	// Console is what the console is told; nil: there is none.
	Console *console.Options
	// Learner is what the learner is told; nil: there is none.
	Learner *learner.Options
	// Puller is what the puller is told; nil: there is none.
	Puller *puller.Options
	// Endpoints are the receiver's sources.
	Endpoints []receiver.Endpoint
	// Receiver is the receiver's configuration; what is zero gets its default.
	Receiver receiver.Config
}

// Whole is the assembly. It runs once.
type Whole struct {
	deps     stage.Deps
	services []stage.Service
	receiver *receiver.Receiver
	console  *console.Console
}

// New makes the services on d, which stays the caller's. It waits for the schema
// registry. An error is what a person must fix.
// Whoever does not go on to run the Components calls Close.
func New(ctx context.Context, d stage.Deps, o Options) (*Whole, error) {
	w := &Whole{deps: d}
	makers := []struct {
		name string
		make func() (stage.Service, error)
	}{
		{Alerter, func() (stage.Service, error) { return alerter.Make(d, *o.Alerter) }},
		{Drift, func() (stage.Service, error) { return drift.New(d, *o.Drift), nil }},
		{Console, func() (stage.Service, error) { return w.newConsole(o) }},
		{Learner, func() (stage.Service, error) { return learner.New(d, *o.Learner) }},
		{Puller, func() (stage.Service, error) { return puller.New(d, *o.Puller) }},
		{Quarantine, func() (stage.Service, error) {
			return quarantine.New(ctx, d, quarantine.Options{Resolve: o.Resolve})
		}},
		{Sink, func() (stage.Service, error) { return sink.New(ctx, d, sink.Options{Resolve: o.Resolve}) }},
		{Normalizer, func() (stage.Service, error) {
			return normalizer.New(ctx, d, normalizer.Options{Resolve: o.Resolve, Tenants: o.Tenants, TestData: o.TestData})
		}},
		{Receiver, func() (stage.Service, error) { return w.newReceiver(o) }},
	}
	left := slices.Clone(o.Only)
	for _, m := range makers {
		if len(o.Only) > 0 && !slices.Contains(o.Only, m.name) || m.name == Learner && o.Learner == nil || m.name == Puller && o.Puller == nil || m.name == Drift && o.Drift == nil || m.name == Alerter && o.Alerter == nil || m.name == Console && o.Console == nil {
			continue
		}
		left = slices.DeleteFunc(left, func(name string) bool { return name == m.name })
		s, err := m.make()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("making the %s: %w", m.name, err), w.Close())
		}
		w.services = append(w.services, s)
	}
	if len(left) > 0 {
		return nil, errors.Join(fmt.Errorf("no service is named %s", strings.Join(left, " or ")), w.Close())
	}
	return w, nil
}

func (w *Whole) newReceiver(o Options) (stage.Service, error) {
	drain := o.Receiver.DrainDelay // 0 is meant: no load balancer is in front of one process
	settings.Defaults(&o.Receiver)
	o.Receiver.DrainDelay = drain
	r, err := receiver.New(receiver.Options{Runtime: w.deps.Runtime, Config: o.Receiver, Kafka: w.deps.Kafka, Endpoints: o.Endpoints})
	if err != nil {
		return nil, err
	}
	w.receiver = r
	return r, nil
}

func (w *Whole) newConsole(o Options) (stage.Service, error) {
	c, err := console.New(w.deps, *o.Console)
	if err != nil {
		return nil, err
	}
	w.console = c
	return c, nil
}

// ConsoleAddr gives the console's address, with the port that was found for port 0; "" until it listens.
func (w *Whole) ConsoleAddr() string {
	if w.console == nil {
		return ""
	}
	return w.console.Addr()
}

// Components gives the services' parts and the checks of their connections, for
// a group.
func (w *Whole) Components() []service.Component { return w.deps.Components(w.services...) }

// Run runs the services until ctx ends, and stops them in order.
func (w *Whole) Run(ctx context.Context) error {
	return w.deps.Runtime.Group(w.Components()...).Run(ctx)
}

// Addr gives the receiver's address, with the port that was found for port 0;
// "" until it listens.
func (w *Whole) Addr() string {
	if w.receiver == nil {
		return ""
	}
	return w.receiver.Addr()
}

// Close frees what New took. The Components do so themselves when they stop; a
// second call gives the first one's result.
func (w *Whole) Close() error {
	if w.receiver == nil {
		return nil
	}
	return w.receiver.Close()
}
