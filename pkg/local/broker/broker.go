// Package broker is the Kafka broker and the schema registry that run inside
// our own process: what `throughline dev` uses when no real ones are named,
// and what quick tests use through streamtest.
//
// The broker is franz-go's kfake on disk. It speaks the real protocol
// (idempotent and transactional producers, both kinds of consumer group, admin)
// and keeps its records over a SIGKILL. Three limits matter to those who use it:
//
//   - It listens on 127.0.0.1 only.
//   - It does not abort a transaction that was open when it was killed, so
//     whoever produces in transactions takes a fresh transactional id per start.
//   - It has no retention of its own: each topic states retention.ms,
//     retention.bytes and max.message.bytes when it is created.
//
// Real Apache Kafka is in the package pkg/local/kafka.
package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/zap"
)

// Options says where a Broker listens and keeps its records.
type Options struct {
	// Addr is "127.0.0.1:<port>" ("localhost" is the same); port 0 takes a
	// free one, which Addr() then tells.
	Addr string
	// DataDir keeps records, topics and offsets; it is made when missing, and
	// only one process may use it at a time. Empty keeps them in memory, and
	// they go with the Broker.
	DataDir string
	// Log gets the broker's own warnings and errors. Nil is silence.
	Log *zap.Logger
}

// A Broker is one running broker. Close it.
type Broker struct {
	addr    string
	cluster *kfake.Cluster
	lock    *flock.Flock // nil in memory
	log     *logger
	once    sync.Once
	err     error
}

// ErrInUse says that another process uses the data directory.
var ErrInUse = errors.New("the data directory is in use")

// Start opens the data directory and listens; when it returns, clients can
// connect. It refuses a directory that another process uses (the error wraps
// ErrInUse) and a taken port (syscall.EADDRINUSE): both messages say
// what to do. ctx bounds the start only.
func Start(ctx context.Context, o Options) (*Broker, error) {
	port, err := loopbackPort(o.Addr)
	if err != nil {
		return nil, err
	}
	b := &Broker{log: newLogger(o.Log)}
	opts := append(Settings(),
		kfake.Ports(port),
		kfake.WithLogger(b.log),
		kfake.ListenFn(func(_, addr string) (net.Listener, error) { return listen(ctx, addr) }),
	)
	if o.DataDir != "" {
		if b.lock, err = lockDir(o.DataDir); err != nil {
			return nil, err
		}
		opts = append(opts, kfake.DataDir(filepath.Join(o.DataDir, "log")), kfake.SyncWrites())
	}
	if b.cluster, err = kfake.NewCluster(opts...); err != nil {
		return nil, errors.Join(startError(o, err), b.unlock())
	}
	b.addr = b.cluster.ListenAddrs()[0]
	return b, nil
}

// Settings are the broker settings that we rely on. Group timings are short,
// because members live beside the broker and a dead one should be missed in
// about two seconds; the library's defaults are 6 s at least for a classic
// session, and 5 s and 45 s for the newer protocol's heartbeat and session.
// The cleaner, which also applies each topic's retention, runs every minute
// (default: an hour). A topic made without a replication factor gets 1.
func Settings() []kfake.Opt {
	return []kfake.Opt{
		kfake.ClusterID("throughline-embedded"),
		kfake.GroupMinSessionTimeout(time.Second),
		kfake.BrokerConfigs(map[string]string{
			// Whoever leaves a transaction open holds up its partitions' readers for as long.
			"transaction.max.timeout.ms":           "60000",
			"group.consumer.heartbeat.interval.ms": "200",
			"group.consumer.session.timeout.ms":    "2000",
			"log.cleaner.backoff.ms":               "60000",
			"default.replication.factor":           "1",
		}),
	}
}

// Addr is the address to hand to clients, "127.0.0.1:<port>".
func (b *Broker) Addr() string { return b.addr }

// Close saves what is not yet on disk, stops listening and frees the data
// directory. It gives an error when something could not be saved. Close the
// clients first. A second call gives the first one's result.
func (b *Broker) Close() error {
	b.once.Do(func() {
		b.log.startCollecting()
		b.cluster.Close()
		b.err = errors.Join(b.log.collected(), b.unlock())
	})
	return b.err
}

func (b *Broker) unlock() error {
	if b.lock == nil {
		return nil
	}
	return b.lock.Unlock()
}

// lockDir takes the data directory for this process. The lock's file says which
// process that is, for the message that the next one gets; the kernel lets go of
// the lock when its holder dies.
func lockDir(dir string) (*flock.Flock, error) {
	path := filepath.Join(dir, "lock")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening data directory %s: %w", dir, err)
	}
	lock := flock.New(path, flock.SetPermissions(0o600))
	taken, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("opening data directory %s: %w", dir, err)
	}
	if !taken {
		// Unless it says so, nobody knows who it is.
		holder, _ := os.ReadFile(path)
		return nil, fmt.Errorf("%w: %s, by process %s: stop that process, or choose another data directory", ErrInUse, dir, holder)
	}
	if err := os.WriteFile(path, strconv.AppendInt(nil, int64(os.Getpid()), 10), 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("opening data directory %s: %w", dir, err), lock.Unlock())
	}
	return lock, nil
}

// startError adds what to do, unless the error already says so (a taken port).
func startError(o Options, err error) error {
	if _, ok := errors.AsType[*net.OpError](err); ok || o.DataDir == "" {
		return fmt.Errorf("starting the broker: %w", err)
	}
	return fmt.Errorf("starting the broker on data directory %s: %w (to start empty, move the directory away)", o.DataDir, err)
}

// ListensOn reports whether the embedded broker can listen on a host.
func ListensOn(host string) bool { return host == "127.0.0.1" || host == "localhost" }

// loopbackPort gives the port of an address on 127.0.0.1, the only host that
// the library listens on: anything else would be ignored in silence.
func loopbackPort(addr string) (int, error) {
	host, portText, err := net.SplitHostPort(addr)
	if err != nil {
		return 0, fmt.Errorf("reading broker address %q: %w", addr, err)
	}
	if !ListensOn(host) {
		return 0, fmt.Errorf("broker address %q: the embedded broker listens on 127.0.0.1 only; for another host use a real Kafka", addr)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("reading the port of broker address %q: %w", addr, err)
	}
	return int(port), nil
}
