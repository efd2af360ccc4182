package settings

import (
	"reflect"
	"strings"

	"github.com/alecthomas/kong"
)

// Peek gives one setting before Parse, for what decides which settings there
// are. It reads as Parse does: the flag (named without dashes), else the
// environment, else the YAML file; "" where none has it. A list comes as text,
// separated by commas. What is wrong with the file is left for Parse to say.
// lookup is like os.LookupEnv.
func Peek(args []string, lookup func(string) (string, bool), flag, env string) string {
	text, ok := argument(args, flag)
	if !ok {
		text, ok = lookup(env)
	}
	if !ok {
		path, given := argument(args, "config")
		if !given || path == "" {
			path, _ = lookup(configEnv)
		}
		text = peekFile(path, flag)
	}
	text, _ = withoutLineEnd(text).(string)
	return text
}

// argument gives the value of a flag on the command line; the last one counts.
func argument(args []string, flag string) (value string, ok bool) {
	for i, arg := range args {
		name, after, joined := strings.Cut(arg, "=")
		switch {
		case arg == "--":
			return value, ok
		case name != "--"+flag:
		case joined:
			value, ok = after, true
		case i+1 < len(args):
			value, ok = args[i+1], true
		}
	}
	return value, ok
}

func peekFile(path, flag string) string {
	path, _ = withoutLineEnd(path).(string)
	if path == "" {
		return ""
	}
	wanted := &kong.Flag{Value: &kong.Value{Name: flag, Tag: &kong.Tag{}, Target: reflect.ValueOf(new([]string)).Elem()}}
	wanted.Flag = wanted
	var ignored problems
	switch value := readFile(path, &kong.Node{Type: kong.ApplicationNode, Flags: []*kong.Flag{wanted}}, &ignored)[flag].(type) {
	case string:
		return value
	case []any:
		texts := make([]string, len(value))
		for i, element := range value {
			texts[i], _ = element.(string)
		}
		return strings.Join(texts, ",")
	default:
		return ""
	}
}
