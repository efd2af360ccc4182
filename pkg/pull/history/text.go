package history

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// What a file may hold at once.
const (
	// mostLine bounds a line or a row: the largest page that a raw topic takes.
	mostLine = rawjson.MaxPageBytes
	// mostJunk bounds what lies between two events: blank lines, and lines that are
	// skipped. A few kilobytes of gzip can be gigabytes of it.
	mostJunk = 32 << 20
	// mostColumns bounds the columns of a CSV file.
	mostColumns = 4096
	readAhead   = 64 << 10
)

// payloadColumn is the column of a CSV file that holds an event, or a page of them.
const payloadColumn = "payload"

// place is where in a file's text, decompressed, a line or a row begins.
type place struct {
	Offset int64 `json:"offset"`
	Line   int64 `json:"line"` // counted from 1; the first line of a row that has several
}

// errLong is a line or a row that is over its bound.
var errLong = fmt.Errorf("it has more than %d bytes", mostLine)

// errWide is a row, or a header, of too many cells.
var errWide = fmt.Errorf("it has more than %d columns", mostColumns)

// badTextError is something wrong with one line or row, after which the next can be read.
type badTextError struct{ err error }

func (b *badTextError) Error() string { return b.err.Error() }
func (b *badTextError) Unwrap() error { return b.err }

// texts gives the lines or rows of a file in turn, each as the JSON of an event or a
// page. What it gives is good until the next call.
type texts interface {
	// next gives one, which may be blank, and where it begins. io.EOF is the end, and
	// *badTextError something that can be skipped.
	next() ([]byte, place, error)
	// here is where the next begins.
	here() place
}

// plain gives what a file holds, decompressed where it begins as gzip does.
func plain(file io.Reader) (*bufio.Reader, bool, error) {
	raw := bufio.NewReaderSize(file, readAhead)
	start, err := raw.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	if !bytes.Equal(start, []byte{0x1f, 0x8b}) {
		return raw, false, nil
	}
	unpacked, err := gzip.NewReader(raw)
	if err != nil {
		return nil, true, damaged(err)
	}
	return bufio.NewReaderSize(unpacked, readAhead), true, nil
}

// errDamaged is a gzip file that breaks off or is not what was compressed.
var errDamaged = errors.New("the gzip file breaks off or is damaged")

func damaged(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || isCorrupt(err) {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return err
}

func isCorrupt(err error) bool { return strings.HasPrefix(err.Error(), "flate: ") }

// begin takes a byte order mark away, and says how long it was. Text in UTF-16 is
// refused.
func begin(r *bufio.Reader) (int64, error) {
	start, _ := r.Peek(3)
	switch {
	case bytes.HasPrefix(start, []byte{0xff, 0xfe}), bytes.HasPrefix(start, []byte{0xfe, 0xff}):
		return 0, errors.New("it is in UTF-16: save it as UTF-8")
	case bytes.Equal(start, []byte("\ufeff")):
		n, err := r.Discard(3)
		return int64(n), err
	}
	return 0, nil
}

// lines reads JSON Lines.
type lines struct {
	r    *bufio.Reader
	at   place
	junk int64 // most bytes of blank lines in a row, or of one that is too long
	line []byte
}

func (l *lines) here() place { return l.at }

func (l *lines) next() ([]byte, place, error) {
	first, from, long := l.at, l.at, false
	l.line = l.line[:0]
	for {
		part, err := l.r.ReadSlice('\n')
		l.at.Offset += int64(len(part))
		if long = long || len(l.line)+len(part) > mostLine+len("\r\n"); !long {
			l.line = append(l.line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			if l.at.Offset-from.Offset > l.junk {
				return nil, from, errLong // and no end of it: what follows is not looked for
			}
			continue
		case err != nil && (!errors.Is(err, io.EOF) || l.at.Offset == from.Offset):
			return nil, from, damaged(err)
		}
		l.at.Line++
		if long {
			return nil, from, &badTextError{errLong}
		}
		if len(part) <= len("\r\n") && len(l.line) == len(part) && l.at.Offset-first.Offset <= l.junk {
			if len(bytes.TrimSpace(part)) == 0 { // blank: without a turn of its own
				from, l.line = l.at, l.line[:0]
				continue
			}
		}
		return bytes.TrimRight(l.line, "\r\n"), from, nil
	}
}

// rows reads CSV.
type rows struct {
	r       *csv.Reader
	bound   *bound
	base    place // where r began
	at      place
	header  []string
	names   [][]byte // of the columns, as JSON
	payload int      // the column, or -1
	row     bytes.Buffer
}

// bound bounds what is read for one row, in bytes and in cells: 8 MiB of commas are
// some 700 MiB of cells. It gives a line at a time, so that nothing of the next row is
// read before next is called.
type bound struct {
	r      *bufio.Reader
	left   int
	cells  int
	quoted bool
}

// next begins a row.
func (b *bound) next(most int) { b.left, b.cells, b.quoted = most, 1, false }

func (b *bound) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLong
	}
	if _, err := b.r.Peek(1); err != nil {
		return 0, err
	}
	some, _ := b.r.Peek(min(len(p), b.left, b.r.Buffered()))
	for i, c := range some {
		switch {
		case c == '"':
			b.quoted = !b.quoted
		case c == ',' && !b.quoted:
			if b.cells++; b.cells > mostColumns {
				return 0, errWide
			}
		case c == '\n':
			some = some[:i+1]
		}
		if len(some) == i+1 {
			break
		}
	}
	n, err := b.r.Read(p[:len(some)])
	b.left -= n
	return n, err
}

func newRows(r *bufio.Reader, at place, header []string) (*rows, error) {
	c := &rows{bound: &bound{r: r}, base: at, at: at, header: header}
	c.r = csv.NewReader(c.bound)
	c.r.FieldsPerRecord = -1
	if header == nil {
		c.bound.next(mostLine)
		var err error
		if c.header, err = c.r.Read(); err != nil {
			return nil, damaged(err)
		}
		c.at = place{at.Offset + c.r.InputOffset(), at.Line + 1 + linesIn(c.header)}
	}
	c.payload = slices.Index(c.header, payloadColumn)
	for i, name := range c.header {
		if slices.Contains(c.header[:i], name) {
			return nil, fmt.Errorf("two columns are named %.40q", name)
		}
		c.names = append(c.names, quoted(name))
	}
	return c, nil
}

func (c *rows) here() place { return c.at }

func (c *rows) next() ([]byte, place, error) {
	c.bound.next(mostLine)
	from := c.at
	cells, err := c.r.Read()
	c.at.Offset = c.base.Offset + c.r.InputOffset()
	var wrong *csv.ParseError
	switch {
	case errors.As(err, &wrong) && !errors.Is(err, errLong):
		from.Line = c.base.Line + int64(wrong.StartLine) - 1
		c.at.Line = c.base.Line + int64(wrong.Line)
		return nil, from, &badTextError{fmt.Errorf("it is no row of CSV: %w", wrong.Err)}
	case err != nil:
		return nil, from, damaged(err)
	}
	first, _ := c.r.FieldPos(0)
	from.Line = c.base.Line + int64(first) - 1
	c.at.Line = from.Line + 1 + linesIn(cells)
	switch {
	case len(cells) != len(c.header):
		return nil, from, &badTextError{fmt.Errorf("it has %d cells, the header has %d", len(cells), len(c.header))}
	case c.payload >= 0:
		return []byte(cells[c.payload]), from, nil
	}
	c.row.Reset()
	for i, cell := range cells {
		if c.row.WriteByte(','); i == 0 {
			c.row.Reset()
			c.row.WriteByte('{')
		}
		c.row.Write(c.names[i])
		c.row.WriteByte(':')
		if cell == "" {
			c.row.WriteString("null")
		} else {
			c.row.Write(quoted(cell))
		}
	}
	c.row.WriteByte('}')
	return c.row.Bytes(), from, nil
}

// linesIn counts the line breaks within cells.
func linesIn(cells []string) (n int64) {
	for _, cell := range cells {
		n += int64(strings.Count(cell, "\n"))
	}
	return n
}

func quoted(text string) []byte {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\ufffd")
	}
	out, err := json.Marshal(text)
	if err != nil { // a string always can be marshalled
		return []byte(`""`)
	}
	return out
}
