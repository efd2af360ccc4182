package whole_test

import (
	"context"
	"maps"
	"os"
	"testing"

	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/settings/settingstest"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/services/normalizer/normalizer"
	"github.com/throughline-dev/throughline/services/quarantine/quarantine"
	"github.com/throughline-dev/throughline/services/sink/sink"
)

// builder is the configuration of a service that consumes.
type builder interface {
	stage.Configuration
	Build(context.Context, stage.Deps) (stage.Service, error)
}

// Every service that consumes takes the same connections, and tells all that is
// wrong with its own settings, too.
func TestConfigs(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		make         func(args []string) builder
		valid, wrong map[string]string // beside the connections
	}{
		"normalizer": {func(args []string) builder { return normalizer.NewConfig(args, os.LookupEnv) }, map[string]string{
			"THROUGHLINE_RESOLVE_RULES": "links", "THROUGHLINE_MARKETO_TENANT": "123-ABC-456", "THROUGHLINE_NORMALIZER_WORKERS": "1",
			"THROUGHLINE_NORMALIZER_BATCH_RECORDS": "5", "THROUGHLINE_NORMALIZER_BATCH_WAIT": "0s",
		}, map[string]string{
			"THROUGHLINE_RESOLVE_RULES": "links,guess", "THROUGHLINE_TENANTS": "marketo=1", "THROUGHLINE_NORMALIZER_WORKERS": "0",
			"THROUGHLINE_NORMALIZER_BATCH_RECORDS": "-1", "THROUGHLINE_NORMALIZER_BATCH_WAIT": "61s",
		}},
		"sink": {func(args []string) builder { return sink.NewConfig(args, os.LookupEnv) }, map[string]string{
			"THROUGHLINE_SINK_BATCH_RECORDS": "5", "THROUGHLINE_SINK_BATCH_WAIT": "0s", "THROUGHLINE_SINK_BREAKER_ROWS": "0",
			"THROUGHLINE_SINK_WRITERS": "9", "THROUGHLINE_SINK_MIGRATE": "true", "THROUGHLINE_SINK_BATCH_TIMEOUT": "5s", "THROUGHLINE_POSTGRES_PEER_TIMEOUT": "5s",
		}, map[string]string{
			"THROUGHLINE_SINK_BATCH_RECORDS": "0", "THROUGHLINE_SINK_BATCH_WAIT": "-1s", "THROUGHLINE_SINK_BREAKER_ROWS": "-1", "THROUGHLINE_SINK_WRITERS": "65",
			"THROUGHLINE_SINK_BATCH_TIMEOUT": "1ms", "THROUGHLINE_POSTGRES_PEER_TIMEOUT": "1ms",
		}},
		"quarantine": {func(args []string) builder { return quarantine.NewConfig(args, os.LookupEnv) }, map[string]string{
			"THROUGHLINE_RESOLVE_RULES": "links", "THROUGHLINE_QUARANTINE_BATCH_RECORDS": "5", "THROUGHLINE_QUARANTINE_BATCH_WAIT": "1s",
			"THROUGHLINE_QUARANTINE_SWEEP_EVERY": "1m", "THROUGHLINE_QUARANTINE_STUCK_AFTER": "1h",
		}, map[string]string{
			"THROUGHLINE_RESOLVE_RULES": "guess", "THROUGHLINE_QUARANTINE_BATCH_RECORDS": "0", "THROUGHLINE_QUARANTINE_BATCH_WAIT": "-1s",
			"THROUGHLINE_QUARANTINE_SWEEP_EVERY": "10ms", "THROUGHLINE_QUARANTINE_STUCK_AFTER": "1s",
		}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			maps.Copy(tt.valid, map[string]string{
				"THROUGHLINE_KAFKA_BROKERS": "kafka:9092", "THROUGHLINE_POSTGRES_URL": "postgres://u@h/d", "THROUGHLINE_SCHEMA_REGISTRY_URL": "http://registry:8081",
			})
			maps.Copy(tt.wrong, map[string]string{
				"THROUGHLINE_KAFKA_BROKERS": "kafka", "THROUGHLINE_POSTGRES_URL": "mysql://u:hunter2@h/d", "THROUGHLINE_SCHEMA_REGISTRY_URL": "registry",
			})
			servicetest.RequireConfig(t, func(args []string, opts ...settings.Option) int {
				cfg := tt.make(args)
				return stage.Main(name, "A service.", cfg, args, cfg.Build, opts...)
			}, tt.valid, tt.wrong)
			settingstest.Check(t, func() any { return tt.make(nil) }, tt.valid)
		})
	}
}
