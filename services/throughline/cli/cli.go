package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

const (
	name    = "throughline"
	summary = "One timeline per account, from every tool that a company sells, bills and supports with. " +
		"Beside `make run`, commands need no setting."
)

// Streams is where a run reads and writes, and its environment. Tests give
// their own.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	// Env is like os.LookupEnv.
	Env func(string) (string, bool)
	// Environ is like os.Environ; nil: nobody looks for variables that no setting has.
	Environ func() []string
	// InTerminal, OutTerminal and ErrTerminal: a person sits there.
	InTerminal, OutTerminal, ErrTerminal bool
	// OutWidth is how many columns Out's terminal has; 0: not known.
	OutWidth int
}

// Standard gives the process's own streams and environment.
func Standard() Streams {
	is := func(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
	width, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil {
		width = 0
	}
	return Streams{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.LookupEnv, Environ: os.Environ,
		InTerminal: is(os.Stdin), OutTerminal: is(os.Stdout), ErrTerminal: is(os.Stderr),
		OutWidth: width,
	}
}

// Run runs one command line (without the program's name) and gives the exit
// code. It ends when ctx does. more adds commands to this package's own.
func Run(ctx context.Context, args []string, streams Streams, more ...Command) int {
	s := newSession(streams)
	if len(args) == 0 {
		// Nothing was asked: show what can be, where an answer will not be taken for one.
		_, err := s.parse([]string{"--help"}, streams.Err, more)
		s.report(err)
		return settings.ExitConfig
	}
	if err := readable(args); err != nil {
		s.report(err)
		return settings.ExitCode(err)
	}
	chosen, err := s.parse(args, streams.Out, more)
	if err == nil {
		chosen.BindTo(ctx, (*context.Context)(nil))
		err = chosen.Run(s)
	}
	if ctxErr := ctx.Err(); err != nil && ctxErr != nil && errors.Is(err, ctxErr) {
		s.report(errors.New("interrupted"))
		return exitInterrupted
	}
	s.report(err)
	return settings.ExitCode(err)
}

// exitInterrupted is what shells give for a process that SIGINT ended.
const exitInterrupted = 130

// readable refuses arguments that are no UTF-8: what is stored, shown and compared is text, and what stands in for
// a byte that is none would be taken for what was meant.
func readable(args []string) error {
	for i, arg := range args {
		if !utf8.ValidString(arg) {
			return usage("argument %d is not valid UTF-8: %q", i+1, arg)
		}
	}
	return nil
}

// root is the whole command line.
type root struct {
	connections
	Sources sources `embed:""`

	Timeline    timelineCommand    `cmd:"" group:"Timelines" help:"Show an account's events in order of occurrence."`
	Find        findCommand        `cmd:"" group:"Timelines" help:"Find the accounts on which something happened in an order, or began to."`
	Accounts    accountsCommand    `cmd:"" group:"Accounts and links" help:"Import, add, list, rename, merge and remove accounts."`
	Link        linkCommand        `cmd:"" group:"Accounts and links" help:"Link a vendor's id to an account, and release the events that wait for it in quarantine."`
	Unlink      unlinkCommand      `cmd:"" group:"Accounts and links" help:"Remove a link; the events that were resolved by it are resolved again."`
	Relink      relinkCommand      `cmd:"" group:"Accounts and links" help:"Move a link to another account, and the events with it."`
	Links       linksCommand       `cmd:"" group:"Accounts and links" help:"List links and the decisions behind them; deny a link."`
	Suggestions suggestionsCommand `cmd:"" group:"Accounts and links" help:"List, explain, accept and reject links that are likely."`
	Learning    learningCommand    `cmd:"" group:"Accounts and links" help:"Show how learning from the vendors and the timeline goes."`
	Quarantine  quarantineCommand  `cmd:"" group:"Quarantine" help:"List, show, release and discard events that could not be processed."`
	Events      eventsCommand      `cmd:"" group:"Quarantine" help:"List the events that contradict the timeline."`
	Backfill    backfillCommand    `cmd:"" group:"Past events" help:"Bring a vendor's past events in from its API."`
	Pulls       pullsCommand       `cmd:"" group:"Past events" help:"List what was brought in from vendors' APIs, and how far it is."`
	Reconcile   reconcileCommand   `cmd:"" group:"Past events" help:"Compare a vendor's events with those that are here, and bring in what is missing."`
	Replay      replayCommand      `cmd:"" group:"Past events" help:"Publish what a raw topic holds of a period once more, through the normalizer."`
	Gaps        gapsCommand        `cmd:"" group:"Past events" help:"Show what is missing, by the newest comparisons with the vendors."`
	Erase       eraseCommand       `cmd:"" group:"Erasing" help:"Erase an account or a person, and keep them from coming back."`
	Erasures    erasuresCommand    `cmd:"" group:"Erasing" help:"List erasures, finish interrupted ones, let a customer come back."`
	Retention   retentionCommand   `cmd:"" group:"Operating" help:"Show what is older than it is to be kept, and delete it."`
	Drift       driftCommand       `cmd:"" group:"Operating" help:"Show what changed about payloads and who reads it; acknowledge it; declare what is read."`
	Alerts      alertsCommand      `cmd:"" group:"Operating" help:"Show what is alerted on, test the receivers, silence; report the quarantine."`
	Doctor      doctorCommand      `cmd:"" group:"Operating" help:"Find out what is wrong with an installation, and what to do about it."`
	Topics      topicsCommand      `cmd:"" group:"Setting up" help:"Create and configure the Kafka topics."`
	ACLs        aclsCommand        `cmd:"" name:"acls" group:"Setting up" help:"Give the services rights on Kafka."`
	Migrate     migrateCommand     `cmd:"" group:"Setting up" help:"Bring the Postgres schema up to date."`
	Roles       rolesCommand       `cmd:"" group:"Setting up" help:"Create the Postgres roles and grant them what each needs."`
	Connect     connectCommand     `cmd:"" group:"Setting up" help:"Let a vendor send here: look at its webhook subscriptions, repair them, or print the steps."`
	MCP         mcpCommand         `cmd:"" name:"mcp" group:"Timelines" help:"Let an agent read timelines, accounts and the quarantine, by the Model Context Protocol on standard input and output."`
	Ready       readyCommand       `cmd:"" group:"Setting up" help:"Say whether a service is ready."`
	Tokens      tokensCommand      `cmd:"" group:"Setting up" help:"Make and revoke tokens for the HTTP API and the console."`
	Settings    settingsCommand    `cmd:"" group:"Setting up" help:"List the services' settings, with variables and defaults."`
	Send        sendCommand        `cmd:"" group:"Developing" help:"Make events as a vendor would, sign them, and post them to a receiver."`
	EventTypes  eventTypesCommand  `cmd:"" group:"Developing" help:"List the vendors' event types and the event_type of each."`
	Version     versionCommand     `cmd:"" group:"Developing" help:"Print the version."`
}

// Validate is kong's.
func (r *root) Validate() error {
	return errors.Join(r.connections.Validate(), r.Sources.check(&r.connections))
}

func (s *session) parse(args []string, out io.Writer, more []Command) (*kong.Context, error) {
	s.root.Sources = newSources(args, s.Env)
	options := []kong.Option{
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true, WrapUpperBound: 110}),
		kong.Help(s.root.printHelp),
		kong.Vars{"receiver": LocalReceiver, "secrets_file": LocalSecrets, "sources": strings.Join(s.root.Sources.settings.Names(), ", "),
			"pagers": strings.Join(pagers(catalog.Set()), ", "), "connectors": strings.Join(connectors(catalog.Set()), ", "),
			"reasons": strings.Join(quarantineReasons(), ", ")},
		kong.PostBuild(localDefaults),
		kong.PostBuild(func(k *kong.Kong) error {
			s.help = helpFor(k.Model.Node, args)
			tellDefaults(k.Model.Node)
			tellExamples(k.Model.Node, examples())
			return nil
		}),
		kong.BindTo(s.Streams.Out, (*io.Writer)(nil)),
		kong.Bind(s.Streams),
		kong.BindToProvider(s.set),
	}
	s.root.others = map[string]need{}
	for _, c := range more {
		s.root.others[c.Name] = c.needs()
		options = append(options, kong.DynamicCommand(c.Name, c.Help, "Developing", c.Target))
	}
	return settings.Parse(args, &s.root, settings.WithName(name, summary), settings.WithEnv(s.Env), settings.WithEnviron(s.Environ),
		settings.WithOutput(out, s.Err), settings.WithKong(options...))
}

// session is one run.
type session struct {
	Streams
	root  root
	help  string // the command line whose --help fits what was typed
	color bool
	now   func() time.Time
}

func newSession(streams Streams) *session {
	s := &session{Streams: streams, now: time.Now, help: name + " --help"}
	noColor, _ := s.Env("NO_COLOR")
	terminal, _ := s.Env("TERM")
	s.color = s.OutTerminal && noColor == "" && terminal != "dumb"
	return s
}

// say writes a line for people, beside the result.
func (s *session) say(format string, args ...any) {
	fmt.Fprintln(s.Err, clean(fmt.Sprintf(format, args...)))
}
