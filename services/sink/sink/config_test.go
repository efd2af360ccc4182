package sink_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/services/sink/sink"
)

// Each writer holds a connection while it writes, and others need some too.
func TestMoreWritersThanConnections(t *testing.T) {
	t.Parallel()
	var cfg sink.Config
	settings.Defaults(&cfg)
	require.NoError(t, cfg.Validate())
	cfg.Tuning.Writers = int(cfg.Postgres.MaxConns)
	require.ErrorContains(t, cfg.Validate(), "--writers is 10: it should be less than --postgres-max-conns")
}
