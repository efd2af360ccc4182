package settings

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"time"

	"github.com/alecthomas/kong"
)

// ErrDone is what Parse gives when the command line asked for an answer and not
// for a run (--help, --version, --validate without problems). The answer is
// printed; the process should exit 0.
var ErrDone = errors.New("nothing to run")

// ConfigError holds everything that is wrong with a command line, environment
// and file together. The process should print it and exit 2.
type ConfigError struct {
	// Problems has one line each. A line names the flag and the environment
	// variable that fix it, and never the value of a secret.
	Problems []string
}

// Error gives the problems, one a line.
func (e *ConfigError) Error() string { return strings.Join(e.Problems, "\n") }

// Exit codes of every Throughline process.
const (
	ExitOK      = 0 // it did what was asked
	ExitFailure = 1 // it ran and failed
	ExitConfig  = 2 // the command line or the configuration is wrong; it never ran
)

// ExitCode gives the code for what Parse or a run returned.
func ExitCode(err error) int {
	var config *ConfigError
	switch {
	case err == nil, errors.Is(err, ErrDone):
		return ExitOK
	case errors.As(err, &config):
		return ExitConfig
	default:
		return ExitFailure
	}
}

// Option changes how Parse reads.
type Option func(*parser)

// WithName sets the program's name and the sentence that --help begins with.
func WithName(name, summary string) Option {
	return func(p *parser) { p.name, p.summary = name, summary }
}

// WithOutput sets where --help, --version and --validate answer (standard
// output) and where problems and the log go (standard error).
func WithOutput(out, errs io.Writer) Option {
	return func(p *parser) { p.out, p.errs = out, errs }
}

// WithEnv replaces the process's environment; lookup is like os.LookupEnv.
func WithEnv(lookup func(string) (string, bool)) Option {
	return func(p *parser) { p.lookup, p.environ = lookup, nil }
}

// WithEnviron replaces the list of the process's environment, which is looked at for variables that no setting has;
// list is like os.Environ. Without it WithEnv switches that off.
func WithEnviron(list func() []string) Option {
	return func(p *parser) { p.environ = list }
}

// WithStrays makes Parse tell of each variable of our prefix that no setting of any program has, instead of writing a
// warning beside the problems. The text has no value.
func WithStrays(told func(text string)) Option {
	return func(p *parser) { p.onStray = told }
}

// WithKong passes options on to kong (bindings, variables, mappers).
func WithKong(options ...kong.Option) Option {
	return func(p *parser) { p.kong = append(p.kong, options...) }
}

// WithFiles makes Parse tell of each file that it reads: the YAML file and those
// of secrets, whether they can be read or not. They are what to watch for a
// reload, which is: Parse the same arguments into a fresh struct, and when that
// gives no problem, hand its secrets to those who use them. Parse never changes
// anything but the struct that it is given.
func WithFiles(read func(path string)) Option {
	return func(p *parser) { p.onRead = read }
}

// Parse fills cfg, a pointer to a struct with kong tags (commands included).
// A value comes from the first of: the flag, the environment, the YAML file
// that --config or THROUGHLINE_CONFIG names, the default. An environment
// variable that is set to nothing counts as set. YAML keys are flag names,
// whole (kafka-brokers) or nested at any dash (kafka: {brokers: …}); a
// command's flags come under the command's name (accounts-list-limit), and those that
// have a variable, which is what other programs may read too, also by their bare name.
//
// One line break at the end of any value does not count: editors and echo leave
// it in a file, and secret managers in a variable. Each secret can also be given
// as a file: --name-file, NAME_FILE or the key name-file says where it is.
//
// After reading, every struct that cfg embeds (and every value) that has
// Validate() error is asked. All problems of all kinds come back as one
// *ConfigError. The kong context runs the chosen command of a program that has
// some. ErrDone: see there.
func Parse(args []string, cfg any, opts ...Option) (*kong.Context, error) {
	p := newParser(opts)
	return p.parse(args, cfg)
}

// ErrorOutput gives where problems and the log go with these options.
func ErrorOutput(opts ...Option) io.Writer { return newParser(opts).errs }

type parser struct {
	name, summary string
	out, errs     io.Writer
	lookup        func(string) (string, bool)
	environ       func() []string
	kong          []kong.Option
	files         secretFiles
	onRead        func(path string)
	onStray       func(text string)

	standard    standardFlags
	problems    problems
	readSecrets []*kong.Flag // those whose file was read, or could not be
	exited      bool
}

// configEnv is the variable of --config, which its tag repeats.
const configEnv = "THROUGHLINE_CONFIG"

// standardFlags are the flags of every program, whatever its configuration.
type standardFlags struct {
	Config   string `name:"config" env:"THROUGHLINE_CONFIG" placeholder:"FILE" help:"YAML file to read settings from; its keys are the names of the flags, behind the command where it is a command's: dev-data-dir."`
	Validate bool   `name:"validate" help:"Check the whole configuration, print every problem, and exit (0: none, 2: some) without running."`
	Version  bool   `name:"version" help:"Print the version and exit."`
}

func newParser(opts []Option) *parser {
	p := &parser{out: os.Stdout, errs: os.Stderr, lookup: os.LookupEnv, environ: os.Environ, onRead: func(string) {}}
	for _, o := range opts {
		o(p)
	}
	return p
}

func (p *parser) parse(args []string, cfg any) (*kong.Context, error) {
	k, err := p.build(cfg)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration's structure: %w", err)
	}
	ctx, err := k.Parse(args)
	if p.exited {
		return nil, ErrDone
	}
	var parse *kong.ParseError
	if ctx == nil && errors.As(err, &parse) {
		ctx = parse.Context
	}
	// kong stops at the first problem. When it got as far as reading the command
	// line, the values are in place, and all of them can be checked.
	read := ctx != nil && ctx.Error == nil
	if read && p.standard.Version {
		fmt.Fprintln(p.out, p.title(k), Version())
		return nil, ErrDone
	}
	if read {
		p.problems.check(ctx)
		p.checkSecretFiles(ctx)
		p.tellStrays(p.title(k), args)
	}
	if err != nil && (len(p.problems.lines) == 0 || !read) {
		p.problems.add(hideArguments(flagOfVariable(err.Error(), k.Model.Node), args, k.Model))
	}
	if lines := p.problems.named(k.Model); len(lines) > 0 {
		return nil, &ConfigError{Problems: lines}
	}
	if p.standard.Validate {
		fmt.Fprintf(p.out, "%s: the configuration is valid\n", p.title(k))
		return nil, ErrDone
	}
	return ctx, nil
}

// tellStrays warns of variables that nobody reads: a misspelt one leaves its setting at the default in silence.
func (p *parser) tellStrays(title string, args []string) {
	if p.environ == nil {
		return
	}
	for _, text := range strays(p.environ(), Peek(args, p.lookup, namedFlag, namedEnv)) {
		if p.onStray != nil && !p.standard.Validate {
			p.onStray(text)
			continue
		}
		fmt.Fprintf(p.errs, "%s: warning: %s\n", title, text)
	}
}

// build makes the kong parser and takes over what kong would do too early: it
// would let the file win over the environment, and stop at the first bad value.
func (p *parser) build(cfg any) (*kong.Kong, error) {
	options := []kong.Option{
		kong.Description(p.summary),
		kong.Writers(p.out, p.errs),
		kong.Exit(func(int) { p.exited = true }),
		kong.Embed(&p.standard),
		kong.Resolvers(&resolver{parser: p}),
		kong.TypeMapper(reflect.TypeFor[time.Duration](), durations{}),
		kong.ValueFormatter(p.helpText),
		kong.ConfigureHelp(kong.HelpOptions{WrapUpperBound: 110}),
	}
	if p.name != "" {
		options = append(options, kong.Name(p.name))
	}
	k, err := kong.New(cfg, append(options, p.kong...)...)
	if err != nil {
		return nil, err
	}
	p.files = addSecretFiles(k.Model.Node)
	for _, flag := range allFlags(k.Model.Node) {
		if flag.IsSlice() { // kong says itself that there may be more
			flag.PlaceHolder = strings.TrimSuffix(strings.TrimSuffix(flag.PlaceHolder, ",..."), ",…")
		}
		flag.Tag.Envs = nil // flag.Envs keeps the names: the resolver reads them, help shows them
		if flag != k.Model.HelpFlag {
			flag.Mapper = recordingMapper{Mapper: flag.Mapper, flag: flag, problems: &p.problems}
		}
	}
	return k, nil
}

func (p *parser) title(k *kong.Kong) string {
	if p.name != "" {
		return p.name
	}
	return k.Model.Name
}

// helpText is a flag's help with the names of its environment variables.
func (p *parser) helpText(v *kong.Value) string {
	if v.Flag == nil {
		return v.Help
	}
	names := variables(v.Flag)
	if file, ok := p.files[v.Flag]; ok {
		names = append(names, "or a file: --"+file.Name)
		names = append(names, variables(file)...)
	}
	if len(names) == 0 {
		return v.Help
	}
	return strings.TrimSpace(v.Help + " [" + strings.Join(names, ", ") + "]")
}

func variables(flag *kong.Flag) []string {
	var names []string
	for _, env := range flag.Envs {
		names = append(names, "$"+env)
	}
	return names
}

// resolver gives a flag's value from the environment, else from the file.
type resolver struct {
	parser *parser
	loaded bool
	file   map[string]any
}

// Validate is kong's; what is wrong was recorded while loading.
func (r *resolver) Validate(*kong.Application) error { return nil }

// Resolve is called by kong for each flag that is not on the command line.
func (r *resolver) Resolve(ctx *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	if !r.loaded {
		r.loaded = true
		r.load(ctx)
	}
	value, ok := r.direct(parent, flag)
	// A secret that is set to nothing is none: compose files pass on unset variables so.
	if !ok || value == "" {
		if content, ok := r.fromSecretFile(ctx, parent, flag); ok {
			return content, nil
		}
	}
	return value, nil
}

// direct gives a flag's own value from the environment, else from the YAML file.
func (r *resolver) direct(parent *kong.Path, flag *kong.Flag) (any, bool) {
	if value, ok := r.fromEnv(flag); ok {
		return value, true
	}
	if value, ok := r.file[fileKey(parent.Node(), flag)]; ok || !isShared(flag) {
		return value, ok
	}
	value, ok := r.file[flag.Name]
	return value, ok
}

func (r *resolver) fromEnv(flag *kong.Flag) (string, bool) {
	for _, env := range flag.Envs {
		if value, ok := r.parser.lookup(env); ok {
			return value, true
		}
	}
	return "", false
}

func (r *resolver) load(ctx *kong.Context) {
	var path string
	for _, flag := range ctx.Model.Flags {
		if flag.Target.CanAddr() && flag.Target.Addr().Interface() == any(&r.parser.standard.Config) {
			if path, _ = ctx.FlagValue(flag).(string); path == "" {
				path, _ = r.fromEnv(flag)
			}
		}
	}
	path, _ = withoutLineEnd(path).(string)
	if path != "" {
		r.parser.onRead(path)
		r.file = readFile(path, ctx.Model.Node, &r.parser.problems)
	}
}

// withoutLineEnd is the one rule for line breaks around values: one at the end,
// which nobody sees, does not count, wherever the value came from.
func withoutLineEnd(value any) any {
	switch value := value.(type) {
	case string:
		return strings.TrimSuffix(strings.TrimSuffix(value, "\n"), "\r")
	case []any:
		trimmed := make([]any, len(value))
		for i, element := range value {
			trimmed[i] = withoutLineEnd(element)
		}
		return trimmed
	case map[string]any:
		trimmed := map[string]any{}
		for key, element := range value {
			trimmed[key] = withoutLineEnd(element)
		}
		return trimmed
	default:
		return value
	}
}

// eachNode visits the program and all its commands.
func eachNode(node *kong.Node, visit func(*kong.Node)) {
	visit(node)
	for _, child := range node.Children {
		eachNode(child, visit)
	}
}

// allFlags gives the flags of the program and of all its commands.
func allFlags(node *kong.Node) []*kong.Flag {
	var flags []*kong.Flag
	eachNode(node, func(n *kong.Node) { flags = append(flags, n.Flags...) })
	return flags
}
