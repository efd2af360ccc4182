package sink_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/settings/settingstest"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/services/sink/sink"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	valid := map[string]string{
		"THROUGHLINE_KAFKA_BROKERS": "kafka:9092", "THROUGHLINE_POSTGRES_URL": "postgres://u@h/d", "THROUGHLINE_SCHEMA_REGISTRY_URL": "http://registry:8081",
		"THROUGHLINE_SINK_BATCH_RECORDS": "5", "THROUGHLINE_SINK_BATCH_WAIT": "0s", "THROUGHLINE_SINK_BREAKER_ROWS": "0", "THROUGHLINE_SINK_WRITERS": "9",
		"THROUGHLINE_SINK_MIGRATE": "true",
	}
	wrong := map[string]string{
		"THROUGHLINE_KAFKA_BROKERS": "kafka", "THROUGHLINE_POSTGRES_URL": "mysql://u:hunter2@h/d", "THROUGHLINE_SCHEMA_REGISTRY_URL": "registry",
		"THROUGHLINE_SINK_BATCH_RECORDS": "0", "THROUGHLINE_SINK_BATCH_WAIT": "-1s", "THROUGHLINE_SINK_BREAKER_ROWS": "-1", "THROUGHLINE_SINK_WRITERS": "65",
	}
	servicetest.RequireConfig(t, func(args []string, opts ...settings.Option) int {
		cfg := new(sink.Config)
		return stage.Main("sink", "A service.", cfg, args, cfg.Build, opts...)
	}, valid, wrong)
	settingstest.Check(t, func() any { return new(sink.Config) }, valid)
}

// Each writer holds a connection while it writes, and others need some too.
func TestMoreWritersThanConnections(t *testing.T) {
	t.Parallel()
	var cfg sink.Config
	settings.Defaults(&cfg)
	require.NoError(t, cfg.Validate())
	cfg.Tuning.Writers = int(cfg.Postgres.MaxConns)
	require.ErrorContains(t, cfg.Validate(), "--writers is 10: it should be less than --postgres-max-conns")
}
