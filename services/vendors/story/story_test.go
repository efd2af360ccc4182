package story

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/vendors"
)

// The story must be what the vendors' sources understand, in the order it claims.
func TestTheStoryIsTheTimeline(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	story, err := Tell(now)
	require.NoError(t, err)
	require.Len(t, story.Late, 2)
	require.Len(t, story.Unknown, 3)

	type told struct {
		line Line
		at   time.Time
	}
	var lines []told
	for _, m := range story.Messages {
		for _, e := range events(t, m, now) {
			lines = append(lines, told{Line{m.Source, e.Type, e.Subject}, e.OccurredAt})
			require.True(t, e.OccurredAt.After(now.AddDate(0, 0, -90)))
			require.True(t, slices.ContainsFunc(e.References, isAcme), "%v", e.References)
		}
	}
	slices.SortFunc(lines, func(a, b told) int { return a.at.Compare(b.at) })
	var timeline []Line
	for _, l := range lines {
		timeline = append(timeline, l.line)
	}
	require.Equal(t, Timeline(), timeline)
	for _, m := range story.Late {
		e := events(t, m, now)[0]
		require.True(t, e.OccurredAt.Before(now.AddDate(0, 0, -90)))
		require.True(t, slices.ContainsFunc(e.References, isAcme))
	}
	for _, m := range story.Unknown {
		e := events(t, m, now)[0]
		require.Equal(t, UnknownCustomer, "stripe:"+e.References[0].ID)
		require.False(t, slices.ContainsFunc(e.References, isAcme))
	}
	again, err := Tell(now)
	require.NoError(t, err)
	require.Equal(t, story, again, "told again on the same day it is the same story")
}

// isAcme: a link of Accounts, or an address of its domain.
func isAcme(r source.Reference) bool {
	if r.Kind == source.KindEmail {
		return r.ID == "kim@"+domain
	}
	for _, l := range links() {
		if r.Source+":"+r.Kind == l.column && r.ID == l.id {
			return true
		}
	}
	return false
}

// events gives what becomes of a message: of a published page without what its
// delivery would have told.
func events(t *testing.T, m Message, now time.Time) []source.Event {
	t.Helper()
	events, err := (&vendors.Sender{Sources: catalog.Set()}).Identify(m.Delivery, now)
	require.NoError(t, err)
	return events
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	csv, err := Accounts()
	require.NoError(t, err)
	require.Equal(t, "id,name,domain,stripe:customer,hubspot:contact,hubspot:deal,marketo:lead,salesforce:account,zendesk:organization\n"+
		"7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01,Acme Robotics,acme-robotics.example,cus_Tz1Acme,901,267448862446,5414087,0010800000XyZaBAAV,8447346622462\n", string(csv))
}
