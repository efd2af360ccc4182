package cli

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// stands is what a placeholder of a printed or documented command may be.
var stands = map[string]string{
	"SOURCE": "stripe", "ACCOUNT": "acme.example", "REFERENCE": "stripe:cus_1", "ID": "1", "REQUEST": "1", "WHEN": "90d", "DOMAIN": "acme.example",
	"DURATION": "48h", "RULE|SOURCE": "quarantine", "<account>": "acme.example", "<user>": "u1", "<group>": "g1", "<id>": "c1", "<name>": "stripe", "<source>": "stripe",
	"<reason>": "unresolved_account", "<your-host>": "hooks.example.com", "STREAM": "events", "NAME": "name", "UUID": "0f6e9b1c-6f0e-4c5e-9b61-3f6f6d2a0001",
}

var (
	formatVerb  = regexp.MustCompile(`%(\[\d+\])?[sdvq]`)
	placeholder = regexp.MustCompile(`<[a-z]+(?: [a-z]+)?>`)
	inBackticks = regexp.MustCompile("`((?:bin/)?throughline [a-z][^`]*)(?:`|$)")
	inProse     = regexp.MustCompile(`(?:^|[^-\w/.` + "`" + `])(throughline [a-z][^` + "`" + `]*)`)
	// unfinished is what may be wrong with a command that is only mentioned: what is to follow is left out.
	unfinished = regexp.MustCompile(`: (missing |.*expected \S+ value but got "(--|EOL)|.*missing value|.*say what is replayed|name the records|the pattern is wrong: it is empty|--role (is required|must be .* but is "")|there is no source "billing")`)
)

// tokens makes the arguments of a printed or documented command, whose placeholders stand for values.
func tokens(command string) (args []string) {
	command = placeholder.ReplaceAllStringFunc(command, func(name string) string { return strings.ReplaceAll(name, " ", "-") })
	for i, quoted := range strings.Split(command, "'") {
		if i%2 == 1 {
			args = append(args, quoted)
			continue
		}
		args = append(args, strings.Fields(quoted)...)
	}
	for i, arg := range args {
		value := "1"
		switch previous := args[max(0, i-1)]; {
		case previous == "--since" || previous == "--until":
			value = "90d"
		case previous == "--stream":
			value = "events"
		case previous == "link" || previous == "relink" || previous == "lift":
			value = "stripe:cus_1"
		case previous != "release" && previous != "discard" && previous != "cancel" && previous != "accept" && previous != "reject" && previous != "--resume" && previous != "unsilence":
			value = "stripe"
		}
		arg = formatVerb.ReplaceAllString(arg, value)
		for name, stand := range stands {
			if arg == name || strings.HasPrefix(name, "<") {
				arg = strings.ReplaceAll(arg, name, stand)
			}
		}
		args[i] = arg
	}
	return args
}

// advised runs a command line as far as its parsing, and gives what is wrong with it and the words of it that name a command.
func advised(t *testing.T, args []string) (wrong string, path int) {
	t.Helper()
	var out, errs bytes.Buffer
	env := map[string]string{}
	streams := Streams{In: strings.NewReader(""), Out: &out, Err: &errs, Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }}
	s := newSession(streams)
	_, err := s.parse(append([]string{"--validate"}, args...), io.Discard, []Command{{Name: "dev", Help: "dev", Target: &struct {
		DataDir string `name:"data-dir"`
	}{}}})
	s.report(err)
	path = len(strings.Fields(s.help)) - 2
	for line := range strings.Lines(errs.String()) {
		if !unfinished.MatchString(line) {
			wrong += line
		}
	}
	return wrong, path
}

// Every command that a page or a message names is one that the command line takes, flags and arguments included.
func TestNamedCommandsAreRight(t *testing.T) {
	t.Parallel()
	tried := 0
	check := func(where, command string) {
		tried++
		command = strings.TrimPrefix(strings.TrimPrefix(command, "bin/"), "throughline ")
		var args []string
		for _, arg := range tokens(command) {
			if strings.Contains(arg, "…") {
				break // what follows is left out
			}
			args = append(args, arg)
		}
		if len(args) == 0 {
			return
		}
		wrong, path := advised(t, args)
		if path == 0 && !strings.HasPrefix(args[0], "-") {
			wrong = "there is no such command"
		}
		if wrong != "" {
			t.Errorf("%s: throughline %s: %s", where, command, wrong)
		}
	}
	prose := func(where, text string) {
		for _, m := range inProse.FindAllStringSubmatch(text, -1) {
			args := tokens(strings.TrimPrefix(m[1], "throughline "))
			for i, arg := range args {
				args[i] = strings.TrimRight(arg, `,.;:)"`)
				if args[i] != arg {
					args = args[:i+1]
					break
				}
			}
			_, path := advised(t, args)
			if path == 0 {
				continue // a sentence about the product
			}
			end := path
			for end < len(args) && (strings.HasPrefix(args[end], "--") || strings.ContainsAny(args[end], "0123456789:") || args[end] == "stripe" || args[end] == "acme.example") {
				end++
			}
			check(where, "throughline "+strings.Join(args[:end], " "))
		}
	}
	root := "../../.."
	for _, dir := range []string{"README.md", "llms.txt", "docs", "services", "pkg", "helm", "deploy"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			switch name := entry.Name(); {
			case strings.HasSuffix(name, "_test.go"), strings.HasSuffix(name, "_templ.go"), strings.Contains(path, "/adr/"), strings.Contains(path, "/testdata/"):
				return nil
			case strings.HasSuffix(name, ".go"):
				for _, text := range literals(t, path) {
					for _, m := range inBackticks.FindAllStringSubmatch(text, -1) {
						check(path, m[1])
					}
					prose(path, text)
				}
			case strings.HasSuffix(name, ".md"), strings.HasSuffix(name, ".txt"), strings.HasSuffix(name, ".templ"), strings.HasSuffix(name, ".yaml"):
				text, err := os.ReadFile(path)
				require.NoError(t, err)
				for _, m := range inBackticks.FindAllStringSubmatch(strings.ReplaceAll(string(text), "\n", " "), -1) {
					check(path, m[1])
				}
				if strings.HasSuffix(name, ".templ") {
					prose(path, string(text))
				}
			}
			return nil
		}))
	}
	require.Greater(t, tried, 200)
}

// literals gives the texts of a program.
func literals(t *testing.T, path string) (texts []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	require.NoError(t, err)
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			text, err := strconv.Unquote(lit.Value)
			require.NoError(t, err)
			texts = append(texts, text)
		}
		return true
	})
	return texts
}
