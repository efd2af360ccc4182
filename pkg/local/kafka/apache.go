// Package kafka runs real Apache Kafka without containers: one broker or
// three, in KRaft mode, as child processes on 127.0.0.1.
//
// Whole-system tests, benchmarks and tools use it. It needs Java 17 or later
// on the machine and, the first time, Maven, which fetches Kafka into the
// user's cache directory; Fetch says where. Every broker is controller and
// broker in one process, with settings for a small machine and quick failover
// (properties.go). It is not a way to run Kafka in production.
//
// Linux kills the brokers when this process dies, however it dies.
package kafka

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/local/process"
)

// Version is the Kafka that is started; pom.xml names the same one.
const Version = "4.3.1"

// stopTimeout is what a graceful stop gets before brokers are killed. The
// last of three brokers has no quorum left to say goodbye to, and would wait
// for minutes.
const stopTimeout = 15 * time.Second

// Options says what to start.
type Options struct {
	// Brokers is 1 (the default) or 3. With 3, topics default to three
	// replicas of which two must acknowledge.
	Brokers int
	// Dir keeps data and logs, and is left in place: a later Start with as many
	// brokers finds its records. Empty means a temporary directory that goes
	// with the cluster.
	Dir string
	// Properties are added to each broker's server.properties, and win.
	Properties map[string]string
	// Users are names and passwords (SASL/PLAIN) of those who may do only what ACLs
	// say. They have a listener of their own (UserBrokers); whoever comes to Brokers
	// may do everything. With none there are no ACLs.
	Users map[string]string
	// TLS, if set, makes the users' listener one with TLS and SASL/SCRAM-SHA-512,
	// and adds one for those who log in with a certificate (CertificateBrokers).
	TLS *TLS
	// Proxies are addresses, one for each broker, that a listener of its own (ProxiedBrokers) tells its clients to come to:
	// of proxies that pass on to it. Not together with Users.
	Proxies []string
	// Between are as Proxies, for what the brokers tell each other (BetweenBrokers): a follower fetches from a leader by way of
	// the leader's. The controllers' quorum does without.
	Between []string
	// HeapMB bounds each broker's Java heap; 384 when 0. A broker takes about
	// 240 MB of memory when idle.
	HeapMB int
	// Log gets what is worth knowing: a fetch, a start, how long they took.
	// Nil is silence. The brokers' own output is in Dir.
	Log *zap.Logger
}

// TLS are PEM files for brokers at 127.0.0.1.
type TLS struct {
	CertFile, KeyFile string // the brokers' own; the key in PKCS #8
	CAFile            string // of the authority that signs clients' certificates
}

// A Cluster is a set of running brokers. Its methods are safe for concurrent
// use, except that nothing may follow Stop or Close.
type Cluster struct {
	dir       string
	temporary bool
	nodes     []*node
}

// Start fetches Kafka if need be, formats the storage and starts the brokers;
// when it returns, every broker answers and sees all the others. A missing
// java or mvn gives one line that says what to install. A broker that does not
// come up gives the end of its log. ctx bounds the start; the brokers live on
// until Stop or Close.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	if o.Brokers == 0 {
		o.Brokers = 1
	}
	if o.Brokers != 1 && o.Brokers != 3 {
		return nil, fmt.Errorf("starting Kafka: %d brokers: only 1 or 3 are supported", o.Brokers)
	}
	if o.HeapMB == 0 {
		o.HeapMB = 384
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	vm := jvm{heapMB: o.HeapMB}
	var err error
	if vm.java, vm.version, err = findJava(ctx); err != nil {
		return nil, err
	}
	dir, err := Fetch(ctx, o.Log)
	if err != nil {
		return nil, err
	}
	if vm.classPath, err = classPath(dir); err != nil {
		return nil, err
	}
	vm.classes = classArchive(ctx, vm, dir, o.Log)
	began := time.Now()
	cluster, err := startOnFreePorts(ctx, o, vm)
	if err != nil {
		return nil, fmt.Errorf("starting Kafka %s: %w", Version, err)
	}
	o.Log.Info("Kafka is up", zap.Strings("brokers", cluster.Brokers()), zap.Duration("took", time.Since(began)))
	return cluster, nil
}

// Brokers gives every broker's address, "127.0.0.1:<port>", killed ones too:
// what clients take as seeds.
func (c *Cluster) Brokers() []string {
	addrs := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		addrs[i] = n.addr()
	}
	return addrs
}

// UserBrokers gives every broker's address for Options.Users.
func (c *Cluster) UserBrokers() []string {
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", n.users))
	}
	return addrs
}

// ProxiedBrokers gives every broker's address for Options.Proxies to pass on to.
func (c *Cluster) ProxiedBrokers() []string { return c.UserBrokers() }

// BetweenBrokers gives every broker's address for Options.Between to pass on to.
func (c *Cluster) BetweenBrokers() []string {
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", n.certificates))
	}
	return addrs
}

// CertificateBrokers gives every broker's address for clients that log in with a
// certificate. Its common name is the user.
func (c *Cluster) CertificateBrokers() []string {
	var addrs []string
	for _, n := range c.nodes {
		addrs = append(addrs, fmt.Sprintf("127.0.0.1:%d", n.certificates))
	}
	return addrs
}

// Kill ends broker i (from 0) with SIGKILL and returns when it is gone: no
// flush, no goodbye to the others. Killing a dead broker does nothing.
func (c *Cluster) Kill(i int) { c.nodes[i].kill() }

// Freeze stops broker i (from 0) without ending it: its connections stay open and nothing answers. Thaw lets it go on.
func (c *Cluster) Freeze(i int) { c.nodes[i].signal(syscall.SIGSTOP) }

// Thaw lets a frozen broker go on.
func (c *Cluster) Thaw(i int) { c.nodes[i].signal(syscall.SIGCONT) }

// Restart starts broker i (from 0) again, on the same port and data, and
// returns when it answers. A broker that still runs is killed first.
func (c *Cluster) Restart(ctx context.Context, i int) error {
	c.nodes[i].kill()
	if err := c.nodes[i].start(); err != nil {
		return fmt.Errorf("restarting broker %d: %w", i, err)
	}
	if err := c.nodes[i].awaitReady(ctx, 1); err != nil {
		return fmt.Errorf("restarting broker %d: %w", i, err)
	}
	return nil
}

// Stop ends all brokers in order: SIGTERM, then, for those that have not gone
// after 15 s or when ctx ends, SIGKILL. A temporary directory is removed.
func (c *Cluster) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, n := range c.nodes {
		wg.Go(func() { n.terminate(ctx) })
	}
	wg.Wait()
	return c.clean()
}

// Close kills all brokers at once, for a cluster whose data nobody needs any
// more. A temporary directory is removed.
func (c *Cluster) Close() error {
	for _, n := range c.nodes {
		n.kill()
	}
	return c.clean()
}

func (c *Cluster) clean() error {
	if !c.temporary {
		return nil
	}
	if err := os.RemoveAll(c.dir); err != nil {
		return fmt.Errorf("removing Kafka's temporary directory: %w", err)
	}
	return nil
}

// startOnFreePorts starts over with other ports when one that was free a
// moment ago has been taken by somebody else.
func startOnFreePorts(ctx context.Context, o Options, vm jvm) (*Cluster, error) {
	const attempts = 3
	for attempt := 1; ; attempt++ {
		cluster, err := start(ctx, o, vm)
		if err == nil {
			return cluster, nil
		}
		if cluster == nil {
			return nil, err
		}
		taken := cluster.portsTaken()
		if closeErr := cluster.Close(); closeErr != nil {
			return nil, errors.Join(err, closeErr)
		}
		if !taken || attempt == attempts {
			return nil, err
		}
	}
}

// start makes one attempt. When it fails after brokers were started, it gives
// the cluster too, to be closed.
func start(ctx context.Context, o Options, vm jvm) (*Cluster, error) {
	cluster, err := layOut(o, vm)
	if err != nil {
		return nil, err
	}
	var format errgroup.Group
	for _, n := range cluster.nodes {
		format.Go(func() error { return n.format(ctx, o.scram()) })
	}
	if err := format.Wait(); err != nil {
		return cluster, err
	}
	for _, n := range cluster.nodes {
		if err := n.start(); err != nil {
			return cluster, err
		}
	}
	for i, n := range cluster.nodes {
		if err := n.awaitReady(ctx, len(cluster.nodes)); err != nil {
			return cluster, fmt.Errorf("waiting for broker %d: %w", i, err)
		}
	}
	return cluster, nil
}

// portsTaken says whether a broker that is down cannot have come up because
// somebody else holds one of its ports.
func (c *Cluster) portsTaken() bool {
	for _, n := range c.nodes {
		if !n.running() && (!process.PortFree(n.port) || !process.PortFree(n.controller) || !process.PortFree(n.users) || !process.PortFree(n.certificates)) {
			return true
		}
	}
	return false
}

// layOut picks ports and writes each broker's directory.
func layOut(o Options, vm jvm) (*Cluster, error) {
	cluster := &Cluster{dir: o.Dir, temporary: o.Dir == ""}
	var err error
	if cluster.temporary {
		if cluster.dir, err = os.MkdirTemp("", "throughline-kafka-"); err != nil {
			return nil, fmt.Errorf("making a temporary directory: %w", err)
		}
	}
	// The JVM resolves a relative path by its own working directory.
	if cluster.dir, err = filepath.Abs(cluster.dir); err != nil {
		return nil, fmt.Errorf("finding the directory: %w", err)
	}
	ports, err := process.FreePorts(4 * o.Brokers)
	if err != nil {
		return nil, errors.Join(err, cluster.clean())
	}
	id := newClusterID()
	for i := range o.Brokers {
		cluster.nodes = append(cluster.nodes, &node{
			id: i + 1, clusterID: id, vm: vm,
			dir:          filepath.Join(cluster.dir, fmt.Sprintf("broker-%d", i)),
			port:         ports[i],
			controller:   ports[o.Brokers+i],
			users:        ports[2*o.Brokers+i],
			certificates: ports[3*o.Brokers+i],
		})
	}
	if o.TLS != nil {
		if err := o.TLS.writeStores(cluster.dir); err != nil {
			return nil, errors.Join(err, cluster.clean())
		}
	}
	for _, n := range cluster.nodes {
		if err := n.writeConfig(properties(n, cluster.nodes, o)); err != nil {
			return nil, errors.Join(err, cluster.clean())
		}
	}
	return cluster, nil
}

// newClusterID gives what Kafka takes for one: 16 bytes in URL-safe base64.
func newClusterID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails, says its documentation
	id[0] &= 0x7f           // so that it does not begin with '-', which the format tool takes for an option
	return base64.RawURLEncoding.EncodeToString(id[:])
}
