package alert

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What was deleted unread is told for an hour, also of a service that was not there before, and once.
func TestPagesOfWhatWasDeletedUnread(t *testing.T) {
	t.Parallel()
	var lost atomic.Int64
	page := func(service string, names ...string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "throughline_build_info{service=%q} 1\n", service)
			for _, name := range names {
				fmt.Fprintf(w, "# TYPE %[1]s counter\n%[1]s{topic=\"acme.raw.stripe\"} %[2]d\n", name, lost.Load())
			}
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	p := newPages([]string{page("normalizer", "throughline_normalizer_deleted_unread_total"), page("drift", "throughline_drift_deleted_unread_total")})
	now := time.Now()
	told := func(after time.Duration) string {
		now = now.Add(after)
		conditions, known := Default().Evaluate(Snapshot{Metrics: p.look(t.Context(), now)})
		require.True(t, known[DeletedUnread])
		var lines []string
		for _, c := range conditions {
			lines = append(lines, c.Rule+" "+c.Source+": "+c.Summary)
		}
		return strings.Join(lines, "\n")
	}
	const text = "deleted_unread stripe: the brokers deleted %s of acme.raw.stripe before the normalizer had read them: throughline reconcile stripe"
	require.Empty(t, told(0))
	lost.Store(3)
	require.Equal(t, fmt.Sprintf(text, "3 records"), told(time.Minute))
	lost.Store(5)
	require.Equal(t, fmt.Sprintf(text, "5 records"), told(30*time.Minute))
	require.Equal(t, fmt.Sprintf(text, "5 records"), told(50*time.Minute))
	require.Empty(t, told(20*time.Minute))
	lost.Store(1) // it began anew
	require.Equal(t, fmt.Sprintf(text, "1 record"), told(time.Minute))
	again := newPages([]string{p.addresses[0].String()})
	require.Equal(t, []Deleted{{"normalizer", "acme.raw.stripe", 1}}, again.look(t.Context(), now).Deleted, "it was there before the first look")
}

// What only metrics know is read from all pages together; a counter that begins anew is no fall, and what does not answer is named.
func TestPages(t *testing.T) {
	t.Parallel()
	var rejected, sum, count atomic.Int64
	serve := func(text func() string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text()) }))
		t.Cleanup(server.Close)
		return server.URL
	}
	receiver := serve(func() string {
		return fmt.Sprintf("throughline_build_info{service=\"receiver\"} 1\n# TYPE throughline_receiver_spool_deliveries gauge\nthroughline_receiver_spool_deliveries{source=\"marketo\"} 7\n"+
			"# TYPE throughline_receiver_rejected_total counter\nthroughline_receiver_rejected_total{source=\"stripe\",reason=\"unauthenticated\"} %d\n"+
			"throughline_receiver_rejected_total{source=\"stripe\",reason=\"malformed\"} 900\n", rejected.Load())
	})
	sink := serve(func() string {
		return fmt.Sprintf("# TYPE throughline_build_info gauge\nthroughline_build_info{service=\"sink\"} 1\n# TYPE throughline_sink_held_partitions gauge\nthroughline_sink_held_partitions 2\n"+
			"# TYPE throughline_sink_gin_keeper gauge\nthroughline_sink_gin_keeper 1\n# TYPE throughline_sink_visible_age_seconds histogram\n"+
			"throughline_sink_visible_age_seconds_bucket{source=\"stripe\",le=\"+Inf\"} %[2]d\nthroughline_sink_visible_age_seconds_sum{source=\"stripe\"} %[1]d\nthroughline_sink_visible_age_seconds_count{source=\"stripe\"} %[2]d\n", sum.Load(), count.Load())
	})
	odd := serve(func() string { return "<html>" })
	p := newPages([]string{receiver, sink, odd, "http://nowhere.invalid:9090"})
	p.scraper.Lookup = func(context.Context, string) ([]string, error) { return nil, context.DeadlineExceeded }
	now := time.Now()
	rejected.Store(1000)
	count.Store(10)
	m := p.look(t.Context(), now)
	require.Equal(t, map[string]int{"receiver": 1, "sink": 1}, m.Services)
	require.Len(t, m.Unreachable, 2)
	require.Equal(t, "nowhere.invalid:9090", m.Unreachable[1])
	require.InDelta(t, 2, m.Held, 0)
	require.InDelta(t, 1, m.Keepers, 0)
	require.Equal(t, map[string]float64{"marketo": 7}, m.Spooled)
	require.False(t, m.RatesKnown) // a first look knows no rate
	rejected.Add(10)
	sum.Add(360)
	count.Add(3)
	m = p.look(t.Context(), now.Add(5*time.Minute))
	require.InDelta(t, 30, m.Unauthenticated["stripe"], 0) // in 15 minutes
	require.Equal(t, 2*time.Minute, m.Late)
	rejected.Store(3) // it has started anew
	m = p.look(t.Context(), now.Add(10*time.Minute))
	require.Zero(t, m.Unauthenticated["stripe"])
	require.Nil(t, newPages(nil).look(t.Context(), now))
}
