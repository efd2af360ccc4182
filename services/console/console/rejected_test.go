package console_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/services/console/console"
)

// What all receivers reject is summed; it is unknown where one of them says nothing that can be read, and then the page is
// there all the same.
func TestRejected(t *testing.T) {
	t.Parallel()
	const metrics = `# TYPE throughline_receiver_rejected_total counter
throughline_receiver_rejected_total{source="stripe",reason="unauthenticated"} 3
throughline_receiver_rejected_total{source="stripe",reason="oversized"} 0
throughline_receiver_rejected_total{source="hubspot",reason="oversized"} 0
`
	var asked atomic.Int64
	var broken atomic.Value
	broken.Store(metrics)
	receiver := func(body func() string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body()) }))
		t.Cleanup(server.Close)
		return server.URL + "/metrics"
	}
	one := receiver(func() string { return metrics })
	other := receiver(func() string { asked.Add(1); return broken.Load().(string) })
	states := func(receivers ...string) map[string]json.RawMessage {
		address, store := start(t, func(o *console.Options) { o.Server.Receivers = receivers })
		made, err := store.CreateToken(t.Context(), access.Actor{Who: "cli:root"}, "ada", access.Viewer, time.Time{})
		require.NoError(t, err)
		ask := browser(t)
		rejected := map[string]json.RawMessage{}
		look := func() bool { // it is asked beside, and what is answered is some seconds old
			a := ask(http.MethodGet, address+"/api/v1/sources", "", "Authorization", "Bearer "+made.Secret)
			require.Equal(t, http.StatusOK, a.status, a.body)
			var page struct {
				Items []struct {
					Source   string
					Rejected json.RawMessage
				}
			}
			require.NoError(t, json.Unmarshal([]byte(a.body), &page))
			for _, item := range page.Items {
				rejected[item.Source] = item.Rejected
			}
			return rejected["stripe"] != nil
		}
		if len(receivers) == 0 || broken.Load() != metrics {
			before := asked.Load()
			if len(receivers) > 0 {
				require.Eventually(t, func() bool { return asked.Load() > before }, 60*time.Second, time.Millisecond)
			}
			look()
			return rejected
		}
		require.Eventually(t, look, 60*time.Second, 100*time.Millisecond)
		return rejected
	}
	known := states(one, other)
	require.JSONEq(t, `{"unauthenticated": 6}`, string(known["stripe"]))
	require.JSONEq(t, `{}`, string(known["hubspot"]))
	require.Nil(t, states()["stripe"], "no receiver is set")
	broken.Store("<html>" + strings.Repeat("x", 100))
	require.Nil(t, states(one, other)["stripe"])
	for _, wrong := range []string{"ftp://receiver", "receiver:9090", "http://u:p@receiver/metrics"} {
		require.ErrorContains(t, console.Server{Listen: ":0", Receivers: []string{wrong}, Patience: time.Second}.Validate(), "--console-receiver-metrics", wrong)
	}
}
