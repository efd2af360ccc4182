package receiver

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
)

// Two sizes of buffer are kept for the next request: most webhooks fit the
// first, most batches the second. A larger one goes to the garbage collector.
const (
	smallBody = 8 << 10
	largeBody = 64 << 10
)

// errOverloaded: a bound of what may be in flight is reached.
var errOverloaded = errors.New("too much is in flight")

// budget bounds something that is held for a while.
type budget struct {
	most int64
	held atomic.Int64
}

// take reserves n, or nothing when that goes beyond the bound.
func (b *budget) take(n int64) bool {
	if b.held.Add(n) > b.most {
		b.held.Add(-n)
		return false
	}
	return true
}

func (b *budget) give(n int64) { b.held.Add(-n) }

// bodies reads request bodies into buffers that it keeps.
type bodies struct {
	bytes budget
	small sync.Pool
	large sync.Pool
}

func newBodies(most int64) *bodies {
	return &bodies{
		bytes: budget{most: most},
		small: sync.Pool{New: func() any { return &body{buf: make([]byte, 0, smallBody)} }},
		large: sync.Pool{New: func() any { return &body{buf: make([]byte, 0, largeBody)} }},
	}
}

// body is one request's body. It counts against the budget until release.
type body struct {
	buf   []byte
	taken int64
}

// read reads r's body, at most limit bytes. It reserves what it allocates, as
// the bytes come in, so that a large Content-Length alone takes nothing. The
// body must be released also after an error: errOverloaded, *http.MaxBytesError
// or what the connection gave.
func (b *bodies) read(w http.ResponseWriter, r *http.Request, limit int64) (*body, error) {
	pool := &b.small
	if r.ContentLength > smallBody {
		pool = &b.large
	}
	in := pool.Get().(*body)
	in.buf = in.buf[:0]
	in.taken = int64(cap(in.buf))
	if !b.bytes.take(in.taken) {
		in.taken = 0
		return in, errOverloaded
	}
	if r.ContentLength > limit {
		return in, &http.MaxBytesError{Limit: limit}
	}
	from := r.Body
	if r.ContentLength < 0 { // else the server lets no more in than was announced
		from = http.MaxBytesReader(w, r.Body, limit)
	}
	for {
		if len(in.buf) == cap(in.buf) && !b.grow(in, r.ContentLength, limit) {
			return in, errOverloaded
		}
		n, err := from.Read(in.buf[len(in.buf):cap(in.buf)])
		in.buf = in.buf[:len(in.buf)+n]
		if errors.Is(err, io.EOF) {
			return in, nil
		}
		if err != nil {
			return in, err
		}
	}
}

// grow doubles the buffer, but not beyond what was announced or may come, and
// one byte, in which the end shows.
func (b *bodies) grow(in *body, announced, limit int64) bool {
	size := min(int64(cap(in.buf))*2, limit+1)
	if announced >= int64(len(in.buf)) {
		size = min(size, announced+1)
	}
	if !b.bytes.take(size - in.taken) {
		return false
	}
	in.taken = size
	in.buf = append(make([]byte, 0, size), in.buf...)
	return true
}

// release gives the body's bytes back to the budget, and its buffer to the next
// request if reusable: nobody holds a part of it any more.
func (b *bodies) release(in *body, reusable bool) {
	b.bytes.give(in.taken)
	in.taken = 0
	if !reusable {
		return
	}
	switch cap(in.buf) {
	case smallBody:
		b.small.Put(in)
	case largeBody:
		b.large.Put(in)
	}
}
