package settings

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// maxFileDepth bounds nesting, so that a document which refers to itself ends.
const maxFileDepth = 16

// readFile gives the settings of a YAML file by flag key. What is wrong with it
// is recorded: a file that cannot be read, a key that no flag has, a key given
// twice. Values stay text, so that one decoder serves flag, environment and file.
func readFile(path string, root *kong.Node, to *problems) map[string]any {
	text, err := os.ReadFile(path)
	if err != nil {
		to.add("--config names a file that cannot be read: " + path + ": " + cause(err))
		return nil
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		// The library's text may quote the file, and so a secret: only the place is told.
		to.add("--config: " + path + " is not valid YAML" + place(err))
		return nil
	}
	r := fileReader{path: path, known: map[string]*kong.Flag{}, values: map[string]any{}, to: to}
	r.learn(root)
	switch {
	case len(document.Content) == 0: // an empty file sets nothing
	case document.Content[0].Kind != yaml.MappingNode:
		if document.Content[0].Tag != "!!null" {
			to.add("--config: " + path + " should hold settings as \"name: value\" lines")
		}
	default:
		r.walk("", document.Content[0], 0)
	}
	return r.values
}

type fileReader struct {
	path   string
	known  map[string]*kong.Flag
	values map[string]any
	to     *problems
}

// learn collects the keys that a file may have: all flags but the standard ones.
func (r *fileReader) learn(node *kong.Node) {
	for _, flag := range node.Flags {
		switch flag.Name {
		case "help", "config", "validate", "version":
		default:
			r.known[fileKey(node, flag)] = flag
			if _, taken := r.known[flag.Name]; !taken && isShared(flag) {
				r.known[flag.Name] = flag
			}
		}
	}
	for _, child := range node.Children {
		r.learn(child)
	}
}

func (r *fileReader) walk(prefix string, mapping *yaml.Node, depth int) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		if value.Kind == yaml.AliasNode {
			value = value.Alias
		}
		name := prefix + key.Value
		flag, ok := r.known[name]
		switch {
		case ok && (value.Kind != yaml.MappingNode || flag.IsMap()):
			r.set(name, flag, key.Line, value)
		case value.Kind == yaml.MappingNode && len(value.Content) > 0 && depth < maxFileDepth:
			r.walk(name+"-", value, depth+1)
		default:
			r.unknown(name, key.Line)
		}
	}
}

func (r *fileReader) set(name string, flag *kong.Flag, line int, value *yaml.Node) {
	if _, twice := r.values[name]; twice {
		r.to.add(fmt.Sprintf("%s:%d: the key %q is there twice", r.path, line, name))
		return
	}
	decoded, ok := settingOf(flag, value)
	if !ok {
		r.to.add(fmt.Sprintf("%s:%d: the value of %q should be a plain value, or a list of plain values where the flag takes a list", r.path, line, name))
		return
	}
	if decoded != nil {
		r.values[name] = decoded
	}
}

func (r *fileReader) unknown(name string, line int) {
	text := fmt.Sprintf("%s:%d: unknown key %q", r.path, line, name)
	if near := Nearest(name, slices.Collect(maps.Keys(r.known))); near != "" {
		text += fmt.Sprintf(": did you mean %q?", near)
	}
	r.to.add(text)
}

// settingOf turns a YAML value into what kong's decoders take: text, or a list
// of texts. null gives nil: not set.
func settingOf(flag *kong.Flag, value *yaml.Node) (any, bool) {
	switch value.Kind {
	case yaml.ScalarNode:
		if value.Tag == "!!null" {
			return nil, true
		}
		return value.Value, true
	case yaml.SequenceNode:
		if flag.Target.Kind() != reflect.Slice {
			return nil, false
		}
		var texts []string
		for _, element := range value.Content {
			if element.Kind != yaml.ScalarNode {
				return nil, false
			}
			texts = append(texts, element.Value)
		}
		if flag.Target.Type().Elem().Kind() == reflect.String {
			list := make([]any, len(texts)) // kept apart: no separator can be mistaken
			for i, text := range texts {
				list[i] = text
			}
			return list, true
		}
		return kong.JoinEscaped(texts, flag.Tag.Sep), true
	case yaml.MappingNode:
		pairs := map[string]any{}
		for i := 0; i+1 < len(value.Content); i += 2 {
			if value.Content[i+1].Kind != yaml.ScalarNode {
				return nil, false
			}
			pairs[value.Content[i].Value] = value.Content[i+1].Value
		}
		return pairs, true
	default:
		return nil, false
	}
}

// fileKey is a flag's key in the file: its command's path, if any, and its name.
func fileKey(node *kong.Node, flag *kong.Flag) string {
	parts := []string{flag.Name}
	for ; node != nil && node.Type != kong.ApplicationNode; node = node.Parent {
		parts = append(parts, node.Name)
	}
	slices.Reverse(parts)
	return strings.Join(parts, "-")
}

// isShared reports whether a flag of a command is a setting that others may have, too, so that one file can serve all:
// then it has a variable, and its bare name is a key as well.
func isShared(flag *kong.Flag) bool { return len(flag.Envs) > 0 }

// Nearest gives the known word that is fewest edits away, or "" when none is near
// enough to be meant. Underscores count as dashes: they are the usual slip.
func Nearest(name string, known []string) string {
	plain := func(word string) string { return strings.ReplaceAll(strings.ToLower(word), "_", "-") }
	best, bestDistance := "", max(2, len(name)/2)+1
	for _, key := range known {
		if d := editDistance(plain(name), plain(key)); d < bestDistance || d == bestDistance && best != "" && key < best {
			best, bestDistance = key, d
		}
	}
	return best
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

var linePattern = regexp.MustCompile(`line \d+`)

// place gives where in a YAML file the library stopped, without its words.
func place(err error) string {
	if line := linePattern.FindString(err.Error()); line != "" {
		return " near " + line
	}
	return ""
}

// cause is an error of the file system without the path, which is said already.
func cause(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}
