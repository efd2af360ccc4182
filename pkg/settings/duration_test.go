package settings

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDurations(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{"90s": 90 * time.Second, "1h30m": 90 * time.Minute, "0": 0, "30d": 30 * day, "-2d": -2 * day, "4w": 28 * day, "3y": 3 * 365 * day, "-24h": -day} {
		d, ok := parseDuration(text)
		require.True(t, ok, text)
		require.Equal(t, want, d, text)
	}
	for _, text := range []string{"", "d", "30", "30 d", "1.5d", "300y", "-300y", "99999999999d", "30D", "1d12h"} {
		_, ok := parseDuration(text)
		require.False(t, ok, text)
	}
}

// No value of a variable is shown, and what others make is let be.
func TestStrays(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{
		"THROUGHLINE_KAFKA_BROKER is set, and no setting has that name: did you mean THROUGHLINE_KAFKA_BROKERS?",
		"THROUGHLINE_QQQQQQQQQQQQQQQQ is set, and no setting has that name",
	}, strays([]string{"THROUGHLINE_QQQQQQQQQQQQQQQQ=hush", "THROUGHLINE_KAFKA_BROKER=hush", "THROUGHLINE_KAFKA_BROKERS=x", "THROUGHLINE_MY_OWN_SECRETS=x", "HOME=/",
		"THROUGHLINE_RECEIVER_SERVICE_PORT_HTTP=80", "THROUGHLINE_RECEIVER_PORT_80_TCP=tcp://10.0.0.1:80", "THROUGHLINE_TEST_POSTGRES_URL=x"}, "my-own=cloudevents"))
}
