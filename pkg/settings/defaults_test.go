package settings_test

import (
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/settings"
)

type limits struct {
	Most  int           `name:"most" env:"THROUGHLINE_MOST" default:"7"`
	Wait  time.Duration `name:"wait" default:"3s"`
	Plain string        `name:"plain"`
}

type everyKind struct {
	settings.Common `embed:""`
	Limits          limits            `embed:"" prefix:"a-" envprefix:"A_"`
	Others          *limits           `embed:"" prefix:"b-"`
	Sources         kong.Plugins      `embed:""`
	On              bool              `default:"true"`
	Small           int32             `default:"10"`
	Share           float64           `default:"0.25"`
	Names           []string          `default:"a,b"`
	Labels          map[string]string `default:"team=data;tier=1"`
	Secret          settings.Secret   `default:"hunter2"`
	Secrets         settings.Secrets  `default:"one,two"`
	Code            int               // nothing
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	t.Run("EveryKind", func(t *testing.T) {
		t.Parallel()
		var cfg everyKind
		settings.Defaults(&cfg)
		require.Equal(t, limits{Most: 7, Wait: 3 * time.Second}, cfg.Limits)
		require.Equal(t, &limits{Most: 7, Wait: 3 * time.Second}, cfg.Others)
		require.Equal(t, everyKind{
			Common: cfg.Common, Limits: cfg.Limits, Others: cfg.Others, On: true, Small: 10, Share: 0.25, Names: []string{"a", "b"},
			Labels: map[string]string{"team": "data", "tier": "1"}, Secret: "hunter2", Secrets: settings.Secrets{"one", "two"},
		}, cfg)
		require.Equal(t, "info", cfg.LogLevel)
		require.Equal(t, 20*time.Second, cfg.ShutdownTimeout)
		require.NoError(t, cfg.Validate())
	})
	t.Run("WhatIsSetStays", func(t *testing.T) {
		t.Parallel()
		cfg := everyKind{Limits: limits{Most: 1, Plain: "x"}, Names: []string{}, Labels: map[string]string{"a": "b"}, Secrets: settings.Secrets{"mine"}}
		settings.Defaults(&cfg)
		require.Equal(t, limits{Most: 1, Wait: 3 * time.Second, Plain: "x"}, cfg.Limits)
		require.Equal(t, []string{}, cfg.Names)
		require.Equal(t, map[string]string{"a": "b"}, cfg.Labels)
		require.Equal(t, settings.Secrets{"mine"}, cfg.Secrets)
	})
	t.Run("SameAsParse", func(t *testing.T) {
		t.Parallel()
		var parsed, filled config
		_, err := settings.Parse([]string{"--storage-url=x"}, &parsed, settings.WithEnv(lookup(nil)))
		require.NoError(t, err)
		settings.Defaults(&filled)
		filled.Storage.URL = "x"
		require.Equal(t, parsed, filled)
	})
	t.Run("WrongTag", func(t *testing.T) {
		t.Parallel()
		require.PanicsWithValue(t, `settings: the default of --many: --many: expected a valid 64 bit int but got "few"`,
			func() {
				settings.Defaults(&struct {
					Many int `default:"few"`
				}{})
			})
		require.Panics(t, func() { settings.Defaults(config{}) })
	})
}

// The environment is not read: a process that embeds several services would
// give them each other's settings.
func TestDefaultsDoNotReadTheEnvironment(t *testing.T) {
	t.Setenv("THROUGHLINE_MOST", "9")
	var cfg limits
	settings.Defaults(&cfg)
	require.Equal(t, 7, cfg.Most)
}
