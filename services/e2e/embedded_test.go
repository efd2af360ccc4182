package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/receiver/receiver"
	"github.com/throughline-dev/throughline/services/whole"
)

// startEmbedded runs every service in this process, and gives the receiver's
// URL. All stop, in order, when the test ends.
func startEmbedded(t *testing.T, p *place) (url string) {
	t.Helper()
	// Errors only: an outage makes warnings, and a test's output is for failures.
	log := zaptest.NewLogger(t, zaptest.Level(zapcore.ErrorLevel), zaptest.WrapOptions(zap.WithFatalHook(zapcore.WriteThenPanic)))
	return startEmbeddedAs(t, p, stream.Config{Brokers: p.brokers}, log)
}

// startEmbeddedAs is startEmbedded with another way to the brokers and another log.
func startEmbeddedAs(t *testing.T, p *place, kafka stream.Config, log *zap.Logger) (url string) {
	t.Helper()
	return "http://" + startServices(t, p, kafka, log)
}

// startServices is startEmbeddedAs with some services only; it gives the receiver's
// address, or "" when that is not among them. p.runtime becomes theirs.
func startServices(t *testing.T, p *place, kafka stream.Config, log *zap.Logger, only ...string) (addr string) {
	t.Helper()
	rt := service.NewRuntime(service.Options{Name: "e2e", Log: log, StopTimeout: patience})
	p.runtime = rt
	registry, err := event.NewRegistry(event.RegistryConfig{URL: settings.URL(p.registry), Refresh: p.refresh})
	require.NoError(t, err)
	endpoints, err := receiver.Endpoints(p.sources, p.sources.Names(), func(name string) settings.SourceSetting {
		return settings.SourceSetting{Tenant: p.tenants[name], Secrets: settings.Secrets{secretOf(name)}, PublicURL: fmt.Sprintf("%s/webhooks/%s", publicURL, name)}
	})
	require.NoError(t, err)
	deps := stage.Deps{Kafka: kafka, Pool: p.pool, Registry: registry, Sources: p.sources, Runtime: rt}
	if p.direct != "" {
		deps.Direct = openPool(t, p.direct)
	}
	services, err := whole.New(t.Context(), deps, whole.Options{Only: only, Endpoints: endpoints, Receiver: receiver.Config{
		Listen: "127.0.0.1:0", SpoolDir: filepath.Join(t.TempDir(), "spool"), PublishTimeout: 10 * time.Second,
	}})
	require.NoError(t, err)
	stopped := make(chan struct{})
	stop := servicetest.Run(t, func(ctx context.Context) error {
		defer close(stopped)
		return services.Run(ctx)
	})
	if len(only) > 0 && !slices.Contains(only, whole.Receiver) {
		return ""
	}
	await(t, patience, "the receiver to listen", func() (bool, string) {
		select {
		case <-stopped:
			stop() // says why
		default:
		}
		return services.Addr() != "", ""
	})
	return services.Addr()
}
