package quarantine_test

import (
	"os"
	"testing"

	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/settings/settingstest"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/services/quarantine/quarantine"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	valid := map[string]string{
		"THROUGHLINE_KAFKA_BROKERS": "kafka:9092", "THROUGHLINE_POSTGRES_URL": "postgres://u@h/d", "THROUGHLINE_SCHEMA_REGISTRY_URL": "http://registry:8081",
		"THROUGHLINE_RESOLVE_RULES": "links", "THROUGHLINE_QUARANTINE_BATCH_RECORDS": "5", "THROUGHLINE_QUARANTINE_BATCH_WAIT": "1s",
		"THROUGHLINE_QUARANTINE_SWEEP_EVERY": "1m", "THROUGHLINE_QUARANTINE_STUCK_AFTER": "1h",
	}
	wrong := map[string]string{
		"THROUGHLINE_KAFKA_BROKERS": "kafka", "THROUGHLINE_POSTGRES_URL": "mysql://u:hunter2@h/d", "THROUGHLINE_SCHEMA_REGISTRY_URL": "registry",
		"THROUGHLINE_RESOLVE_RULES": "guess", "THROUGHLINE_QUARANTINE_BATCH_RECORDS": "0", "THROUGHLINE_QUARANTINE_BATCH_WAIT": "-1s",
		"THROUGHLINE_QUARANTINE_SWEEP_EVERY": "10ms", "THROUGHLINE_QUARANTINE_STUCK_AFTER": "1s",
	}
	servicetest.RequireConfig(t, func(args []string, opts ...settings.Option) int {
		cfg := quarantine.NewConfig(args, os.LookupEnv)
		return stage.Main("quarantine", "A service.", cfg, args, cfg.Build, opts...)
	}, valid, wrong)
	settingstest.Check(t, func() any { return quarantine.NewConfig(nil, os.LookupEnv) }, valid)
}
