package salesforceapi

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// query is a SELECT that was understood.
type query struct {
	object    string
	fields    []string
	all       bool // FIELDS(ALL), FIELDS(CUSTOM) or FIELDS(STANDARD)
	unbounded bool // FIELDS(ALL) or FIELDS(CUSTOM)
	where     func(Record) bool
	order     []string
	limit     int // -1: none
}

var selectForm = regexp.MustCompile(`(?is)^\s*SELECT\s+(.+?)\s+FROM\s+(\w+)(?:\s+WHERE\s+(.+?))?(?:\s+ORDER\s+BY\s+([\w,\s]+?))?(?:\s+LIMIT\s+(\d+))?\s*$`)

func parse(text string) (*query, error) {
	m := selectForm.FindStringSubmatch(text)
	if m == nil {
		return nil, errors.New("unexpected token")
	}
	q := &query{object: m[2], limit: -1, where: func(Record) bool { return true }}
	for field := range strings.SplitSeq(m[1], ",") {
		field = strings.TrimSpace(field)
		switch strings.ToUpper(field) {
		case "FIELDS(ALL)", "FIELDS(CUSTOM)":
			q.all, q.unbounded = true, true
		case "FIELDS(STANDARD)":
			q.all = true
		default:
			q.fields = append(q.fields, field)
		}
	}
	if q.all && len(q.fields) > 0 {
		return nil, errors.New("duplicate field selected: " + q.fields[0])
	}
	if m[3] != "" {
		p := parser{tokens: tokens.FindAllString(m[3], -1)}
		var err error
		if q.where, err = p.or(); err != nil {
			return nil, err
		}
		if p.peek() != "" {
			return nil, fmt.Errorf("unexpected token: %s", p.peek())
		}
	}
	for field := range strings.SplitSeq(m[4], ",") {
		if words := strings.Fields(field); len(words) > 0 {
			q.order = append(q.order, words[0])
		}
	}
	if m[5] != "" {
		q.limit, _ = strconv.Atoi(m[5]) // digits
	}
	return q, nil
}

func (q *query) compare(a, b Record) int {
	for _, field := range q.order {
		if c := compare(a[field], literal(b[field])); c != 0 {
			return c
		}
	}
	return 0
}

var tokens = regexp.MustCompile(`'(?:[^'\\]|\\.)*'|[()=,]|[<>!]=?|[^\s()=,<>!]+`)

type parser struct{ tokens []string }

func (p *parser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *parser) take() string {
	token := p.peek()
	if token != "" {
		p.tokens = p.tokens[1:]
	}
	return token
}

func (p *parser) is(word string) bool {
	if strings.EqualFold(p.peek(), word) {
		p.take()
		return true
	}
	return false
}

func (p *parser) or() (func(Record) bool, error) {
	return p.chain("OR", p.and, func(a, b bool) bool { return a || b })
}

func (p *parser) and() (func(Record) bool, error) {
	return p.chain("AND", p.one, func(a, b bool) bool { return a && b })
}

func (p *parser) chain(word string, next func() (func(Record) bool, error), join func(a, b bool) bool) (func(Record) bool, error) {
	left, err := next()
	for err == nil && p.is(word) {
		var right func(Record) bool
		first := left
		if right, err = next(); err == nil {
			left = func(r Record) bool { return join(first(r), right(r)) }
		}
	}
	return left, err
}

func (p *parser) one() (func(Record) bool, error) {
	if p.is("(") {
		inner, err := p.or()
		if err == nil && !p.is(")") {
			err = errors.New("unexpected token: " + p.peek())
		}
		return inner, err
	}
	field := p.take()
	if p.is("IN") {
		var values []string
		for p.take(); p.peek() != ")" && p.peek() != ""; p.is(",") {
			values = append(values, p.take())
		}
		p.take()
		return func(r Record) bool {
			return slices.ContainsFunc(values, func(v string) bool { return compare(r[field], v) == 0 })
		}, nil
	}
	op, value := p.take(), p.take()
	fits := map[string]func(int) bool{
		"=": func(c int) bool { return c == 0 }, "!=": func(c int) bool { return c != 0 }, ">": func(c int) bool { return c > 0 },
		"<": func(c int) bool { return c < 0 }, ">=": func(c int) bool { return c >= 0 }, "<=": func(c int) bool { return c <= 0 },
	}[op]
	if field == "" || fits == nil || value == "" {
		return nil, errors.New("unexpected token: " + op)
	}
	return func(r Record) bool { return fits(compare(r[field], value)) }, nil
}

// literal is a field's value as SOQL writes it.
func literal(value any) string {
	if text, ok := value.(string); ok {
		if _, isTime := instant(text); !isTime {
			return "'" + text + "'"
		}
	}
	return fmt.Sprint(value)
}

// compare holds a field's value against a literal: times by the instant, texts in
// quotes, and else what is written.
func compare(value any, with string) int {
	have := fmt.Sprint(value)
	if a, ok := instant(have); ok {
		if b, ok := instant(strings.Trim(with, "'")); ok {
			return a.Compare(b)
		}
	}
	return cmp.Compare(have, strings.Trim(with, "'"))
}

func instant(text string) (time.Time, bool) {
	for _, layout := range []string{"2006-01-02T15:04:05.999Z07:00", "2006-01-02T15:04:05.999Z0700"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}
