package postgres_test

import (
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/settings"
)

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	const (
		urlVariable   = "THROUGHLINE_POSTGRES_URL"
		connsVariable = "THROUGHLINE_POSTGRES_MAX_CONNS"
	)
	tests := map[string]struct {
		config postgres.Config
		named  []string
	}{
		"Good":          {postgres.Config{URL: "postgres://u:hunter2@db:5432/t?sslmode=require", MaxConns: 4}, nil},
		"OtherScheme":   {postgres.Config{URL: "postgresql://db/t", MaxConns: 1}, nil},
		"Socket":        {postgres.Config{URL: "postgres:///t?host=/run/postgresql", MaxConns: 1}, nil},
		"Nothing":       {postgres.Config{}, []string{urlVariable, connsVariable}},
		"MySQL":         {postgres.Config{URL: "mysql://u:hunter2@db/t", MaxConns: 1}, []string{urlVariable}},
		"NoHost":        {postgres.Config{URL: "postgres://", MaxConns: 1}, []string{urlVariable}},
		"NotEncoded":    {postgres.Config{URL: "postgres://u:hunter2%zz@db/t", MaxConns: 1}, []string{urlVariable}},
		"SlashInSecret": {postgres.Config{URL: "postgres://u:hunter2/x@db/t", MaxConns: 1}, []string{urlVariable}},
		"BadPort":       {postgres.Config{URL: "postgres://u:hunter2@db:port/t", MaxConns: 1}, []string{urlVariable}},
		"BadMode":       {postgres.Config{URL: "postgres://u:hunter2@db/t?sslmode=maybe", MaxConns: 1}, []string{urlVariable}},
		"TooMany":       {postgres.Config{URL: "postgres://db/t", MaxConns: 5000}, []string{connsVariable}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tt.config.Validate()
			if tt.named == nil {
				require.NoError(t, err)
				return
			}
			for _, variable := range tt.named {
				require.ErrorContains(t, err, variable)
			}
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}

func TestConfigIsReadByKong(t *testing.T) {
	t.Parallel()
	var cli struct{ postgres.Config }
	parser, err := kong.New(&cli)
	require.NoError(t, err)
	_, err = parser.Parse([]string{"--postgres-url=postgres://db/t"})
	require.NoError(t, err)
	require.Equal(t, postgres.Config{URL: "postgres://db/t", PeerTimeout: 20 * time.Second, MaxConns: 10}, cli.Config)
}

func TestOpen(t *testing.T) {
	t.Parallel()
	t.Run("TheNameShows", func(t *testing.T) {
		t.Parallel()
		pool, err := postgres.Open(t.Context(), postgres.Config{URL: settings.URL(postgrestest.URL(t)), MaxConns: 2}, "sink")
		require.NoError(t, err)
		defer pool.Close()
		require.Equal(t, 1, count(t, pool, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'sink'"))
	})
	t.Run("NobodyListens", func(t *testing.T) {
		t.Parallel()
		_, err := postgres.Open(t.Context(), postgres.Config{URL: "postgres://u:hunter2@127.0.0.1:1/t", MaxConns: 2}, "sink")
		require.ErrorContains(t, err, "THROUGHLINE_POSTGRES_URL")
		require.NotContains(t, err.Error(), "hunter2")
	})
	t.Run("AnInvalidConfiguration", func(t *testing.T) {
		t.Parallel()
		_, err := postgres.Open(t.Context(), postgres.Config{}, "sink")
		require.ErrorContains(t, err, "THROUGHLINE_POSTGRES_MAX_CONNS")
	})
}
