package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/services/vendors/stripeapi"
)

// askedStripe is Stripe's API: its events, and charges that are all of one customer.
func askedStripe(t *testing.T, key string) (api *stripeapi.API, url string, hang *atomic.Bool, asked *atomic.Int64) {
	t.Helper()
	api, hang, asked = stripeapi.New(key), &atomic.Bool{}, &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := path.Base(r.URL.Path)
		var body string
		switch {
		case strings.HasPrefix(r.URL.Path, "/v1/charges/"):
			body = fmt.Sprintf(`{"id":%q,"object":"charge","customer":"cus_asked"}`, id)
		case strings.HasPrefix(r.URL.Path, "/v1/disputes/"):
			body = fmt.Sprintf(`{"id":%q,"object":"dispute","charge":"ch_of_%s"}`, id, id)
		default:
			api.ServeHTTP(w, r)
			return
		}
		asked.Add(1)
		if hang.Load() {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	return api, server.URL, hang, asked
}

// askStripe runs a puller and a learner, each under its own role. The one brings what no
// webhook brought, the other links what waits; the learner is killed while it asks.
func (f *fleet) askStripe(logins map[postgres.Role]string) []*child {
	t := f.t
	const key = "rk_live_0123456789abcdef"
	api, url, hang, asked := askedStripe(t, key)
	service := func(role postgres.Role, env ...string) *child {
		return newChild(t, string(role), program(t, string(role)), append([]string{
			"THROUGHLINE_POSTGRES_URL=" + logins[role], "THROUGHLINE_KAFKA_BROKERS=" + strings.Join(f.brokers, ","), "THROUGHLINE_SCHEMA_REGISTRY_URL=" + f.registry,
			"THROUGHLINE_ADMIN_ADDR=127.0.0.1:0", "THROUGHLINE_STRIPE_API_KEY=" + key, "THROUGHLINE_STRIPE_API_URL=" + url, "THROUGHLINE_EGRESS_ALLOW_PRIVATE=true",
		}, env...)...)
	}
	learner, puller := service(postgres.RoleLearner, "THROUGHLINE_LEARNER_EVERY=100ms"), service(postgres.RolePuller)
	f.throughline("accounts", "add", "Asked")
	f.throughline("link", "stripe:cus_asked", "Asked")
	on := func(n int) {
		t.Helper()
		await(t, patience, fmt.Sprintf("%d events on the asked account", n), func() (bool, string) {
			got := f.count("SELECT count(*) FROM account_events e JOIN accounts a ON a.id = e.account_id WHERE a.name = 'Asked'")
			return got == n, fmt.Sprintf("%d, %d open; the learner: %q, the puller: %q", got, f.open(), learner.died(), puller.died())
		})
	}
	dispute := func(n int, at time.Time) []byte {
		return fmt.Appendf(nil, `{"id":"evt_dispute_%d","object":"event","created":%d,"type":"charge.dispute.created","data":{"object":{"id":"dp_%d","object":"dispute","charge":"ch_of_dp_%d"}}}`,
			n, at.Unix(), n, n)
	}

	// A dispute that no webhook brought: the nightly comparison, which a puller without one makes at once, brings it.
	require.NoError(t, api.Add(dispute(1, time.Now().Add(-3*time.Hour))))
	puller.start()
	f.await("the puller to bring the dispute", func() (bool, string) { return f.open() == 1, fmt.Sprint(f.open(), puller.died()) })
	learner.start()
	on(1)

	// Killed while it asks, it goes on when its lease is over.
	hang.Store(true)
	before := asked.Load()
	f.publish("stripe", dispute(2, time.Now()))
	await(t, patience, "the learner to ask", func() (bool, string) { return asked.Load() > before, learner.died() })
	learner.kill()
	hang.Store(false)
	_, err := f.pool.Exec(t.Context(), "UPDATE learned_references SET due_at = now() WHERE due_at > now()")
	require.NoError(t, err)
	learner.start()
	on(2)
	require.Equal(t, []string{"learner"}, slices.Compact(f.strings("SELECT author FROM link_decisions WHERE external_id IN ('ch_of_dp_1', 'ch_of_dp_2')")))

	for role, child := range map[postgres.Role]*child{postgres.RoleLearner: learner, postgres.RolePuller: puller} {
		require.Empty(t, child.died())
		as := *f.place
		as.postgres = logins[role]
		findings, _ := as.diagnose("--as", string(role), "--only", "postgres.rights,kafka.rights")
		require.Empty(t, notOK(findings), role)
	}
	return []*child{learner, puller}
}
