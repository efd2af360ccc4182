package dev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/services/vendors"
	"github.com/throughline-dev/throughline/services/vendors/story"
)

// demoPatience is how long the story may take to appear on the timeline.
const demoPatience = 30 * time.Second

// run runs the services, tells the story, says what there is, and waits.
func (s *stack) run(ctx context.Context, started time.Time) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		err := s.group.Run(ctx)
		if gone := (*databaseEndedError)(nil); errors.As(err, &gone) {
			s.rt.Log.Error("the local Postgres ended, and with it the services", zap.Error(err)) // what they say of it is no news
			err = gone
		}
		ended <- err
	}()

	told := make(chan error, 1)
	go func() { told <- s.welcome(ctx, started) }()
	select {
	case err := <-ended: // a service could not start, or failed
		cancel()
		return errors.Join(err, ignoreCanceled(<-told))
	case err := <-told:
		if err != nil {
			cancel()
			return errors.Join(ignoreCanceled(err), <-ended)
		}
	}
	err := errors.Join(<-ended, s.command.removeAddresses())
	if s.command.ReadyFile != "" {
		if removed := os.Remove(s.command.ReadyFile); removed != nil && !errors.Is(removed, os.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}
	if err == nil {
		fmt.Fprintln(s.out, "\nStopped. What was received is kept in", s.command.DataDir)
	}
	return err
}

// welcome waits for the receiver, tells the story and prints what there is.
func (s *stack) welcome(ctx context.Context, started time.Time) error {
	if err := s.listening(ctx); err != nil {
		return err
	}
	if !s.command.NoDemo {
		s.step("telling the demo story through the receivers")
		if err := s.tell(ctx); err != nil {
			return fmt.Errorf("telling the demo story: %w", err)
		}
	}
	a := s.addresses()
	s.print(a, time.Since(started))
	return errors.Join(s.command.writeAddresses(a), s.command.writeReady(a))
}

func (s *stack) listening(ctx context.Context) error {
	return await(ctx, demoPatience, "the receiver to listen", func() (bool, error) { return s.services.Addr() != "", nil })
}

// tell sends the story, unless this data directory has heard all of it, and waits
// until it is on the timeline and in quarantine.
func (s *stack) tell(ctx context.Context) error {
	csv, err := story.Accounts()
	if err != nil {
		return err
	}
	progress, err := readTold(s.command.DataDir)
	if err != nil {
		return err
	}
	store := accounts.NewStore(s.pool, s.set.Sources.Kinds)
	_, err = store.FindAccount(ctx, story.Account.String())
	if fault.ReasonOf(err) == fault.NotFound && progress.all {
		fmt.Fprintln(s.out, "The demo story was told in an earlier start; its account has been erased or removed since. `make clean` first tells it anew.")
		return nil
	}
	if known := err == nil; known && (progress.all || progress.at.IsZero()) {
		fmt.Fprintln(s.out, "The demo story is there already, from an earlier start; `make clean` first tells it anew.")
		return s.showTimeline(ctx)
	} else if known {
		fmt.Fprintln(s.out, "The demo story was interrupted in an earlier start and is told again.")
	}
	if err := progress.begin(time.Now()); err != nil {
		return err
	}
	if _, err := store.Import(ctx, bytes.NewReader(csv), accounts.ImportOptions{By: "demo", EveryTenant: true}); err != nil {
		return fmt.Errorf("%w (--no-demo starts without it)", err)
	}
	events, err := story.Tell(progress.at)
	if err != nil {
		return err
	}
	sender := story.Sender{Kafka: s.client, Names: s.kafka.Names(), Sender: vendors.Sender{
		Sources: s.set.Sources,
		URL:     "http://" + s.services.Addr(), PublicURL: "http://" + s.command.Listen, Secrets: map[string]string{},
	}}
	for name, secrets := range s.secrets {
		sender.Secrets[name] = secrets[0]
	}
	for _, m := range slices.Concat(events.Messages, events.Late, events.Unknown) {
		if err := sender.Send(ctx, m); err != nil {
			return err
		}
	}
	want := len(story.Timeline()) + len(events.Late)
	err = await(ctx, demoPatience, "the story to appear", func() (bool, error) {
		rows, err := postgres.Timeline(ctx, s.pool, postgres.TimelineQuery{AccountID: story.Account, Limit: 100})
		if err != nil || len(rows) < want {
			return false, err
		}
		var waiting int
		err = s.pool.QueryRow(ctx, `SELECT count(*) FROM quarantine_states WHERE status = 'open'`).Scan(&waiting)
		return waiting >= len(events.Unknown), err
	})
	if err != nil {
		return fmt.Errorf("%w (the log is %s)", err, filepath.Join(s.command.DataDir, "dev.log"))
	}
	if err := progress.end(); err != nil {
		return err
	}
	return s.showTimeline(ctx)
}

func (s *stack) showTimeline(ctx context.Context) error {
	events, err := postgres.Timeline(ctx, s.pool, postgres.TimelineQuery{AccountID: story.Account, Since: time.Now().AddDate(0, 0, -90), Limit: 100})
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, "\nThe last 90 days of Acme Robotics, from lead to cash and out:")
	t := table.NewWriter()
	t.SetOutputMirror(s.out)
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"occurred_at", "source", "event_type", "subject"})
	for _, e := range events {
		t.AppendRow(table.Row{e.OccurredAt.UTC().Format(time.DateTime), e.Source, e.EventType, e.Subject})
	}
	t.Render()
	return nil
}

func (s *stack) addresses() Addresses {
	return Addresses{
		Receivers: "http://" + s.services.Addr(), Console: "http://" + s.services.ConsoleAddr(), Kafka: s.kafka.Brokers, SchemaRegistry: string(s.registry.URL), Postgres: redact(s.postgres),
		Admin: "http://" + s.admin.Addr(), SecretsFile: filepath.Join(s.command.DataDir, SecretsFile),
		TokenFile: filepath.Join(s.command.DataDir, TokenFile),
	}
}

func (s *stack) print(a Addresses, took time.Duration) {
	fmt.Fprintf(s.out, "\nThroughline is up after %.1f s. Ctrl-C stops it.\n\n", took.Seconds())
	row := func(name, value string) { fmt.Fprintf(s.out, "  %-15s %s\n", name, value) }
	row("console", a.Console+"/  token "+s.token)
	row("receivers", a.Receivers+"/webhooks/<source>")
	row("kafka", strings.Join(a.Kafka, ","))
	row("schema registry", a.SchemaRegistry)
	row("postgres", a.Postgres)
	row("metrics", a.Admin+"/metrics")
	row("log", filepath.Join(s.command.DataDir, "dev.log"))
	fmt.Fprintf(s.out, "\nSecrets for local use (kept in %s; THROUGHLINE_<SOURCE>_SECRETS overrides):\n", a.SecretsFile)
	for _, name := range s.set.Sources.Names() {
		if len(s.set.Settings(name).Secrets) > 0 {
			row(name, "as set in "+settings.SourceVariable(name, "SECRETS"))
			continue
		}
		row(name, s.secrets[name][0])
	}
	fmt.Fprintf(s.out, "\nTry next, in another terminal%s:\n", s.sameSettings())
	for _, line := range s.hints(a) {
		fmt.Fprintln(s.out, "  "+line)
	}
}

// await asks until done says yes, an error, or the time is over.
func await(ctx context.Context, patience time.Duration, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("waited %s for %s", patience, what))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// redact hides a password in a URL that is shown.
func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(as set in the environment)"
	}
	return u.Redacted()
}

func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}
