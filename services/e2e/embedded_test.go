package e2e

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/normalizer/normalizer"
	"github.com/throughline-dev/throughline/services/quarantine/quarantine"
	"github.com/throughline-dev/throughline/services/receiver/receiver"
	"github.com/throughline-dev/throughline/services/sink/sink"
)

// startEmbedded runs every service in this process, and gives the receiver's
// URL. All stop, in order, when the test ends.
func startEmbedded(t *testing.T, p *place) (url string) {
	t.Helper()
	// Errors only: an outage makes warnings, and a test's output is for failures.
	log := zaptest.NewLogger(t, zaptest.Level(zapcore.ErrorLevel), zaptest.WrapOptions(zap.WithFatalHook(zapcore.WriteThenPanic)))
	rt := service.NewRuntime(service.Options{Name: "e2e", Log: log, StopTimeout: patience})
	p.metrics = rt.Registry
	kafka := stream.Config{Brokers: p.brokers}
	registry, err := event.NewRegistry(event.RegistryConfig{URL: settings.URL(p.registry)})
	require.NoError(t, err)
	rules := resolve.Config{RuleList: resolve.RuleNames()}

	quarantine, err := quarantine.New(t.Context(), quarantine.Options{Kafka: kafka, Pool: p.pool, Registry: registry, Resolve: rules, Runtime: rt})
	require.NoError(t, err)
	sink, err := sink.New(t.Context(), sink.Options{Kafka: kafka, Pool: p.pool, Registry: registry, Runtime: rt})
	require.NoError(t, err)
	normalizer, err := normalizer.New(t.Context(), normalizer.Options{Kafka: kafka, Pool: p.pool, Registry: registry, Resolve: rules, Runtime: rt})
	require.NoError(t, err)
	receiver := newReceiver(t, rt, kafka)
	group := rt.Group(append([]service.Component{
		{Name: "quarantine", Run: quarantine.Run},
		{Name: "sink", Run: sink.Run},
		{Name: "normalizer", Run: normalizer.Run},
	}, receiver.Components()...)...)

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- group.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, errors.Join(<-ended, receiver.Close()))
	})
	await(t, patience, "the receiver to listen", func() (bool, string) {
		select {
		case err := <-ended:
			ended <- err
			require.NoError(t, err, "a service ended")
		default:
		}
		return receiver.Addr() != "", ""
	})
	return "http://" + receiver.Addr()
}

func newReceiver(t *testing.T, rt *service.Runtime, kafka stream.Config) *receiver.Receiver {
	t.Helper()
	endpoints, err := receiver.Endpoints(catalog.Set(), catalog.Names(), func(name string) settings.SourceSetting {
		return settings.SourceSetting{Secrets: settings.Secrets{secretOf(name)}, PublicURL: fmt.Sprintf("%s/webhooks/%s", publicURL, name)}
	})
	require.NoError(t, err)
	var config receiver.Config
	settings.Defaults(&config)
	config.Listen, config.SpoolDir, config.PublishTimeout = "127.0.0.1:0", filepath.Join(t.TempDir(), "spool"), 10*time.Second
	receiver, err := receiver.New(receiver.Options{Runtime: rt, Config: config, Kafka: kafka, Endpoints: endpoints})
	require.NoError(t, err)
	return receiver
}
