package settings

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// Setting is one setting of a program, as a reference page tells it.
type Setting struct {
	Command string   // path of the command that has it; "" for the program's own
	Flag    string   // without dashes
	Envs    []string // the variables, the first one first; none: only the flag and the key
	Key     string   // in the YAML file
	Default string   // as an operator would write it; "" when there is none
	Help    string   // what it does, without the default
	Group   string   // a heading, or ""
	FileEnv string   // the variable that names a file which holds the value; "" when there is none
	Hidden  bool     // its value is never shown
}

// Reference gives the settings that Parse would take into cfg, in the order of
// its fields, with those of all commands. Hidden flags are left out, and so are
// --help, --version and --validate. cfg itself is not changed.
func Reference(cfg any, opts ...Option) ([]Setting, error) {
	p := newParser(opts)
	k, err := p.build(cfg)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration's structure: %w", err)
	}
	var settings []Setting
	eachNode(k.Model.Node, func(node *kong.Node) {
		for _, flag := range node.Flags {
			switch {
			case flag.Hidden, flag == k.Model.HelpFlag, flag.Name == "version", flag.Name == "validate":
				continue
			}
			settings = append(settings, p.setting(node, flag))
		}
	})
	return settings, nil
}

func (p *parser) setting(node *kong.Node, flag *kong.Flag) Setting {
	s := Setting{
		Command: node.Path(), Flag: flag.Name, Envs: flag.Envs, Key: fileKey(node, flag), Default: flag.Default,
		// The default has a column of its own.
		Help:   strings.NewReplacer(" (${default})", "", "${enum}", strings.Join(flag.EnumSlice(), ", ")).Replace(flag.OrigHelp),
		Hidden: hidden(flag.Target),
	}
	if s.Default == "" && flag.IsBool() {
		s.Default = "false"
	}
	if flag.Group != nil {
		s.Group = flag.Group.Title
	}
	if file, ok := p.files[flag]; ok && len(file.Envs) > 0 {
		s.FileEnv = file.Envs[0]
	}
	return s
}
