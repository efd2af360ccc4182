// Package servicetest starts and stops services in tests, and reads what they
// tell of themselves.
package servicetest

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
)

// Patience is how long a test waits for what happens within milliseconds on an
// idle machine.
const Patience = 60 * time.Second

// Run runs something, a Group's Run for example, until stop is called or the test
// ends. stop waits for the end, which must come within Patience and without an
// error; a second call does nothing.
func Run(t testing.TB, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				require.NoError(t, err)
			case <-time.After(Patience):
				t.Error("it does not stop")
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// Ready reports whether /readyz would say so.
func Ready(rt *service.Runtime) bool { return rt.Health.Report(context.Background()).Ready }

// RequireReady waits until the runtime's readiness is want.
func RequireReady(t testing.TB, rt *service.Runtime, want bool) {
	t.Helper()
	require.Eventually(t, func() bool { return Ready(rt) == want }, Patience, 5*time.Millisecond, "ready should become %v", want)
}

// Component gives what /readyz?verbose says of one part; false: nothing.
func Component(rt *service.Runtime, name string) (service.ComponentHealth, bool) {
	report := rt.Health.Report(context.Background())
	at := slices.IndexFunc(report.Components, func(c service.ComponentHealth) bool { return c.Name == name })
	if at < 0 {
		return service.ComponentHealth{}, false
	}
	return report.Components[at], true
}

// Metric adds up a metric's values over the series that have these labels
// ("result=inserted"): of counters and gauges, and the number of a histogram's
// observations. A metric that is not registered fails the test.
func Metric(t testing.TB, from prometheus.Gatherer, name string, labels ...string) (sum float64) {
	t.Helper()
	families, err := from.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var have []string
			for _, l := range m.GetLabel() {
				have = append(have, l.GetName()+"="+l.GetValue())
			}
			if !slices.ContainsFunc(labels, func(want string) bool { return !slices.Contains(have, want) }) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
		return sum
	}
	require.Fail(t, "no metric "+name+" with "+strings.Join(labels, ","))
	return 0
}

// Main calls a service's main function in this environment and with these
// arguments, and gives its exit code and what it wrote.
func Main(env map[string]string, args []string, main func(args []string, opts ...settings.Option) int) (code int, out, errs string) {
	var stdout, stderr bytes.Buffer
	code = main(args, settings.WithOutput(&stdout, &stderr),
		settings.WithEnv(func(name string) (string, bool) { v, ok := env[name]; return v, ok }))
	return code, stdout.String(), stderr.String()
}

// RequireConfig holds a service's configuration to what every service promises:
// --help names each of these variables, and --validate tells all problems of an
// environment at once, by the names of the variables, and never a password, here
// hunter2.
func RequireConfig(t *testing.T, main func(args []string, opts ...settings.Option) int, valid, wrong map[string]string) {
	t.Helper()
	code, out, _ := Main(nil, []string{"--help"}, main)
	require.Equal(t, settings.ExitOK, code)
	help := strings.Join(strings.Fields(out), "") // long names are wrapped
	for name := range valid {
		require.Contains(t, help, name)
	}
	code, out, errs := Main(valid, []string{"--validate"}, main)
	require.Equal(t, settings.ExitOK, code, errs)
	require.Contains(t, out, "valid")

	code, _, errs = Main(nil, []string{"--validate"}, main)
	require.Equal(t, settings.ExitConfig, code, "nothing is set")
	for _, name := range []string{"THROUGHLINE_KAFKA_BROKERS", "THROUGHLINE_POSTGRES_URL", "THROUGHLINE_SCHEMA_REGISTRY_URL"} {
		require.Contains(t, errs, name)
	}

	code, _, errs = Main(wrong, []string{"--validate"}, main)
	require.Equal(t, settings.ExitConfig, code, "all is wrong")
	for name := range wrong {
		require.Contains(t, errs, name)
	}
	require.NotContains(t, errs, "hunter2")
}
