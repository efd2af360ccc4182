package expect

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	pgquery "github.com/wasilibs/go-pgquery"

	"github.com/throughline-dev/throughline/pkg/shape"
)

// Read is a path that a query reads, of the events that the query's own conditions
// choose.
type Read struct {
	Relation  string // the view that the statement makes; "" for any other
	Source    string // "" is any
	EventType string // "" is any
	Path      string
	Types     []string // JSON types that it takes; none: any
}

// maxSQL bounds the text that is parsed.
const maxSQL = 1 << 20

// payloadColumn is the column of the timeline that holds what vendors sent.
const payloadColumn = "payload"

// SQL gives the paths that the statements of a text read from a column named payload,
// each once. unknown counts accesses whose path the text does not say, as in
// payload->>$1. An error names what the parser does not understand.
func SQL(text string) (reads []Read, unknown int, err error) {
	if len(text) > maxSQL {
		return nil, 0, fmt.Errorf("it has %d bytes, the bound is %d", len(text), maxSQL)
	}
	parsed, err := pgquery.ParseToJSON(text)
	if err != nil {
		return nil, 0, fmt.Errorf("PostgreSQL's parser does not understand it: %w", err)
	}
	var tree map[string]any
	if err := json.Unmarshal([]byte(parsed), &tree); err != nil {
		return nil, 0, errors.New("the parser's answer is no JSON")
	}
	var r reader
	for _, statement := range items(tree["stmts"]) {
		stmt := at(statement, "stmt")
		relation := textOf(at(stmt, "ViewStmt", "view", "relname"))
		if relation == "" {
			relation = textOf(at(stmt, "CreateTableAsStmt", "into", "rel", "relname"))
		}
		r.walk(stmt, scope{relation: relation, aliases: map[string][]shape.Segment{payloadColumn: nil}})
	}
	return r.reads, r.unknown, nil
}

// scope is what holds in one SELECT.
type scope struct {
	relation       string
	sources, types []string
	aliases        map[string][]shape.Segment // columns that are parts of a payload
}

type reader struct {
	reads   []Read
	unknown int
}

func (r *reader) add(s scope, segments []shape.Segment, types ...string) {
	if len(segments) == 0 {
		return
	}
	// The timeline's payload has a subject of its own; the vendor's is subject_ref.
	switch first := segments[0]; {
	case first == (shape.Segment{Name: "subject"}):
		return
	case first.Kind == shape.IsName && strings.HasPrefix(first.Name, "subject_ref"):
		segments = append([]shape.Segment{{Name: strings.TrimSuffix(first.Name, "_ref")}}, segments[1:]...)
	}
	for _, source := range orAny(s.sources) {
		for _, eventType := range orAny(s.types) {
			read := Read{Relation: s.relation, Source: source, EventType: eventType, Path: shape.Join(segments...), Types: types}
			if !slices.ContainsFunc(r.reads, func(o Read) bool {
				return o.Relation == read.Relation && o.Source == source && o.EventType == eventType && o.Path == read.Path
			}) {
				r.reads = append(r.reads, read)
			}
		}
	}
}

func orAny(list []string) []string {
	if len(list) == 0 {
		return []string{""}
	}
	return list
}

// walk visits a node of the parser's tree.
func (r *reader) walk(node any, s scope) {
	switch n := node.(type) {
	case []any:
		for _, item := range n {
			r.walk(item, s)
		}
	case map[string]any:
		if selects, ok := n["SelectStmt"].(map[string]any); ok {
			s = s.inside(selects)
			r.walk(selects, s)
			return
		}
		if r.access(n, s) {
			return
		}
		for _, key := range keys(n) {
			if side, ok := n[key].(map[string]any); ok && (key == "larg" || key == "rarg") && side["op"] != nil { // of a UNION
				r.walk(map[string]any{"SelectStmt": side}, s)
				continue
			}
			r.walk(n[key], s)
		}
	}
}

// inside gives the scope of a SELECT: its own conditions, and the columns that its FROM
// makes of payloads.
func (s scope) inside(selects map[string]any) scope {
	s.sources, s.types = nil, nil
	for _, condition := range conjuncts(selects["whereClause"]) {
		column, values := constants(condition)
		switch column {
		case "source":
			s.sources = values
		case "event_type":
			s.types = values
		}
	}
	aliases := map[string][]shape.Segment{}
	for name, segments := range s.aliases {
		aliases[name] = segments
	}
	s.aliases = aliases
	s.fromItems(selects["fromClause"])
	return s
}

func (s scope) fromItems(node any) {
	switch n := node.(type) {
	case []any:
		for _, item := range n {
			s.fromItems(item)
		}
	case map[string]any:
		if join, ok := n["JoinExpr"].(map[string]any); ok {
			s.fromItems(join["larg"])
			s.fromItems(join["rarg"])
		}
		f, ok := n["RangeFunction"].(map[string]any)
		if !ok {
			return
		}
		call := find(f["functions"], "FuncCall")
		alias := textOf(at(f, "alias", "aliasname"))
		args := items(at(call, "args"))
		if alias == "" || len(args) == 0 {
			return
		}
		segments, ok := s.chain(args[0])
		if !ok {
			return
		}
		switch functionName(call) {
		case "jsonb_array_elements", "jsonb_array_elements_text":
			s.aliases[alias] = append(slices.Clone(segments), shape.Segment{Kind: shape.IsElement})
		case "jsonb_each", "jsonb_each_text":
			s.aliases[alias] = append(slices.Clone(segments), shape.Segment{Kind: shape.IsWildcard})
		}
	}
}

// access reads a node that reaches into a payload, and reports whether it was one.
func (r *reader) access(n map[string]any, s scope) bool {
	if segments, ok := s.chain(n); ok {
		if len(segments) > 0 {
			r.add(s, segments)
		}
		return true
	}
	if e, ok := n["A_Expr"].(map[string]any); ok {
		base, ok := s.chain(e["lexpr"])
		if !ok {
			return false
		}
		constant, known := constant(e["rexpr"])
		switch operator(e) {
		case "->", "->>", "#>", "#>>":
			r.unknown++ // a path that chain could not read
			r.add(s, base)
			r.walk(e["rexpr"], s)
			return true
		case "@>":
			var value any
			if known && json.Unmarshal([]byte(constant), &value) == nil {
				r.contained(s, base, value)
				return true
			}
		case "?":
			if known {
				r.add(s, extend(base, shape.Segment{Name: constant}))
				return true
			}
		case "@?", "@@":
			if known {
				for _, path := range jsonPaths(constant) {
					r.add(s, append(slices.Clone(base), path...))
				}
				return true
			}
		}
		return false
	}
	if call, ok := n["FuncCall"].(map[string]any); ok && strings.HasPrefix(functionName(call), "jsonb_path_") {
		args := items(call["args"])
		if len(args) < 2 {
			return false
		}
		base, ok := s.chain(args[0])
		text, known := constant(args[1])
		if ok && known {
			for _, path := range jsonPaths(text) {
				r.add(s, append(slices.Clone(base), path...))
			}
			return true
		}
	}
	return false
}

// contained adds what a document of @> has.
func (r *reader) contained(s scope, base []shape.Segment, value any) {
	switch v := value.(type) {
	case map[string]any:
		for _, key := range keys(v) {
			r.contained(s, extend(base, shape.Segment{Name: key}), v[key])
		}
	case []any:
		for _, item := range v {
			r.contained(s, extend(base, shape.Segment{Kind: shape.IsElement}), item)
		}
	case string:
		r.add(s, base, "string")
	case float64:
		r.add(s, base, "number")
	case bool:
		r.add(s, base, "boolean")
	default:
		r.add(s, base)
	}
}

func extend(base []shape.Segment, s shape.Segment) []shape.Segment {
	return append(slices.Clone(base), s)
}

// chain gives the path of an expression that leads from a payload to a part of it.
func (s scope) chain(node any) ([]shape.Segment, bool) {
	n, ok := node.(map[string]any)
	if !ok {
		return nil, false
	}
	if column, ok := n["ColumnRef"].(map[string]any); ok {
		fields := items(column["fields"])
		for i := len(fields) - 1; i >= 0; i-- {
			field := textOf(at(fields[i], "String", "sval"))
			if segments, ok := s.aliases[field]; ok {
				return segments, true
			}
			if field != "value" {
				return nil, false
			}
		}
		return nil, false
	}
	if cast, ok := n["TypeCast"].(map[string]any); ok {
		return s.chain(cast["arg"])
	}
	if indirection, ok := n["A_Indirection"].(map[string]any); ok {
		segments, ok := s.chain(indirection["arg"])
		for _, item := range items(indirection["indirection"]) {
			key, known := constant(at(item, "A_Indices", "uidx"))
			if !ok || !known {
				return nil, false
			}
			segments = extend(segments, s.key(at(item, "A_Indices", "uidx"), key))
		}
		return segments, ok
	}
	if call, ok := n["FuncCall"].(map[string]any); ok {
		switch functionName(call) {
		case "jsonb_extract_path", "jsonb_extract_path_text":
			args := items(call["args"])
			if len(args) == 0 {
				return nil, false
			}
			segments, ok := s.chain(args[0])
			for _, arg := range args[1:] {
				key, known := constant(arg)
				if !ok || !known {
					return nil, false
				}
				segments = extend(segments, pathKey(key))
			}
			return segments, ok
		}
		return nil, false
	}
	e, ok := n["A_Expr"].(map[string]any)
	if !ok {
		return nil, false
	}
	switch operator(e) {
	case "->", "->>":
		segments, ok := s.chain(e["lexpr"])
		key, known := constant(e["rexpr"])
		if !ok || !known {
			return nil, false
		}
		return extend(segments, s.key(e["rexpr"], key)), true
	case "#>", "#>>":
		segments, ok := s.chain(e["lexpr"])
		path, known := textArray(e["rexpr"])
		if !ok || !known {
			return nil, false
		}
		for _, key := range path {
			segments = extend(segments, pathKey(key))
		}
		return segments, true
	}
	return nil, false
}

// key is what follows ->: an integer is an element's place.
func (scope) key(node any, key string) shape.Segment {
	if find(node, "ival") != nil || at(node, "A_Const", "ival") != nil {
		return shape.Segment{Kind: shape.IsElement}
	}
	return shape.Segment{Name: key}
}

// pathKey is a key of a path of texts, where an element's place is a text too.
func pathKey(key string) shape.Segment {
	if strings.Trim(key, "-0123456789") == "" && key != "" {
		return shape.Segment{Kind: shape.IsElement}
	}
	return shape.Segment{Name: key}
}

// textArray reads '{a,b}' and ARRAY['a', 'b'].
func textArray(node any) ([]string, bool) {
	if array, ok := unwrap(node)["A_ArrayExpr"].(map[string]any); ok {
		var all []string
		for _, element := range items(array["elements"]) {
			key, known := constant(element)
			if !known {
				return nil, false
			}
			all = append(all, key)
		}
		return all, true
	}
	text, known := constant(node)
	if !known || !strings.HasPrefix(text, "{") || !strings.HasSuffix(text, "}") {
		return nil, false
	}
	return splitArray(text[1 : len(text)-1]), true
}

// splitArray reads the elements of a one-dimensional array's text.
func splitArray(text string) (all []string) {
	if text == "" {
		return nil
	}
	var key strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			key.WriteByte(text[i])
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			all = append(all, key.String())
			key.Reset()
		default:
			key.WriteByte(c)
		}
	}
	return append(all, key.String())
}

// conjuncts gives the conditions that all hold.
func conjuncts(node any) []any {
	if b, ok := at(node, "BoolExpr").(map[string]any); ok {
		if textOf(b["boolop"]) != "AND_EXPR" {
			return nil
		}
		var all []any
		for _, arg := range items(b["args"]) {
			all = append(all, conjuncts(arg)...)
		}
		return all
	}
	if node == nil {
		return nil
	}
	return []any{node}
}

// constants reads column = 'x', column IN ('x', 'y') and column = ANY (ARRAY['x', 'y']).
func constants(condition any) (column string, values []string) {
	e, ok := at(condition, "A_Expr").(map[string]any)
	if !ok || operator(e) != "=" {
		return "", nil
	}
	fields := items(at(unwrap(e["lexpr"]), "ColumnRef", "fields"))
	if len(fields) == 0 {
		return "", nil
	}
	column = textOf(at(fields[len(fields)-1], "String", "sval"))
	list := items(at(e["rexpr"], "List", "items"))
	if array, ok := unwrap(e["rexpr"])["A_ArrayExpr"].(map[string]any); ok {
		list = items(array["elements"])
	}
	if list == nil {
		list = []any{e["rexpr"]}
	}
	for _, item := range list {
		value, known := constant(item)
		if !known {
			return "", nil
		}
		values = append(values, value)
	}
	return column, values
}

// unwrap takes casts away.
func unwrap(node any) map[string]any {
	n, _ := node.(map[string]any)
	for {
		cast, ok := n["TypeCast"].(map[string]any)
		if !ok {
			return n
		}
		n, _ = cast["arg"].(map[string]any)
	}
}

// constant gives the text of a constant, or of a whole number.
func constant(node any) (string, bool) {
	c, ok := unwrap(node)["A_Const"].(map[string]any)
	if !ok {
		return "", false
	}
	if s, ok := c["sval"].(map[string]any); ok {
		return textOf(s["sval"]), true
	}
	if i, ok := c["ival"].(map[string]any); ok {
		number, _ := i["ival"].(float64) // 0 is left out
		return fmt.Sprintf("%.0f", number), true
	}
	return "", false
}

func operator(e map[string]any) string {
	names := items(e["name"])
	if len(names) == 0 {
		return ""
	}
	return textOf(at(names[len(names)-1], "String", "sval"))
}

func functionName(call any) string {
	names := items(at(call, "funcname"))
	if len(names) == 0 {
		return ""
	}
	return strings.ToLower(textOf(at(names[len(names)-1], "String", "sval")))
}

// find gives the first node of this kind, depth first.
func find(node any, kind string) any {
	switch n := node.(type) {
	case []any:
		for _, item := range n {
			if found := find(item, kind); found != nil {
				return found
			}
		}
	case map[string]any:
		if found, ok := n[kind]; ok {
			return found
		}
		for _, key := range keys(n) {
			if found := find(n[key], kind); found != nil {
				return found
			}
		}
	}
	return nil
}

func keys(m map[string]any) []string {
	var all []string
	for key := range m {
		all = append(all, key)
	}
	slices.Sort(all)
	return all
}

func items(node any) []any {
	list, _ := node.([]any)
	return list
}

func at(node any, path ...string) any {
	for _, key := range path {
		n, ok := node.(map[string]any)
		if !ok {
			return nil
		}
		node = n[key]
	}
	return node
}

func textOf(node any) string {
	text, _ := node.(string)
	return text
}
