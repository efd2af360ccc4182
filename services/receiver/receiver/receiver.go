package receiver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace/noop"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/service/strangers"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/receiver/spool"
)

// Bounds of the server that nobody needs to change.
const (
	readHeaderTimeout = 5 * time.Second
	writeSlack        = 5 * time.Second
	maxHeaderBytes    = 32 << 10
	flushTimeout      = 2 * time.Second
	// topicsTimeout bounds the look at the topics before the receiver listens.
	topicsTimeout = 2 * time.Second
	// What the client may hold beside what is in flight: records of deliveries
	// that were given up, which an idempotent client cannot forget at once.
	maxBufferedBytes   = 32 << 20
	maxBufferedRecords = 50_000
)

// Options are what a Receiver is made of.
type Options struct {
	Runtime *service.Runtime
	Config  Config
	Kafka   stream.Config
	// Endpoints are the sources to receive, at least one; see Endpoints.
	Endpoints []Endpoint
}

// Receiver is the HTTP server in front of the raw topics.
type Receiver struct {
	o         Options
	client    *kgo.Client
	topics    *stream.TopicWatch
	spools    map[string]*spool.Spool
	load      *load
	conns     *strangers.Connections
	deadlines *deadlines
	handlers  map[string]*handler // by source
	handler   http.Handler
	server    *http.Server
	listener  atomic.Pointer[net.Listener]
	closing   sync.Once
	closed    error
}

// New makes a receiver that does not listen yet. It opens the spools of sources
// whose vendors never retry. An error names the setting to change. Whoever does
// not go on to Run or to run the Components calls Close.
func New(o Options) (*Receiver, error) {
	if len(o.Endpoints) == 0 {
		return nil, errors.New("there is no source to receive")
	}
	if err := errors.Join(o.Config.Validate(), o.Config.check(o.Endpoints, o.Runtime.StopTimeout)); err != nil {
		return nil, err
	}
	client, err := stream.NewClient(o.Kafka, stream.Deps{Name: o.Runtime.Name, Log: o.Runtime.Log, Registry: o.Runtime.Registry},
		kgo.MaxBufferedBytes(maxBufferedBytes), kgo.MaxBufferedRecords(maxBufferedRecords))
	if err != nil {
		return nil, err
	}
	var topics []string
	for _, e := range o.Endpoints {
		topics = append(topics, o.Kafka.Names().Raw(e.Source.Name()))
	}
	watch, err := stream.NewTopicWatch(o.Kafka, "receiver", o.Runtime.Log, nil, topics)
	if err != nil {
		client.Close()
		return nil, err
	}
	r := &Receiver{
		o: o, client: client, topics: watch, spools: map[string]*spool.Spool{}, handlers: map[string]*handler{},
		deadlines: &deadlines{timeout: o.Config.PublishTimeout},
	}
	if err := r.build(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// build makes the handlers and the server.
func (r *Receiver) build() error {
	m := newMetrics(r.o.Runtime.Registry)
	if err := r.buildLimits(m); err != nil {
		return err
	}
	bodies := newBodies()
	shared := publisher{kafka: stream.NewPublisher(r.client), deadlines: r.deadlines, outage: new(atomic.Bool), log: r.o.Runtime.Log}
	paths := routes{}
	for _, e := range r.o.Endpoints {
		name := e.Source.Name()
		if r.handlers[name] != nil {
			return fmt.Errorf("the source %s is there twice", name)
		}
		address, err := settings.CalledURL(e.PublicURL, name)
		if err != nil {
			return err
		}
		p := shared
		p.refuse = func() error { return r.topics.Refuse(r.o.Kafka.Names().Raw(name)) }
		if e.Source.Profile().NeverRetries {
			p.spooled = m.spooled.WithLabelValues(name)
			if p.spool, err = r.openSpool(name, &p, m); err != nil {
				return err
			}
		}
		h := &handler{
			src: e.Source, name: name, profile: e.Source.Profile(), address: address, tenant: e.Tenant, metrics: m.handler(name),
			bodies: bodies, load: r.load, line: r.load.admission.newLine(limits(m.limited, name)), rate: newEventRate(e.MaxRate), readTimeout: r.o.Config.ReadTimeout, publisher: &p, log: r.o.Runtime.Log, raw: r.o.Kafka.Names().RawMaker(name),
		}
		if _, silent := r.o.Runtime.TracerProvider.(noop.TracerProvider); !silent {
			h.tracer = r.o.Runtime.Tracer
		}
		r.handlers[name] = h
		if err := r.SetSecrets(name, e.Secrets); err != nil {
			return err
		}
		paths[path(name)] = h
	}
	r.handler = paths
	r.server = r.newServer()
	return r.buildTLS()
}

// buildLimits makes what all sources share, and shows it.
func (r *Receiver) buildLimits(m *metrics) error {
	c := r.o.Config
	trusted, err := parseProxies(c.TrustedProxies)
	if err != nil {
		return err
	}
	seen := &strangers.Known{}
	r.load = &load{
		proxies: trusted, known: seen,
		requests: budget{most: c.MaxInFlight}, bytes: budget{most: int64(c.MaxInFlightBytes)}, reserve: budget{most: int64(c.MaxInFlightBytes)},
		admission: &admission{
			most: int(c.MaxUnverified), mostBytes: int64(c.MaxUnverifiedBytes), perAddress: int(c.MaxUnverifiedPerAddress),
			known: seen, failures: &failures{most: int(c.MaxFailures)}, addresses: map[netip.Addr]*strangers.Queue[unverified]{},
		},
	}
	r.conns = strangers.NewConnections(strangers.Options{
		Most: int(c.MaxConnections), PerAddress: int(c.MaxConnectionsPerAddress),
		Trusted:         func(peer netip.Addr) bool { return trusted.contains(peer) || seen.Has(strangers.Network(peer)) },
		ClosedOfAddress: m.closed.WithLabelValues(string(causeAddress)), ClosedOfAll: m.closed.WithLabelValues(string(causeRequests)),
	})
	l := r.load
	m.gauge("unverified_requests", "Requests whose signature is not checked yet.", nil, l.admission.heldRequests)
	m.gauge("unverified_bytes", "Bytes reserved for bodies whose signature is not checked yet.", nil, l.admission.heldBytes)
	m.gauge("connections", "Open connections.", nil, r.conns.Count)
	m.gauge("in_flight_requests", "Requests being received, verified or not.", nil, func() int64 {
		return l.admission.heldRequests() + l.requests.held.Load()
	})
	m.gauge("in_flight_bytes", "Bytes reserved for bodies being received, verified or not.", nil, func() int64 {
		return l.admission.heldBytes() + l.bytes.held.Load() + l.reserve.held.Load()
	})
	r.o.Runtime.Health.Check("receiver-load", 0, l.ready)
	return nil
}

// SetSecrets opens a source's secrets, newest first, in place of those in use,
// for every request that comes in from then on. An error names the setting and
// leaves those in use. It may be called at any time, by any goroutine.
func (r *Receiver) SetSecrets(name string, secrets []string) error {
	h, ok := r.handlers[name]
	if !ok {
		return fmt.Errorf("the source %s is not received here", name)
	}
	if err := h.setSecrets(secrets); err != nil {
		return secretsProblem(name, err)
	}
	return nil
}

// ReplaceSecrets is SetSecrets for all sources at once. An error leaves all as
// they are: a source that is received has no secrets any more, or bad ones. What
// else differs is not looked at.
func (r *Receiver) ReplaceSecrets(endpoints []Endpoint) error {
	secrets := map[string][]string{}
	for _, e := range endpoints {
		secrets[e.Source.Name()] = e.Secrets
	}
	var problems []error
	fresh := map[*handler]*opened{}
	for name, h := range r.handlers {
		next, err := h.open(secrets[name])
		if err != nil {
			problems = append(problems, secretsProblem(name, err))
		}
		fresh[h] = next
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	for h, next := range fresh {
		h.opened.Store(next)
	}
	return nil
}

func (r *Receiver) newServer() *http.Server {
	// The limits know one request a connection: no HTTP/2, with or without TLS.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Protocols:         protocols,
		Handler:           r.handler,
		ReadHeaderTimeout: min(readHeaderTimeout, r.o.Config.ReadTimeout),
		ReadTimeout:       r.o.Config.ReadTimeout,
		WriteTimeout:      r.o.Config.ReadTimeout + r.o.Config.PublishTimeout + writeSlack,
		IdleTimeout:       r.o.Config.IdleTimeout,
		ConnState:         r.conns.Track,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          silentLog(r.o.Runtime.Log),
		// "OPTIONS *" is answered like every path that is not there.
		DisableGeneralOptionsHandler: true,
	}
}

func (r *Receiver) openSpool(name string, p *publisher, m *metrics) (*spool.Spool, error) {
	s, err := spool.Open(spool.Options{
		Dir: r.o.Config.spoolDir(name), MaxBytes: int64(r.o.Config.SpoolBytes), Publish: p.publish,
		PublishTimeout: r.o.Config.PublishTimeout, Log: r.o.Runtime.Log.With(zap.String("source", name)),
	})
	if err != nil {
		return nil, fmt.Errorf("--spool-dir (THROUGHLINE_SPOOL_DIR): %w", err)
	}
	r.spools[name] = s
	r.o.Runtime.Health.Check("receiver-spool-"+name, 0, func(context.Context) error { return s.Ready() })
	labels := prometheus.Labels{"source": name}
	m.gauge("spool_deliveries", "Parts of deliveries that wait on disk for the brokers.", labels, s.Deliveries)
	m.gauge("spool_bytes", "Bytes that wait on disk for the brokers.", labels, s.Bytes)
	m.counter("spool_drained_total", "Parts of deliveries that were published from disk.", labels, s.Drained)
	m.counter("spool_set_aside_total", "Spooled entries that could not be published and lie in files of their own.", labels, s.SetAside)
	return s, nil
}

// Handler is what the server serves, for a test or a benchmark that has a
// server of its own. It works from New until Close.
func (r *Receiver) Handler() http.Handler { return r.handler }

// Addr gives the address it listens on, with the port that was found for port
// 0; "" until it does.
func (r *Receiver) Addr() string {
	if l := r.listener.Load(); l != nil {
		return (*l).Addr().String()
	}
	return ""
}

// Run receives until ctx ends, then stops in order within the runtime's
// StopTimeout: readiness off, no new requests, those in flight answered, client
// and spools closed. It is called once.
func (r *Receiver) Run(ctx context.Context) error {
	return r.o.Runtime.Group(r.Components()...).Run(ctx)
}

// Components are the parts that Run runs, downstream first, for a process whose
// one group holds several services.
func (r *Receiver) Components() []service.Component {
	parts := []service.Component{{
		Name:  "receiver-client",
		Start: func(context.Context) error { return nil },
		Stop:  r.stopClient,
	}, {Name: "receiver-topic-watch", Start: r.startTopics, Run: r.topics.Run}}
	for name, s := range r.spools {
		parts = append(parts, service.Component{Name: "receiver-spool-" + name, Run: s.Run})
	}
	return append(parts, service.Component{Name: "receiver", Start: r.listen, Run: r.serve, Stop: r.stopServer, StopTimeout: r.o.Runtime.DrainTimeout(r.o.Config.DrainDelay)})
}

// Close frees what New took. Run and the Components do so themselves; a second
// call gives the first one's result.
func (r *Receiver) Close() error {
	r.closing.Do(func() {
		for _, s := range r.spools {
			r.closed = errors.Join(r.closed, s.Close())
		}
		r.client.Close()
		r.topics.Close()
		r.deadlines.close()
	})
	return r.closed
}

// startTopics looks at the topics before the first delivery comes, if the brokers
// answer soon, and lets /readyz ask for them.
func (r *Receiver) startTopics(ctx context.Context) error {
	r.o.Runtime.Health.Check("receiver-topics", 0, r.topics.Check)
	ctx, cancel := context.WithTimeout(ctx, topicsTimeout)
	defer cancel()
	_ = r.topics.AwaitSafe(ctx) // Run goes on
	return nil
}

func (r *Receiver) listen(ctx context.Context) error {
	l, err := service.Listen(ctx, r.o.Config.Listen, "--listen (THROUGHLINE_RECEIVER_LISTEN)")
	if err != nil {
		return err
	}
	r.listener.Store(&l)
	names := make([]string, 0, len(r.o.Endpoints))
	for _, d := range r.o.Endpoints {
		names = append(names, d.Source.Name())
	}
	r.o.Runtime.Log.Info("receiving", zap.String("address", l.Addr().String()), zap.Strings("sources", names))
	return nil
}

func (r *Receiver) serve(context.Context) error {
	serve := r.server.Serve
	if r.server.TLSConfig != nil {
		// A handshake is bounded as a header is, and its connection counts as one
		// without a request.
		serve = func(l net.Listener) error { return r.server.ServeTLS(l, "", "") }
	}
	if err := serve(*r.listener.Load()); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// stopServer receives on for the drain delay, while load balancers see that
// readiness has gone; then it closes the listener, waits for the requests in
// flight, and cuts those that are left: they were not acknowledged.
func (r *Receiver) stopServer(ctx context.Context) error {
	r.load.draining.Store(true)
	r.o.Runtime.Drain(ctx, r.o.Config.DrainDelay)
	if err := r.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("waiting for requests in flight: %w", err), r.server.Close())
	}
	return nil
}

// stopClient gives records of deliveries that were given up a last chance, so
// that fewer come twice, and closes.
func (r *Receiver) stopClient(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	// What is left was never acknowledged: its vendor sends it again.
	_ = r.client.Flush(ctx)
	return r.Close()
}
