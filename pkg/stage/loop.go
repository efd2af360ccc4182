package stage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/retry"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Batch is how much a loop takes at once. A service embeds it with the prefix of
// its variables and, where it needs another, its own default:
//
//	Batch stage.Batch `embed:"" envprefix:"THROUGHLINE_SINK_" set:"batch_wait=10ms"`
type Batch struct {
	Records int           `name:"batch-records" env:"BATCH_RECORDS" default:"${batch_records=2000}" help:"Most records in one transaction (${default})."`
	Wait    time.Duration `name:"batch-wait" env:"BATCH_WAIT" default:"${batch_wait=5ms}" help:"How long a transaction that is not full waits for more records at most (${default})."`
}

const (
	// maxRecords is beyond what a stage's memory holds.
	maxRecords = 50_000
	// maxWait is beyond any sensible wait for more records; events arrive later by it.
	maxWait = time.Minute
	// MaxMembers bounds the members of a group in one process.
	MaxMembers = 64
)

// Validate reports every problem.
func (b Batch) Validate() error {
	var problems []error
	if b.Records < 1 || b.Records > maxRecords {
		problems = append(problems, fmt.Errorf("--batch-records is %d: it should be 1 to %d", b.Records, maxRecords))
	}
	if b.Wait < 0 || b.Wait > maxWait {
		problems = append(problems, fmt.Errorf("--batch-wait is %v: it should be 0 to %v", b.Wait, maxWait))
	}
	return errors.Join(problems...)
}

// Loop is what a service says of its consuming loops; Deps says the rest.
type Loop struct {
	Name    string // of the service: of its component, clients, metrics and health
	Group   string // consumer group
	Topics  []string
	Outputs []string // the topics that the service writes to
	Batch   Batch
	Members int // of the group, side by side; 0: one
	// SlowAfter is how long a batch may take before the service counts as not
	// ready; 0: 30 s. A database that neither answers nor fails shows in nothing
	// else.
	SlowAfter time.Duration
	Opts      []kgo.Opt // added to each client's
}

const (
	defaultSlowAfter = 30 * time.Second
	// graceShare of a stop's time is left to the batch under way, so that it ends, and
	// the brokers are told, within the half that the Group gives to the part that stops first.
	graceShare = 0.35
)

// Grace is how long the work under way may still take when a service stops.
func (d Deps) Grace() time.Duration {
	return time.Duration(graceShare * float64(d.Runtime.StopTimeout))
}

// Consume gives the component that runs a Loop: run is called once for each
// member, with its number, and works until its context ends. Members have a
// client, a state in /readyz and, where the operator names the instance, an
// instance id of their own: <name>-<number>. They start and stop together.
func (d Deps) Consume(l Loop, run func(ctx context.Context, member int, o stream.LoopOptions) error) service.Component {
	if l.Members == 0 {
		l.Members = 1
	}
	if l.SlowAfter == 0 {
		l.SlowAfter = defaultSlowAfter
	}
	metrics := stream.NewLoopMetrics(d.Runtime.Registry, l.Name)
	return service.Component{Name: l.Name, Run: func(ctx context.Context) error {
		topics, err := stream.NewTopicWatch(d.Kafka, l.Name, d.Runtime.Log, l.Topics, l.Outputs)
		if err != nil {
			return err
		}
		defer topics.Close()
		// A member that waits for a topic that is gone, or for somebody's open
		// transaction, looks like one without traffic.
		d.Runtime.Health.Check(l.Name+"-topics", checkTimeout, topics.Check)
		defer d.Runtime.Health.Remove(l.Name + "-topics")
		if topics.AwaitSafe(ctx) != nil {
			return nil // stopped before
		}
		group, ctx := errgroup.WithContext(ctx)
		group.Go(func() error { return topics.Run(ctx) })
		for n := range l.Members {
			name := fmt.Sprintf("%s-%d", l.Name, n)
			o := d.loopOptions(l, name, metrics)
			if o.Config.InstanceID != "" {
				o.Config.InstanceID = fmt.Sprintf("%s-%d", o.Config.InstanceID, n)
			}
			// Ready until a batch fails: without traffic nothing else would say so.
			o.OnState(nil)
			group.Go(func() error { return run(ctx, n, o) })
			group.Go(func() error { return d.watchProgress(ctx, name, o.Progress, l.SlowAfter) })
		}
		return group.Wait()
	}}
}

func (d Deps) loopOptions(l Loop, name string, metrics *stream.LoopMetrics) stream.LoopOptions {
	return stream.LoopOptions{
		Config: d.Kafka, Deps: stream.Deps{Name: name, Log: d.Runtime.Log, Registry: d.Runtime.Registry},
		Group: l.Group, Topics: l.Topics, MaxRecords: l.Batch.Records, MaxWait: l.Batch.Wait,
		Grace: d.Grace(), Metrics: metrics, OnState: func(err error) { d.Runtime.Health.Set(name, err) },
		Advice: postgres.Advice, Progress: new(stream.Progress), Opts: l.Opts,
	}
}

// watchProgress tells /readyz and, once, the log of a batch that takes long.
func (d Deps) watchProgress(ctx context.Context, name string, p *stream.Progress, slowAfter time.Duration) error {
	progress := name + "-progress"
	told := &retry.Told{Log: d.Runtime.Log, State: func(err error) { d.Runtime.Health.Set(progress, err) }}
	defer d.Runtime.Health.Remove(progress)
	every := slowAfter / 10
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if busy := p.Busy(); busy > slowAfter {
			told.Failed("finishing a batch", fmt.Errorf("%s has been at one batch for %v", name, busy.Round(time.Second)), every)
		} else {
			told.Succeeded("finishing a batch")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
