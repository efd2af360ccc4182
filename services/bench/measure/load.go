package measure

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/bench/stage"
)

// LoadRun is a load of all sources through the whole system, and what was seen of it.
type LoadRun struct {
	Name        string             `json:"name"`
	LoadAverage [2]float64         `json:"load_average"` // of the machine, before and after
	RowsBefore  int                `json:"rows_before"`  // that the table was filled with
	Mixed       *stage.Mixed       `json:"load"`
	Services    []ServiceRun       `json:"services"`
	Before      Database           `json:"before"`
	After       Database           `json:"after"`
	Timelines   [2]Timeline        `json:"timelines"` // before and after
	Moments     []Moment           `json:"moments"`
	Pressure    *Pressure          `json:"pressure,omitempty"`
	Metrics     map[string]float64 `json:"metrics"` // what the services counted, where it can be compared
	Wrong       []string           `json:"wrong,omitempty"`
}

// ServiceRun is what a service took.
type ServiceRun struct {
	Name  string  `json:"name"`
	Began int64   `json:"began_bytes"` // resident, before the load
	Peak  int64   `json:"peak_bytes"`
	Own   int64   `json:"own_bytes"`   // at most when it was looked at, without the pages of files, the program's among them
	Final int64   `json:"final_bytes"` // resident, when all had come through
	CPU   float64 `json:"cpu_seconds"`
}

func (r *LoadRun) wrong(format string, args ...any) {
	r.Wrong = append(r.Wrong, r.Name+": "+fmt.Sprintf(format, args...))
}

// mixTopics makes the topics of all sources anew.
func (b *bench) mixTopics(ctx context.Context) error {
	return b.ground.topicsAnew(ctx, catalog.Set().Names()...)
}

// lag is how many records each of our groups has not read yet; nothing where the brokers do not say.
func (g *ground) lag(ctx context.Context) map[string]int64 {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	lags := map[string]int64{}
	err := g.kafka(func(client *kgo.Client) error {
		names := map[string]string{}
		for _, service := range []string{stream.Normalizer, stream.Sink, stream.Quarantine} {
			names[stream.Names{}.Group(service)] = service
		}
		var groups []string
		for group := range names {
			groups = append(groups, group)
		}
		all, err := kadm.NewClient(client).Lag(ctx, groups...)
		if err != nil {
			return fmt.Errorf("asking for lags: %w", err)
		}
		for _, l := range all {
			if l.Error() == nil {
				lags[names[l.Group]] = l.Lag.Total()
			}
		}
		return nil
	})
	if err != nil {
		return nil
	}
	return lags
}

// through sends a load through the whole system, in a fresh database of rows rows. meanwhile, if given, does what is to
// happen while the load goes on; it is told when that began.
func (b *bench) through(ctx context.Context, name string, rows int, spoolBytes int64, load stage.Job, meanwhile func(ctx context.Context, f *fleet, r *LoadRun) error) error {
	if err := b.mixTopics(ctx); err != nil {
		return err
	}
	run := &LoadRun{Name: name, RowsBefore: rows, Metrics: map[string]float64{}}
	err := b.ground.database(ctx, func(url string) error {
		load.Postgres = url
		if rows > 0 {
			b.tell("filling the table with %d rows", rows)
			if _, err := b.run(ctx, name+"-grow", stage.Job{Role: stage.Grow, Postgres: url, Records: rows}); err != nil {
				return err
			}
		}
		return b.loaded(ctx, run, url, spoolBytes, load, meanwhile)
	})
	if err != nil {
		return err
	}
	run.judge()
	b.report.Loads = append(b.report.Loads, run)
	b.report.Lost += run.Mixed.Verdict.Lost
	line := b.report.line(name, unitEvents, 0).Ours
	line.add(float64(run.Mixed.Acknowledged)/run.Mixed.Seconds, run.Mixed.Shown, stage.Result{}, 0)
	for _, s := range run.Services {
		line.PeakBytes += s.Peak
	}
	return nil
}

func (b *bench) loaded(ctx context.Context, run *LoadRun, url string, spoolBytes int64, load stage.Job, meanwhile func(ctx context.Context, f *fleet, r *LoadRun) error) (err error) {
	f, err := b.newFleet(ctx, run.Name, url, spoolBytes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close(context.WithoutCancel(ctx))) }()
	if run.Before, err = readDatabase(ctx, url); err != nil {
		return err
	}
	if run.Timelines[0], err = askTimelines(ctx, url); err != nil {
		return err
	}
	run.LoadAverage[0] = loadAverage()
	for _, m := range f.members {
		run.Services = append(run.Services, ServiceRun{Name: m.name, Began: m.resident()})
	}
	load.Role, load.Address = stage.AllMixed, f.member(stage.Receiver).address
	sender, err := b.start(ctx, run.Name+"-load", load)
	if err != nil {
		return err
	}
	sender.told = func(text string) { b.tell("%s: %s", run.Name, text) }
	stop := f.watch(ctx, time.Now(), load.Every, url)
	during, cancel := context.WithCancel(ctx)
	defer cancel()
	happened := make(chan error, 1)
	go func() {
		if meanwhile == nil {
			happened <- nil
			return
		}
		happened <- meanwhile(during, f, run)
	}()
	result, err := sender.result()
	if err != nil {
		cancel()
	}
	err = errors.Join(err, <-happened)
	run.Moments = stop()
	if err != nil {
		return err
	}
	run.Mixed = result.Mixed
	for i, m := range f.members {
		run.Services[i].Final = m.resident()
	}
	run.LoadAverage[1] = loadAverage()
	if run.After, err = readDatabase(ctx, url); err != nil {
		return err
	}
	if run.Timelines[1], err = askTimelines(ctx, url); err != nil {
		return err
	}
	if err := f.close(ctx); err != nil {
		return err
	}
	for i, m := range f.members {
		run.Services[i].Peak, run.Services[i].Own, run.Services[i].CPU = m.peak, m.own, m.cpu
	}
	run.count(f)
	return nil
}

// rejectedMetric counts refusals, by source and reason.
const rejectedMetric = "throughline_receiver_rejected_total"

// count compares what the services counted with what was sent and what is there.
func (r *LoadRun) count(f *fleet) {
	same := func(what string, counted, want float64) {
		r.Metrics[what] = counted
		if counted != want {
			r.wrong("%s is %.0f, and should be %.0f", what, counted, want)
		}
	}
	receiver, sink := f.member(stage.Receiver), f.member(stage.Sink)
	for source, answers := range r.Mixed.Answers {
		var taken, refused, unanswered float64
		for status, n := range answers {
			switch {
			case status == "0":
				unanswered += float64(n)
			case status[0] == '2':
				taken += float64(n)
			default:
				refused += float64(n)
			}
		}
		if unanswered > 0 {
			r.wrong("%.0f deliveries of %s had no answer", unanswered, source)
			continue
		}
		label := fmt.Sprintf("source=%q", source)
		same("receiver_deliveries_total of "+source, receiver.metric("throughline_receiver_deliveries_total", label), taken)
		same("receiver_events_received_total of "+source, receiver.metric("throughline_receiver_events_received_total", label), float64(r.Mixed.AnsweredEvents[source]))
		same("receiver_rejected_total of "+source, receiver.metric(rejectedMetric, label), refused)
	}
	for name, value := range receiver.metrics {
		if strings.HasPrefix(name, rejectedMetric+"{") && value > 0 {
			r.Metrics[name] = value
		}
	}
	spooled := receiver.metric("throughline_receiver_spooled_total")
	r.Metrics["receiver_spooled_total"] = spooled
	same("receiver_spool_drained_total", receiver.metric("throughline_receiver_spool_drained_total"), spooled)
	same("receiver_spool_set_aside_total", receiver.metric("throughline_receiver_spool_set_aside_total"), 0)
	same("sink_rows_total inserted", sink.metric("throughline_sink_rows_total", `result="inserted"`), float64(r.Mixed.Verdict.OnTimelines))
	same("sink_conflicts_total", sink.metric("throughline_sink_conflicts_total"), 0)
	same("sink_dead_letters_total", sink.metric("throughline_sink_dead_letters_total"), 0)
}

// judge says what must not be.
func (r *LoadRun) judge() {
	if v := r.Mixed.Verdict; !v.Kept() {
		r.wrong("%s; %v", v, v.Examples)
	}
	if there := r.Mixed.Verdict.OnTimelines + r.Mixed.Verdict.Quarantined; there < r.Mixed.Acknowledged {
		r.wrong("%d events were acknowledged, and %d are there", r.Mixed.Acknowledged, there)
	}
}

// tell writes a line of progress.
func (b *bench) tell(format string, args ...any) {
	fmt.Fprintf(b.errs, "        "+format+"\n", args...)
}

// load sends many events of all sources as fast as they are answered, or at a rate.
func (b *bench) load() []step {
	c := b.command
	what := fmt.Sprintf("load: %d events", c.LoadEvents)
	if c.LoadRows > 0 {
		what += fmt.Sprintf(" over %d rows", c.LoadRows)
	}
	seconds := float64(c.LoadEvents)/900 + float64(c.LoadRows)/8000 + 40
	every := min(30*time.Second, max(time.Second, time.Duration(float64(c.LoadEvents)/1200/20*float64(time.Second))))
	return []step{{what, seconds, func(ctx context.Context) error {
		return b.through(ctx, what, c.LoadRows, 0, stage.Job{
			Records: c.LoadEvents, Rate: c.LoadRate, Connections: c.Connections, Every: every,
		}, nil)
	}}}
}

// soak sends events of all sources at a rate, for long.
func (b *bench) soak() []step {
	c := b.command
	duration := time.Duration(c.SoakMinutes * float64(time.Minute))
	what := fmt.Sprintf("soak: %d events/s for %v", c.SoakRate, duration)
	return []step{{what, duration.Seconds() + 60, func(ctx context.Context) error {
		return b.through(ctx, what, 0, 0, stage.Job{
			Duration: duration, Rate: c.SoakRate, Connections: c.Connections, Every: min(time.Minute, max(time.Second, duration/10)), Ordered: true,
		}, nil)
	}}}
}
