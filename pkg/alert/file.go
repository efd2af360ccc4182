package alert

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/settings"
)

// maxFile bounds a rules' file.
const maxFile = 256 << 10

// ReadFile is ReadRules of a file; "" gives the defaults. What is wrong in it is a *settings.ConfigError, a problem a line, each
// with the file and its place.
func ReadFile(path string) (Rules, error) {
	if path == "" {
		return ReadRules(nil)
	}
	text, err := os.ReadFile(path)
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("it has %d bytes, the bound is %d", len(text), maxFile)
	}
	if err != nil {
		return Rules{}, fault.Permanent(fault.Malformed, fmt.Errorf("reading the rules of alerts: %w", err))
	}
	rules, err := ReadRules(text)
	if err != nil {
		problems := strings.Split(err.Error(), "\n")
		for i := range problems {
			problems[i] = path + ": " + problems[i]
		}
		return Rules{}, fault.Permanent(fault.Malformed, &settings.ConfigError{Problems: problems})
	}
	return rules, nil
}

// ReadRules reads YAML that has what differs from the defaults. Its error is every problem, each with its place.
func ReadRules(text []byte) (Rules, error) {
	r := reader{rules: Rules{Severities: map[string][]Severity{}}}
	for _, name := range Names() {
		k := kinds()[name]
		r.rules.Rules = append(r.rules.Rules, Rule{Name: name, Meaning: k.meaning, Metrics: k.metrics, Enabled: true, Sources: map[string]time.Duration{}})
	}
	for _, document := range [][]byte{defaults, text} {
		var node yaml.Node
		if err := yaml.Unmarshal(document, &node); err != nil {
			return Rules{}, errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if len(node.Content) > 0 {
			r.document(node.Content[0])
		}
	}
	return r.rules, errors.Join(r.problems...)
}

// reader reads a document into rules.
type reader struct {
	rules    Rules
	problems []error
}

func (r *reader) wrong(at *yaml.Node, path, format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf("line %d: %s: %s", at.Line, path, fmt.Sprintf(format, args...)))
}

// fields calls one for each field of a mapping that is known, and says which are not, or come twice.
func (r *reader) fields(node *yaml.Node, path string, known []string, one func(name string, value *yaml.Node, path string)) {
	if node.Kind == yaml.ScalarNode && node.Tag == "!!null" {
		return // nothing is set
	}
	if node.Kind != yaml.MappingNode {
		r.wrong(node, path, "should be fields: %s", strings.Join(known, ", "))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i].Value, node.Content[i+1]
		at := strings.TrimPrefix(path+"."+name, "rules file.")
		switch {
		case seen[name]:
			r.wrong(node.Content[i], at, "is there twice")
		case known != nil && !slices.Contains(known, name):
			r.wrong(node.Content[i], at, "there is no such field: the fields are %s", strings.Join(known, ", "))
		case value.Kind == yaml.AliasNode:
			r.wrong(value, at, "should not be an alias")
		default:
			one(name, value, at)
		}
		seen[name] = true
	}
}

func (r *reader) document(node *yaml.Node) {
	r.fields(node, "rules file", []string{"repeat", "resolve_after", "items", "severities", "rules"}, func(name string, v *yaml.Node, path string) {
		switch name {
		case "repeat":
			r.duration(v, path, &r.rules.Repeat)
			if r.rules.Repeat > 0 && r.rules.Repeat < 5*time.Minute {
				r.wrong(v, path, "is %v: it should be 0s or at least 5m", r.rules.Repeat)
			}
		case "resolve_after":
			r.duration(v, path, &r.rules.ResolveAfter)
		case "items":
			var n int64
			if r.number(v, path, 1, 100, &n) {
				r.rules.Items = int(n)
			}
		case "severities":
			r.fields(v, path, ReceiverNames(), func(receiver string, v *yaml.Node, path string) {
				var list []Severity
				for _, text := range r.list(v, path, words(Severities())) {
					list = append(list, Severity(text))
				}
				r.rules.Severities[receiver] = list
			})
		case "rules":
			r.fields(v, path, Names(), func(name string, v *yaml.Node, path string) { r.rule(r.rules.Find(name), v, path) })
		}
	})
}

func (r *reader) rule(rule *Rule, node *yaml.Node, path string) {
	k := kinds()[rule.Name]
	known := []string{"enabled", "severity", "for", "receivers"}
	if k.count || k.age {
		known = append(known, "above")
	}
	if k.silence {
		known = append(known, "factor", "least", "sources")
	}
	r.fields(node, path, known, func(name string, v *yaml.Node, path string) {
		switch name {
		case "enabled":
			if v.Tag != "!!bool" || v.Decode(&rule.Enabled) != nil {
				r.wrong(v, path, "should be true or false")
			}
		case "severity":
			if !slices.Contains(words(Severities()), v.Value) {
				r.wrong(v, path, "is %q: it should be one of %s", v.Value, strings.Join(words(Severities()), ", "))
				return
			}
			rule.Severity = Severity(v.Value)
		case "for":
			r.duration(v, path, &rule.For)
		case "receivers":
			rule.Receivers = r.list(v, path, ReceiverNames())
		case "above":
			if k.age {
				r.duration(v, path, &rule.Age)
				return
			}
			r.number(v, path, 0, math.MaxInt32, &rule.Count)
		case "least":
			r.duration(v, path, &rule.Least)
		case "factor":
			f, err := strconv.ParseFloat(v.Value, 64)
			if err != nil || !(f >= 1 && f <= 1000) {
				r.wrong(v, path, "is %q: it should be a number from 1 to 1000", v.Value)
				return
			}
			rule.Factor = f
		case "sources":
			r.fields(v, path, nil, func(source string, v *yaml.Node, path string) {
				var bound time.Duration
				r.duration(v, path, &bound)
				rule.Sources[source] = bound
			})
		}
	})
}

// maxDuration is beyond any that makes sense.
const maxDuration = 366 * 24 * time.Hour

func (r *reader) duration(v *yaml.Node, path string, to *time.Duration) {
	d, err := time.ParseDuration(v.Value)
	if v.Kind != yaml.ScalarNode || err != nil || d < 0 || d > maxDuration {
		r.wrong(v, path, "is %q: it should be a duration like 90s, 15m or 72h, at most 8784h", v.Value)
		return
	}
	*to = d
}

func (r *reader) number(v *yaml.Node, path string, least, most int64, to *int64) bool {
	n, err := strconv.ParseInt(v.Value, 10, 64)
	if v.Kind != yaml.ScalarNode || err != nil || n < least || n > most {
		r.wrong(v, path, "is %q: it should be a number from %d to %d", v.Value, least, most)
		return false
	}
	*to = n
	return true
}

// list reads a list of some words.
func (r *reader) list(v *yaml.Node, path string, of []string) (found []string) {
	if v.Kind != yaml.SequenceNode {
		r.wrong(v, path, "should be a list of %s", strings.Join(of, ", "))
		return nil
	}
	for i, item := range v.Content {
		if !slices.Contains(of, item.Value) {
			r.wrong(item, fmt.Sprintf("%s[%d]", path, i), "is %q: it should be one of %s", item.Value, strings.Join(of, ", "))
			continue
		}
		found = append(found, item.Value)
	}
	return found
}

// YAML gives rules as a file that ReadRules reads.
func (r Rules) YAML() string {
	var b strings.Builder
	list := func(names []string) string { return "[" + strings.Join(names, ", ") + "]" }
	fmt.Fprintf(&b, "repeat: %s\nresolve_after: %s\nitems: %d\n", short(r.Repeat), short(r.ResolveAfter), r.Items)
	var severities []string
	for _, receiver := range slices.Sorted(maps.Keys(r.Severities)) {
		severities = append(severities, receiver+": "+list(words(r.Severities[receiver])))
	}
	fmt.Fprintf(&b, "severities: {%s}\nrules:\n", strings.Join(severities, ", "))
	for _, rule := range r.Rules {
		k := kinds()[rule.Name]
		where := ""
		if k.metrics {
			where = " (seen on the services' metrics pages)"
		}
		fmt.Fprintf(&b, "  # %s%s\n  %s: {", rule.Meaning, where, rule.Name)
		if !rule.Enabled {
			fmt.Fprint(&b, "enabled: false, ")
		}
		fmt.Fprintf(&b, "severity: %s, for: %s", rule.Severity, short(rule.For))
		switch {
		case k.count:
			fmt.Fprintf(&b, ", above: %d", rule.Count)
		case k.age:
			fmt.Fprintf(&b, ", above: %s", short(rule.Age))
		case k.silence:
			var sources []string
			for _, source := range slices.Sorted(maps.Keys(rule.Sources)) {
				sources = append(sources, fmt.Sprintf("%q: %s", source, short(rule.Sources[source])))
			}
			fmt.Fprintf(&b, ", factor: %v, least: %s, sources: {%s}", rule.Factor, short(rule.Least), strings.Join(sources, ", "))
		}
		if len(rule.Receivers) > 0 {
			fmt.Fprintf(&b, ", receivers: %s", list(rule.Receivers))
		}
		fmt.Fprint(&b, "}\n")
	}
	return b.String()
}

// words gives texts.
func words[T ~string](list []T) []string {
	texts := make([]string, len(list))
	for i, word := range list {
		texts[i] = string(word)
	}
	return texts
}

// short gives a duration as time.ParseDuration reads it, without what is zero: 72h.
func short(d time.Duration) string {
	text := d.String()
	if d >= time.Minute {
		text = strings.TrimSuffix(text, "0s")
	}
	if d >= time.Hour {
		if rest, ok := strings.CutSuffix(text, "h0m"); ok {
			text = rest + "h"
		}
	}
	return text
}
