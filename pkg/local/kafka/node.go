package kafka

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/throughline-dev/throughline/pkg/local/process"
)

// tailLines is how much of a program's output an error quotes.
const tailLines = 15

// A node is one broker: its place on disk, its ports, and its process while
// it has one.
type node struct {
	id         int // Kafka's node.id, from 1
	clusterID  string
	vm         jvm
	dir        string
	port       int
	controller int
	users      int // port of the listener with SASL, if there are users
	// certificates is the port of the listener whose clients have one, with Options.TLS; with Options.Between, of the other
	// brokers' listener
	certificates int

	mu      sync.Mutex
	process *process.Process // nil before the first start
}

func (n *node) addr() string       { return fmt.Sprintf("127.0.0.1:%d", n.port) }
func (n *node) dataDir() string    { return filepath.Join(n.dir, "data") }
func (n *node) logFile() string    { return filepath.Join(n.dir, "broker.log") }
func (n *node) configFile() string { return filepath.Join(n.dir, "server.properties") }

// writeConfig makes the broker's directory, with all that it reads.
func (n *node) writeConfig(serverProperties string) error {
	// Native compression libraries unpack themselves into the JVM's temporary
	// directory, and a killed JVM leaves them there: keep them in ours.
	if err := os.MkdirAll(filepath.Join(n.dir, "tmp"), 0o755); err != nil {
		return fmt.Errorf("making the broker's directory: %w", err)
	}
	err := errors.Join(
		os.WriteFile(n.configFile(), []byte(serverProperties), 0o644),
		os.WriteFile(filepath.Join(n.dir, "log4j2.properties"), []byte(log4jProperties), 0o644),
	)
	if err != nil {
		return fmt.Errorf("writing the broker's configuration: %w", err)
	}
	return nil
}

// format prepares an empty data directory. One of an earlier start keeps its
// records, its cluster id and its users.
func (n *node) format(ctx context.Context, users []string) error {
	if _, err := os.Stat(filepath.Join(n.dataDir(), "meta.properties")); err == nil {
		return nil
	}
	args := []string{"format", "--cluster-id", n.clusterID, "--config", n.configFile()}
	for _, user := range users {
		args = append(args, "--add-scram", user)
	}
	cmd := n.vm.command(ctx, n.dir, "kafka.tools.StorageTool", args...)
	out, err := process.Run(cmd)
	if err != nil {
		return fmt.Errorf("formatting the storage of broker %d: %w\n%s", n.id-1, err, process.LastLines(out, tailLines))
	}
	return nil
}

// start starts the process; awaitReady says when it serves.
func (n *node) start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	out, err := os.OpenFile(n.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("opening the broker's log: %w", err)
	}
	defer out.Close() // the child has its own copy
	// The process outlives any context: Kill, Stop and Close end it.
	cmd := n.vm.command(context.Background(), n.dir, brokerClass, n.configFile())
	cmd.Stdout, cmd.Stderr = out, out
	if n.process, err = process.Start(cmd); err != nil {
		return fmt.Errorf("starting java: %w", err)
	}
	return nil
}

func (n *node) current() *process.Process {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process
}

func (n *node) running() bool {
	p := n.current()
	return p != nil && p.Running()
}

// kill ends the process, if there is one, and waits until it is gone.
func (n *node) kill() {
	if p := n.current(); p != nil {
		p.Kill()
	}
}

func (n *node) signal(s os.Signal) {
	if p := n.current(); p != nil {
		p.Signal(s)
	}
}

// terminate asks the broker to stop, and kills it when ctx ends first.
func (n *node) terminate(ctx context.Context) {
	if p := n.current(); p != nil {
		// Being killed is a stop too: Kafka recovers at the next start.
		_ = p.Stop(ctx, syscall.SIGTERM)
	}
}

// awaitReady asks this broker for the cluster's metadata until it lists itself
// among at least atLeast live brokers. It ends early when the process does.
func (n *node) awaitReady(ctx context.Context, atLeast int) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(n.addr()),
		kgo.RequestRetries(0), // we ask again ourselves, and look at the process in between
		kgo.DialTimeout(time.Second),
	)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	defer client.Close()
	err = n.current().Await(ctx, func(ctx context.Context) error { return n.probe(ctx, client, atLeast) })
	if err != nil {
		return fmt.Errorf("%w\n%s", err, n.logTail())
	}
	return nil
}

func (n *node) probe(ctx context.Context, client *kgo.Client, atLeast int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	// Not through kadm, which answers from the client's cache, and would go on
	// for ever saying how many brokers there were the first time.
	request := kmsg.NewPtrMetadataRequest()
	request.Topics = []kmsg.MetadataRequestTopic{} // none, where nil is all
	response, err := client.SeedBrokers()[0].Request(ctx, request)
	if err != nil {
		return err
	}
	metadata, ok := response.(*kmsg.MetadataResponse)
	if !ok {
		return fmt.Errorf("it answered with a %T", response)
	}
	for _, live := range metadata.Brokers {
		if live.NodeID == int32(n.id) && len(metadata.Brokers) >= atLeast {
			return nil
		}
	}
	return fmt.Errorf("it sees %d of %d brokers", len(metadata.Brokers), atLeast)
}

// logTail gives the end of the broker's log, for an error.
func (n *node) logTail() string {
	content, err := os.ReadFile(n.logFile())
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	return process.LastLines(content, tailLines)
}
