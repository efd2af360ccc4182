package puller_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/stripe"
	"github.com/throughline-dev/throughline/services/vendors/stripeapi"
)

// ask asks the puller, once it is there.
func (w *world) ask(a pull.Ask) pull.Request {
	w.t.Helper()
	var r pull.Request
	require.Eventually(w.t, func() (ok bool) {
		var err error
		r, err = pull.NewStore(w.pool).Ask(w.t.Context(), a)
		return err == nil
	}, servicetest.Patience, 20*time.Millisecond)
	return r
}

// becomes waits until a request is in a state.
func (w *world) becomes(id int64, state string) (r pull.Request) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		list, err := pull.NewStore(w.pool).Requests(w.t.Context(), pull.RequestFilter{Limit: 100})
		require.NoError(w.t, err)
		for _, r = range list {
			if r.ID == id {
				return r.State == state
			}
		}
		return false
	}, servicetest.Patience, 20*time.Millisecond, "%+v", r)
	return r
}

func days() pull.Ask {
	return pull.Ask{Source: stripe.New().(source.Pager), Since: time.Now().AddDate(0, 0, -11), Until: time.Now().AddDate(0, 0, -9), By: "user:kim@us.example", KeySetting: "THROUGHLINE_STRIPE_API_KEY"}
}

// What people ask for is brought in, once; what only counts publishes nothing.
func TestRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.quiet = true
	store := pull.NewStore(w.pool)
	_, err := store.Ask(t.Context(), days())
	require.ErrorContains(t, err, "no puller that has the key of Stripe's API has run in the last 10 minutes: set THROUGHLINE_STRIPE_API_KEY for the puller, and start it")
	require.Equal(t, fault.Unsupported, fault.ReasonOf(err))
	for n := range 250 {
		w.add(n, time.Now().AddDate(0, 0, -10).Add(time.Duration(n)*time.Second))
	}
	stop, _ := w.replica("one")
	w.replica("other")
	count := days()
	count.DryRun = true
	r := w.becomes(w.ask(count).ID, pull.Done)
	require.EqualValues(t, 250, r.Events)
	asked := days()
	asked.Key = "once"
	r = w.ask(asked)
	require.Equal(t, r.ID, w.ask(asked).ID, "who asks again with the key gets the same")
	asked.DryRun = true
	_, err = store.Ask(t.Context(), asked)
	require.Equal(t, fault.Conflict, fault.ReasonOf(err), "%v", err)
	r = w.becomes(r.ID, pull.Done)
	require.EqualValues(t, 250, r.Events)
	w.comes(250)
	runs, err := store.List(t.Context(), pull.Filter{Limit: 100})
	require.NoError(t, err)
	served := 0
	for _, p := range runs {
		if p.Request == r.ID {
			served++
			require.Equal(t, "done user:kim@us.example backfill", p.Status+" "+p.StartedBy+" "+string(p.Mode))
		}
	}
	require.Equal(t, 1, served)
	_, err = store.Cancel(t.Context(), r.ID, "kim")
	require.Equal(t, fault.Conflict, fault.ReasonOf(err))
	_, err = store.Cancel(t.Context(), r.ID+100, "kim")
	require.Equal(t, fault.NotFound, fault.ReasonOf(err))
	newer := days()
	newer.Types, newer.Anyway = []string{"invoice.of_tomorrow"}, true
	require.Zero(t, w.becomes(w.ask(newer).ID, pull.Done).Events, "the puller does not refuse what was insisted on")
	stop()
	w.ask(days()) // a puller that was here a moment ago is expected back, or another is
	for _, wrong := range []func(*pull.Ask){
		func(a *pull.Ask) { a.Since = a.Until },
		func(a *pull.Ask) { a.Since = time.Unix(0, 0) },
		func(a *pull.Ask) { a.Since = time.Now().Add(time.Hour); a.Until = time.Time{} },
		func(a *pull.Ask) { a.Types = make([]string, 100) },
		func(a *pull.Ask) { a.Types = []string{"invoice.payed"} },
		func(a *pull.Ask) { a.Until = time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		a := days()
		wrong(&a)
		_, err := store.Ask(t.Context(), a)
		require.Equal(t, fault.Malformed, fault.ReasonOf(err), "%+v: %v", a, err)
	}
}

// gate lets so many requests through, and holds the others back.
type gate struct {
	http.Handler
	mu   sync.Mutex
	left int
	open chan struct{}
	held chan struct{}
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	g.left--
	hold := g.left < 0
	g.mu.Unlock()
	if hold {
		select {
		case g.held <- struct{}{}:
		default:
		}
		select {
		case <-g.open:
		case <-r.Context().Done():
			return
		}
	}
	g.Handler.ServeHTTP(w, r)
}

// A request that is cancelled stops in the middle of a page, keeps its checkpoint, and the next goes on from there. One
// whose puller is gone is done by another.
func TestRequestsAreCancelledAndResumed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.quiet = true
	for n := range 250 {
		w.add(n, time.Now().AddDate(0, 0, -10).Add(time.Duration(n)*time.Second))
	}
	g := &gate{Handler: w.api, left: 5, open: make(chan struct{}), held: make(chan struct{}, 1)}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	w.url = server.URL
	stop, _ := w.replica("one")
	r := w.ask(days())
	<-g.held
	cancelled, err := pull.NewStore(w.pool).Cancel(t.Context(), r.ID, "user:lee@us.example")
	require.NoError(t, err)
	require.Equal(t, "cancelled by user:lee@us.example", cancelled.Reason)
	require.Eventually(t, func() bool {
		runs, err := pull.NewStore(w.pool).List(t.Context(), pull.Filter{Limit: 100})
		require.NoError(t, err)
		for _, p := range runs {
			if p.Request == r.ID {
				return p.Status == "cancelled" && p.Through.After(p.From)
			}
		}
		return false
	}, servicetest.Patience, 20*time.Millisecond, "it stops although the vendor does not answer")
	again := w.ask(days())
	w.becomes(again.ID, pull.Claimed)
	stop()
	require.Equal(t, pull.Claimed, w.becomes(again.ID, pull.Claimed).State, "it waits for another puller")
	close(g.open)
	w.replica("another")
	w.becomes(again.ID, pull.Done)
	w.comes(250)
	require.Equal(t, []string{"1"}, w.strings("SELECT count(DISTINCT checkpoint_id)::text FROM pull_runs WHERE request_id IS NOT NULL"), "all went on with one checkpoint")
	require.Equal(t, pull.Cancelled, w.becomes(r.ID, pull.Cancelled).State)
}

// A vendor that refuses the key ends the request, and says what to do.
func TestRequestsThatFail(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.quiet = true
	w.api.Inject(0, -1, stripeapi.Status(401))
	w.replica("one")
	r := w.becomes(w.ask(days()).ID, pull.Failed)
	require.Contains(t, r.Reason, "401")
	require.Contains(t, r.Reason, "check THROUGHLINE_STRIPE_API_KEY of the puller")
	require.NotContains(t, r.Reason, key)
}

// A database that fails when a request is begun does not end it: it is done once the database is back.
func TestRequestsOutliveTheDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.quiet = true
	w.add(1, time.Now().AddDate(0, 0, -10))
	w.replica("one")
	hold := w.ask(pull.Ask{Source: days().Source, Since: time.Now().AddDate(0, 0, -11), Until: time.Now().AddDate(0, 0, -10).Add(-time.Hour), By: "kim", KeySetting: "K"})
	w.becomes(hold.ID, pull.Done)
	_, err := w.pool.Exec(t.Context(), "ALTER TABLE pull_checkpoints RENAME TO away")
	require.NoError(t, err)
	r := w.ask(days())
	w.becomes(r.ID, pull.Claimed)
	holder := w.strings("SELECT holder::text FROM pull_leases WHERE name = 'request stripe'")
	require.Eventually(t, func() bool {
		return !slices.Equal(holder, w.strings("SELECT holder::text FROM pull_leases WHERE name = 'request stripe'"))
	},
		servicetest.Patience, 20*time.Millisecond, "it has tried again")
	w.becomes(r.ID, pull.Claimed)
	_, err = w.pool.Exec(t.Context(), "ALTER TABLE away RENAME TO pull_checkpoints")
	require.NoError(t, err)
	require.EqualValues(t, 1, w.becomes(r.ID, pull.Done).Events)
}

// What a killed puller left running is cancelled with its request, and a run keeps the end of the period that it was to bring in.
func TestRunsOfAKilledPuller(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.quiet = true
	for n := range 250 {
		w.add(n, time.Now().AddDate(0, 0, -10).Add(time.Duration(n)*time.Second))
	}
	g := &gate{Handler: w.api, left: 5, open: make(chan struct{}), held: make(chan struct{}, 1)}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	w.url = server.URL
	stop, _ := w.replica("one")
	r := w.ask(days())
	<-g.held
	stop()
	_, err := w.pool.Exec(t.Context(), "UPDATE pull_runs SET status = 'running', finished_at = NULL") // as kill -9 leaves it
	require.NoError(t, err)
	store := pull.NewStore(w.pool)
	run := func() pull.Pull {
		runs, err := store.List(t.Context(), pull.Filter{Limit: 1})
		require.NoError(t, err)
		return runs[0]
	}
	require.Equal(t, "running", run().Status)
	_, err = store.Cancel(t.Context(), r.ID, "user:lee@us.example")
	require.NoError(t, err)
	_, err = w.pool.Exec(t.Context(), "UPDATE pull_runs SET updated_at = now() - interval '1 minute'")
	require.NoError(t, err)
	first := run()
	require.Equal(t, "cancelled", first.Status)
	listed, err := store.List(t.Context(), pull.Filter{Status: "cancelled", Limit: 10})
	require.NoError(t, err)
	require.Len(t, listed, 1)

	close(g.open)
	w.replica("another")
	longer := days()
	longer.Until = longer.Until.Add(12 * time.Hour)
	w.becomes(w.ask(longer).ID, pull.Done)
	runs, err := store.List(t.Context(), pull.Filter{Limit: 10})
	require.NoError(t, err)
	require.Len(t, runs, 2)
	require.Equal(t, runs[0].Checkpoint, runs[1].Checkpoint)
	require.True(t, runs[0].To.After(runs[1].To))
	require.Equal(t, first.To, runs[1].To, "it is not rewritten by a later run")
}
