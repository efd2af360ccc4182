package receiver

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A source takes what its rate leaves, in events, and tells the vendor to come
// again; what is not verified takes nothing of it, and no other source is touched.
func TestARateBoundsOneSource(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		for i, e := range o.Endpoints {
			if e.Source.Name() == "stripe" {
				o.Endpoints[i].MaxRate = 3.0 / burstSeconds
			}
		}
	})
	for range 5 {
		require.Equal(t, 401, r.do(r.signedAt("stripe", "another-secret-0123456789", time.Now())).status)
	}
	for range 3 {
		require.Equal(t, 200, r.post("stripe", example(t, "stripe")).status)
	}
	got := r.post("stripe", example(t, "stripe"))
	require.Equal(t, 503, got.status, got.body)
	wait, err := strconv.Atoi(got.header.Get("Retry-After"))
	require.NoError(t, err)
	require.Positive(t, wait)
	require.LessOrEqual(t, wait, 60)
	require.EqualValues(t, 1, r.metric("rejected_total", "source", "stripe", "reason", "rate"))
	require.Equal(t, 200, r.post("intercom", example(t, "intercom")).status)
	require.Len(t, r.records("stripe", 3), 3)
}

// A delivery's events count, also where they are more than a burst.
func TestEventsAreCountedNotDeliveries(t *testing.T) {
	t.Parallel()
	start := time.Now()
	limit := newEventRate(1)
	require.Nil(t, limit.refuse(start))
	limit.take(start, 10*burstSeconds)
	no := limit.refuse(start)
	require.NotNil(t, no)
	require.Equal(t, time.Minute, no.wait, "nobody is sent away for longer")
	require.NotNil(t, limit.refuse(start.Add((9*burstSeconds)*time.Second)), "nine minutes' events are owed")
	require.Nil(t, limit.refuse(start.Add((9*burstSeconds+1)*time.Second)))

	unlimited := newEventRate(0)
	unlimited.take(start, math.MaxInt)
	require.Nil(t, unlimited.refuse(start))
}

func TestRatesThatCannotBe(t *testing.T) {
	t.Parallel()
	for want, perSecond := range map[string]float64{
		"":                              0,
		"--stripe-max-rate is -1":       -1,
		"--stripe-max-rate is NaN":      math.NaN(),
		"--stripe-max-rate is 1e+07":    1e7,
		"--stripe-max-rate is +Inf: it": math.Inf(1),
	} {
		err := checkRate("stripe", "Stripe", perSecond, false)
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, want)
	}
	require.NoError(t, checkRate("stripe", "Stripe", 0.5, false))
	require.NoError(t, checkRate("looker", "Looker", 0, true))
	require.ErrorContains(t, checkRate("looker", "Looker", 5, true), "Looker never sends a delivery twice")
}
