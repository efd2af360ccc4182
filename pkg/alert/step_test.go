package alert

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An alert fires when it has held for as long as its rule asks, once; it is over when it has not held for a while, so that
// one that comes and goes is told once.
func TestStep(t *testing.T) {
	t.Parallel()
	rules := Default()
	start := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	c := Condition{Rule: QuarantineCount, Severity: Warning, Summary: "many"}
	all := map[string]bool{QuarantineCount: true}
	var states []State
	at := func(minute int, found []Condition, known map[string]bool) Phase {
		states = rules.Step(start.Add(time.Duration(minute)*time.Minute), states, found, known)
		if len(states) == 0 {
			return ""
		}
		return states[0].State
	}
	held, gone := []Condition{c}, []Condition(nil)
	require.Equal(t, Pending, at(0, held, all))
	require.Equal(t, Phase(""), at(1, gone, all)) // it did not hold
	require.Equal(t, Pending, at(2, held, all))
	require.Equal(t, Firing, at(7, held, all))
	require.Equal(t, start.Add(7*time.Minute), states[0].Since)
	require.Equal(t, Firing, at(8, gone, all)) // it may come again
	require.Equal(t, Firing, at(9, held, all))
	require.Equal(t, start.Add(7*time.Minute), states[0].Since)
	require.Equal(t, Firing, at(30, gone, map[string]bool{})) // nothing is known of it
	require.Equal(t, Resolved, at(31, gone, all))
	require.Equal(t, Pending, at(32, held, all)) // another
	require.Equal(t, Firing, at(37, held, all))
	rules.Find(QuarantineCount).Enabled = false
	require.Equal(t, Resolved, at(38, gone, all)) // switched off
	require.Equal(t, Phase(""), at(60*24*8, gone, all))
}

func TestDue(t *testing.T) {
	t.Parallel()
	rules := Default()
	rules.Severities[PagerDuty] = []Severity{Critical}
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	key := [2]string{SourceSilent, "zendesk"}
	s := State{Condition: Condition{Rule: key[0], Key: key[1], Source: "zendesk", Severity: Warning}, State: Firing, Since: now.Add(-time.Hour), Began: now.Add(-time.Hour)}
	over := s
	over.State, over.Since = Resolved, now.Add(-time.Minute)
	told := func(state Phase, ago time.Duration) map[[2]string]Told {
		return map[[2]string]Told{key: {state, now.Add(-ago)}}
	}
	silence := []Silence{{Source: "zendesk", Until: now.Add(time.Hour)}}
	long := now.Add(-time.Hour * 1000)
	for name, c := range map[string]struct {
		receiver                string
		since                   time.Time
		state                   State
		told                    map[[2]string]Told
		silences                []Silence
		firing, resolved, quiet int
	}{
		"new":                              {Slack, long, s, nil, nil, 1, 0, 0},
		"of no severity of the receiver's": {PagerDuty, long, s, nil, nil, 0, 0, 0},
		"told":                             {Slack, long, s, told(Firing, time.Hour), nil, 0, 0, 0},
		"told a day ago":                   {Slack, long, s, told(Firing, 24*time.Hour), nil, 1, 0, 0},
		"told of an earlier one":           {Slack, long, s, told(Resolved, 2*time.Hour), nil, 1, 0, 0},
		"silenced":                         {Slack, long, s, nil, silence, 0, 0, 0},
		"the silence is of another rule":   {Slack, long, s, nil, []Silence{{Rule: Drift, Source: "zendesk", Until: now.Add(time.Hour)}}, 1, 0, 0},
		"the silence has ended":            {Slack, long, s, nil, []Silence{{Source: "zendesk", Until: now}}, 1, 0, 0},
		"over":                             {Slack, long, over, told(Firing, time.Hour), nil, 0, 1, 0},
		"over, and told":                   {Slack, long, over, told(Resolved, time.Second), nil, 0, 0, 0},
		"over, the receiver was away":      {Slack, long, over, nil, nil, 0, 1, 0},
		"over before it was configured":    {Slack, now.Add(-time.Second), over, nil, nil, 0, 0, 0},
		"over while silenced, untold":      {Slack, long, over, nil, silence, 0, 0, 1},
		"over while silenced, told before": {Slack, long, over, told(Firing, time.Hour), silence, 0, 1, 0},
	} {
		d := rules.due(now, c.receiver, c.since, []State{c.state}, c.told, c.silences)
		require.Len(t, d.Firing, c.firing, name)
		require.Len(t, d.Resolved, c.resolved, name)
		require.Len(t, d.quiet, c.quiet, name)
	}
}
