package measure

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/services/bench/stage"
)

// TestMain lets the test binary be the process of a stage, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == stage.Argument {
		os.Exit(stage.Main(os.Stdin, os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// The bench runs from end to end, but for what takes long even when it is small (flood, batches). Its figures say nothing here.
func TestRun(t *testing.T) {
	t.Parallel()
	c := Command{
		Only: []string{"receiver", "normalizer", "sink", "pull", "sustained", "latency", "release"}, Broker: "embedded", Rounds: 1, Duration: 50 * time.Millisecond, Connections: 4,
		Records: 400, SinkRecords: 200, PullRecords: 5000, Rows: 400, ReleaseRecords: 400, BatchRecords: 100, Rate: 100, Steady: 300 * time.Millisecond, Accounts: 20, Strangers: 20, JSON: true, Profiles: t.TempDir(), unsafe: true,
		LoadEvents: 100, SoakRate: 1, SoakMinutes: 1, PressureMinutes: 1,
	}
	require.NoError(t, c.Validate())
	var out, errs bytes.Buffer
	require.NoError(t, c.Run(t.Context(), &out, &errs), errs.String())

	var report Report
	require.NoError(t, json.Unmarshal(out.Bytes(), &report), out.String())
	var stages []string
	for _, l := range report.Lines {
		stages = append(stages, l.Stage)
		if l.Unit == "" { // a part of the line above
			require.Len(t, l.Ours.CPU, 1, l.Stage)
			require.Positive(t, l.Ours.CPU[0], l.Stage)
			continue
		}
		require.Len(t, l.Ours.Rates, 1, l.Stage)
		require.Positive(t, l.Ours.Rates[0], l.Stage)
		if l.Unit != unitEvents && l.Stage != "sustained: receiver" {
			require.Positive(t, l.Ratio, l.Stage)
		}
	}
	require.Equal(t, []string{
		"receiver", "normalizer", "sink", "sink, its limit without a keeper", "sink beside sql_insert, 8 in flight",
		"sink at 400 rows, beside its rate at 40", "sink at 400 rows beside sql_insert, 8 in flight", "pull",
		"whole pipeline, sustained", "sustained: receiver", "sustained: normalizer", "sustained: sink", "sustained: broker", "sustained: Postgres",
		"POST to row visible, at 100 events/s",
		"a link releases 400 events", "release: its last tenth beside its second", "release: quarantine", "release: normalizer", "release: sink", "release: broker", "release: Postgres",
	}, stages)
	require.Zero(t, report.Lost)
	require.Zero(t, report.Release.Twice)
	require.Len(t, report.Release.Asked, 6)
	require.Equal(t, []string{"400 events released from quarantine"}, report.Release.Said)
	require.Positive(t, report.Lines[14].Ours.Latencies[0].P50)
	profiles, err := os.ReadDir(c.Profiles)
	require.NoError(t, err)
	require.NotEmpty(t, profiles)
	require.Contains(t, errs.String(), "sink: limit, round 1 of 1")

	out.Reset()
	report.write(&out)
	require.Contains(t, out.String(), "POST to 2xx at the steady rate")
	require.Contains(t, out.String(), "not on the timeline: 0.")
}

func TestValidate(t *testing.T) {
	t.Parallel()
	err := (&Command{Rounds: 0, Rows: -1}).Validate()
	for _, want := range []string{"--rounds", "--rows", "--steady"} {
		require.ErrorContains(t, err, want)
	}
}

func TestRate(t *testing.T) {
	t.Parallel()
	samples := []stage.Sample{{Records: 100, Seconds: 1}, {Records: 200, Seconds: 2}, {Records: 600, Seconds: 3}, {Records: 1000, Seconds: 4}}
	for name, c := range map[string]struct{ from, to, want float64 }{
		"between samples":         {100, 200, 100},
		"in proportion":           {400, 600, 400},
		"over several":            {200, 1000, 400},
		"before the first sample": {50, 200, 150},
		"within the first batch":  {10, 100, 100},
	} {
		require.InDelta(t, c.want, rate(samples, c.from, c.to), 0.001, name)
	}
	require.True(t, math.IsNaN(when(samples, 1001)))
	require.InDelta(t, 800/2.75, steadyRate(samples), 0.001)
	require.Zero(t, steadyRate(nil))
}

func TestMedian(t *testing.T) {
	t.Parallel()
	require.InDelta(t, 2, median([]float64{9, 1, 2}), 0)
	require.InDelta(t, 1.5, median([]float64{2, 1}), 0)
	require.Zero(t, median(nil))
}

// A round's ratio is of the two runs that stood beside each other; one whose limit did nothing has none.
func TestRatioIsOfRounds(t *testing.T) {
	t.Parallel()
	r := &Report{}
	l := r.line("x", "u", 0)
	l.Ours.Rates, l.Limit.Rates = []float64{100, 10, 90, 5}, []float64{100, 20, 100, 0}
	r.finish()
	require.InDelta(t, 0.9, l.Ratio, 1e-9)
}
