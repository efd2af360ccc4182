package pattern

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// Bounds of a pattern.
const (
	MaxLength     = 2_000 // characters
	MaxSteps      = 8
	MaxTypes      = 10 // of one step, with or
	MaxConditions = 5  // of one step, with and
	MaxDays       = 3_650
	maxWildcards  = 4  // of one event type
	maxDepth      = 16 // of a path
	maxText       = 500
	maxDigits     = 30
)

// Pattern is a pattern that was parsed. It is immutable.
type Pattern struct {
	steps []step
	now   bool
}

// step is an event, or with gap a period without one.
type step struct {
	types  []eventType
	where  []condition
	within time.Duration // after the event before, at most; 0: any time
	gap    time.Duration
}

type eventType struct{ source, name string }

// condition compares a field of the payload with a literal.
type condition struct {
	path    []string
	shown   string // as it was written
	op      string
	literal any // string, number, bool or nil
}

// number is a decimal literal.
type number string

// SyntaxError says where a pattern is wrong. Line and Column count from 1, Column in characters.
type SyntaxError struct {
	Line, Column int
	Message      string
}

// Error is error's.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
}

func wrong(at lexer.Position, format string, args ...any) error {
	return &SyntaxError{Line: at.Line, Column: at.Column, Message: fmt.Sprintf(format, args...)}
}

// The grammar, as participle reads it.
type (
	patternNode struct {
		Now   bool        `parser:"( @'now' ','? )?"`
		First *eventNode  `parser:"@@"`
		Rest  []*nextNode `parser:"( ','? 'then' @@ )*"`
	}
	nextNode struct {
		Gap   *gapNode   `parser:"  @@"`
		Event *eventNode `parser:"| @@"`
	}
	gapNode struct {
		Pos     lexer.Position
		Length  *lengthNode `parser:"( @@ 'without'"`
		Without *typesNode  `parser:"  @@"`
		For     *forNode    `parser:"| @@ )"`
	}
	forNode struct {
		Without *typesNode  `parser:"'without' @@"`
		Length  *lengthNode `parser:"'for' @@"`
	}
	eventNode struct {
		Pos    lexer.Position
		Types  *typesNode  `parser:"@@"`
		Within *lengthNode `parser:"( 'within' @@ )?"`
	}
	typesNode struct {
		Pos   lexer.Position
		Types []*typeNode      `parser:"@@ ( 'or' @@ )*"`
		Where []*conditionNode `parser:"( 'where' @@ ( 'and' @@ )* )?"`
	}
	typeNode struct {
		Pos    lexer.Position
		Source string `parser:"( @EventType (?= EventType | Text) )?"`
		Name   string `parser:"@( EventType | Text )"`
	}
	conditionNode struct {
		Pos     lexer.Position
		Path    string       `parser:"@Path"`
		Op      string       `parser:"@Comparison"`
		Literal *literalNode `parser:"@@"`
	}
	literalNode struct {
		Pos    lexer.Position
		Text   *string `parser:"  @Text"`
		Number *string `parser:"| @Number"`
		Word   *string `parser:"| @( 'true' | 'false' | 'null' )"`
	}
	lengthNode struct {
		Pos   lexer.Position
		Count string `parser:"@Number"`
		Unit  string `parser:"@( 'hour' | 'hours' | 'day' | 'days' | 'week' | 'weeks' )"`
	}
)

// keywords are no event types, unless they stand in quotes.
var keywords = []string{"now", "then", "without", "within", "for", "where", "and", "or", "true", "false", "null",
	"hour", "hours", "day", "days", "week", "weeks"}

// grammar gives the parser, which is safe for concurrent use.
var grammar = sync.OnceValue(func() *participle.Parser[patternNode] {
	lex := lexer.MustSimple([]lexer.SimpleRule{
		{Name: "Text", Pattern: `"(\\.|[^"\\\n])*"`},
		{Name: "Path", Pattern: `payload(\.([\p{L}_][\p{L}\p{N}_-]*|"(\\.|[^"\\\n])*")|\[[0-9]+\])+`},
		{Name: "Number", Pattern: `-?[0-9]+(\.[0-9]+)?`},
		{Name: "EventType", Pattern: `[\p{L}_*][\p{L}\p{N}_.*/:-]*`},
		{Name: "Comparison", Pattern: `!=|>=|<=|=|>|<`},
		{Name: "Comma", Pattern: `,`},
		{Name: "Keyword", Pattern: `\x00`}, // words become it below
		{Name: "Space", Pattern: `[ \t\r\n]+`},
	})
	keyword := lex.Symbols()["Keyword"]
	return participle.MustBuild[patternNode](participle.Lexer(lex), participle.Elide("Space"), participle.UseLookahead(3),
		participle.Map(func(t lexer.Token) (lexer.Token, error) {
			if word := strings.ToLower(t.Value); slices.Contains(keywords, word) {
				t.Type, t.Value = keyword, word
			}
			return t, nil
		}, "EventType"))
})

// Parse reads a pattern. Errors are Permanent, Malformed, and where the text is at fault a *SyntaxError.
func Parse(text string) (*Pattern, error) {
	p, err := parse(text)
	if err != nil {
		return nil, fault.Permanent(fault.Malformed, fmt.Errorf("the pattern is wrong: %w", err))
	}
	return p, nil
}

func parse(text string) (*Pattern, error) {
	switch {
	case utf8.RuneCountInString(text) > MaxLength:
		return nil, fmt.Errorf("it has %d characters, and may have %d", utf8.RuneCountInString(text), MaxLength)
	case !utf8.ValidString(text):
		return nil, errors.New("it is not UTF-8")
	case strings.ContainsRune(text, 0):
		return nil, errors.New("it holds NUL")
	case strings.TrimSpace(text) == "":
		return nil, errors.New("it is empty: expected an event type, like charge.dispute.created")
	}
	node, err := grammar().ParseString("", text)
	if err != nil {
		return nil, syntax(text, err)
	}
	p := &Pattern{now: node.Now}
	if err := p.event(node.First); err != nil {
		return nil, err
	}
	var gaps time.Duration // since the event before
	for _, next := range node.Rest {
		if next.Gap != nil {
			if err := p.gap(next.Gap); err != nil {
				return nil, err
			}
			gaps += p.steps[len(p.steps)-1].gap
			continue
		}
		if err := p.event(next.Event); err != nil {
			return nil, err
		}
		if within := p.steps[len(p.steps)-1].within; within > 0 && within < gaps {
			return nil, wrong(next.Event.Within.Pos, "within %s can never be met: the periods before it last %s, and within counts from the event before them", span(within), span(gaps))
		}
		gaps = 0
	}
	if p.now && len(p.steps) < 2 {
		return nil, wrong(node.First.Pos, "now asks what has begun and may go on, so there must be two steps at least")
	}
	return p, nil
}

func (p *Pattern) add(at lexer.Position, s step, types *typesNode) error {
	if len(p.steps) == MaxSteps {
		return wrong(at, "a pattern has at most %d steps", MaxSteps)
	}
	if len(types.Types) > MaxTypes {
		return wrong(types.Pos, "a step has at most %d event types", MaxTypes)
	}
	for _, t := range types.Types {
		name, err := unquote(t.Pos, t.Name)
		if err != nil {
			return err
		}
		switch {
		case name == "":
			return wrong(t.Pos, "the event type is empty")
		case strings.Count(name, "*") > maxWildcards:
			return wrong(t.Pos, "an event type has at most %d wildcards", maxWildcards)
		case strings.Contains(t.Source, "*"):
			return wrong(t.Pos, "a source has no wildcard: leave it out to look in all")
		}
		s.types = append(s.types, eventType{source: t.Source, name: name})
	}
	if len(types.Where) > MaxConditions {
		return wrong(types.Where[MaxConditions].Pos, "a step has at most %d conditions", MaxConditions)
	}
	for _, w := range types.Where {
		c, err := newCondition(w)
		if err != nil {
			return err
		}
		s.where = append(s.where, c)
	}
	p.steps = append(p.steps, s)
	return nil
}

func (p *Pattern) event(node *eventNode) error {
	var s step
	if node.Within != nil {
		if len(p.steps) == 0 {
			return wrong(node.Within.Pos, "the first step has none before it to be within a time of")
		}
		var err error
		if s.within, err = node.Within.duration(); err != nil {
			return err
		}
	}
	return p.add(node.Pos, s, node.Types)
}

func (p *Pattern) gap(node *gapNode) error {
	length, without := node.Length, node.Without
	if node.For != nil {
		length, without = node.For.Length, node.For.Without
	}
	d, err := length.duration()
	if err != nil {
		return err
	}
	return p.add(node.Pos, step{gap: d}, without)
}

var units = map[string]time.Duration{"hour": time.Hour, "day": 24 * time.Hour, "week": 7 * 24 * time.Hour}

func (l *lengthNode) duration() (time.Duration, error) {
	unit := units[strings.TrimSuffix(l.Unit, "s")]
	count, err := strconv.ParseUint(l.Count, 10, 32)
	if most := uint64(MaxDays * 24 * time.Hour / unit); err != nil || count < 1 || count > most {
		return 0, wrong(l.Pos, "%s %s: expected a whole number from 1 to %d", l.Count, l.Unit, most)
	}
	return time.Duration(count) * unit, nil
}

func newCondition(node *conditionNode) (condition, error) {
	c := condition{shown: node.Path, op: node.Op}
	rest := strings.TrimPrefix(node.Path, "payload")
	for rest != "" {
		var part string
		switch {
		case rest[0] == '[':
			part, rest, _ = strings.Cut(rest[1:], "]")
		case rest[1] == '"':
			quoted, err := strconv.QuotedPrefix(rest[1:])
			if err != nil {
				return c, wrong(node.Pos, "%s: a name in quotes is written as in JSON", node.Path)
			}
			rest = rest[1+len(quoted):]
			if part, err = unquote(node.Pos, quoted); err != nil {
				return c, err
			}
		default:
			end := strings.IndexAny(rest[1:], ".[")
			if end < 0 {
				end = len(rest) - 1
			}
			part, rest = rest[1:1+end], rest[1+end:]
		}
		c.path = append(c.path, part)
	}
	if len(c.path) > maxDepth {
		return c, wrong(node.Pos, "a path has at most %d parts", maxDepth)
	}
	switch l := node.Literal; {
	case l.Text != nil:
		text, err := unquote(l.Pos, *l.Text)
		if err != nil {
			return c, err
		}
		c.literal = text
	case l.Number != nil:
		if len(*l.Number) > maxDigits {
			return c, wrong(l.Pos, "a number has at most %d digits", maxDigits)
		}
		c.literal = number(*l.Number)
	default:
		c.literal = map[string]any{"true": true, "false": false, "null": nil}[*l.Word]
		if c.op != "=" && c.op != "!=" {
			return c, wrong(node.Pos, "%s is not smaller or larger than anything: expected = or !=", *l.Word)
		}
	}
	return c, nil
}

// unquote reads a text in quotes; any other is itself.
func unquote(at lexer.Position, text string) (string, error) {
	if strings.HasPrefix(text, `"`) {
		plain, err := strconv.Unquote(text)
		if err != nil {
			return "", wrong(at, `%s: after \ only ", \, n, t, and u with four hexadecimal digits mean something`, text)
		}
		text = plain
	}
	if strings.ContainsRune(text, 0) || !utf8.ValidString(text) || len(text) > maxText {
		return "", wrong(at, "a text has at most %d bytes of UTF-8, without NUL", maxText)
	}
	return text, nil
}

// syntax says in a person's words what participle says in the grammar's.
func syntax(text string, err error) error {
	var at participle.Error
	if !errors.As(err, &at) {
		return err
	}
	var unexpected *participle.UnexpectedTokenError
	if !errors.As(err, &unexpected) {
		return wrong(at.Position(), "this is no word: an event type or a value with other characters stands in double quotes")
	}
	found := "unexpected " + strconv.Quote(unexpected.Unexpected.Value)
	if unexpected.Unexpected.EOF() {
		found = "the pattern ends here"
	}
	// All that may follow is known by what stands before.
	before := lexer.Token{}
	if tokens, err := grammar().Lex("", strings.NewReader(text)); err == nil {
		for _, t := range tokens {
			if t.Pos.Offset >= unexpected.Unexpected.Pos.Offset {
				break
			}
			if strings.TrimSpace(t.Value) != "" {
				before = t
			}
		}
	}
	return wrong(at.Position(), "%s: expected %s", found, after(before))
}

// after gives what may follow a token, in words.
func after(t lexer.Token) string {
	const (
		anEvent  = "an event type, like charge.dispute.created"
		aLength  = "a length of time, like 30 days"
		whatNext = "where, within, or, “, then”, or the end"
	)
	kind := ""
	for name, symbol := range grammar().Lexer().Symbols() {
		if symbol == t.Type {
			kind = name
		}
	}
	word := strings.ToLower(t.Value)
	if kind == "EventType" && slices.Contains(keywords, word) {
		kind = "Keyword"
	}
	switch {
	case word == "" || word == "now":
		return anEvent
	case kind == "Comma":
		return "then"
	case kind == "Number":
		return "hours, days or weeks; or after a condition " + whatNext
	case kind == "Path":
		return "one of = != < <= > >="
	case kind == "Comparison":
		return "a number, a text in double quotes, true, false or null"
	case kind != "Keyword":
		return whatNext
	}
	switch word {
	case "then":
		return anEvent + ", or a period without one, like 30 days without conversation.*"
	case "without", "or":
		return anEvent
	case "within", "for":
		return aLength
	case "where", "and":
		return "a field of the payload, like payload.amount"
	case "true", "false", "null":
		return whatNext
	}
	return "without, where, “, then”, or the end" // a unit of time
}
