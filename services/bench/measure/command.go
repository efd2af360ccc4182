// Package measure starts what the stages need, runs each stage and the limit of
// the same work in turn, every one in a process of its own (package stage), and
// makes one report of it.
package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/services/bench/traffic"
)

// Command is the bench program as kong reads it.
type Command struct {
	Only            []string       `name:"only" enum:"receiver,normalizer,sink,pull,sustained,latency,flood,release,batches,api,drift,load,soak,backpressure" default:"receiver,normalizer,sink,pull,sustained,latency" placeholder:"STAGE,…" help:"What to measure: ${enum} (all but flood, release, batches, api, drift, load, soak and backpressure)."`
	Broker          string         `name:"broker" enum:"apache,embedded" default:"apache" help:"Apache Kafka on this machine, or the broker of make run: ${enum} (${default})."`
	Rounds          int            `name:"rounds" default:"3" help:"How often ours and the limit take turns (${default}); medians are shown."`
	Duration        time.Duration  `name:"duration" default:"10s" help:"Receiver, sustained, flood: how long each run's load lasts (${default})."`
	Connections     int            `name:"connections" default:"64" help:"Receiver, sustained, latency: requests at a time (${default})."`
	Records         int            `name:"records" default:"300000" help:"Normalizer: records of each run (${default})."`
	SinkRecords     int            `name:"sink-records" default:"80000" help:"Sink: rows of each run (${default})."`
	Rows            int            `name:"rows" default:"1000000" help:"Api: rows of the timeline. Sink: rows up to which the table grows in one run of each, to compare the rate at the end with the rate at a tenth of it and with the peer's (${default}); 0: not measured."`
	PullRecords     int            `name:"pull-records" default:"300000" help:"Pull: events of each run (${default}); in whole windows of 5,000."`
	ReleaseRecords  int            `name:"release-records" default:"1000000" help:"Release: events in quarantine that wait for the link (${default})."`
	BatchRecords    int            `name:"batch-records" default:"80000" help:"Batches: events of each run (${default})."`
	Rate            int            `name:"rate" default:"500" help:"Latency, flood, backpressure: events per second (${default})."`
	Strangers       int            `name:"strangers" default:"3000" help:"Flood: connections that are nobody's, each from an address of its own (${default})."`
	Steady          time.Duration  `name:"steady" default:"30s" help:"Latency: how long (${default})."`
	Accounts        int            `name:"accounts" default:"10000" help:"Accounts, each with four links (${default})."`
	LoadEvents      int            `name:"load-events" default:"1000000" help:"Load: events of all sources (${default})."`
	LoadRows        int            `name:"load-rows" default:"0" help:"Load: rows that the table has before (${default})."`
	LoadRate        int            `name:"load-rate" default:"0" help:"Load: events per second; 0: as fast as they are answered (${default})."`
	SoakRate        int            `name:"soak-rate" default:"926" help:"Soak: events per second (${default}: in 30 minutes a day of 10 times 5,000,000 events a month)."`
	SoakMinutes     float64        `name:"soak-minutes" default:"30" help:"Soak: how long (${default})."`
	PressureMinutes float64        `name:"pressure-minutes" default:"5" help:"Backpressure: how long the sink is stopped, then Kafka (${default})."`
	SpoolBytes      settings.Bytes `name:"spool-bytes" default:"256MiB" help:"Backpressure: most bytes in each source's spool (${default})."`
	JSON            bool           `name:"json" help:"Print the report as JSON."`
	Profiles        string         `name:"profiles" type:"path" placeholder:"DIR" help:"Write a CPU profile of each measured process here. They cost a few percent."`

	unsafe bool // Postgres without durability: for a test of the program itself
}

// Validate gives every problem at once.
func (c *Command) Validate() error {
	var problems []error
	for _, n := range []struct {
		flag      string
		value, lo int
	}{
		{"--rounds", c.Rounds, 1}, {"--connections", c.Connections, 1}, {"--records", c.Records, 100}, {"--sink-records", c.SinkRecords, 100},
		{"--rows", c.Rows, 0}, {"--pull-records", c.PullRecords, 5000}, {"--release-records", c.ReleaseRecords, 100}, {"--batch-records", c.BatchRecords, 100}, {"--rate", c.Rate, 1}, {"--accounts", c.Accounts, 1}, {"--strangers", c.Strangers, 1},
		{"--load-events", c.LoadEvents, 100}, {"--load-rows", c.LoadRows, 0}, {"--load-rate", c.LoadRate, 0}, {"--soak-rate", c.SoakRate, 1},
	} {
		if n.value < n.lo {
			problems = append(problems, fmt.Errorf("%s is %d, it must be %d or more", n.flag, n.value, n.lo))
		}
	}
	if c.Duration <= 0 || c.Steady <= 0 {
		problems = append(problems, errors.New("--duration and --steady must be above 0"))
	}
	if c.SoakMinutes <= 0 || c.PressureMinutes <= 0 {
		problems = append(problems, errors.New("--soak-minutes and --pressure-minutes must be above 0"))
	}
	if c.Broker == "embedded" && slices.Contains(c.Only, "backpressure") {
		problems = append(problems, errors.New("--only backpressure kills Kafka, so it needs --broker apache"))
	}
	return errors.Join(problems...)
}

// Run measures and writes the report to out; errs gets the progress. Everything
// that it started is gone when it returns.
func (c *Command) Run(ctx context.Context, out, errs io.Writer) (err error) {
	if c.Profiles != "" {
		if err := os.MkdirAll(c.Profiles, 0o755); err != nil {
			return fmt.Errorf("making the directory of the profiles (--profiles): %w", err)
		}
	}
	b := &bench{command: c, errs: errs, accounts: traffic.Accounts(c.Accounts), report: newReport(c)}
	defer func() { err = errors.Join(err, b.ground.close()) }()
	steps := append([]step{{"starting Kafka and Postgres", 15, b.open}}, b.steps()...)
	if err := b.walk(ctx, steps); err != nil {
		if slices.ContainsFunc(b.report.Lines, func(l *Line) bool { return len(l.Ours.Rates) > 0 }) {
			fmt.Fprintln(errs, "what was measured before it failed:")
			b.report.finish()
			b.report.write(errs)
		}
		return err
	}
	b.report.finish()
	if !c.JSON {
		b.report.write(out)
		return b.report.wrong()
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return errors.Join(encoder.Encode(b.report), b.report.wrong())
}

// bench is one run.
type bench struct {
	command  *Command
	errs     io.Writer
	accounts traffic.Accounts
	ground   ground
	report   *Report
}

// step is a part of a run.
type step struct {
	what    string
	seconds float64 // about how long it takes
	do      func(context.Context) error
}

// stepBound is how much longer than expected a step may take on a busy machine.
const stepBound = 10

// walk takes the steps and says how many are left and about how long they take.
func (b *bench) walk(ctx context.Context, steps []step) error {
	var total, expected float64
	for _, s := range steps {
		total += s.seconds
	}
	began := time.Now()
	for i, s := range steps {
		left := total - expected
		if taken := time.Since(began).Seconds(); expected > 30 {
			left *= taken / expected // as slow as it has been so far
		}
		fmt.Fprintf(b.errs, "[%2d/%d] about %s left · %s\n", i+1, len(steps), (time.Duration(left) * time.Second).Round(5*time.Second), s.what)
		bounded, cancel := context.WithTimeoutCause(ctx, time.Duration(max(60, s.seconds*stepBound))*time.Second,
			fmt.Errorf("it took more than %d times as long as expected", stepBound))
		err := s.do(bounded)
		if err != nil && bounded.Err() != nil {
			err = errors.Join(context.Cause(bounded), err)
		}
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
		expected += s.seconds
	}
	return nil
}

// steps are those of the stages that were asked for.
func (b *bench) steps() (steps []step) {
	for _, part := range []struct {
		name  string
		steps func() []step
	}{{"receiver", b.receiver}, {"normalizer", b.normalizer}, {"sink", b.sink}, {"pull", b.pull}, {"sustained", b.sustained}, {"latency", b.latency}, {"flood", b.flood}, {"release", b.release}, {"batches", b.batches}, {"drift", b.drift}, {"api", b.reads}, {"load", b.load}, {"soak", b.soak}, {"backpressure", b.backpressure}} {
		if slices.Contains(b.command.Only, part.name) {
			steps = append(steps, part.steps()...)
		}
	}
	return steps
}
