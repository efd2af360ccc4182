package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// How often progress is shown: on a terminal the line is rewritten; in a log a
// new line comes now and then.
const (
	progressEvery    = 100 * time.Millisecond
	progressEveryLog = 10 * time.Second
	barWidth         = 24
)

// progress shows how far a long command is and how long it will still take. It
// is silent for what is done before its first turn.
type progress struct {
	w        io.Writer
	terminal bool
	now      func() time.Time
	what     string
	total    int64 // 0: unknown
	begun    time.Time
	shown    time.Time
	width    int // of the line on the terminal
}

func (s *session) newProgress(what string, total int64) *progress {
	now := s.now()
	return &progress{w: s.Err, terminal: s.ErrTerminal, now: s.now, what: what, total: total, begun: now, shown: now}
}

// at tells that done of the total are done, and note, a few words more.
func (p *progress) at(done int64, note string) {
	now, every := p.now(), progressEveryLog
	if p.terminal {
		every = progressEvery
	}
	if now.Sub(p.shown) < every {
		return
	}
	p.shown = now
	line := clean(p.line(done, note, now.Sub(p.begun)))
	if !p.terminal {
		fmt.Fprintln(p.w, line)
		return
	}
	fmt.Fprintf(p.w, "\r%s%s", line, strings.Repeat(" ", max(0, p.width-len(line))))
	p.width = len(line)
}

// end takes the moving line away.
func (p *progress) end() {
	if p.width > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.width))
		p.width = 0
	}
}

func (p *progress) line(done int64, note string, took time.Duration) string {
	var b strings.Builder
	b.WriteString(p.what)
	if p.total > 0 {
		done = min(done, p.total)
		full := int(done * barWidth / p.total)
		fmt.Fprintf(&b, " [%s%s] %d%%", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), done*100/p.total)
	}
	if note != "" {
		b.WriteString(" " + note)
	}
	if p.total > 0 && done > 0 && done < p.total {
		left := time.Duration(float64(took) / float64(done) * float64(p.total-done))
		fmt.Fprintf(&b, ", %s left", max(left.Round(time.Second), time.Second))
	}
	return b.String()
}
