package cli

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// printHelp is kong's help without the connection flags that the command does
// not use.
func (c *connections) printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	needed := needsPostgres | needsKafka // of the program as a whole
	shown := []string{"postgres-url", "kafka-brokers"}
	if node := ctx.Selected(); node != nil {
		needed, shown = c.needOf(node), nil
	}
	for _, flag := range ctx.Model.Flags {
		switch {
		case isSourceFlag(flag):
			flag.Hidden = flag.Hidden || !needed.of(flag)
		case strings.HasPrefix(flag.Name, "postgres-"):
			flag.Hidden = flag.Hidden || needed&needsPostgres == 0 || flag.Name == "postgres-direct-url" && needed&needsSession == 0
		case strings.HasPrefix(flag.Name, "kafka-"):
			// No command is a member of a consumer group.
			flag.Hidden = flag.Hidden || needed&needsKafka == 0 || flag.Name == "kafka-instance-id"
		default:
			continue
		}
		flag.Hidden = flag.Hidden || shown != nil && !slices.Contains(shown, flag.Name)
	}
	return kong.DefaultHelpPrinter(options, ctx)
}

// tellDefaults makes the help of each group of commands say which of them it is without one.
func tellDefaults(node *kong.Node) {
	for _, child := range node.Children {
		if d := child.DefaultCmd; d != nil {
			child.Detail = strings.TrimSpace(fmt.Sprintf("%s\n\nWithout a command it is `%s %s`, whose --help has the flags.", child.Detail, name, d.Path()))
		}
		tellDefaults(child)
	}
}

// helpFor gives the command line whose --help fits args.
func helpFor(node *kong.Node, args []string) string {
	words := []string{name}
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			continue
		}
		at := slices.IndexFunc(node.Children, func(child *kong.Node) bool { return child.Name == arg })
		if at < 0 {
			break
		}
		node = node.Children[at]
		words = append(words, node.Name)
	}
	return strings.Join(append(words, "--help"), " ")
}

// report prints an error, one line a problem.
func (s *session) report(err error) {
	if err == nil || errors.Is(err, settings.ErrDone) {
		return
	}
	var config *settings.ConfigError
	if !errors.As(err, &config) {
		fmt.Fprintf(s.Err, "%s: %s\n", name, clean(s.explain(err)))
		return
	}
	for i, problem := range config.Problems {
		problem = plainWords(problem)
		if i == len(config.Problems)-1 {
			// Whoever mistyped wants to know where the right words stand.
			problem += " (" + s.help + ")"
		}
		fmt.Fprintf(s.Err, "%s: %s\n", name, clean(problem))
	}
}

// usage is an error of what was typed: exit code 2.
func usage(format string, args ...any) error {
	return &settings.ConfigError{Problems: []string{fmt.Sprintf(format, args...)}}
}

var (
	missingArguments = regexp.MustCompile(`^expected "(<.*>(?: \.\.\.)?)"$`)
	missingCommand   = regexp.MustCompile(`^expected one of (".*)$`)
	negative         = regexp.MustCompile(`^(--[a-z-]+): expected \S+ value but got "(-[0-9][0-9a-zµ.]*)" \(short flag\)$`)
	shortFlag        = regexp.MustCompile(`^unknown flag -[^-]`)
)

// plainWords says in a person's words what the parser says in its own.
func plainWords(problem string) string {
	if m := missingArguments.FindStringSubmatch(problem); m != nil {
		return "missing " + m[1]
	}
	if m := missingCommand.FindStringSubmatch(problem); m != nil {
		return "missing a command: one of " + m[1]
	}
	if m := negative.FindStringSubmatch(problem); m != nil {
		return m[1] + " cannot be negative, but is " + m[2]
	}
	if shortFlag.MatchString(problem) {
		return problem + "; what begins with a dash and is no flag stands behind --"
	}
	return problem
}
