package history

import (
	"context"
	"io"
	"os"
	"sync"
)

// waiting reads what may never come, from a pipe or a terminal, for as long as the
// context of the page has not ended. What is read after that is lost.
type waiting struct {
	r    io.Reader
	f    *File
	room []byte
	left []byte
	came chan came // of a read that is under way; nil: none is
}

type came struct {
	n   int
	err error
}

// Read implements io.Reader.
func (w *waiting) Read(p []byte) (int, error) {
	if len(w.left) == 0 {
		if w.came == nil {
			w.came = make(chan came, 1)
			go func(to chan<- came) {
				n, err := w.r.Read(w.room)
				to <- came{n, err}
			}(w.came)
		}
		select {
		case got := <-w.came:
			w.came = nil
			if got.n == 0 {
				return 0, got.err
			}
			w.left = w.room[:got.n] // an error comes again
		case <-w.f.ctx.Done():
			return 0, context.Cause(w.f.ctx)
		}
	}
	n := copy(p, w.left)
	w.left = w.left[n:]
	return n, nil
}

// pipe is a named one. Opening it waits for somebody who writes, and so it is opened
// when it is read.
type pipe struct {
	path string

	mu     sync.Mutex
	file   *os.File
	closed bool
}

// Read implements io.Reader.
func (p *pipe) Read(to []byte) (int, error) {
	file, err := p.opened()
	if err != nil {
		return 0, err
	}
	return file.Read(to)
}

func (p *pipe) opened() (*os.File, error) {
	p.mu.Lock()
	file := p.file
	p.mu.Unlock()
	if file != nil {
		return file, nil
	}
	file, err := os.Open(p.path) // there is one reader: Read is called by one at a time
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		file.Close()
		return nil, os.ErrClosed
	}
	p.file = file
	return file, nil
}

func (p *pipe) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	closed := p.closed
	p.closed = true
	if p.file == nil || closed {
		return nil
	}
	return p.file.Close()
}
