package cli

import (
	"fmt"
	"io"
	"sync"
	"time"

	pretty "github.com/jedib0t/go-pretty/v6/progress"
)

// How often progress is shown: on a terminal the line is rewritten; in a log a
// new line comes now and then.
const (
	progressEvery    = 100 * time.Millisecond
	progressEveryLog = 10 * time.Second
)

// progress shows how far a long command is and how long it will still take. It
// is silent for what is done before its first turn. at, of and waits may be
// called by several at once.
type progress struct {
	mu        sync.Mutex
	w         io.Writer
	terminal  bool
	now       func() time.Time
	what      string
	total     int64  // 0: unknown
	notes     bool   // the moving line shows the note in place of the numbers
	done      int64  // as at was last told
	note      string // likewise
	shown     time.Time
	tracker   *pretty.Tracker // on a terminal, from the first turn on
	rendering sync.WaitGroup
}

func (s *session) newProgress(what string, total int64) *progress {
	return &progress{w: s.Err, terminal: s.ErrTerminal, now: s.now, what: what, total: total, shown: s.now()}
}

// at tells that done of the total are done, and note, a few words more.
func (p *progress) at(done int64, note string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done, p.note = done, note
	p.show(done, note)
}

// of tells how much there is to be done.
func (p *progress) of(total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total = total
}

// waits tells that nothing goes on for so long, and why.
func (p *progress) waits(left time.Duration, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	note := fmt.Sprintf("waits %s: %s", left.Round(time.Second), why)
	if p.note != "" {
		note = p.note + ", " + note
	}
	p.show(p.done, note)
}

func (p *progress) show(done int64, note string) {
	if p.tracker != nil {
		if p.notes {
			p.tracker.UpdateMessage(clean(p.what + " " + note))
		}
		p.tracker.UpdateTotal(p.total)
		p.tracker.SetValue(done)
		return
	}
	every := progressEveryLog
	if p.terminal {
		every = progressEvery
	}
	now := p.now()
	if now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	if p.terminal {
		p.render(done, note)
		return
	}
	line := p.what + " " + note
	if p.total > 0 {
		line += fmt.Sprintf(", %d%%", min(done, p.total)*100/p.total)
	}
	fmt.Fprintln(p.w, clean(line))
}

func (p *progress) render(done int64, note string) {
	what := p.what
	if p.notes {
		what += " " + note
	}
	p.tracker = &pretty.Tracker{Message: clean(what), Total: p.total, RemoveOnCompletion: true}
	p.tracker.SetValue(done)
	w := pretty.NewWriter()
	w.SetOutputWriter(p.w)
	w.SetUpdateFrequency(progressEvery)
	w.SetAutoStop(true) // it ends with its tracker
	w.Style().Visibility.ETA = true
	w.Style().Visibility.Value = !p.notes
	w.AppendTracker(p.tracker)
	p.rendering.Go(w.Render)
}

// end takes the moving line away.
func (p *progress) end() {
	if p.tracker != nil {
		p.tracker.MarkAsDone()
		p.rendering.Wait()
		p.tracker = nil
	}
}
