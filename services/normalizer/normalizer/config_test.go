package normalizer_test

import (
	"os"
	"testing"

	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/settings/settingstest"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/services/normalizer/normalizer"
)

func TestConfig(t *testing.T) {
	t.Parallel()
	valid := map[string]string{
		"THROUGHLINE_KAFKA_BROKERS": "kafka:9092", "THROUGHLINE_POSTGRES_URL": "postgres://u@h/d", "THROUGHLINE_SCHEMA_REGISTRY_URL": "http://registry:8081",
		"THROUGHLINE_RESOLVE_RULES": "links", "THROUGHLINE_MARKETO_TENANT": "123-ABC-456", "THROUGHLINE_NORMALIZER_WORKERS": "1",
		"THROUGHLINE_NORMALIZER_BATCH_RECORDS": "5", "THROUGHLINE_NORMALIZER_BATCH_WAIT": "0s",
	}
	wrong := map[string]string{
		"THROUGHLINE_KAFKA_BROKERS": "kafka", "THROUGHLINE_POSTGRES_URL": "mysql://u:hunter2@h/d", "THROUGHLINE_SCHEMA_REGISTRY_URL": "registry",
		"THROUGHLINE_RESOLVE_RULES": "links,guess", "THROUGHLINE_TENANTS": "marketo=1", "THROUGHLINE_NORMALIZER_WORKERS": "0",
		"THROUGHLINE_NORMALIZER_BATCH_RECORDS": "-1", "THROUGHLINE_NORMALIZER_BATCH_WAIT": "61s",
	}
	servicetest.RequireConfig(t, func(args []string, opts ...settings.Option) int {
		cfg := normalizer.NewConfig(args, os.LookupEnv)
		return stage.Main("normalizer", "A service.", cfg, args, cfg.Build, opts...)
	}, valid, wrong)
	settingstest.Check(t, func() any { return normalizer.NewConfig(nil, os.LookupEnv) }, valid)
}
