package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/alert"
	"github.com/throughline-dev/throughline/pkg/alert/receivers"
	"github.com/throughline-dev/throughline/pkg/api"
)

type alertsCommand struct {
	List      alertsListCommand      `cmd:"" default:"withargs" help:"List what is alerted on now."`
	Rules     alertsRulesCommand     `cmd:"" help:"Print the rules that count, as the file to change."`
	Run       alertsRunCommand       `cmd:"" help:"Evaluate the rules once and tell the receivers, for a cron."`
	Test      alertsTestCommand      `cmd:"" help:"Send a test message, and say of each receiver what happened."`
	Report    alertsReportCommand    `cmd:"" help:"Report what waits in quarantine, for a daily cron."`
	Silence   alertsSilenceCommand   `cmd:"" help:"Keep the alerts of a rule or a source from being told for a while."`
	Silences  alertsSilencesCommand  `cmd:"" help:"List silences."`
	Unsilence alertsUnsilenceCommand `cmd:"" help:"End a silence before its time."`

	alertFlags
}

// alertFlags are the alerter's own flags without their Validate, as postgresFlags.
type alertFlags struct {
	Config alertConfig `embed:"" group:"Alerts"`
}

type alertConfig receivers.Config

// Help is kong's: what --help says beyond the summary.
func (*alertsCommand) Help() string {
	return "The alerter service evaluates the rules every minute and tells what begins and what is over; `throughline alerts run` does it once. Both read the same settings (THROUGHLINE_ALERTS_…). " +
		"docs/operations/alerts.md explains the rules and the receivers."
}

// sending makes what the receivers are told with.
func (f *alertFlags) sending() (rules alert.Rules, sender *receivers.Sender, names []string, err error) {
	config := receivers.Config(f.Config)
	if err := config.Validate(); err != nil {
		return rules, nil, nil, usage("%v", err)
	}
	if rules, err = alert.ReadFile(config.RulesFile); err != nil {
		return rules, nil, nil, err
	}
	sender, err = receivers.NewSender(config, rules.Items)
	return rules, sender, config.Configured(), err
}

type alertsListCommand struct {
	All bool `name:"all" help:"Also those that are over, for 7 days, and those that have not held for long enough."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*alertsListCommand) Help() string {
	return "What the alerter, or `throughline alerts run`, found last. Exit code 0 whatever there is."
}

func (*alertsListCommand) needs() need { return needsPostgres }

// Run is kong's.
func (c *alertsListCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		store := alert.NewStore(pool)
		states, err := store.States(ctx)
		if err != nil {
			return err
		}
		silences, err := store.Silences(ctx, false)
		if err != nil {
			return err
		}
		told, err := store.Receivers(ctx)
		if err != nil {
			return err
		}
		at, err := store.Evaluated(ctx)
		if err != nil {
			return err
		}
		shown := []alert.Phase{alert.Firing}
		if c.All {
			shown = nil
		}
		found := api.NewAlerts(states, silences, told, at, s.now(), shown...)
		if err := list(s, c.JSON, found.Items, []column[api.Alert]{
			{title: "severity", text: func(a api.Alert) string { return a.Severity }},
			{title: "rule", text: func(a api.Alert) string { return a.Rule }},
			{title: "state", text: func(a api.Alert) string {
				if a.SilencedBy != 0 {
					return fmt.Sprintf("%s, silence %d", a.State, a.SilencedBy)
				}
				return a.State
			}},
			{title: "since", text: func(a api.Alert) string { return stamp(a.Since) }},
			{title: "summary", text: func(a api.Alert) string { return a.Summary }, wide: true},
		}); err != nil {
			return err
		}
		switch {
		case at.IsZero():
			s.say("alerts were never evaluated: run the alerter service, or `throughline alerts run`")
		case found.Stale:
			s.say("alerts were evaluated last at %s: does the alerter run? `throughline alerts run` does it once", stamp(at))
		case len(found.Items) == 0:
			s.say("nothing fires, as of %s", stamp(at))
		}
		if !at.IsZero() && len(found.Receivers) == 0 {
			s.say("nobody is told: no receiver is configured (THROUGHLINE_ALERTS_SLACK_URL, …; docs/operations/alerts.md)")
		}
		for _, r := range found.Receivers {
			if !r.FailingSince.IsZero() {
				s.say("receiver %s could not be told since %s: %s (`throughline alerts test %[1]s`)", r.Name, stamp(r.FailingSince), r.Error)
			}
		}
		return nil
	})
}

type alertsRulesCommand struct {
	JSON bool `name:"json" help:"Print JSON, one rule per line."`
}

// Run is kong's.
func (c *alertsRulesCommand) Run(s *session) error {
	rules, err := alert.ReadFile(s.root.Alerts.Config.RulesFile)
	if err != nil {
		return err
	}
	if c.JSON {
		views := make([]api.AlertRule, len(rules.Rules))
		for i, r := range rules.Rules {
			views[i] = api.NewAlertRule(r)
		}
		return writeJSON(s, views...)
	}
	_, err = fmt.Fprint(s.Out, rules.YAML())
	return err
}

type alertsRunCommand struct {
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*alertsRunCommand) Help() string {
	return "Where the alerter service does not run: from a cron, every minute or every few. It prints what fires. Exit code 0: the rules were evaluated and all receivers told, " +
		"whatever fires; 1: a receiver could not be told, or the database not be read; 2: wrong settings. Another that evaluates at the same time is left to it, with exit code 0."
}

func (*alertsRunCommand) needs() need { return needsPostgres }

// Run is kong's.
func (c *alertsRunCommand) Run(ctx context.Context, s *session) error {
	rules, sender, names, err := s.root.Alerts.sending()
	if err != nil {
		return err
	}
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		engine := alert.Engine{Rules: rules, Store: alert.NewStore(pool), Look: alert.NewLooker(pool, s.root.Alerts.Config.Metrics).Look, Deliver: sender.Send, Receivers: names}
		done, err := engine.Evaluate(ctx)
		switch {
		case err != nil:
			return err
		case done.Skipped:
			s.say("another process evaluates alerts just now")
			return nil
		}
		var firing []api.Alert
		for _, a := range done.States {
			if a.State == alert.Firing {
				firing = append(firing, api.NewAlert(a, nil, s.now()))
			}
		}
		if err := list(s, c.JSON, firing, []column[api.Alert]{
			{title: "severity", text: func(a api.Alert) string { return a.Severity }},
			{title: "rule", text: func(a api.Alert) string { return a.Rule }},
			{title: "since", text: func(a api.Alert) string { return stamp(a.Since) }},
			{title: "summary", text: func(a api.Alert) string { return a.Summary }, wide: true},
		}); err != nil {
			return err
		}
		for _, name := range names {
			switch until, waits := done.Waits[name]; {
			case done.Failed[name] != nil:
				s.say("%s could not be told, and is tried again: %v", name, done.Failed[name])
			case waits:
				s.say("%s asked to wait until %s", name, stamp(until))
			default:
				s.say("%s: told of %s", name, plural(int64(done.Told[name]), "alert"))
			}
		}
		if len(names) == 0 {
			s.say("%s; no receiver is configured (THROUGHLINE_ALERTS_SLACK_URL, …)", plural(int64(len(firing)), "alert"))
		}
		if failed := done.Failures(); len(failed) > 0 {
			return fmt.Errorf("%s could not be told: `throughline alerts test` says what to do", strings.Join(failed, ", "))
		}
		return nil
	})
}

type alertsTestCommand struct {
	Receiver string `arg:"" optional:"" help:"Only this one: email, slack, teams, pagerduty or webhook."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*alertsTestCommand) Help() string {
	return "It needs no database. At PagerDuty it opens an incident and resolves it at once. Exit code 1: a receiver did not take the message."
}

// testedAtOnce is how many receivers are asked side by side.
const testedAtOnce = 8

// testReceiver sends one the test messages.
func testReceiver(ctx context.Context, sender *receivers.Sender, name string, now time.Time) tested {
	for _, m := range alert.TestMessages(now) {
		_, err := sender.Send(ctx, name, m, m.Firing)
		if err == nil {
			continue
		}
		if ctx.Err() != nil { // whoever pressed Ctrl-C did, not the receiver
			return tested{Receiver: name, Result: "cancelled"}
		}
		var f *alert.Failure
		if errors.As(err, &f) {
			return tested{Receiver: name, Result: f.Text, Do: f.Advice()}
		}
		return tested{Receiver: name, Result: err.Error()}
	}
	return tested{Receiver: name, Result: "taken", Do: "look whether it arrived", taken: true}
}

// tested is what became of one.
type tested struct {
	Receiver string `json:"receiver"`
	Result   string `json:"result"`
	Do       string `json:"do,omitempty"`
	taken    bool
}

// Run is kong's.
func (c *alertsTestCommand) Run(ctx context.Context, s *session) error {
	_, sender, names, err := s.root.Alerts.sending()
	if err != nil {
		return err
	}
	if c.Receiver != "" {
		if !slices.Contains(names, c.Receiver) {
			return usage("there is no receiver %q: configured are %s", c.Receiver, orNone(names))
		}
		names = []string{c.Receiver}
	}
	if len(names) == 0 {
		return errors.New("no receiver is configured: set THROUGHLINE_ALERTS_SLACK_URL, _TEAMS_URL, _PAGERDUTY_KEY, _WEBHOOK_URL or _SMTP (docs/operations/alerts.md), here as for the alerter")
	}
	views := make([]tested, len(names))
	var asking errgroup.Group
	asking.SetLimit(testedAtOnce)
	for i, name := range names {
		asking.Go(func() error {
			views[i] = testReceiver(ctx, sender, name, s.now())
			return nil
		})
	}
	_ = asking.Wait() // what went wrong stands in views
	failed := 0
	for _, v := range views {
		if !v.taken {
			failed++
		}
	}
	if err := list(s, c.JSON, views, []column[tested]{
		{title: "receiver", text: func(v tested) string { return v.Receiver }},
		{title: "result", text: func(v tested) string { return v.Result }},
		{title: "do", text: func(v tested) string { return v.Do }},
	}); err != nil {
		return err
	}
	if failed > 0 && ctx.Err() != nil {
		return ctx.Err()
	}
	if failed > 0 {
		return fmt.Errorf("%s did not take the message", plural(int64(failed), "receiver"))
	}
	return nil
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

type alertsReportCommand struct {
	Send  bool  `name:"send" help:"Send it to the receivers, too."`
	Above int64 `name:"fail-above" default:"-1" placeholder:"N" help:"Exit with code 1 when more than so many records wait."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*alertsReportCommand) Help() string {
	return "By reason and source: how many records wait in quarantine (at most 10,000 of each reason are counted), how many of them came in the last 24 hours, and since when the oldest waits. " +
		"`throughline alerts report --send` is made for a daily cron; `--fail-above 100` makes the cron itself fail. PagerDuty gets no report."
}

func (*alertsReportCommand) needs() need { return needsPostgres }

// Run is kong's.
func (c *alertsReportCommand) Run(ctx context.Context, s *session) error {
	var sender *receivers.Sender
	var names []string
	if c.Send {
		var err error
		if _, sender, names, err = s.root.Alerts.sending(); err != nil {
			return err
		}
		names = slices.DeleteFunc(names, func(name string) bool { return name == alert.PagerDuty })
	}
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		report, err := alert.NewReport(ctx, pool, s.now().UTC())
		if err != nil {
			return err
		}
		views := make([]api.Waiting, len(report.Waiting))
		for i, w := range report.Waiting {
			views[i] = api.NewWaiting(w)
		}
		if err := list(s, c.JSON, views, []column[api.Waiting]{
			{title: "reason", text: func(w api.Waiting) string { return w.Reason }},
			{title: "source", text: func(w api.Waiting) string { return w.Source }},
			{title: "open", text: func(w api.Waiting) string { return fmt.Sprint(w.Open) }},
			{title: "new in 24 h", text: func(w api.Waiting) string { return fmt.Sprint(w.New) }},
			{title: "oldest", text: func(w api.Waiting) string { return stamp(w.Oldest) }},
		}); err != nil {
			return err
		}
		if report.Open == 0 {
			s.say("nothing waits in quarantine")
		} else {
			s.say("%s: `throughline quarantine list` shows them, `throughline link REFERENCE ACCOUNT` releases what waits for a link", plural(report.Open, "record"))
		}
		var failures []error
		for _, name := range names {
			if _, err := sender.Send(ctx, name, report.Message(), nil); err != nil {
				failures = append(failures, err)
				continue
			}
			s.say("sent to %s", name)
		}
		if c.Send && len(names) == 0 {
			s.say("it was sent to nobody: no receiver is configured (docs/operations/alerts.md)")
		}
		if c.Above >= 0 && report.Open > c.Above {
			failures = append(failures, fmt.Errorf("%s in quarantine, more than %d", plural(report.Open, "record"), c.Above))
		}
		return errors.Join(failures...)
	})
}

type alertsSilenceCommand struct {
	What    string        `arg:"" name:"rule|source" help:"A rule, such as quarantine_count, or a source, such as zendesk; both: source_silent/zendesk."`
	For     time.Duration `name:"for" required:"" placeholder:"DURATION" help:"How long: 30m, 2h, 72h; at most 2160h."`
	Comment string        `name:"comment" required:"" placeholder:"TEXT" help:"Why; it is shown with the silence."`
	byFlags
}

// Help is kong's: what --help says beyond the summary.
func (*alertsSilenceCommand) Help() string {
	return "What begins meanwhile is told when the silence ends, if it still fires. That something is over is told in any case. It takes the database's role operator or console, or its owner."
}

func (*alertsSilenceCommand) needs() need { return needsPostgres | needsSources }

// Validate is kong's.
func (c *alertsSilenceCommand) Validate() error {
	if c.For < time.Minute || c.For > alert.MaxSilence {
		return fmt.Errorf("--for %v: a silence lasts 1m to %dh, which is %d days", c.For, int(alert.MaxSilence.Hours()), int(alert.MaxSilence.Hours()/24))
	}
	return nil
}

// Run is kong's.
func (c *alertsSilenceCommand) Run(ctx context.Context, s *session) error {
	var rule, source string
	for part := range strings.SplitSeq(c.What, "/") {
		switch {
		case alert.Default().Find(part) != nil && rule == "":
			rule = part
		case slices.Contains(s.root.Sources.set.Names(), part) && source == "":
			source = part
		default:
			return usage("%q is neither a rule (%s) nor a source (%s)", part, strings.Join(alert.Names(), ", "), strings.Join(s.root.Sources.set.Names(), ", "))
		}
	}
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		made, err := alert.NewStore(pool).Silence(ctx, rule, source, c.For, c.Comment, c.author())
		if err != nil {
			return err
		}
		s.say("silence %d until %s; `throughline alerts unsilence %[1]d` ends it", made.ID, stamp(made.Until))
		return access.NewStore(pool).Record(ctx, c.actor(), "silenceAlerts", fmt.Sprintf("silence %d (%s for %v)", made.ID, c.What, c.For), access.Done, c.Comment, false)
	})
}

type alertsSilencesCommand struct {
	All bool `name:"all" help:"Also those that have ended."`
	outputFlags
}

func (*alertsSilencesCommand) needs() need { return needsPostgres }

// Run is kong's.
func (c *alertsSilencesCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		found, err := alert.NewStore(pool).Silences(ctx, c.All)
		if err != nil {
			return err
		}
		views := make([]api.Silence, len(found))
		for i, q := range found {
			views[i] = api.NewSilence(q)
		}
		if len(views) == 0 {
			s.say("nothing is silenced")
		}
		return list(s, c.JSON, views, []column[api.Silence]{
			{title: "id", text: func(q api.Silence) string { return fmt.Sprint(q.ID) }},
			{title: "rule", text: func(q api.Silence) string { return q.Rule }},
			{title: "source", text: func(q api.Silence) string { return q.Source }},
			{title: "until", text: func(q api.Silence) string { return stamp(q.Until) }},
			{title: "by", text: func(q api.Silence) string { return q.By }},
			{title: "comment", text: func(q api.Silence) string { return q.Comment }, wide: true},
		})
	})
}

type alertsUnsilenceCommand struct {
	ID int64 `arg:"" help:"The silence's number."`
	byFlags
}

func (*alertsUnsilenceCommand) needs() need { return needsPostgres }

// Run is kong's.
func (c *alertsUnsilenceCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		if err := alert.NewStore(pool).Unsilence(ctx, c.ID, c.author()); err != nil {
			return err
		}
		s.say("silence %d has ended", c.ID)
		return access.NewStore(pool).Record(ctx, c.actor(), "unsilenceAlerts", fmt.Sprintf("silence %d", c.ID), access.Done, "", false)
	})
}
