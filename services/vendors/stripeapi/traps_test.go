package stripeapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/pull/egress"
	"github.com/throughline-dev/throughline/pkg/retry"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/stripe"
)

// rig is a puller of the fake, whose raw topic is a list.
type rig struct {
	t     *testing.T
	api   *API
	url   string
	store *pull.Store

	mu  sync.Mutex
	got []string // the events' ids
}

func newRig(t *testing.T, events int, step time.Duration) *rig {
	t.Helper()
	r := newRigWithoutStore(t, events, step)
	r.store = pull.NewStore(postgrestest.New(t))
	return r
}

// newRigWithoutStore keeps no checkpoints.
func newRigWithoutStore(t *testing.T, events int, step time.Duration) *rig {
	t.Helper()
	r := &rig{t: t}
	r.api, r.url = serve(t, events, step)
	return r
}

func (r *rig) publish(_ context.Context, records []source.Record) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, record := range records {
		_, event, err := source.Keyed(r.pager(), record)
		if err != nil {
			event.ID = "unread"
		}
		r.got = append(r.got, event.ID)
	}
	return nil
}

func (*rig) pager() source.Pager { return stripe.New().(source.Pager) }

// pull runs with what change makes of the usual options.
func (r *rig) pull(change func(*pull.Options)) (pull.Report, error) {
	r.t.Helper()
	return r.pullWith(key, change)
}

func (r *rig) pullWith(key string, change func(*pull.Options)) (pull.Report, error) {
	r.t.Helper()
	client, err := egress.New(egress.Options{API: r.pager().API(), Key: settings.Secret(key), Address: r.url, AllowPrivate: true, Rate: 1e6, MostBytes: 1 << 20})
	require.NoError(r.t, err)
	defer client.Close()
	o := pull.Options{
		BatchEvents: 100, Source: r.pager(), API: client, Publish: r.publish, Store: r.store, By: "test",
		From: time.Now().Add(-29 * 24 * time.Hour), Pauses: retry.Policy{First: 10 * time.Millisecond, Most: 50 * time.Millisecond},
	}
	if change != nil {
		change(&o)
	}
	report, err := pull.Run(r.t.Context(), o)
	if err != nil {
		require.NotContains(r.t, err.Error(), key)
	}
	return report, err
}

// all: every event came, and no more came twice than this.
func (r *rig) all(events, twice int) {
	r.t.Helper()
	ids := slices.Compact(slices.Sorted(slices.Values(r.got)))
	require.Len(r.t, ids, events)
	require.LessOrEqual(r.t, len(r.got)-events, twice, "events came twice")
}

// last is how the newest run stands in the database.
func (r *rig) last() pull.Pull {
	r.t.Helper()
	runs, err := r.store.List(r.t.Context(), pull.Filter{Limit: 1})
	require.NoError(r.t, err)
	require.Len(r.t, runs, 1)
	return runs[0]
}

func TestPullsAll(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1000, time.Minute)
	report, err := r.pull(nil)
	require.NoError(t, err)
	r.all(1000, 0)
	require.EqualValues(t, 1000, report.Events)
	require.True(t, slices.IsSortedFunc(window(r.got, 0), strings.Compare), "a page is the oldest first")
	run := r.last()
	require.Equal(t, "done", run.Status)
	require.True(t, run.Finished)
	require.EqualValues(t, 1000, run.Events)
	require.WithinDuration(t, time.Now().Add(-1000*time.Minute), run.Oldest, time.Minute)
	require.WithinDuration(t, time.Now(), run.Newest, 2*time.Minute)
	require.Zero(t, run.KeptSince)
	for _, q := range r.api.Requests() {
		require.Equal(t, "100", q.Get("limit"))
	}
}

// window gives the events of one page.
func window(ids []string, page int) []string { return ids[page*100 : page*100+60] }

func TestOnlySomeTypes(t *testing.T) {
	t.Parallel()
	r := newRig(t, 300, time.Second)
	_, err := r.pull(func(o *pull.Options) { o.Types = []string{"customer.updated", "charge.failed"} })
	require.NoError(t, err)
	r.all(150, 0)
	_, err = r.pull(func(o *pull.Options) { o.Types = make([]string, 21) })
	require.ErrorContains(t, err, "20 types at a time, not 21")
}

// Trap: events of one second span a page's edge, and more come while the list is walked from its newest.
func TestEventsOfOneSecondAcrossPagesWhileMoreCome(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0, 0)
	for n := range 450 {
		require.NoError(t, r.api.Add(body(n, 10*time.Second))) // nearly all in one second
	}
	came := 0
	r.api.Inject(0, -1, func(a *API, w http.ResponseWriter, q *http.Request) {
		if came < 50 {
			require.NoError(t, a.Add(body(1000+came, 0)))
			came++
		}
		a.serve(w, q)
	})
	_, err := r.pull(func(o *pull.Options) { o.From = time.Now().Add(-time.Hour) })
	require.NoError(t, err)
	old := slices.DeleteFunc(slices.Clone(r.got), func(id string) bool { return id >= "evt_001000" })
	require.Len(t, old, 450)
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(old))), 450)
}

// Trap: the vendor keeps 30 days, and the period begins before: said, and not taken for an empty past.
func TestPeriodThatBeginsBeforeWhatTheVendorKeeps(t *testing.T) {
	t.Parallel()
	r := newRig(t, 10, time.Second)
	report, err := r.pull(func(o *pull.Options) { o.From = time.Now().Add(-40 * 24 * time.Hour) })
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(-30*24*time.Hour), report.KeptSince, time.Minute)
	require.WithinDuration(t, report.KeptSince, r.last().KeptSince, time.Second)
	r.all(10, 0)
	report, err = r.pull(func(o *pull.Options) { o.From = time.Time{} })
	require.NoError(t, err)
	require.Zero(t, report.KeptSince, "as far back as the vendor keeps them")
}

// Trap: the event that the cursor names is gone when the pull goes on.
func TestCursorThatTheVendorForgot(t *testing.T) {
	t.Parallel()
	r := newRig(t, 450, time.Second)
	r.api.Inject(0, -1, func(a *API, w http.ResponseWriter, q *http.Request) {
		if q.URL.Query().Get("starting_after") == "evt_000250" { // the third page of the window
			Status(403)(a, w, q)
			return
		}
		a.serve(w, q)
	})
	_, err := r.pull(func(o *pull.Options) { o.From = time.Now().Add(-time.Hour) })
	require.Equal(t, fault.Forbidden, fault.ReasonOf(err))
	r.api.mu.Lock()
	r.api.faults = nil
	r.api.events = slices.DeleteFunc(r.api.events, func(e event) bool { return e.id == "evt_000250" })
	r.api.mu.Unlock()
	report, err := r.pull(func(o *pull.Options) { o.From = time.Now().Add(-time.Hour) })
	require.NoError(t, err)
	require.True(t, report.Resumed)
	r.all(450, 200) // the window came again
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]Fault{
		"without Retry-After":                       TooMany(""),
		"Retry-After in seconds":                    TooMany("1"),
		"Retry-After as a date":                     TooManyUntil(time.Second, 0),
		"Retry-After as a date, 10 minutes ahead":   TooManyUntil(2*time.Second, 10*time.Minute),
		"Retry-After as a date, 10 minutes behind":  TooManyUntil(2*time.Second, -10*time.Minute),
		"Retry-After that is neither":               TooMany("soon"),
		"Retry-After that is negative":              TooMany("-5"),
		"Retry-After as a date that is over":        TooManyUntil(-time.Hour, 0),
		"Retry-After longer than a number may have": TooMany("99999999999999999999"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRigWithoutStore(t, 250, time.Second)
			r.api.Inject(1, 2, f)
			began := time.Now()
			_, err := r.pull(func(o *pull.Options) { o.From = time.Now().Add(-time.Hour) })
			require.NoError(t, err)
			r.all(250, 0)
			if strings.Contains(name, "seconds") || strings.Contains(name, "minutes") {
				require.Greater(t, time.Since(began), time.Second, "twice what was asked for, which a date tells to the second")
			}
		})
	}
}

func TestVendorThatIsAwayForTooLong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault Fault
		want  string
	}{
		"a long pause": {TooMany("86400"), "wants to be asked again in 24h0m0s"},
		"5xx":          {Status(503), "503 Service Unavailable: given up after 1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 250, time.Second)
			r.api.Inject(1, -1, c.fault)
			_, err := r.pull(func(o *pull.Options) { o.Patience = time.Second; o.From = time.Now().Add(-time.Hour) })
			require.ErrorContains(t, err, c.want)
			require.False(t, fault.IsPermanent(err), "another run may do")
			r.goesOn(250)
		})
	}
}

// goesOn: the run failed, its checkpoint is kept, and the next one does what is left.
func (r *rig) goesOn(events int) {
	r.t.Helper()
	failed := r.last()
	require.Equal(r.t, "failed", failed.Status)
	require.NotEmpty(r.t, failed.Error)
	require.False(r.t, failed.Finished)
	before := len(r.got)
	require.EqualValues(r.t, before, failed.Events)
	r.api.mu.Lock()
	r.api.faults = nil
	r.api.mu.Unlock()
	report, err := r.pull(func(o *pull.Options) { o.From = time.Now().Add(-time.Hour) })
	require.NoError(r.t, err)
	require.True(r.t, report.Resumed)
	require.EqualValues(r.t, events-before, report.Events, "no more than what was left")
	r.all(events, 0)
	require.Equal(r.t, failed.Checkpoint, r.last().Checkpoint)
	require.True(r.t, r.last().Finished)
}

// Trap: 5xx that pass by themselves.
func TestServerErrorsPass(t *testing.T) {
	t.Parallel()
	for _, status := range []int{500, 502, 503, 504, 409, 408, 520} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			r := newRigWithoutStore(t, 250, time.Second)
			r.api.Inject(1, 2, Status(status))
			_, err := r.pull(nil)
			require.NoError(t, err)
			r.all(250, 0)
		})
	}
}

// Trap: the key expires under way.
func TestKeyThatExpires(t *testing.T) {
	t.Parallel()
	r := newRig(t, 250, time.Second)
	r.api.Inject(1, 1, func(a *API, w http.ResponseWriter, q *http.Request) {
		a.SetKey("rk_test_the_next_one_0123")
		a.serve(w, q)
	})
	_, err := r.pull(func(o *pull.Options) { o.From = time.Now().Add(-time.Hour) })
	require.Equal(t, fault.Unauthenticated, fault.ReasonOf(err))
	require.ErrorContains(t, err, "asking Stripe: the API answered 401 Unauthorized: the key is wrong, or no longer valid (api_key_expired)")
	require.Equal(t, "failed", r.last().Status)
	report, err := r.pullWith("rk_test_the_next_one_0123", func(o *pull.Options) { o.From = time.Now().Add(-time.Hour) })
	require.NoError(t, err)
	require.True(t, report.Resumed)
	r.all(250, 0)
}

// A lie ends the run with what it saw, and the checkpoint is kept.
func TestLies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault Fault
		want  string
	}{
		"a page that comes again":    {SamePage, "the cursor does not move"},
		"HTML instead of JSON":       {HTML, "200 OK with a page of HTML or XML instead of JSON"},
		"an error with 200":          {ErrorWith200, "200 with an error instead of a list"},
		"truncated gzip":             {TruncatedGzip, "breaks off after"},
		"an oversized page":          {Oversized(2 << 20), "more than 1048576 bytes"},
		"ids that become numbers":    {NumberIDs, "its last event's id is no text"},
		"nothing":                    {answers(""), "with nothing instead of JSON"},
		"no list":                    {answers(`{"object":"event"}`), "the answer is no list"},
		"has_more as text":           {answers(`{"object":"list","data":[],"has_more":"true"}`), "does not say whether it has_more"},
		"empty, and more":            {answers(`{"object":"list","data":[],"has_more":true}`), "empty and says that there are more"},
		"JSON that breaks off":       {answers(`{"object":"list","data":[{"id":"evt_`), "the list cannot be read"},
		"more than was asked for":    {answers(`{"object":"list","has_more":false,"data":[` + strings.Repeat("{},", 100) + "{}]}"), "101 events where 100"},
		"an empty answer, and a 204": {Status(204), "204 No Content"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 350, time.Second)
			r.api.Inject(1, -1, c.fault)
			_, err := r.pull(func(o *pull.Options) { o.From = time.Now().Add(-time.Hour) })
			require.ErrorContains(t, err, c.want)
			require.True(t, fault.IsPermanent(err))
			require.LessOrEqual(t, len(r.api.Requests()), 10, "it does not ask for ever")
			r.goesOn(350)
		})
	}
}

// A lie that is none the next time costs nothing.
func TestLiesThatPass(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]Fault{"page": SamePage, "html": HTML, "error": ErrorWith200, "gzip": TruncatedGzip, "ids": NumberIDs} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRigWithoutStore(t, 350, time.Second)
			r.api.Inject(1, 2, f)
			_, err := r.pull(nil)
			require.NoError(t, err)
			r.all(350, 0)
		})
	}
}

func answers(body string) Fault {
	return func(_ *API, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) }
}

// Trap: a cursor that never ends, because the list begins again.
func TestCursorThatGoesRound(t *testing.T) {
	t.Parallel()
	r := newRig(t, 500, time.Second)
	r.api.Inject(0, -1, Endless)
	_, err := r.pull(func(o *pull.Options) { o.From = time.Now().Add(-time.Hour) })
	require.ErrorContains(t, err, "the cursor goes round")
	require.True(t, fault.IsPermanent(err))
	require.Less(t, len(r.api.Requests()), 40)
	require.Equal(t, "failed", r.last().Status)
	r.all(500, 3000)
}

// Trap: a list without an end, each page of which is new.
func TestListWithoutEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, time.Second)
	n := 0
	r.api.Inject(0, -1, func(_ *API, w http.ResponseWriter, _ *http.Request) {
		n++
		_, _ = w.Write(page([]event{{body: body(n, time.Minute)}}, true))
	})
	_, err := r.pull(func(o *pull.Options) { o.MostPages = 50; o.From = time.Now().Add(-time.Hour) })
	require.ErrorContains(t, err, "has not ended after 50 pages")
	require.Len(t, r.got, 49)
}

// An element that is no event spoils nothing: it goes on to become a dead letter.
func TestElementThatIsNoEvent(t *testing.T) {
	t.Parallel()
	r := newRig(t, 5, time.Second)
	require.NoError(t, r.api.Add(fmt.Appendf(nil, `{"id":"evt_x","created":%d,"type":"a.b","data":{"a":"\ud800"}}`, time.Now().Unix()-3)))
	report, err := r.pull(nil)
	require.NoError(t, err)
	require.EqualValues(t, 6, report.Events)
	require.EqualValues(t, 1, report.Unread)
	require.Contains(t, r.got, "unread")
}

func TestDryRunKeepsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, 250, time.Second)
	report, err := r.pull(func(o *pull.Options) { o.Publish = nil })
	require.NoError(t, err)
	require.EqualValues(t, 250, report.Events)
	require.Zero(t, report.Run)
	require.Empty(t, r.got)
	runs, err := r.store.List(t.Context(), pull.Filter{Limit: 1})
	require.NoError(t, err)
	require.Empty(t, runs)
}

// A process that dies between the acknowledgement and the checkpoint, at every page: its successor repeats one page at most.
func TestKilledAtEveryPage(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1000, time.Second)
	killed := errors.New("killed")
	deaths := 0
	for {
		published := false
		_, err := r.pull(func(o *pull.Options) {
			o.From = time.Now().Add(-time.Hour)
			o.Publish = func(ctx context.Context, records []source.Record) error {
				if published {
					// Nothing after it is written, as by a process that is gone.
					return fault.Permanent(fault.Unavailable, killed)
				}
				published = true
				return r.publish(ctx, records)
			}
		})
		if err == nil {
			break
		}
		require.ErrorIs(t, err, killed)
		deaths++
	}
	require.Equal(t, 9, deaths)
	r.all(1000, 0)
}

// Two at once: the later goes on, and the earlier stops at its next page.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1000, time.Second)
	from := time.Now().Add(-time.Hour)
	first := true
	_, err := r.pull(func(o *pull.Options) {
		o.From = from
		o.Publish = func(ctx context.Context, records []source.Record) error {
			if first {
				first = false
				report, err := r.pull(func(o *pull.Options) { o.From = from })
				require.NoError(t, err)
				require.True(t, report.Resumed)
			}
			return r.publish(ctx, records)
		}
	})
	require.ErrorContains(t, err, "another process has taken this pull over")
	require.Equal(t, fault.Conflict, fault.ReasonOf(err))
	r.all(1000, 100)
	runs, err := r.store.List(t.Context(), pull.Filter{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []string{"done", "interrupted"}, []string{runs[0].Status, runs[1].Status})
}
