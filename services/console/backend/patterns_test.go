package backend_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/pattern"
)

// A pattern finds who went that way and who is on it; what is wrong with one has its place; and domains are decided by
// operators, which the audit log has.
func TestPatternsAndDomains(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	viewer, operator := w.viewer(), w.operator()
	w.event(w.pool, w.acme, "charge.dispute.created", `{}`)
	w.event(w.pool, w.acme, "subscription.deleted", `{}`)
	w.event(w.pool, w.beta, "charge.dispute.created", `{}`)
	a, err := w.Pattern(viewer, "charge.dispute.created then subscription.deleted within 120 days", time.Time{}, 0)
	require.NoError(t, err)
	require.Equal(t, []string{"charge.dispute.created happens.", "After that, subscription.deleted happens, at most 120 days after charge.dispute.created."}, a.Words)
	require.EqualValues(t, 1, a.Complete.Accounts)
	require.Equal(t, w.acme, a.Complete.Items[0].AccountID)
	require.EqualValues(t, 1, a.Open.Accounts)
	require.Equal(t, w.beta, a.Open.Items[0].AccountID)
	require.Len(t, a.Months, 1)
	a, err = w.Pattern(viewer, "now charge.dispute.created, then subscription.deleted", time.Now().Add(time.Hour), 0)
	require.NoError(t, err)
	require.Nil(t, a.Complete)
	require.Empty(t, a.Open.Items, "since")
	a, err = w.Pattern(viewer, "charge.dispute.created", time.Time{}, 0)
	require.NoError(t, err)
	require.Nil(t, a.Open)

	const wrong = "charge.dispute.created,\nthen 30 days conversation"
	_, err = w.Pattern(viewer, wrong, time.Time{}, 0)
	require.Equal(t, fault.Malformed, fault.ReasonOf(err))
	before, rest, ok := pattern.Position(wrong, err)
	require.True(t, ok)
	require.Equal(t, [2]string{"charge.dispute.created,\nthen 30 days ", "conversation"}, [2]string{before, rest})
	_, _, ok = pattern.Position(wrong, errors.New("another"))
	require.False(t, ok)
	_, err = w.Pattern(as(t.Context(), ""), "a", time.Time{}, 0)
	require.Equal(t, fault.Forbidden, fault.ReasonOf(err))

	_, err = w.DecideDomain(viewer, "agency.example", "public", "")
	require.Equal(t, fault.Forbidden, fault.ReasonOf(err))
	_, err = w.DecideDomain(operator, "no domain", "public", "")
	require.Equal(t, fault.Malformed, fault.ReasonOf(err))
	d, err := w.DecideDomain(operator, "Agency.example", "public", "resells for many")
	require.NoError(t, err)
	require.Equal(t, "agency.example", d.Domain)
	list, err := w.Domains(viewer, 0)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, 1, w.count("SELECT count(*) FROM audit_log WHERE action = 'decideDomain' AND result = 'done' AND why = 'resells for many'"))
	require.Equal(t, 1, w.count("SELECT count(*) FROM audit_log WHERE action = 'decideDomain' AND result = 'refused' AND role = $1", string(access.Viewer)))
}
