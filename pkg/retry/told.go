package retry

import (
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// quiet is the least time between two lines about trouble that begins, changes
// or goes on, so that work which fails every other time cannot fill a disk.
const quiet = 30 * time.Second

// remindEvery is how often trouble that goes on is told again.
const remindEvery = 10 * time.Minute

// Told is who hears how a piece of work goes. Make one for each piece of work
// and pass it to every call, because the log is bounded over all of them: two
// lines in 30 s at most, whatever the work does. It is safe for concurrent use;
// a nil one tells nobody.
type Told struct {
	// Log gets the lines. nil: none.
	Log *zap.Logger
	// State, if set, hears of each try: nil after one that succeeded, else its
	// error, on which fault.Advice gives what a person can do.
	State func(error)
	// Advice gives what a person can do about an error, "" when waiting is
	// enough. nil: what the error itself says (fault.Advice).
	Advice func(error) string

	mu      sync.Mutex
	trouble trouble
	lastly  time.Time // of the last line about trouble; zero: none yet
	untold  int       // troubles since then that came and went without a line
}

// trouble lasts from a failed try to one that succeeds.
type trouble struct {
	since time.Time // zero: there is none
	tries int
	told  bool // a line says that it began
	// As the last line about it has them.
	reason fault.Reason
	advice string
}

// Failed tells of a try that failed. Forever and Sessions call it; so does work
// that has a loop of its own, like a gauge that is read now and then. pause is
// how long it waits before the next try.
func (t *Told) Failed(doing string, err error, pause time.Duration) {
	if t == nil {
		return
	}
	advice := fault.Advice(err)
	if advice == "" && t.Advice != nil {
		advice = t.Advice(err)
		err = fault.Advise(err, advice)
	}
	if t.State != nil {
		t.State(err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.trouble.since.IsZero() {
		t.trouble = trouble{since: now}
	}
	t.trouble.tries++
	reason := fault.ReasonOf(err)
	if !t.due(now, reason, advice) {
		return
	}
	level, fields := zapcore.WarnLevel, []zap.Field{
		zap.Error(err), zap.String("reason", string(reason)), zap.Int("tries", t.trouble.tries), zap.Duration("retry_in", pause),
	}
	if advice != "" {
		level, fields = zapcore.ErrorLevel, append(fields, zap.String("advice", advice))
	}
	if t.untold > 0 {
		fields = append(fields, zap.Int("more_failures_before", t.untold))
	}
	t.log().Log(level, doing+" fails and is tried again until it succeeds", fields...)
	t.trouble.told, t.trouble.reason, t.trouble.advice = true, reason, advice
	t.lastly, t.untold = now, 0
}

// due: a line is due when trouble begins, becomes another, or has gone on for long.
func (t *Told) due(now time.Time, reason fault.Reason, advice string) bool {
	since := now.Sub(t.lastly)
	switch {
	case t.lastly.IsZero():
		return true
	case since < quiet:
		return false
	default:
		return !t.trouble.told || t.trouble.reason != reason || t.trouble.advice != advice || since >= remindEvery
	}
}

// Succeeded tells of a try that succeeded, which ends the trouble.
func (t *Told) Succeeded(doing string) {
	if t == nil {
		return
	}
	if t.State != nil {
		t.State(nil)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	over := t.trouble
	t.trouble = trouble{}
	switch {
	case over.since.IsZero():
	case over.told:
		t.log().Info(doing+" works again", zap.Duration("after", time.Since(over.since)), zap.Int("failed_tries", over.tries))
	default:
		t.untold++
	}
}

func (t *Told) log() *zap.Logger {
	if t.Log == nil {
		return zap.NewNop()
	}
	return t.Log
}
