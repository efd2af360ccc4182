package measure

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/services/bench/stage"
)

// A small load, as fast as it is answered and at a rate, goes through from end to end, and nothing is wrong.
func TestLoads(t *testing.T) {
	t.Parallel()
	c := Command{
		Only: []string{"load", "soak"}, Broker: "embedded", Rounds: 1, Duration: time.Second, Connections: 4, Records: 100, SinkRecords: 100, PullRecords: 5000,
		ReleaseRecords: 100, BatchRecords: 100, Rate: 100, Steady: time.Second, Accounts: 20, Strangers: 1, JSON: true, unsafe: true,
		LoadEvents: 300, LoadRows: 200, SoakRate: 100, SoakMinutes: 0.05, PressureMinutes: 1,
	}
	require.NoError(t, c.Validate())
	var out, errs bytes.Buffer
	require.NoError(t, c.Run(t.Context(), &out, &errs), errs.String())
	var report Report
	require.NoError(t, json.Unmarshal(out.Bytes(), &report), out.String())
	require.Len(t, report.Loads, 2)
	for _, run := range report.Loads {
		require.Empty(t, run.Wrong)
		require.GreaterOrEqual(t, run.Mixed.Acknowledged, 250)
		require.Equal(t, run.Mixed.Acknowledged, run.Mixed.Verdict.OnTimelines+run.Mixed.Verdict.Quarantined)
		require.Len(t, run.Services, 4)
		for _, s := range run.Services {
			require.Positive(t, s.Peak, s.Name)
			require.GreaterOrEqual(t, s.Peak, s.Own, s.Name)
		}
		require.Positive(t, run.After.Rows)
		require.Positive(t, run.After.Indexes["account_events_payload_idx"])
		require.Positive(t, run.Timelines[1].Most)
		require.Contains(t, run.Metrics, "sink_rows_total inserted")
	}
	require.Equal(t, 200, report.Loads[0].RowsBefore)
	require.Positive(t, report.Loads[1].Mixed.Verdict.Ordered)
	out.Reset()
	report.write(&out)
	require.Contains(t, out.String(), "0 lost, 0 doubled, 0 on another's timeline, 0 that nobody sent\n")
	require.Regexp(t, `0 out of order \(of \d+ in account-events\)`, out.String())
}

func TestBackpressureNeedsKafka(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, (&Command{Broker: "embedded", Only: []string{"backpressure"}}).Validate(), "--broker apache")
}

// A run fails when something is lost, when counters disagree, and when a vendor that never comes again is refused.
func TestWhatIsWrong(t *testing.T) {
	t.Parallel()
	newRun := func() (*LoadRun, *fleet) {
		r := &LoadRun{Name: "x", Metrics: map[string]float64{}, Pressure: &Pressure{Bound: 100}, Mixed: &stage.Mixed{
			Acknowledged: 3, Answers: map[string]map[string]int{"stripe": {"200": 3, "503": 2}}, AnsweredEvents: map[string]int{"stripe": 3},
			Verdict: stage.Verdict{OnTimelines: 2, Quarantined: 1},
		}}
		return r, &fleet{members: []*member{
			{name: "receiver", metrics: map[string]float64{
				`throughline_receiver_deliveries_total{source="stripe"}`: 3, `throughline_receiver_deliveries_total{source="zendesk"}`: 9,
				`throughline_receiver_events_received_total{source="stripe"}`:               3,
				`throughline_receiver_rejected_total{reason="unavailable",source="stripe"}`: 2,
				`throughline_receiver_spooled_total{source="looker"}`:                       4,
				`throughline_receiver_spool_drained_total{source="looker"}`:                 4,
			}},
			{name: "sink", metrics: map[string]float64{`throughline_sink_rows_total{result="inserted"}`: 2, `throughline_sink_rows_total{result="already_present"}`: 7}},
		}}
	}
	for name, c := range map[string]struct {
		change func(r *LoadRun, f *fleet)
		taken  bool
		want   string
	}{
		"nothing": {func(*LoadRun, *fleet) {}, false, ""},
		"lost":    {func(r *LoadRun, _ *fleet) { r.Mixed.Verdict.Lost = 1 }, false, "1 lost"},
		"too few": {func(r *LoadRun, _ *fleet) { r.Mixed.Acknowledged = 4 }, false, "4 events were acknowledged, and 3 are there"},
		"not counted": {func(_ *LoadRun, f *fleet) {
			f.members[0].metrics[`throughline_receiver_deliveries_total{source="stripe"}`] = 2
		}, false, "deliveries_total of stripe is 2, and should be 3"},
		"not drained": {func(_ *LoadRun, f *fleet) {
			f.members[0].metrics[`throughline_receiver_spool_drained_total{source="looker"}`] = 3
		}, false, "spool_drained_total is 3, and should be 4"},
		"refused":         {func(*LoadRun, *fleet) {}, true, "stripe was answered 503 2 times"},
		"for good":        {func(r *LoadRun, _ *fleet) { r.Mixed.Answers["stripe"]["400"] = 1 }, false, "stripe was answered 400 1 times"},
		"never again":     {func(r *LoadRun, _ *fleet) { r.Mixed.Answers["looker"] = map[string]int{"503": 1} }, false, "looker never comes again"},
		"a full spool":    {func(r *LoadRun, _ *fleet) { r.Moments = []Moment{{Spool: 101}} }, false, "a spool took 101 bytes, of 100"},
		"a large process": {func(r *LoadRun, _ *fleet) { r.Services = []ServiceRun{{Name: "sink", Own: memoryMost + 1}} }, false, "the sink had 281 MB"},
	} {
		r, f := newRun()
		c.change(r, f)
		r.count(f)
		r.judge()
		r.pressed(500, c.taken)
		err := (&Report{Loads: []*LoadRun{r}}).wrong()
		if c.want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, c.want, name)
	}
}

// When a stop is over, the backlog, when it was gone and how fast are read from what the load saw.
func TestPressure(t *testing.T) {
	t.Parallel()
	r := &LoadRun{Pressure: &Pressure{Began: 10, Over: 20, Bound: 1}, Mixed: &stage.Mixed{Samples: []stage.MixedSample{
		{Seconds: 5, Acknowledged: 500, Visible: 450}, {Seconds: 19, Acknowledged: 1900, Visible: 1000, Waiting: 7},
		{Seconds: 20, Acknowledged: 2000, Visible: 1000}, {Seconds: 22, Acknowledged: 2200, Visible: 2200, Waiting: 1}, {Seconds: 25, Acknowledged: 2500, Visible: 2450},
	}}, Moments: []Moment{{Seconds: 1, Memory: map[string]int64{"sink": 3}}, {Seconds: 12, Memory: map[string]int64{"sink": 0}}, {Seconds: 21, Memory: map[string]int64{"sink": 5}}}}
	r.pressed(100, true)
	require.Equal(t, 1000, r.Pressure.Backlog)
	require.InDelta(t, 25, r.Pressure.Drained, 0)
	require.InDelta(t, 290, r.Pressure.Rate, 0.001)
	require.Equal(t, 7, r.Pressure.Waiting)
	require.Equal(t, [3]int64{3, 0, 5}, r.Pressure.Memory["sink"])
}

func TestProcessMemory(t *testing.T) {
	t.Parallel()
	now, own, peak := processMemory(os.Getpid())
	require.Positive(t, own)
	require.GreaterOrEqual(t, now, own)
	require.GreaterOrEqual(t, peak, now)
	now, _, _ = processMemory(-1)
	require.Zero(t, now)
}
