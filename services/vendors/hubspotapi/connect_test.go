package hubspotapi

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/hubspot"
	"github.com/throughline-dev/throughline/services/vendors/fakeapi"
)

const address = "https://hooks.example.com/webhooks/hubspot"

// From an app without anything to one that sends all: look, change, look again.
func TestConnectsAnApp(t *testing.T) {
	t.Parallel()
	r := newRig(t, hubspot.Options{AppID: "54321"})
	r.Key = client
	s, c := r.Source.(source.Subscriber), r.Client()
	seen, err := s.Look(t.Context(), c, address)
	require.NoError(t, err)
	require.Empty(t, seen.Have)
	require.Len(t, seen.Changes, 1)
	require.Contains(t, seen.Changes[0].Text, "let the app send to this address, and subscribe to 27 types")
	_, err = s.Change(t.Context(), c, address, seen.Changes[0])
	require.NoError(t, err)
	r.api.hooks.subscriptions[3]["active"] = false
	seen, err = s.Look(t.Context(), c, address)
	require.NoError(t, err)
	require.Len(t, seen.Have, 27)
	require.Len(t, seen.Changes, 1)
	require.Contains(t, seen.Changes[0].Text, "activate the subscription 4")
	_, err = s.Change(t.Context(), c, address, seen.Changes[0])
	require.NoError(t, err)
	seen, err = s.Look(t.Context(), c, address)
	require.NoError(t, err)
	require.Empty(t, seen.Changes)

	seen, err = s.Look(t.Context(), c, address+"/other")
	require.NoError(t, err)
	require.Empty(t, seen.Changes, "an app has one target, which may be in use")
	require.Contains(t, seen.Notes[0], "The app sends to "+address)
	_, err = s.Change(t.Context(), c, address+"/other", source.SubscriptionChange{Types: []string{"contact.creation"}})
	require.Equal(t, fault.Conflict, fault.ReasonOf(err))
	for _, q := range r.faults.Requests("") {
		require.NotContains(t, q.Query, "hapikey")
	}
}

// An app of a project, or one that is not ours, is refused, and that is said.
func TestAppWithoutTheAPI(t *testing.T) {
	t.Parallel()
	r := newRig(t, hubspot.Options{})
	seen, err := r.Source.(source.Subscriber).Look(t.Context(), r.Client(), address)
	require.NoError(t, err)
	require.Contains(t, seen.Notes[0], "THROUGHLINE_HUBSPOT_API_APP")
	r = newRig(t, hubspot.Options{AppID: "1"})
	r.faults.Inject("", 0, -1, fakeapi.Answers(http.StatusForbidden, `{"status":"error","category":"MISSING_SCOPES"}`))
	_, err = r.Source.(source.Subscriber).Look(t.Context(), r.Client(), address)
	require.ErrorContains(t, err, "reading the app's webhook settings: the API answered 403 Forbidden: the key may not read this (MISSING_SCOPES)")
}

func TestStepsHoldAProjectsFile(t *testing.T) {
	t.Parallel()
	steps := hubspot.New().(source.Connector).Steps(address)
	var file struct {
		Config struct {
			Settings      struct{ TargetURL string }
			Subscriptions struct {
				LegacyCrmObjects, HubEvents []struct{ SubscriptionType string }
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(steps[0].Paste), &file))
	require.Equal(t, address, file.Config.Settings.TargetURL)
	require.Len(t, file.Config.Subscriptions.LegacyCrmObjects, 26)
	require.Len(t, file.Config.Subscriptions.HubEvents, 1)
}
