package receiver

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Two sizes of buffer are kept for the next request: most webhooks fit the
// first, most batches the second. A larger one goes to the garbage collector.
const (
	smallBody = 8 << 10
	largeBody = 64 << 10
)

// bodyPause is the longest time for which a body may stand still: more than a
// few lost packets cost.
const bodyPause = 5 * time.Second

// errOverloaded: a bound of what may be in flight is reached.
var errOverloaded = errors.New("too much is in flight")

// account is what a body's bytes are counted against.
type account interface {
	take(n int64) bool // false: they may not be held
	give(n int64)
}

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
	small sync.Pool
	large sync.Pool
}

func newBodies() *bodies {
	return &bodies{
		small: sync.Pool{New: func() any { return &body{buf: make([]byte, 0, smallBody)} }},
		large: sync.Pool{New: func() any { return &body{buf: make([]byte, 0, largeBody)} }},
	}
}

// body is one request's body. It counts against an account until release.
type body struct {
	buf   []byte
	taken int64
	from  account
}

// move counts the body against another account, or, when that has no room,
// against the same as before.
func (b *body) move(to account) bool {
	if !to.take(b.taken) {
		return false
	}
	b.from.give(b.taken)
	b.from = to
	return true
}

// read reads r's body, at most limit bytes, until the deadline. It reserves what
// it allocates, as the bytes come in, so that an announced length alone takes
// nothing. The body must be released also after an error: errOverloaded,
// *http.MaxBytesError or what the connection gave.
func (b *bodies) read(w http.ResponseWriter, r *http.Request, limit int64, from account, until time.Time) (*body, error) {
	in := b.small.Get().(*body)
	in.buf, in.from = in.buf[:0], from
	in.taken = int64(cap(in.buf))
	if !from.take(in.taken) {
		in.taken = 0
		return in, errOverloaded
	}
	if r.ContentLength > limit {
		return in, &http.MaxBytesError{Limit: limit}
	}
	input := r.Body
	if r.ContentLength < 0 { // else the server lets no more in than was announced
		input = http.MaxBytesReader(w, r.Body, limit)
	}
	paused, _ := w.(interface{ SetReadDeadline(t time.Time) error }) // a test's writer has none
	for {
		if len(in.buf) == cap(in.buf) && !b.grow(in, r.ContentLength, limit) {
			return in, errOverloaded
		}
		if paused != nil && r.ContentLength != 0 {
			deadline := time.Now().Add(bodyPause)
			if deadline.After(until) {
				deadline = until
			}
			_ = paused.SetReadDeadline(deadline) // an error: the connection is gone, as Read says
		}
		if !from.take(0) { // cut before the deadline was set anew
			return in, errOverloaded
		}
		n, err := input.Read(in.buf[len(in.buf):cap(in.buf)])
		in.buf = in.buf[:len(in.buf)+n]
		if errors.Is(err, io.EOF) {
			return in, nil
		}
		if err != nil {
			return in, err
		}
	}
}

// grow takes the large buffer that is kept, then doubles, but not beyond what
// was announced or may come, and one byte, in which the end shows.
func (b *bodies) grow(in *body, announced, limit int64) bool {
	size := min(int64(cap(in.buf))*2, limit+1)
	if announced >= int64(len(in.buf)) {
		size = min(size, announced+1)
	}
	if len(in.buf) == smallBody {
		size = largeBody
	}
	if !in.from.take(size - in.taken) {
		return false
	}
	in.taken = size
	old := in.buf
	if size == largeBody {
		in.buf = append(b.large.Get().(*body).buf[:0], old...)
		b.small.Put(&body{buf: old[:0]})
	} else {
		in.buf = append(make([]byte, 0, size), old...)
	}
	return true
}

// release gives the body's bytes back to the budget, and its buffer to the next
// request if reusable: nobody holds a part of it any more.
func (b *bodies) release(in *body, reusable bool) {
	in.from.give(in.taken)
	in.taken, in.from = 0, nil
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
