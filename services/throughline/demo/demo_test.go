package demo

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
)

// The story must be what the vendors' sources understand, in the order it claims.
func TestTheStoryIsTheTimeline(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	story, err := Tell(now)
	require.NoError(t, err)
	require.Len(t, story.Late, 2)
	require.Len(t, story.Unknown, 3)

	lines := map[time.Time]Line{}
	for _, m := range story.Messages {
		for r, err := range m.Source.Split(&source.Delivery{Body: m.Body, ReceivedAt: now}) {
			require.NoError(t, err)
			_, e, err := source.Keyed(m.Source, source.Record{Value: r.Value, ReceivedAt: now})
			require.NoError(t, err)
			require.NotEmpty(t, e.References)
			lines[e.OccurredAt] = Line{m.Source.Name(), e.Type, e.Subject}
			require.True(t, e.OccurredAt.After(now.AddDate(0, 0, -90)))
		}
	}
	require.Len(t, lines, len(Timeline()))
	at := now.AddDate(0, 0, -90)
	for _, want := range Timeline() {
		next := now
		for occurred := range lines {
			if occurred.After(at) && occurred.Before(next) {
				next = occurred
			}
		}
		require.Equal(t, want, lines[next])
		at = next
	}
}
