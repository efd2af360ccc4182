package learner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/pull/egress"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/stripe"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/services/learner/learner"
	"github.com/throughline-dev/throughline/services/vendors/stripeapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

const key = "rk_live_0123456789abcdef"

// replica runs a learner until the test ends. address is the vendor's; "": it has no key.
func replica(t *testing.T, pool *pgxpool.Pool, address string) *service.Runtime {
	t.Helper()
	set, err := source.NewSet(stripe.New())
	require.NoError(t, err)
	rt := service.NewRuntime(service.Options{Name: "learner", StopTimeout: servicetest.Patience})
	var tuning learner.Tuning
	settings.Defaults(&tuning)
	tuning.Every, tuning.AllowPrivate = 50*time.Millisecond, true
	l, err := learner.New(stage.Deps{Pool: pool, Sources: set, Runtime: rt}, learner.Options{Tuning: tuning, Settings: func(string) settings.SourceSetting {
		if address == "" {
			return settings.SourceSetting{}
		}
		return settings.SourceSetting{APIKey: key, APIURL: address}
	}})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- rt.Group(l.Components()...).Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	return rt
}

// wait puts events into quarantine that wait for n charges, from one on.
func wait(t *testing.T, pool *pgxpool.Pool, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		refs, err := json.Marshal([]source.Reference{{Source: "stripe", Kind: "charge", ID: fmt.Sprint("ch_", i)}})
		require.NoError(t, err)
		_, err = pool.Exec(t.Context(), `INSERT INTO quarantine (dedup_key, reason, source, topic, partition, "offset", raw, "references", reference_keys, status_by)
			VALUES ($1, 'unresolved_account', 'stripe', 'raw.stripe', 0, $2, '{}', $3::jsonb, ARRAY['stripe:charge:' || $1], 'feed')`, fmt.Sprint("ch_", i), i, string(refs))
		require.NoError(t, err)
	}
}

// Replicas of the learner and a backfill take their turns from one budget: together they
// ask no faster than the vendor allows.
func TestLearnersShareTheVendorsRateWithABackfill(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	api := stripeapi.New(key)
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if strings.HasPrefix(r.URL.Path, "/v1/charges/") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"error":{"code":"resource_missing"}}`))
			return
		}
		api.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	const learned, pages = 30, 20
	wait(t, pool, 0, learned)

	pager := stripe.New().(source.Pager)
	backfill, err := egress.New(egress.Options{
		API: pager.API(), Key: key, Address: server.URL, AllowPrivate: true, Turns: pull.NewBudget(pull.NewStore(pool), pager, "", 0),
	})
	require.NoError(t, err)
	t.Cleanup(backfill.Close)
	began := time.Now()
	replica(t, pool, server.URL)
	replica(t, pool, server.URL)
	var pulling errgroup.Group
	pulling.Go(func() error {
		for range pages {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/events", nil)
			if err != nil {
				return err
			}
			resp, err := backfill.Do(r)
			if err != nil {
				return err
			}
			if err := resp.Body.Close(); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, pulling.Wait())
	require.Eventually(t, func() bool { return asked.Load() >= learned+pages }, servicetest.Patience, 10*time.Millisecond, "every charge is asked about")
	took := time.Since(began)
	// The turns before the last began one after the other; each process may have left some unused, never used more.
	least := time.Duration(float64(learned+pages)/pager.API().Rate*float64(time.Second)) - 500*time.Millisecond
	require.Greater(t, took, least, "%d requests at %v a second", asked.Load(), pager.API().Rate)
}
