package web

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/a-h/templ"
)

// The bounds of a document on a page.
const (
	shownBytes  = 64 << 10 // of it
	shownString = 2000     // of one string, in bytes
	nested      = 40       // levels that can be folded; deeper ones stand in one line
	openLevels  = 4        // that are unfolded at first
)

// jsonView shows a document from its bytes: no number, no escape and no member is read into a value of another language,
// so none changes. It ends at shownBytes. What is no JSON is shown as text.
func jsonView(raw []byte) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		var b strings.Builder
		if len(raw) > 1<<20 || json.Valid(raw) {
			v := jsonWriter{b: &b, src: raw, end: min(len(raw), shownBytes)}
			b.WriteString(`<div class="json">`)
			v.document()
			b.WriteString(`</div>`)
		} else {
			b.WriteString(`<pre class="json raw" tabindex="0"><bdi>`)
			writeLines(&b, string(raw[:min(len(raw), shownBytes)]))
			b.WriteString(`</bdi></pre>`)
		}
		_, err := io.WriteString(w, b.String())
		return err
	})
}

// writeLines is writeClean with line breaks as they are.
func writeLines(b *strings.Builder, s string) {
	for i, line := range strings.Split(s, "\n") {
		if i > 0 {
			b.WriteByte('\n')
		}
		writeClean(b, line)
	}
}

// jsonWriter goes through a document by its bytes. It is lenient: of what is no JSON it shows what there is.
type jsonWriter struct {
	b    *strings.Builder
	src  []byte
	at   int
	end  int // where it stops
	open []container
}

// container is an object or array that has begun.
type container struct {
	closes string
	folds  bool // it is a <details>
	items  int
	name   bool // the next string is a member's name
}

func (v *jsonWriter) document() {
	pending := "" // a member's name, written and waiting for its value
	for v.at < v.end {
		c := v.src[v.at]
		switch c {
		case ' ', '\n', '\t', '\r', ':':
			v.at++
		case ',':
			v.at++
			v.b.WriteString(`<span class="p">,</span>`)
			v.endLine()
			if top := v.top(); top != nil {
				top.name = top.closes == "}"
			}
		case '{', '[':
			v.at++
			v.begin(c, pending)
			pending = ""
		case '}', ']':
			v.at++
			v.finish()
		default:
			token := v.token()
			if top := v.top(); top != nil && top.name && c == '"' {
				top.name = false
				pending = v.name(token)
				continue
			}
			v.line(pending)
			pending = ""
			v.scalar(token)
		}
	}
	if pending != "" {
		v.line(pending)
	}
	for len(v.open) > 0 {
		if v.at >= v.end && v.end < len(v.src) && v.open[len(v.open)-1].closes != "" {
			v.b.WriteString(`<span class="p">…</span>`)
		}
		v.open[len(v.open)-1].closes = "" // it was cut, so it does not close
		v.finish()
	}
}

func (v *jsonWriter) top() *container {
	if len(v.open) == 0 {
		return nil
	}
	return &v.open[len(v.open)-1]
}

// line begins the line of an item.
func (v *jsonWriter) line(name string) {
	if top := v.top(); top != nil {
		top.items++
		if top.folds {
			v.b.WriteString(`<div>`)
		}
	}
	v.b.WriteString(name)
}

// endLine ends the line of an item.
func (v *jsonWriter) endLine() {
	if top := v.top(); top != nil && top.folds {
		v.b.WriteString(`</div>`)
	}
}

func (v *jsonWriter) begin(c byte, name string) {
	v.line(name)
	closes := "}"
	if c == '[' {
		closes = "]"
	}
	folds := len(v.open) < nested && !v.empty(closes[0])
	if folds {
		v.b.WriteString(`<details`)
		if len(v.open) < openLevels {
			v.b.WriteString(` open`)
		}
		fmt.Fprintf(v.b, `><summary><span class="p">%c</span></summary>`, c)
	} else {
		fmt.Fprintf(v.b, `<span class="p">%c</span>`, c)
	}
	v.open = append(v.open, container{closes: closes, folds: folds, name: c == '{'})
}

// empty says that nothing comes before the end of a container.
func (v *jsonWriter) empty(closes byte) bool {
	for i := v.at; i < v.end; i++ {
		switch v.src[i] {
		case ' ', '\n', '\t', '\r':
		default:
			return v.src[i] == closes
		}
	}
	return false
}

func (v *jsonWriter) finish() {
	top := v.top()
	if top == nil {
		return
	}
	if top.folds && top.items > 0 {
		v.b.WriteString(`</div>`)
	}
	if top.closes != "" {
		v.b.WriteString(`<span class="p">` + top.closes + `</span>`)
	}
	if top.folds {
		v.b.WriteString(`</details>`)
	}
	v.open = v.open[:len(v.open)-1]
}

// token takes a string, number or word.
func (v *jsonWriter) token() string {
	from := v.at
	if v.src[v.at] == '"' {
		for v.at++; v.at < len(v.src) && v.src[v.at] != '"'; v.at++ {
			if v.src[v.at] == '\\' {
				v.at++
			}
		}
		v.at = min(v.at+1, len(v.src))
		return string(v.src[from:v.at])
	}
	for v.at++; v.at < v.end && !strings.ContainsRune(" \n\t\r,:{}[]\"", rune(v.src[v.at])); v.at++ {
	}
	return string(v.src[from:v.at])
}

func (v *jsonWriter) name(token string) string {
	var b strings.Builder
	b.WriteString(`<span class="k"><bdi>`)
	part, more := cut(token, 200)
	writeClean(&b, part)
	if more {
		b.WriteString("…")
	}
	b.WriteString(`</bdi></span><span class="p">: </span>`)
	return b.String()
}

func (v *jsonWriter) scalar(token string) {
	class := "n"
	switch token[0] {
	case '"':
		class = "s"
	case 't', 'f':
		class = "b"
	case 'n':
		class = "z"
	}
	fmt.Fprintf(v.b, `<span class="%s"><bdi>`, class)
	if len(token) <= shownString {
		writeClean(v.b, token)
	} else {
		part := token[:shownString]
		for !utf8.ValidString(part) && len(part) > shownString-4 {
			part = part[:len(part)-1]
		}
		writeClean(v.b, part)
		fmt.Fprintf(v.b, `</bdi></span><span class="more">… %s more, in the download`, size(len(token)-len(part)))
		v.b.WriteString(`</span>`)
		return
	}
	v.b.WriteString(`</bdi></span>`)
}
