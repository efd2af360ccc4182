package backend_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// What is alerted on is seen by viewers and silenced by operators; who tries in vain is in the audit log.
func TestAlerts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	never, err := w.Alerts(w.viewer(), "")
	require.NoError(t, err)
	require.True(t, never.Evaluated.IsZero())
	require.True(t, never.Stale)
	_, err = w.pool.Exec(t.Context(), `INSERT INTO alert_states (rule, key, source, severity, summary, state, since, began_at, seen_at) VALUES
		('quarantine_count', '', '', 'warning', '133 records wait', 'firing', now(), now(), now()), ('source_silent', 'zendesk', 'zendesk', 'critical', 'silent', 'firing', now(), now(), now()),
		('events_missing', 'x', 'hubspot', 'warning', 'missing', 'resolved', now(), now(), now())`)
	require.NoError(t, err)
	_, err = w.pool.Exec(t.Context(), "UPDATE alert_evaluation SET evaluated_at = now()")
	require.NoError(t, err)
	summaries := func(a api.Alerts) (all []string) {
		for _, i := range a.Items {
			all = append(all, i.Summary)
		}
		return all
	}
	now, err := w.Alerts(w.viewer(), "")
	require.NoError(t, err)
	require.False(t, now.Stale)
	require.Equal(t, []string{"silent", "133 records wait"}, summaries(now), "the most severe first")
	require.NotEmpty(t, now.OK)
	over, err := w.Alerts(w.viewer(), "resolved")
	require.NoError(t, err)
	require.Equal(t, []string{"missing"}, summaries(over))
	_, err = w.Alerts(w.viewer(), "ok")
	require.Equal(t, 400, problem.From(err).Status)

	n := backend.NewSilence{Rule: "source_silent", Source: "zendesk", For: 2 * time.Hour, Comment: "holiday"}
	_, err = w.SilenceAlerts(w.viewer(), n)
	require.Equal(t, 403, problem.From(err).Status)
	made, err := w.SilenceAlerts(w.operator(), n)
	require.NoError(t, err)
	require.Equal(t, "user:operator@us.example", made.By)
	overview, err := w.Overview(w.viewer())
	require.NoError(t, err)
	require.EqualValues(t, 1, overview.FiringAlerts, "the other is silenced")
	now, err = w.Alerts(w.viewer(), "firing")
	require.NoError(t, err)
	require.Equal(t, made.ID, now.Items[0].SilencedBy)
	require.Equal(t, made.Until, now.Items[0].SilencedUntil)
	for field, wrong := range map[string]backend.NewSilence{
		"rule":    {Rule: "nothing", For: time.Hour, Comment: "x"},
		"source":  {Source: "strype", For: time.Hour, Comment: "x"},
		"minutes": {Rule: "events_missing", Comment: "x"},
		"comment": {Rule: "events_missing", For: time.Hour, Comment: " "},
	} {
		_, err := w.SilenceAlerts(w.operator(), wrong)
		require.Equal(t, 400, problem.From(err).Status)
		require.Equal(t, field, problem.From(err).Field)
	}
	require.Equal(t, 403, problem.From(w.UnsilenceAlerts(w.viewer(), made.ID)).Status)
	require.NoError(t, w.UnsilenceAlerts(w.operator(), made.ID))
	require.Equal(t, 404, problem.From(w.UnsilenceAlerts(w.operator(), made.ID)).Status)
	active, err := w.Silences(w.viewer(), false)
	require.NoError(t, err)
	require.Empty(t, active)
	ended, err := w.Silences(w.viewer(), true)
	require.NoError(t, err)
	require.Len(t, ended, 1)
	log, err := w.Service.Audit(w.admin(), "", "silenceAlerts", backend.Paging{})
	require.NoError(t, err)
	var got []string
	for _, e := range log.Items[len(log.Items)-2:] {
		got = append(got, fmt.Sprint(e.Who, " ", e.Target, " ", e.Result))
	}
	require.Equal(t, []string{"user:operator@us.example source_silent/zendesk done", "user:viewer@us.example source_silent/zendesk refused"}, got)
}
