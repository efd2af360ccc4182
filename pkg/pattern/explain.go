package pattern

import (
	"errors"
	"fmt"
	"strings"
)

// Explained says in sentences what the pattern looks for, one for each step.
func (p *Pattern) Explained() []string {
	said := make([]string, len(p.steps))
	after := "" // the event that the step before has
	for i := range p.steps {
		s := &p.steps[i]
		last := p.now && i == len(p.steps)-1
		what := s.names()
		for n, c := range s.where {
			word := " and "
			if n == 0 {
				word = ", where "
			}
			what += word + c.text()
		}
		switch {
		case s.gap > 0 && last:
			said[i] = fmt.Sprintf("%s without %s have begun, and are not over.", span(s.gap), what)
		case s.gap > 0:
			said[i] = fmt.Sprintf("Then there is no %s for %s.", what, span(s.gap))
		case last:
			said[i] = fmt.Sprintf("After that, %s has not happened%s.", what, stillMay(s))
		case i == 0:
			said[i] = what + " happens."
		case s.within > 0:
			said[i] = fmt.Sprintf("After that, %s happens, at most %s after %s.", what, span(s.within), after)
		default:
			said[i] = fmt.Sprintf("After that, %s happens, whenever.", what)
		}
		if s.gap == 0 {
			after = s.names()
		}
	}
	return said
}

func stillMay(s *step) string {
	if s.within > 0 {
		return ", and the " + span(s.within) + " in which it may are not over"
	}
	return ""
}

// Position gives where in the text of a pattern an error of Parse is: the lines before it and what stands before it on its
// line, and the rest from there on. ok is false for any other error.
func Position(text string, err error) (before, rest string, ok bool) {
	var at *SyntaxError
	if !errors.As(err, &at) {
		return "", "", false
	}
	offset := 0
	for line := 1; line < at.Line; line++ {
		next := strings.IndexByte(text[offset:], '\n')
		if next < 0 {
			return "", "", false
		}
		offset += next + 1
	}
	runes := []rune(text[offset:])
	n := min(max(at.Column-1, 0), len(runes))
	offset += len(string(runes[:n]))
	return text[:offset], text[offset:], true
}
