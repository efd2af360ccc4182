package shape

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// The segments that are no names.
const (
	Element  = "[]" // every element of an array
	Wildcard = "*"  // every member of an object that is used as a map
)

// Segment is one step of a path: a name, or Element or Wildcard.
type Segment struct {
	Name string
	Kind SegmentKind
}

// SegmentKind tells a name that is written like Element from an element.
type SegmentKind uint8

// The kinds of segments.
const (
	IsName SegmentKind = iota
	IsElement
	IsWildcard
)

// Append gives path with one more segment.
func Append(path string, s Segment) string {
	switch s.Kind {
	case IsElement:
		return path + Element
	case IsWildcard:
		return join(path, Wildcard)
	default:
		return join(path, quote(s.Name))
	}
}

// Join writes segments as a path.
func Join(segments ...Segment) (path string) {
	for _, s := range segments {
		path = Append(path, s)
	}
	return path
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func quote(name string) string {
	if plain(name) {
		return name
	}
	quoted, _ := json.Marshal(name) // of a string it has no error
	return string(quoted)
}

// plain: nothing in the name could be taken for a part of the path.
func plain(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-', c == '$':
		default:
			return false
		}
	}
	return name != ""
}

// Parse reads a path as Append writes it, and also $.a.b and a[0].b, which mean
// a.b and a[].b.
func Parse(path string) ([]Segment, error) {
	rest := path
	if strings.HasPrefix(rest, "$.") || rest == "$" || strings.HasPrefix(rest, "$[") {
		rest = strings.TrimPrefix(rest[1:], ".")
	}
	var segments []Segment
	for first := true; rest != ""; first = false {
		switch {
		case rest[0] == '[':
			inside, after, found := strings.Cut(rest[1:], "]")
			if !found || strings.Trim(inside, "0123456789*") != "" {
				return nil, fmt.Errorf("%q is not a path: [ stands only in [], for the elements of an array", path)
			}
			segments, rest = append(segments, Segment{Kind: IsElement}), after
			continue
		case !first && rest[0] != '.':
			return nil, fmt.Errorf("%q is not a path: a dot is missing before %q", path, rest)
		case !first:
			rest = rest[1:]
		}
		segment, after, err := parseName(rest)
		if err != nil {
			return nil, fmt.Errorf("%q is not a path: %w", path, err)
		}
		segments, rest = append(segments, segment), after
	}
	return segments, nil
}

func parseName(rest string) (Segment, string, error) {
	if strings.HasPrefix(rest, `"`) {
		dec := json.NewDecoder(strings.NewReader(rest))
		var name string
		if err := dec.Decode(&name); err != nil {
			return Segment{}, "", errors.New("a quoted name does not end")
		}
		return Segment{Name: name}, rest[dec.InputOffset():], nil
	}
	end := strings.IndexAny(rest, ".[")
	if end < 0 {
		end = len(rest)
	}
	switch name := rest[:end]; {
	case name == Wildcard:
		return Segment{Kind: IsWildcard}, rest[end:], nil
	case !plain(name):
		return Segment{}, "", fmt.Errorf("%q is no name: one with other characters than letters, digits, _, - and $ is written in quotes", name)
	default:
		return Segment{Name: name}, rest[end:], nil
	}
}

// Within reports whether path lies at or below top: what happens to top happens
// to it. A * of either side stands for any name. What is no path lies nowhere.
func Within(top, path string) bool {
	if top == path || top == "" {
		return true
	}
	a, err := Parse(top)
	if err != nil {
		return false
	}
	b, err := Parse(path)
	if err != nil || len(a) > len(b) {
		return false
	}
	for i := range a {
		switch x, y := a[i], b[i]; {
		case x == y:
		case x.Kind == IsElement || y.Kind == IsElement:
			return false
		case x.Kind == IsName && y.Kind == IsName:
			return false
		}
	}
	return true
}
