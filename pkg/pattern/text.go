package pattern

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// String gives the pattern as Parse reads it again.
func (p *Pattern) String() string {
	var b strings.Builder
	if p.now {
		b.WriteString("now ")
	}
	for i := range p.steps {
		if i > 0 {
			b.WriteString(", then ")
		}
		b.WriteString(p.steps[i].text())
	}
	return b.String()
}

// Now says whether the pattern asks what has begun and is not complete.
func (p *Pattern) Now() bool { return p.now }

// Begun gives the pattern as it is with now in front: all but the last step has happened, and the last may still.
// A pattern of one step is Permanent, Malformed.
func (p *Pattern) Begun() (*Pattern, error) {
	if p.now {
		return p, nil
	}
	return Parse("now " + p.String())
}

// Titles gives the text of each step that is an event, by its number from 1, in order. With now the last step is not
// among them.
func (p *Pattern) Titles() (numbers []int, texts []string) {
	for i := range p.reached() {
		if s := &p.steps[i]; s.gap == 0 {
			numbers, texts = append(numbers, i+1), append(texts, s.names())
		}
	}
	return numbers, texts
}

// reached gives the steps that a match has.
func (p *Pattern) reached() []step {
	if p.now {
		return p.steps[:len(p.steps)-1]
	}
	return p.steps
}

func (s *step) names() string {
	names := make([]string, len(s.types))
	for i, t := range s.types {
		names[i] = t.text()
	}
	return strings.Join(names, " or ")
}

func (s *step) text() string {
	text := s.names()
	if s.gap > 0 {
		text = span(s.gap) + " without " + text
	}
	for i, c := range s.where {
		word := " and "
		if i == 0 {
			word = " where "
		}
		text += word + c.text()
	}
	if s.within > 0 {
		text += " within " + span(s.within)
	}
	return text
}

var plainType = regexp.MustCompile(`^[\p{L}_*][\p{L}\p{N}_.*/:-]*$`)

func (t eventType) text() string {
	name := t.name
	if !plainType.MatchString(name) || strings.HasPrefix(name, "payload") || slices.Contains(keywords, strings.ToLower(name)) {
		name = strconv.Quote(name)
	}
	if t.source != "" {
		name = t.source + " " + name
	}
	return name
}

func (c condition) text() string {
	literal := "null"
	switch l := c.literal.(type) {
	case string:
		literal = strconv.Quote(l)
	case number:
		literal = string(l)
	case bool:
		literal = strconv.FormatBool(l)
	}
	return c.shown + " " + c.op + " " + literal
}

// span gives a length of time in the largest of days and hours that is whole.
func span(d time.Duration) string {
	count, unit := int64(d/time.Hour), "hour"
	if count%24 == 0 {
		count, unit = count/24, "day"
	}
	if count != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", count, unit)
}
