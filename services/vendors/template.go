package vendors

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

// bodies has one template for each of a vendor's objects: JSON, or XML (.xml), with
//
//	{{=name}}       a part that is put in when the template is compiled: text, or
//	                another template ("@name" in a form's vars)
//	{{word …}}      a value of the event (values.go lists the words)
//
//go:embed bodies
var bodies embed.FS

// template is a compiled body: exact bytes, and between them what writes values.
type template struct {
	pieces []piece
	size   int      // of the exact bytes
	kinds  []string // of the references that it writes, in their order
	xml    bool
}

// piece is text, or what writes a value.
type piece struct {
	text  string
	write writer
}

// writer appends a value of the event.
type writer func(dst []byte, r *rendering) []byte

func (t *template) render(dst []byte, r *rendering) []byte {
	for i := range t.pieces {
		if p := &t.pieces[i]; p.write == nil {
			dst = append(dst, p.text...)
		} else {
			dst = p.write(dst, r)
		}
	}
	return dst
}

const xmlFile = ".xml"

// load reads a source's template file.
func load(source, name string) (string, error) {
	if !strings.HasSuffix(name, xmlFile) {
		name += ".json"
	}
	text, err := bodies.ReadFile("bodies/" + source + "/" + name)
	return string(text), err
}

// expand puts the parts in. Parts may hold parts.
func expand(source, text string, vars map[string]string) (string, error) {
	const depth = 8
	for range depth {
		at := strings.Index(text, "{{=")
		if at < 0 {
			return text, nil
		}
		var out strings.Builder
		for at >= 0 {
			name, rest, ok := strings.Cut(text[at+len("{{="):], "}}")
			value, known := vars[name]
			if !ok || !known {
				return "", fmt.Errorf("the template has no value for {{=%.40s}}", name)
			}
			if file, isFile := strings.CutPrefix(value, "@"); isFile {
				var err error
				if value, err = load(source, file); err != nil {
					return "", err
				}
			}
			out.WriteString(text[:at])
			out.WriteString(value)
			text = rest
			at = strings.Index(text, "{{=")
		}
		text = out.String() + text
	}
	return "", fmt.Errorf("the template's parts are nested more than %d deep", depth)
}

// compact takes the white space outside of texts away, as vendors do.
func compact(text string) string {
	var out strings.Builder
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case strings.HasPrefix(text[i:], "{{"):
			end := i + strings.Index(text[i:], "}}") + len("}}")
			out.WriteString(text[i:end])
			i = end - 1
		case quoted && c == '\\':
			out.WriteString(text[i : i+2])
			i++
		case c == '"':
			quoted = !quoted
			out.WriteByte(c)
		case quoted || !strings.ContainsRune(" \t\r\n", rune(c)):
			out.WriteByte(c)
		}
	}
	return out.String()
}

// compile makes a template of a source's file.
func (s *Simulator) compile(v *vendor, file string, vars map[string]string) (*template, error) {
	text, err := load(v.name, file)
	if err != nil {
		return nil, err
	}
	if text, err = expand(v.name, text, vars); err != nil {
		return nil, err
	}
	t := &template{xml: strings.HasSuffix(file, xmlFile)}
	if t.xml {
		text = compactXML(text)
	} else {
		text = compact(text)
	}
	for {
		at := strings.Index(text, "{{")
		if at < 0 {
			t.add(piece{text: text})
			return t, nil
		}
		t.add(piece{text: text[:at]})
		word, rest, ok := strings.Cut(text[at+len("{{"):], "}}")
		if !ok {
			return nil, fmt.Errorf("%s: {{%.40s has no end", file, word)
		}
		write, err := s.writer(v, t, word)
		if err != nil {
			return nil, fmt.Errorf("%s: {{%.40s}}: %w", file, word, err)
		}
		if t.xml && word != "events" {
			write = inXML(write)
		}
		t.add(piece{write: write})
		text = rest
	}
}

func (t *template) add(p piece) {
	if p.write != nil || p.text != "" {
		t.pieces = append(t.pieces, p)
		t.size += len(p.text)
	}
}

func (t *template) refers(kind string) {
	if !slices.Contains(t.kinds, kind) {
		t.kinds = append(t.kinds, kind)
	}
}
