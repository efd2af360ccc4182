package service

import (
	"errors"
	"os"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// reloads are what to call when the process is told to read its files again.
type reloads struct {
	mu  sync.Mutex
	all []func() error
}

// OnReload has reload called on each SIGHUP, one call at a time. It reads files
// again; on an error, which must hold no secret, it leaves what was in use.
func (rt *Runtime) OnReload(reload func() error) {
	rt.reloads.mu.Lock()
	defer rt.reloads.mu.Unlock()
	rt.reloads.all = append(rt.reloads.all, reload)
}

// reload calls what OnReload was given, all of it, and logs and counts the outcome.
func (rt *Runtime) reload(outcomes *prometheus.CounterVec) {
	rt.reloads.mu.Lock()
	defer rt.reloads.mu.Unlock()
	if len(rt.reloads.all) == 0 {
		rt.Log.Info("told to reload: this service reads nothing again, restart it to change its settings")
		return
	}
	var problems []error
	for _, reload := range rt.reloads.all {
		problems = append(problems, reload())
	}
	if err := errors.Join(problems...); err != nil {
		outcomes.WithLabelValues("failed").Inc()
		rt.Log.Error("reloading failed: what was in use stays in use", zap.Error(err))
		return
	}
	outcomes.WithLabelValues("done").Inc()
	rt.Log.Info("reloaded")
}

// reloadOn reloads for each signal until stop is called, which waits for a
// reload that is under way.
func (rt *Runtime) reloadOn(hangup <-chan os.Signal) (stop func()) {
	outcomes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "throughline_reloads_total", Help: "Times that files were read again because of SIGHUP, by outcome; a failed one leaves what was in use.",
	}, []string{"outcome"})
	rt.Registry.MustRegister(outcomes)
	outcomes.WithLabelValues("done")
	outcomes.WithLabelValues("failed")
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-ended:
				return
			case <-hangup:
				rt.reload(outcomes)
			}
		}
	}()
	return func() {
		close(ended)
		<-done
	}
}
