package expect

import (
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/shape"
)

// jsonPaths gives the paths that an SQL/JSON path expression reads: those that begin
// with $, and those of a filter, which begin with @ and go on from what they filter.
func jsonPaths(text string) (all [][]shape.Segment) {
	var bases [][]shape.Segment // of the filters around
	var last []shape.Segment
	inText := func(i int) int { // the end of a quoted text
		for i++; i < len(text) && text[i] != '"'; i++ {
			if text[i] == '\\' {
				i++
			}
		}
		return i + 1
	}
	for i := 0; i < len(text); {
		switch c := text[i]; c {
		case '"':
			i = inText(i)
		case '$', '@':
			base := []shape.Segment(nil)
			if c == '@' && len(bases) > 0 {
				base = bases[len(bases)-1]
			}
			var segments []shape.Segment
			segments, i = accessors(text, i+1, inText)
			last = append(slices.Clone(base), segments...)
			if len(last) > 0 {
				all = append(all, last)
			}
		case '(':
			bases = append(bases, last)
			i++
		case ')':
			if len(bases) > 0 {
				last, bases = bases[len(bases)-1], bases[:len(bases)-1]
			}
			i++
		default:
			i++
		}
	}
	return all
}

// accessors reads .name, ."name", .*, [0] and [*] from i on. A method (.size()) ends them.
func accessors(text string, i int, quoted func(int) int) (segments []shape.Segment, end int) {
	for i < len(text) {
		switch {
		case text[i] == '[':
			closing := strings.IndexByte(text[i:], ']')
			if closing < 0 {
				return segments, len(text)
			}
			i += closing + 1
			segments = append(segments, shape.Segment{Kind: shape.IsElement})
		case text[i] == '.' && i+1 < len(text) && text[i+1] == '"':
			after := min(quoted(i+1), len(text))
			if after-1 < i+2 {
				return segments, len(text)
			}
			segments, i = append(segments, shape.Segment{Name: text[i+2 : after-1]}), after
		case text[i] == '.' && i+1 < len(text) && text[i+1] == '*':
			segments, i = append(segments, shape.Segment{Kind: shape.IsWildcard}), i+2
		case text[i] == '.':
			stop := i + 1
			for stop < len(text) && !strings.ContainsRune(" .[?()=<>!&|+-*/%,\t\n\"", rune(text[stop])) {
				stop++
			}
			if stop == i+1 || stop < len(text) && text[stop] == '(' {
				return segments, stop
			}
			segments, i = append(segments, shape.Segment{Name: text[i+1 : stop]}), stop
		default:
			return segments, i
		}
	}
	return segments, i
}
