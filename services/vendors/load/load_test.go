package load

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/vendors"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver keeps what was posted to it, in order.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	bodies [][]byte
	status func(n int) int // of the n-th answer; nil: 200
}

func newReceiver(t *testing.T, status func(n int) int) *receiver {
	t.Helper()
	r := &receiver{status: status}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bodies = append(r.bodies, body)
		if r.status != nil {
			w.WriteHeader(r.status(len(r.bodies)))
		}
		_, _ = w.Write([]byte(`{"ok":true}`))
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) events(t *testing.T, name string) (events []source.Event) {
	t.Helper()
	for _, body := range r.bodies {
		e, err := (&vendors.Sender{Sources: catalog.Set()}).Identify(vendors.Delivery{Source: name, Body: body}, time.Now())
		require.NoError(t, err)
		events = append(events, e...)
	}
	return events
}

func (r *receiver) options(t *testing.T) Options {
	t.Helper()
	simulator, err := vendors.New(catalog.Set(), 1)
	require.NoError(t, err)
	return Options{Simulator: simulator, Identify: true, Sender: &vendors.Sender{
		Sources: catalog.Set(),
		URL:     r.URL, Client: r.Client(), Secrets: map[string]string{"stripe": "secret", "hubspot": "secret"},
	}}
}

// What is asked for is sent: so many events, of which so many come twice, and so
// many are old; the report says the same.
func TestShares(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	began := time.Now()
	o := r.options(t)
	var seen []int
	o.Progress = func(events int) { seen = append(seen, events) }
	report, err := Run(t.Context(), Plan{Source: "stripe", Count: 200, Duplicate: 0.05, Late: 0.1, Reorder: true, Connections: 4}, o)
	require.NoError(t, err)
	require.Equal(t, 200, report.Events)
	require.Equal(t, 210, report.Deliveries)
	require.Equal(t, 10, report.Duplicates)
	require.Equal(t, 20, report.Late)
	require.Equal(t, map[int]int{200: 210}, report.Statuses())
	require.Equal(t, []Answer{{200, `{"ok":true}`, 210}}, report.Answers)
	require.LessOrEqual(t, report.P50, report.P99)
	require.LessOrEqual(t, report.P99, report.Max)
	require.Positive(t, report.P50)
	require.Equal(t, 200, seen[len(seen)-1])

	got := map[string]int{}
	late, twice := 0, 0
	for _, e := range r.events(t, "stripe") {
		got[e.ID]++
		if got[e.ID] > 1 {
			twice++
			continue
		}
		if e.OccurredAt.Before(began.Add(-59 * time.Minute)) {
			late++
			require.True(t, e.OccurredAt.After(began.Add(-31*24*time.Hour)))
			continue
		}
		require.WithinDuration(t, began, e.OccurredAt, 2*time.Second)
	}
	require.Len(t, got, 200)
	require.Equal(t, 10, twice)
	require.Equal(t, 20, late)
	require.Len(t, report.IDs, 200)
	for _, id := range report.IDs {
		require.Positive(t, got[id])
	}
}

// One connection sends in the order in which things happened, or, if asked, not
// quite; either way nothing is dated ahead.
func TestOrder(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{0, 800, 5000} {
		for _, reorder := range []bool{false, true} {
			r := newReceiver(t, nil)
			report, err := Run(t.Context(), Plan{Source: "hubspot", Count: 80, Batch: 2, Rate: rate, Reorder: reorder, Duplicate: 0.1}, r.options(t))
			require.NoError(t, err)
			require.Equal(t, 44, report.Deliveries)
			var times []time.Time
			seen := map[string]bool{}
			for _, e := range r.events(t, "hubspot") {
				require.False(t, e.OccurredAt.After(time.Now()))
				if !seen[e.ID] {
					times = append(times, e.OccurredAt)
				}
				seen[e.ID] = true
			}
			require.Len(t, times, 80)
			require.Equal(t, !reorder, slices.IsSortedFunc(times, time.Time.Compare))
		}
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	report, err := Run(t.Context(), Plan{Source: "stripe", Types: []string{"invoice.paid", "charge.succeeded"}, Count: 21, Rate: 100, Connections: 2}, r.options(t))
	require.NoError(t, err)
	require.GreaterOrEqual(t, report.Took, 200*time.Millisecond, "the 21st is due after 20 hundredths")
	types := map[string]int{}
	for _, e := range r.events(t, "stripe") {
		types[e.Type]++
	}
	require.Equal(t, map[string]int{"invoice.paid": 11, "charge.succeeded": 10}, types)
}

// Refusals are counted, with what was answered.
func TestRefusals(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, func(n int) int {
		if n%2 == 0 {
			return 503
		}
		return 200
	})
	report, err := Run(t.Context(), Plan{Source: "stripe", Body: []byte(`{"my":"own"}`), Count: 10, Tamper: true}, r.options(t))
	require.NoError(t, err)
	require.Equal(t, map[int]int{200: 5, 503: 5}, report.Statuses())
	require.Equal(t, `{"my":"own"} `, string(r.bodies[9]))
	require.Empty(t, report.IDs, "the source cannot read it")
}

// A receiver that is not there ends the run; so does the caller.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	r := newReceiver(t, nil)
	o := r.options(t)
	o.Sender.URL = "http://127.0.0.1:1"
	report, err := Run(t.Context(), Plan{Source: "stripe", Count: 1000, Connections: 4}, o)
	require.ErrorContains(t, err, "posting to the receiver")
	require.Zero(t, report.Deliveries)
	_, err = Run(t.Context(), Plan{Source: "stripe", Types: []string{"nothing"}, Count: 1}, o)
	require.ErrorContains(t, err, "its types are")
	for _, bad := range []Plan{{}, {Count: 1, Late: 2}, {Count: 1, Duplicate: -1}, {Count: 1, Rate: -1}} {
		_, err = Run(t.Context(), bad, o)
		require.Error(t, err)
	}
}
