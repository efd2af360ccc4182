package pull

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/throughline-dev/throughline/pkg/source"
)

// aheadBytes bounds what all windows together have fetched before its turn has come;
// a page of each window may be over it.
const aheadBytes = 32 << 20

// aheadPages bounds it in pages, for each window.
const aheadPages = 256

// mostRestarts is how often a window begins again because its cursor is gone.
const mostRestarts = 5

// window is a part of the period that is being fetched.
type window struct {
	pages chan fetched
	room  *semaphore.Weighted
	share int64
}

func (w *window) weight(page fetched) int64 { return min(int64(page.bytes), w.share) }

// fetch sends all pages from here to the period's end, the oldest window first, or
// until one cannot be had. As many windows as the stream allows are asked for side by
// side: those that follow wait with what they have, so that what comes out is in order,
// and a checkpoint has nothing unpublished before it.
func (l *loop) fetch(ctx context.Context, pages chan<- fetched) {
	ctx, cancel := context.WithCancel(ctx)
	var working sync.WaitGroup
	defer func() { cancel(); working.Wait() }()
	together := max(1, l.stream.Together)
	running := semaphore.NewWeighted(int64(together))
	windows := make(chan *window, together) // in order
	working.Go(func() {
		defer close(windows)
		for at := l.at; at.WindowFrom.Before(l.period.To); at = l.after(at) {
			if running.Acquire(ctx, 1) != nil {
				return
			}
			w := &window{pages: make(chan fetched, aheadPages), share: int64(aheadBytes / together)}
			w.room = semaphore.NewWeighted(w.share)
			windows <- w
			working.Go(func() {
				defer close(w.pages)
				l.walk(ctx, at, w)
			})
		}
	})
	for w := range windows {
		for page := range w.pages {
			w.room.Release(w.weight(page))
			select {
			case pages <- page:
			case <-ctx.Done():
				return
			}
			if page.err != nil {
				return
			}
		}
		running.Release(1)
	}
}

// after is the window that follows.
func (l *loop) after(at position) position {
	return position{WindowFrom: at.WindowTo, WindowTo: earlier(at.WindowTo.Add(l.stream.Window), l.period.To)}
}

// walk fetches one window from here to its end.
func (l *loop) walk(ctx context.Context, at position, w *window) {
	send := func(f fetched) bool {
		if w.room.Acquire(ctx, w.weight(f)) != nil {
			return false
		}
		select {
		case w.pages <- f:
			return f.err == nil
		case <-ctx.Done():
			return false
		}
	}
	var seen sentry
	restarts := 0
	for {
		page, err := l.page(ctx, at, &seen)
		if errors.Is(err, source.ErrCursorGone) && at.Cursor != nil && restarts < mostRestarts {
			// The pull stood still for longer than the vendor keeps the event: the
			// window comes again, and the timeline knows what of it is there.
			at.Cursor, seen, restarts = nil, sentry{}, restarts+1
			continue
		}
		if err != nil {
			send(fetched{err: err})
			return
		}
		f := l.records(page)
		if f.at = at; page.Next != nil {
			f.at.Cursor = page.Next
		} else {
			f.at = l.after(at)
		}
		at.Cursor = page.Next
		if !send(f) || page.Next == nil {
			return
		}
	}
}
