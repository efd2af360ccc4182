package web

import (
	"context"
	"fmt"
	"html"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/a-h/templ"
)

// cutAt is how many characters of a text from outside a line shows.
const cutAt = 160

// hidden gives how a character is shown that would show nothing, or change how others are shown; "" where it is shown
// as it is. Right-to-left text is shown as it is, in isolation.
func hidden(r rune) string {
	switch {
	case r < 0x20:
		return string(0x2400 + r) // ␀ and on
	case r == 0x7f:
		return "␡"
	case r == 0x200d, r == 0xfe0f, r == 0xfe0e: // within emoji
		return ""
	case r == 0xad, unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co):
		return fmt.Sprintf("U+%04X", r)
	case r == utf8.RuneError:
		return "\ufffd"
	}
	return ""
}

// writeClean writes a text for HTML, with what hides in it made visible.
func writeClean(b *strings.Builder, s string) {
	marks := 0
	for i, r := range s {
		if mark := hidden(r); mark != "" && (r != utf8.RuneError || !strings.HasPrefix(s[i:], "\ufffd")) {
			b.WriteString(`<span class="ctl">` + mark + `</span>`)
			continue
		}
		if unicode.In(r, unicode.Mn, unicode.Me) { // a heap of accents covers the lines around it
			if marks++; marks > 3 {
				continue
			}
		} else {
			marks = 0
		}
		b.WriteString(html.EscapeString(string(r)))
	}
}

// cut gives the beginning of a text, and whether there is more.
func cut(s string, most int) (string, bool) {
	if len(s) <= most {
		return s, false
	}
	n := 0
	for i := range s {
		if n++; n > most {
			return s[:i], true
		}
	}
	return s, false
}

// text writes what came from outside: isolated, cut, and harmless. It holds nothing that can be focused, so that it may
// stand in a link.
func text(s string) templ.Component { return textUpTo(s, cutAt) }

func textUpTo(s string, most int) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		var b strings.Builder
		part, more := cut(s, most)
		b.WriteString("<bdi>")
		writeClean(&b, part)
		if more {
			b.WriteString("…")
		}
		b.WriteString("</bdi>")
		_, err := io.WriteString(w, b.String())
		return err
	})
}

// whole writes a text with all of it on demand.
func whole(s string) templ.Component {
	return templ.ComponentFunc(func(ctx context.Context, w io.Writer) error {
		part, more := cut(s, cutAt)
		if !more {
			return text(s).Render(ctx, w)
		}
		var b strings.Builder
		b.WriteString(`<details class="cut"><summary><bdi>`)
		writeClean(&b, part)
		fmt.Fprintf(&b, `…</bdi> <span class="more">all %s characters</span></summary><bdi>`, number(utf8.RuneCountInString(s)))
		writeClean(&b, s)
		b.WriteString(`</bdi></details>`)
		_, err := io.WriteString(w, b.String())
		return err
	})
}

// plain gives a text for an attribute or a title: one line, cut, with what hides in it left out.
func plain(s string) string {
	part, more := cut(s, cutAt)
	part = strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if hidden(r) != "" {
			return -1
		}
		return r
	}, part)
	if more {
		part += "…"
	}
	return part
}

// asciiTitle gives a title as a header takes it.
func asciiTitle(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r > 0x7e {
			return '?'
		}
		return r
	}, plain(s))
}

// said gives an event type as a sentence begins: invoice.payment_failed is "Invoice payment failed".
func said(eventType string) string {
	words := strings.Join(strings.FieldsFunc(eventType, func(r rune) bool { return r == '.' || r == '_' || r == '-' || r == ' ' }), " ")
	if words == "" {
		return eventType
	}
	r, n := utf8.DecodeRuneInString(words)
	return string(unicode.ToUpper(r)) + words[n:]
}

// tone says how an event reads to somebody who looks after the customer. It goes by the words of the type alone.
func tone(eventType string) string {
	for _, t := range []struct{ tone, words string }{
		{"bad", "failed deleted cancelled canceled churned dispute lost declined overdue uncollectible bounced unsubscribed refunded"},
		{"good", "paid succeeded won solved resolved renewed closed_won activated"},
	} {
		for word := range strings.FieldsSeq(t.words) {
			if strings.Contains(eventType, word) {
				return t.tone
			}
		}
	}
	return "plain"
}

// toneWord is tone for those who see no colours.
func toneWord(t string) string {
	switch t {
	case "bad":
		return "bad news: "
	case "good":
		return "good news: "
	}
	return ""
}

// hue gives the class of a source's colour, the same for the same name.
func hue(source string) string {
	known := map[string]string{"stripe": "h-indigo", "hubspot": "h-orange", "zendesk": "h-green", "intercom": "h-blue", "marketo": "h-violet", "looker": "h-cyan", "segment": "h-teal", "salesforce": "h-sky"}
	if class, ok := known[source]; ok {
		return class
	}
	sum := 0
	for _, b := range []byte(source) {
		sum = (sum*31 + int(b)) % 4
	}
	return []string{"h-pink", "h-lime", "h-amber", "h-rose"}[sum]
}

// words gives the name of a reason, a rule or a verb: unresolved_account is "unresolved account".
func words(s string) string { return strings.ReplaceAll(s, "_", " ") }

// timeAgo says how long ago a time was, with all of it in its title.
func timeAgo(p *page, t time.Time) templ.Component { return timeElement(p, t, p.ago(t)) }

// timeAt says a time to the second.
func timeAt(p *page, t time.Time) templ.Component { return timeElement(p, t, p.dateTime(t)) }

// timeDay says a time's day.
func timeDay(p *page, t time.Time) templ.Component {
	return timeElement(p, t, t.In(p.zone).Format("2 Jan 2006"))
}

func timeElement(p *page, t time.Time, said string) templ.Component {
	if t.IsZero() {
		return templ.Raw(`<span class="dim">–</span>`)
	}
	return templ.Raw(fmt.Sprintf(`<time datetime="%s" title="%s">%s</time>`, t.UTC().Format(time.RFC3339Nano), html.EscapeString(p.full(t)), html.EscapeString(said)))
}
