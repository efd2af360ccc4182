package console

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/services/console/signin"
)

// Options are what the service is told.
type Options struct {
	Server  Server        // without a Listen: the defaults
	SignIn  signin.Config // without a Login: the defaults
	Resolve resolve.Config
}

// Console is the service.
type Console struct {
	o        Options
	rt       *service.Runtime
	metrics  *metrics
	server   *http.Server
	listener atomic.Pointer[net.Listener]

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
	c := &Console{o: o, rt: d.Runtime, metrics: newMetrics(d.Runtime.Registry)}
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
	return []service.Component{{Name: "console", Start: c.listen, Run: c.serve, Stop: c.stop}}
}

// handler puts together who may come in and what there is.
func (c *Console) handler(d stage.Deps) (http.Handler, error) {
	door := signin.New(signin.Options{Config: c.o.SignIn, Store: access.NewStore(d.Pool), Log: c.rt.Log})
	mux := http.NewServeMux()
	base := c.o.SignIn.BasePath()
	for _, path := range []string{"/signin", "/signin/", "/signout"} {
		mux.Handle(base+path, door.Handler())
	}
	return c.outermost(mux)
}
