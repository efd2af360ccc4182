package intercom

import (
	"bytes"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// subject is the line that a person would read, on the event that opens a
// conversation or a ticket only. Intercom's texts are HTML, and a chat has no
// subject: its first line stands in.
func subject(topic string, item rawjson.Value) string {
	var texts [5]rawjson.Value
	switch topic {
	case "conversation.user.created", "conversation.admin.single.created":
		sent, message := item.Get("source"), item.Get("conversation_message") // 1.x has the latter
		texts = [...]rawjson.Value{sent.Get("subject"), message.Get("subject"), item.Get("title"), sent.Get("body"), message.Get("body")}
	case "ticket.created":
		attributes := item.Get("ticket_attributes")
		texts[0], texts[1] = attributes.Get("_default_title_"), attributes.Get("_default_description_")
	}
	for _, fragment := range texts {
		text := fragment.TextBytes()
		if len(text) == 0 {
			continue
		}
		if line := rawjson.SubjectLine(firstLine(text)); line != "" {
			return line
		}
	}
	return ""
}

// firstLine gives the first line with words of a fragment of HTML, as plain text.
func firstLine(fragment []byte) string {
	var line strings.Builder
	z := html.NewTokenizer(bytes.NewReader(fragment))
	for hidden := 0; ; {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			return line.String()
		case html.TextToken:
			if hidden > 0 {
				continue
			}
			for part := range strings.SplitAfterSeq(string(z.Text()), "\n") {
				line.WriteString(part)
				if strings.HasSuffix(part, "\n") && strings.TrimSpace(line.String()) != "" {
					return line.String()
				}
			}
		case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken:
			tag, _ := z.TagName()
			switch a := atom.Lookup(tag); a {
			case atom.Script, atom.Style:
				hidden = 0
				if kind == html.StartTagToken {
					hidden = 1
				}
			default:
				if breaksLine(a) && strings.TrimSpace(line.String()) != "" {
					return line.String()
				}
			}
		}
	}
}

func breaksLine(tag atom.Atom) bool {
	switch tag {
	case atom.P, atom.Div, atom.Br, atom.Li, atom.Ul, atom.Ol, atom.Table, atom.Tr, atom.Blockquote, atom.Pre, atom.Hr,
		atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		return true
	}
	return false
}
