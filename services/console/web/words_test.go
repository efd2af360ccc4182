package web

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/api"
)

func TestWords(t *testing.T) {
	t.Parallel()
	require.Equal(t, "1 event", upTo(1, 1000, "event", "events"))
	require.Equal(t, "0 events", upTo(0, 1000, "event", "events"))
	require.Equal(t, "1,000+ events", upTo(1000, 1000, "event", "events"))
	_, label := state(api.SourceState{})
	require.Equal(t, "No event yet", label)
	_, label = state(api.SourceState{OpenQuarantine: 2})
	require.Equal(t, "None on a timeline yet, 2 in quarantine", label)
}
