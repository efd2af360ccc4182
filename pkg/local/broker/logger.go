package broker

import (
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap"
)

// logger hands the broker library's warnings and errors to zap. Its Close
// reports a failed save through the log alone, so while collecting it also
// keeps the errors, for our Close to return.
type logger struct {
	out *zap.Logger

	mu         sync.Mutex
	collecting bool
	errs       []error
}

func newLogger(out *zap.Logger) *logger {
	if out == nil {
		out = zap.NewNop()
	}
	return &logger{out: out.Named("broker")}
}

// Logf drops what is less than a warning: kfake's info is a line per request.
func (l *logger) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		err := fmt.Errorf(format, args...)
		if !l.keep(err) {
			l.out.Error("broker error", zap.Error(err))
		}
	case kfake.LogLevelWarn:
		l.out.Warn(fmt.Sprintf(format, args...))
	}
}

func (l *logger) startCollecting() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.collecting = true
}

func (l *logger) collected() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.errs...)
}

// keep says whether err was kept for Close, which then is the one to tell it.
func (l *logger) keep(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.collecting {
		l.errs = append(l.errs, err)
	}
	return l.collecting
}
