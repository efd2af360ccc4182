package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// clipRunes is where a wide column ends on a terminal, so that a row stays a line.
const clipRunes = 72

// outputFlags is embedded in each command that lists something.
type outputFlags struct {
	JSON bool `name:"json" help:"Print JSON, one object per line."`
}

// column is one column of a table of T.
type column[T any] struct {
	title string
	text  func(T) string
	wide  bool // clipped on a terminal
	// leave says in which order columns are left out where a terminal is too
	// narrow for all, 1 first; 0: never.
	leave int
}

// list prints items as a table, or as JSON lines.
func list[T any](s *session, asJSON bool, items []T, columns []column[T]) error {
	if asJSON {
		return writeJSON(s, items...)
	}
	if len(items) == 0 {
		return nil
	}
	cells := make([][]string, len(items))
	for i, item := range items {
		cells[i] = make([]string, len(columns))
		for j, c := range columns {
			cells[i][j] = clean(c.text(item))
		}
	}
	most, left := fit(s.OutWidth, columns, cells)
	header, w := table.Row{}, s.newTable()
	for j, c := range columns {
		if most[j] >= 0 {
			header = append(header, c.title)
		}
	}
	w.AppendHeader(header)
	for _, texts := range cells {
		row := table.Row{}
		for j, value := range texts {
			if columns[j].wide && s.OutTerminal {
				value = text.Snip(value, most[j], "…")
			}
			if most[j] >= 0 {
				row = append(row, value)
			}
		}
		w.AppendRow(row)
	}
	if len(left) > 0 {
		s.say("left out, because the terminal has %d columns: %s (--json shows all)", s.OutWidth, strings.Join(left, ", "))
	}
	_, err := fmt.Fprintln(s.Out, w.Render())
	return err
}

// writeJSON prints one JSON object a line. What could steer a terminal is an escape
// there, which to a program is the same text.
func writeJSON[T any](s *session, items ...T) error {
	w := bufio.NewWriter(s.Out)
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	for _, item := range items {
		line.Reset()
		if err := enc.Encode(item); err != nil {
			return fmt.Errorf("writing JSON: %w", err)
		}
		if _, err := w.Write(escaped(line.Bytes())); err != nil {
			return fmt.Errorf("writing JSON: %w", err)
		}
	}
	return w.Flush()
}

// escaped gives encoded JSON with its steering characters, which stand in texts only,
// as escapes.
func escaped(line []byte) []byte {
	if !bytes.ContainsFunc(line, func(r rune) bool { return r != '\n' && steers(r) }) {
		return line
	}
	out := make([]byte, 0, len(line)+64)
	for _, r := range string(line) { // the encoder has made it UTF-8
		switch high, low := utf16.EncodeRune(r); {
		case r == '\n' || !steers(r):
			out = utf8.AppendRune(out, r)
		case high != unicode.ReplacementChar:
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

// newTable has neither lines nor borders: a row can be cut and pasted.
func (s *session) newTable() table.Writer {
	w := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header = text.FormatDefault
	if s.color {
		style.Color.Header = text.Colors{text.Bold}
	}
	w.SetStyle(style)
	w.SuppressTrailingSpaces()
	return w
}

func (s *session) cell(value string, wide bool) string {
	value = clean(value)
	if wide && s.OutTerminal {
		value = text.Snip(value, clipRunes, "…")
	}
	return value
}

// clean makes text from outside (a ticket's subject, a server's answer) one
// printable line: a control or format character could steer a terminal, or
// reorder what stands beside it, and becomes a space or is named.
func clean(value string) string {
	if !strings.ContainsFunc(value, steers) && !strings.ContainsRune(value, unicode.ReplacementChar) {
		return value
	}
	var b strings.Builder
	for _, r := range value {
		switch {
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case steers(r):
			fmt.Fprintf(&b, "<U+%04X>", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// steers: C0, C1, DEL, and the format characters (direction, zero width) but for
// the joiner that emoji and several scripts are written with.
func steers(r rune) bool {
	const joiner = '\u200d'
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != joiner || r == '\u2028' || r == '\u2029'
}

// stamp is how tables show a time: UTC, to the second.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}
