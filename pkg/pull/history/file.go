package history

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	// pageEvents and pageBytes end a page.
	pageEvents = 1000
	pageBytes  = 1 << 20
	// mostElements bounds the events of one line.
	mostElements = 100_000
	// mostTypes bounds what Types counts; the others are counted as one.
	mostTypes = 1000
	// identityBytes is how much of a file's beginning tells it from another.
	identityBytes = 64 << 10
)

// The period of a file, whose events are of any time: what a checkpoint needs to have.
var (
	From = time.Unix(0, 0).UTC()
	To   = From.Add(time.Second)
)

// StreamPrefix begins the name of a file's stream, which is its checkpoint's: the
// digest of its beginning and its size follow, so that a file is known by what it is.
const StreamPrefix = "file:"

// MostPages is what pull.Options.MostPages has to be: a file ends.
const MostPages = math.MaxInt

// Options say how a file is read.
type Options struct {
	// SkipBad counts what is no event and no page of them, and goes on; without it, it
	// ends the reading.
	SkipBad bool
	// CountTypes lets Types count.
	CountTypes bool
	// Stdin is what the path "-" stands for.
	Stdin io.Reader
}

// File is a source's history in a file, as a source.Pager with one stream. Its pages
// are asked for one after the other. Close it.
type File struct {
	source.Source
	path   string
	o      Options
	stream string
	size   int64 // 0: not known
	file   *os.File
	pipe   *pipe           // a named one; nil: it is none
	ctx    context.Context //nolint:containedctx // of the page that is read: the reader below has none of its own

	read    atomic.Int64
	skipped atomic.Int64
	junk    int64 // mostJunk
	texts   texts
	at      place // where texts is; of another place it is opened anew
	broken  bool  // texts cannot be gone on with
	pending error // what ended the page before
	tried   bool  // whether rows are events
	doc     rawjson.Doc

	mu    sync.Mutex
	types map[string]int64
}

// Open opens the file at this path; "-" is standard input, which can be read once.
// An error is one sentence for whoever named it.
func Open(src source.Source, path string, o Options) (*File, error) {
	f := &File{Source: src, path: path, o: o, stream: StreamPrefix + "-", junk: mostJunk, types: map[string]int64{}}
	if path == "-" {
		return f, nil
	}
	if info, err := os.Stat(path); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		f.pipe = &pipe{path: path}
		f.o.Stdin = f.pipe
		return f, nil
	}
	var err error
	if f.file, err = os.Open(path); err != nil {
		return nil, fmt.Errorf("opening the file: %w", err)
	}
	info, err := f.file.Stat()
	if err == nil && info.IsDir() {
		err = errors.New("it is a directory")
	}
	if err == nil && info.Mode().IsRegular() {
		f.size = info.Size()
		h := sha256.New()
		if _, err = io.Copy(h, io.NewSectionReader(f.file, 0, identityBytes)); err == nil {
			f.stream = fmt.Sprintf("%s%s:%d", StreamPrefix, hex.EncodeToString(h.Sum(nil)[:8]), f.size)
		}
	}
	if err != nil {
		f.file.Close()
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return f, nil
}

// Close closes the file.
func (f *File) Close() error {
	if f.pipe != nil {
		return f.pipe.close()
	}
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}

// Resumes says whether the file can be gone on with from a checkpoint. Standard input and pipes
// cannot.
func (f *File) Resumes() bool { return f.file != nil && f.stream != StreamPrefix+"-" }

// Size is the file's, and Read how much of it has been read, as it lies: compressed.
// A Size of 0 is not known.
func (f *File) Size() int64 { return f.size }

// Read is how many bytes have been read; see Size.
func (f *File) Read() int64 { return f.read.Load() }

// Skipped is how many lines or rows were no events (Options.SkipBad).
func (f *File) Skipped() int64 { return f.skipped.Load() }

// Types gives how many events of which event_type were described
// (Options.CountTypes). Beyond a thousand types the others are "…".
func (f *File) Types() map[string]int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.types)
}

// API implements source.Pager: there is none.
func (*File) API() source.API { return source.API{} }

// Streams implements source.Pager.
func (f *File) Streams() []source.Stream { return []source.Stream{{Name: f.stream}} }

// Describe implements source.Source, and counts.
func (f *File) Describe(r source.Record) (source.Event, error) {
	event, err := f.Source.Describe(r)
	if err == nil && f.o.CountTypes {
		f.mu.Lock()
		defer f.mu.Unlock()
		name := event.Type
		if _, there := f.types[name]; !there && len(f.types) >= mostTypes {
			name = "…"
		}
		f.types[name]++
	}
	return event, err
}

// cursor is a page's Next.
type cursor struct {
	place
	// Turn makes every other page shorter by one event: a file may hold the same events
	// again and again, where from a vendor the same page twice is a lie (pull).
	Turn int `json:"turn"`
}

// Page implements source.Pager. A Permanent error names the line or row; what lies
// before it came with the page before.
func (f *File) Page(ctx context.Context, _ source.Doer, q source.Query) (source.APIPage, error) {
	f.ctx = ctx
	var from cursor
	if q.Cursor != nil {
		if err := json.Unmarshal(q.Cursor, &from); err != nil || from.Offset < 0 || from.Line < 1 {
			return source.APIPage{}, fault.Permanent(fault.Malformed, errors.New("the checkpoint is none of a file's: --restart begins anew"))
		}
	}
	if f.pending != nil && f.at == from.place {
		err := f.pending
		f.pending = nil
		return source.APIPage{}, err
	}
	if f.texts == nil || f.broken || q.Cursor != nil && f.at != from.place {
		if err := f.open(from.place); err != nil {
			return source.APIPage{}, err
		}
	}
	page, err := f.fill(ctx, pageEvents-from.Turn)
	f.broken, f.pending = err != nil, nil
	switch {
	case errors.Is(err, io.EOF):
		return page, nil
	case err != nil && len(page.Parts) == 0:
		return source.APIPage{}, err
	}
	f.pending = err
	next, err := json.Marshal(cursor{f.at, 1 - from.Turn})
	if err != nil {
		return source.APIPage{}, fault.Permanent(fault.Malformed, fmt.Errorf("keeping the place in the file: %w", err))
	}
	page.Next = next
	return page, nil
}

// fill reads lines or rows until so many events are together, or one is wrong, or there
// are no more (io.EOF). f.at is where it goes on.
func (f *File) fill(ctx context.Context, events int) (page source.APIPage, err error) {
	size, good := 0, f.at.Offset
	for len(page.Parts) < events && size < pageBytes {
		if ctx.Err() != nil {
			return page, context.Cause(ctx)
		}
		text, at, err := f.texts.next()
		var bad *badTextError
		if err == nil {
			if text = bytes.TrimSpace(text); len(text) > 0 {
				if err := f.try(text); err != nil {
					return page, wrong(at, err)
				}
				var parts []source.Part
				if parts, err = f.parts(text); err == nil {
					page.Parts, size, good = append(page.Parts, parts...), size+len(text), f.texts.here().Offset
				} else {
					bad = &badTextError{err}
				}
			}
		} else if errors.Is(err, io.EOF) {
			return page, io.EOF
		} else if !errors.As(err, &bad) {
			return page, f.failed(at, err)
		}
		switch {
		case bad != nil && !f.o.SkipBad:
			f.at = at
			return page, wrong(at, bad)
		case bad != nil:
			f.skipped.Add(1)
		}
		if f.at = f.texts.here(); f.at.Offset-good > f.junk {
			return page, wrong(at, fmt.Errorf("%d bytes hold no event", f.junk))
		}
	}
	return page, nil
}

// try looks whether the first row of a file without a column payload is an event: a
// million rows of something else would be a million dead letters.
func (f *File) try(text []byte) error {
	if r, ok := f.texts.(*rows); !ok || r.payload >= 0 || f.tried {
		return nil
	}
	f.tried = true
	if _, _, err := source.Keyed(f.Source, source.Record{Value: bytes.Clone(text), Mode: source.ModeBackfill, ReceivedAt: time.Now()}); err != nil {
		return fmt.Errorf("the row is no event of %s (%w): a file of events has them as JSON in a column named %s", f.Profile().Title, err, payloadColumn)
	}
	return nil
}

// parts gives the events of a line.
func (f *File) parts(text []byte) ([]source.Part, error) {
	value := bytes.Clone(text) // the line's room is used again
	_, lists := f.Source.(source.Lister)
	if value[0] == '{' && !lists {
		if err := rawjson.Grammar(value); err != nil {
			return nil, err
		}
		return []source.Part{{Value: value}}, nil
	}
	levels := 0
	if value[0] == '[' {
		levels = 1 // places of the elements are enough
	}
	top, err := f.doc.ParseBody(value, levels)
	if err != nil {
		return nil, err
	}
	elements, ok := source.Page(f.Source, top)
	switch {
	case ok && elements.Len() > mostElements:
		return nil, fmt.Errorf("it has %d elements, the bound is %d", elements.Len(), mostElements)
	case ok:
		parts := make([]source.Part, 0, elements.Len())
		for _, element := range elements.Elements() {
			parts = append(parts, source.Part{Value: element.Bytes()})
		}
		return parts, nil
	case top.Kind() != rawjson.Object:
		return nil, fmt.Errorf("a JSON %s is neither an event nor a page of them", top.Kind())
	}
	return []source.Part{{Value: value}}, nil
}

// open begins to read at this place of the decompressed text; the zero place is the
// file's beginning.
func (f *File) open(at place) error {
	var from io.Reader = &waiting{r: f.o.Stdin, f: f, room: make([]byte, readAhead)}
	switch {
	case f.file == nil && (f.texts != nil || at.Offset > 0):
		return fault.Permanent(fault.Malformed, errors.New("standard input cannot be read again"))
	case f.file != nil && f.Resumes():
		if _, err := f.file.Seek(0, io.SeekStart); err != nil {
			return fault.Permanent(fault.Malformed, fmt.Errorf("reading %s: %w", f.path, err))
		}
		f.read.Store(0)
		from = f.file
	case f.file != nil: // a device
		from = &waiting{r: f.file, f: f, room: make([]byte, readAhead)}
	}
	text, zipped, err := plain(&counted{from, &f.read})
	if err != nil {
		return f.failed(place{Line: 1}, err)
	}
	start := place{Line: 1}
	if start.Offset, err = begin(text); err != nil {
		return wrong(start, err)
	}
	isRows := f.isRows(func() []byte { first, _ := text.Peek(512); return first }())
	var header []string
	if isRows {
		head, err := newRows(text, start, nil)
		if errors.Is(err, io.EOF) { // an empty file
			f.texts, f.at = &lines{r: text, at: start, junk: f.junk}, start
			return nil
		}
		if err != nil {
			return f.failed(start, err)
		}
		f.texts, f.at, header = head, head.here(), head.header
	} else {
		f.texts, f.at = &lines{r: text, at: start, junk: f.junk}, start
	}
	if at.Offset <= f.at.Offset {
		return nil
	}
	// Anew from there: csv has read ahead.
	if _, err := f.file.Seek(0, io.SeekStart); err != nil {
		return fault.Permanent(fault.Malformed, fmt.Errorf("reading %s: %w", f.path, err))
	}
	f.read.Store(0)
	if zipped {
		if text, _, err = plain(&counted{f.file, &f.read}); err == nil {
			_, err = io.CopyN(io.Discard, text, at.Offset)
		}
	} else if _, err = f.file.Seek(at.Offset, io.SeekStart); err == nil {
		f.read.Store(at.Offset)
		text.Reset(&counted{f.file, &f.read})
	}
	if err != nil {
		return f.failed(at, damaged(err))
	}
	if f.at = at; !isRows {
		f.texts = &lines{r: text, at: at, junk: f.junk}
		return nil
	}
	f.texts, err = newRows(text, at, header)
	return err
}

// isRows: the file is CSV. Standard input has no name, so that its beginning tells.
func (f *File) isRows(start []byte) bool {
	if f.path != "-" {
		return strings.HasSuffix(strings.TrimSuffix(strings.ToLower(f.path), ".gz"), ".csv")
	}
	start = bytes.TrimSpace(start)
	return len(start) > 0 && start[0] != '{' && start[0] != '['
}

// failed tells what is wrong with the file from what is wrong with reading it.
func (f *File) failed(at place, err error) error {
	var path *os.PathError
	if errors.As(err, &path) && f.Resumes() { // a disk or a network that is away
		return fault.Transient(fault.Unavailable, err)
	}
	return wrong(at, err)
}

func wrong(at place, err error) error {
	return fault.Permanent(fault.Malformed, fmt.Errorf("line %d: %w", at.Line, err))
}

// counted counts what is read.
type counted struct {
	r io.Reader
	n *atomic.Int64
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}
