package mcpserver

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// The errors of JSON-RPC 2.0 (https://www.jsonrpc.org/specification#error_object) for what is no request.
const (
	parseError     = -32700
	invalidRequest = -32600
)

// Lines stands between a program that speaks JSON-RPC, a message on each line, and a server that ends with the first line
// that is none: it answers such a line itself, as JSON-RPC has it, and passes on the others. The server should read from it,
// and write to Writer.
type Lines struct {
	from io.Reader
	in   *bufio.Reader
	most int
	out  *lockedWriter
	rest []byte // of the line that is passed on
}

// NewLines makes Lines whose lines have at most so many bytes.
func NewLines(in io.Reader, out io.Writer, most int) *Lines {
	return &Lines{from: in, in: bufio.NewReader(in), most: most, out: &lockedWriter{w: out}}
}

// Writer is where the server writes: its answers do not mix with those of Lines. Close does nothing.
func (l *Lines) Writer() io.WriteCloser { return l.out }

// Read is io.Reader's.
func (l *Lines) Read(p []byte) (int, error) {
	for len(l.rest) == 0 {
		line, long, err := l.line()
		if err != nil {
			return 0, err
		}
		code, why := 0, ""
		switch {
		case long:
			code, why = parseError, fmt.Sprintf("Parse error: a message has at most %d bytes", l.most)
		case len(bytes.TrimSpace(line)) == 0:
			continue
		case !json.Valid(line):
			code, why = parseError, "Parse error: the line is not JSON"
		case !isMessage(line):
			code, why = invalidRequest, `Invalid Request: the line is no object with "jsonrpc": "2.0"`
		}
		if code == 0 {
			l.rest = line
			break
		}
		if _, err := fmt.Fprintf(l.out, `{"jsonrpc":"2.0","id":null,"error":{"code":%d,"message":%q}}`+"\n", code, why); err != nil {
			return 0, err
		}
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// Close is io.Closer's: it closes what is read from, where that can be closed.
func (l *Lines) Close() error {
	if c, ok := l.from.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// line reads a line with its end. Of one that is too long nothing is kept.
func (l *Lines) line() (line []byte, long bool, err error) {
	for {
		part, err := l.in.ReadSlice('\n')
		if long = long || len(line)+len(part) > l.most; long {
			line = nil
		} else {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && (len(line) > 0 || long): // the last has no end
			return append(line, '\n'), long, nil
		default:
			return line, long, err
		}
	}
}

// isMessage says whether JSON is a message of JSON-RPC 2.0.
func isMessage(line []byte) bool {
	var message struct {
		Version string `json:"jsonrpc"`
	}
	return json.Unmarshal(line, &message) == nil && message.Version == "2.0"
}

// lockedWriter is written to by several, a line at a time.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

// Write is io.Writer's.
func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// Close is io.Closer's, and does nothing.
func (l *lockedWriter) Close() error { return nil }
