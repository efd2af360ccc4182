package console

import (
	"context"
	"net"
	"net/http"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/service/strangers"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/rest"
	"github.com/throughline-dev/throughline/services/console/signin"
	"github.com/throughline-dev/throughline/services/console/web"
)

// Options are what the service is told.
type Options struct {
	Server  Server        // without a Listen: the defaults
	SignIn  signin.Config // without a Login: the defaults
	Resolve resolve.Config
	// Program is how the command line is called where the console shows commands; "": throughline.
	Program string
	// Sends: `throughline send` reaches the receivers from where the reader is, with SendFlags.
	Sends     bool
	SendFlags string
}

// rawPatience bounds how long a raw record is read for somebody who waits.
const rawPatience = 2 * time.Second

// Console is the service.
type Console struct {
	o        Options
	backend  *backend.Service
	rt       *service.Runtime
	metrics  *metrics
	rejected *rejections // nil: no receiver is known
	server   *http.Server
	listener atomic.Pointer[net.Listener]

	connections *strangers.Connections
	slots       chan struct{} // of requests that are worked on

	serving    context.Context //nolint:containedctx // the life of the streams: stop must end it before the server's
	endStreams context.CancelFunc
}

// New makes the service. It calls nobody. An error is what a person must fix.
func New(d stage.Deps, o Options) (*Console, error) {
	if o.Server.Listen == "" {
		settings.Defaults(&o.Server)
	}
	if o.SignIn.Login == "" {
		settings.Defaults(&o.SignIn)
	}
	c := &Console{o: o, rt: d.Runtime, metrics: newMetrics(d.Runtime.Registry), slots: make(chan struct{}, maxInFlight)}
	c.connections = strangers.NewConnections(strangers.Options{
		Most: maxConnections, PerAddress: maxPerAddress, Busy: true,
		ClosedOfAddress: c.metrics.closed.WithLabelValues("address"), ClosedOfAll: c.metrics.closed.WithLabelValues("all"),
	})
	c.metrics.connections(d.Runtime.Registry, c.connections.Count)
	c.serving, c.endStreams = context.WithCancel(context.Background())
	handler, err := c.handler(d)
	if err != nil {
		return nil, err
	}
	if c.server, err = c.newServer(handler); err != nil {
		return nil, err
	}
	return c, nil
}

// Components gives the service's parts, downstream first.
func (c *Console) Components() []service.Component {
	parts := []service.Component{
		{Name: "console-backend", Stop: func(context.Context) error { c.backend.Close(); return nil }},
		{Name: "console", Start: c.listen, Run: c.serve, Stop: c.stop, StopTimeout: c.rt.DrainTimeout(c.o.Server.DrainDelay)},
	}
	if c.rejected != nil {
		parts = append([]service.Component{{Name: "console-rejections", Run: c.rejected.run}}, parts...)
	}
	return parts
}

// handler puts together who may come in and what there is.
func (c *Console) handler(d stage.Deps) (http.Handler, error) {
	resolver, err := resolve.New(d.Pool, c.o.Resolve)
	if err != nil {
		return nil, err
	}
	store, base := access.NewStore(d.Pool), c.o.SignIn.BasePath()
	o := backend.Options{Pool: d.Pool, Sources: d.Sources, Resolver: resolver, Access: store, StatementLimit: c.o.Server.Patience, Export: backend.ExportPolicy(c.o.Server.Export)}
	if len(d.Kafka.Brokers) > 0 {
		o.Raw = func(ctx context.Context, topic string, partition int32, offset int64) (*kgo.Record, error) {
			return stream.ReadAt(ctx, d.Kafka, topic, partition, offset, rawPatience)
		}
	}
	if len(c.o.Server.Receivers) > 0 {
		if c.rejected, err = newRejections(c.o.Server.Receivers, c.rt.Log); err != nil {
			return nil, err
		}
		o.Rejected = c.rejected.Rejected
	}
	c.backend = backend.New(o)
	api, err := rest.New(c.backend)
	if err != nil {
		return nil, err
	}
	door := signin.New(signin.Options{Config: c.o.SignIn, Store: store, Log: c.rt.Log, Render: web.SignIn(base)})
	out := base + "/signout"
	if c.o.SignIn.Login == signin.None {
		out = ""
	}
	pages := web.New(web.Options{Backend: c.backend, BasePath: base, SignOut: out, Log: c.rt.Log, Program: c.o.Program, Sends: c.o.Sends, SendFlags: c.o.SendFlags})
	mux, in := http.NewServeMux(), door.Handler()
	for _, path := range []string{"/signin", "/signin/", "/signout"} {
		mux.Handle(base+path, in)
	}
	doorOfAPI, doorOfPages := door.API(c.inside(http.StripPrefix(base, api))), door.Pages(c.inside(pages))
	mux.Handle(base+rest.Base, doorOfAPI)
	mux.Handle(base+rest.Base+"/", doorOfAPI)
	mux.Handle(base+"/assets/", pages) // the page to sign in needs them, too
	mux.Handle(base+"/", doorOfPages)
	if base != "" {
		mux.Handle("/", underPrefix(base, mux))
	}
	return c.outermost(cleanPaths(base, doorOfAPI, doorOfPages, mux))
}

// cleanPaths answers paths with empty or dot segments, which net/http redirects with a page of its own, as others that are
// not there: programs get a problem, people a page.
func cleanPaths(base string, api, pages, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.URL.EscapedPath()
		clean := path.Clean(asked)
		if asked == clean || asked == clean+"/" || !strings.HasPrefix(asked, "/") {
			next.ServeHTTP(w, r)
			return
		}
		nowhere := *r.URL
		nowhere.RawPath = ""
		r = r.Clone(r.Context())
		r.URL = &nowhere
		if nowhere.Path = base + "/nowhere"; strings.HasPrefix(clean+"/", base+rest.Base+"/") || strings.HasPrefix(clean+"/", rest.Base+"/") {
			nowhere.Path = base + rest.Base + "/nowhere"
			api.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
}

// underPrefix answers requests from which a proxy in front has taken the prefix away. Redirecting them to it would never end.
func underPrefix(base string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/") { // OPTIONS *
			http.NotFound(w, r)
			return
		}
		whole := *r.URL
		whole.Path = base + whole.Path
		if whole.RawPath != "" {
			whole.RawPath = base + whole.RawPath
		}
		r = r.Clone(r.Context())
		r.URL = &whole
		next.ServeHTTP(w, r)
	})
}
