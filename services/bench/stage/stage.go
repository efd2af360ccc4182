// Package stage is what runs in a process of its own while it is measured: a
// stage of ours, the limit of the same work, or what sends the load.
//
// The measuring process starts itself again with Argument, writes one Job to
// its standard input and reads messages from its standard output: Ready, for
// jobs that serve, then the Result or an error. Closing the standard input ends
// a job, so none outlives the process that started it.
package stage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/bench/traffic"
)

// Argument makes the bench program one of these processes.
const Argument = "stage"

// Role names what a process does.
type Role string

// The roles.
const (
	Receiver       Role = "receiver"        // ours, serves
	BareReceiver   Role = "bare-receiver"   // its limit, serves
	Load           Role = "load"            // requests as fast as they are answered
	Normalizer     Role = "normalizer"      // ours, until Records are through; serves without Records
	BareNormalizer Role = "bare-normalizer" // its limit
	Sink           Role = "sink"            // ours, until Records are in the table; serves without Records
	BareSink       Role = "bare-sink"       // its limit
	SQLInsert      Role = "sql-insert"      // a peer's way to write the rows
	Pipeline       Role = "pipeline"        // receiver, normalizer and sink, serves
	Steady         Role = "steady"          // requests at a rate, until their rows are visible
	Strangers      Role = "strangers"       // connections that are nobody's, serves
	Vendor         Role = "vendor"          // a vendor's API that answers at once, serves
	Pull           Role = "pull"            // ours, until Records are published
	BarePull       Role = "bare-pull"       // its limit
	Verified       Role = "verified"        // requests of every source at a rate
	Quarantine     Role = "quarantine"      // ours, serves
	Feed           Role = "feed"            // Records events into quarantine
	Operator       Role = "operator"        // links what waits there, until Records rows are visible
	Batched        Role = "batched"         // Records events of Source, Batch in each request
	Audit          Role = "audit"           // counts what is there twice
	Drift          Role = "drift"           // ours, until Records events are counted
	BareConsumer   Role = "bare-consumer"   // its limit
	Grow           Role = "grow"            // gives a database Records events
	Console        Role = "console"         // ours, serves
	Reads          Role = "reads"           // questions to a console
	Tails          Role = "tails"           // live tails of a console
	AllMixed       Role = "mixed"           // deliveries of all sources, until all is visible, and what became of each
	Sustained      Role = "sustained"       // requests as fast as they are answered, until their rows are visible
)

// Job says what to do. Which fields a role reads stands beside them.
type Job struct {
	Role     Role
	Brokers  []string         // all but the senders
	Registry string           // ours, BareSink and SQLInsert
	Postgres string           // all but the receivers and Load
	Accounts traffic.Accounts // the senders: Load, Steady, Sustained
	Address  string           // the senders: host:port to post to
	Scratch  string           // Receiver, Pipeline: an empty directory

	Records     int           // Normalizer, Sink, their limits, SQLInsert: when to end; Sustained: most events
	Began       int64         // Vendor, Pull, BarePull: when the oldest event happened, in Unix seconds
	Workers     int           // BareNormalizer
	Source      string        // Batched
	Batch       int           // Batched: events in a request; BareNormalizer, BareSink, SQLInsert: most records in a transaction
	Wait        time.Duration // BareNormalizer: how long one that is not full waits
	Keeper      bool          // BareSink: merge the pending list beside, as ours does
	InFlight    int           // SQLInsert: batches at a time
	Stream      bool          // SQLInsert: read the rows while writing, when memory does not hold them
	AllSources  bool          // Receiver: every source's endpoint
	SpoolBytes  int64         // Receiver: of each source's spool; 0: as without a setting
	Every       time.Duration // AllMixed: how long the parts are of which it tells
	Ordered     bool          // AllMixed: look at the order of account-events, too
	Connections int           // the senders, Strangers
	Warm        time.Duration // Load, Steady, Verified: sent and not counted
	Duration    time.Duration // the senders: counted
	Rate        int           // Steady, Verified: events per second

	Profile string // file for a CPU profile; "" for none

	tell func(format string, args ...any) // says how far it is
}

// Result is what a role measured.
type Result struct {
	Samples   []Sample           // progress of a job that ends by itself
	Requests  int                // answered 2xx within Duration
	Sent      int                // all requests, also those that are not counted
	Answered  Latency            // from POST, or from when it was due (Steady), to the answer
	Visible   Latency            // Steady: from when the POST was due to its row read by another connection
	Lost      int                // Steady, Sustained: acknowledged and not in the table after all
	Posting   float64            // Sustained: seconds from the first POST to the last answer
	Seconds   float64            // Sustained: from the first POST until the last row was visible
	Asked     map[string]Latency // Operator: commands, by their words; Reads: questions
	Said      []string           // Operator: by the command that linked
	Twice     int                // Audit
	Mixed     *Mixed             `json:",omitempty"` // AllMixed
	Metrics   map[string]float64 `json:",omitempty"` // of a service, at its end: name{label="value"}
	PeakBytes int64              // VmHWM of this process; 0 where it cannot be known
	CPU       float64            // seconds of all cores that this process took, while it was being measured
}

// Sample is how far a job was when.
type Sample struct {
	Records int
	Seconds float64
	Bytes   int64 // the process has resident; 0 where it cannot be known
}

// Latency is in milliseconds.
type Latency struct{ P50, P95, P99, Max float64 }

// Message is what a process says, one a line.
type Message struct {
	Ready   bool   `json:",omitempty"`
	Told    string `json:",omitempty"` // how far it is, before its result
	Address string `json:",omitempty"` // of a role that serves
	Result  *Result
	Error   string `json:",omitempty"`
}

// role does a job until it is done or ctx ends. It calls ready when it serves.
type role func(ctx context.Context, job Job, ready func(address string)) (Result, error)

func (j Job) role() (role, error) {
	switch j.Role {
	case Receiver, Normalizer, Sink, Pull, Quarantine, Drift, Console:
		var common settings.Common
		settings.Defaults(&common)
		service.LimitMemory(common.MemoryLimit) // as the service's own process does
	}
	switch j.Role {
	case Receiver:
		return runReceiver, nil
	case BareReceiver:
		return runBareReceiver, nil
	case Load:
		return runLoad, nil
	case Normalizer:
		return runNormalizer, nil
	case BareNormalizer:
		return runBareNormalizer, nil
	case Sink:
		return runSink, nil
	case BareSink:
		return runBareSink, nil
	case SQLInsert:
		return runSQLInsert, nil
	case Pipeline:
		return runPipeline, nil
	case Steady:
		return runSteady, nil
	case AllMixed:
		return runMixed, nil
	case Sustained:
		return runSustained, nil
	case Strangers:
		return runStrangers, nil
	case Vendor:
		return runVendor, nil
	case Pull:
		return runPull, nil
	case BarePull:
		return runBarePull, nil
	case Verified:
		return runVerified, nil
	case Quarantine:
		return runQuarantine, nil
	case Feed:
		return runFeed, nil
	case Operator:
		return runOperator, nil
	case Batched:
		return runBatched, nil
	case Audit:
		return runAudit, nil
	case Drift:
		return runDrift, nil
	case BareConsumer:
		return runBareConsumer, nil
	case Grow:
		return runGrow, nil
	case Console:
		return runConsole, nil
	case Reads:
		return runReads, nil
	case Tails:
		return runTails, nil
	}
	return nil, fmt.Errorf("there is no role %q", j.Role)
}

// Main is such a process's main function; it gives the exit code. Warnings go to errs.
func Main(in io.Reader, out, errs io.Writer) int {
	// A Ctrl-C in the terminal reaches all processes; the first one ends us in order.
	signal.Ignore(os.Interrupt)
	say := json.NewEncoder(out)
	result, err := run(in, func(m Message) {
		_ = say.Encode(m) // nobody reads: the input's end says so too
	})
	message := Message{Result: &result}
	if err != nil {
		message = Message{Error: err.Error()}
	}
	if err := say.Encode(message); err != nil {
		fmt.Fprintln(errs, err)
		return settings.ExitFailure
	}
	return settings.ExitOK
}

func run(in io.Reader, say func(Message)) (Result, error) {
	var job Job
	input := json.NewDecoder(in)
	if err := input.Decode(&job); err != nil {
		return Result{}, fmt.Errorf("reading the job: %w", err)
	}
	do, err := job.role()
	if err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { // ends with the process
		_, _ = io.Copy(io.Discard, in)
		cancel()
	}()
	stopProfile, err := profile(job.Profile)
	if err != nil {
		return Result{}, err
	}
	job.tell = func(format string, args ...any) { say(Message{Told: fmt.Sprintf(format, args...)}) }
	result, err := do(ctx, job, func(address string) { say(Message{Ready: true, Address: address}) })
	err = errors.Join(err, stopProfile())
	result.PeakBytes, result.CPU = peakBytes(), CPUSeconds()-result.CPU
	return result, err
}

func profile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("making the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("profiling: %w", err), f.Close())
	}
	return func() error { pprof.StopCPUProfile(); return f.Close() }, nil
}

// newRuntime is the surroundings of a stage. Its registry has the stage's own
// metrics only, because progress is read from it a hundred times a second.
func newRuntime(name string) *service.Runtime {
	return service.NewRuntime(service.Options{
		Name: name, Log: service.NewLogger(os.Stderr, name, "warn", "console"), Registry: prometheus.NewRegistry(), StopTimeout: 15 * time.Second,
	})
}

func (j Job) kafka() stream.Config { return stream.Config{Brokers: j.Brokers} }

func (j Job) registry() (*event.Registry, error) {
	return event.NewRegistry(event.RegistryConfig{URL: settings.URL(j.Registry)})
}
