package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Bounds of the admin server. A profile runs for 30 s by default, so an answer
// may take a minute; a request is only ever a line and a few headers.
const (
	adminReadTimeout  = 10 * time.Second
	adminWriteTimeout = time.Minute
	adminIdleTimeout  = time.Minute
	adminMaxHeader    = 16 << 10
	adminScrapes      = 4
)

// Admin is the server of /livez, /readyz, /metrics (Prometheus text and
// OpenMetrics) and, when asked for, /debug/pprof/. It is a server of its own, so
// that neither load on the service nor the internet reaches it. On loopback it is
// LocalOnly.
type Admin struct {
	addr     string
	server   *http.Server
	listener net.Listener
	served   chan struct{}
	err      error // of Serve; read after served is closed
}

// NewAdmin makes the server of a runtime at addr (host:port; port 0: any).
func NewAdmin(rt *Runtime, addr string, withPprof bool) *Admin {
	return &Admin{addr: addr, server: &http.Server{
		Handler:           adminHandler(rt, withPprof),
		ReadHeaderTimeout: adminReadTimeout, ReadTimeout: adminReadTimeout,
		WriteTimeout: adminWriteTimeout, IdleTimeout: adminIdleTimeout, MaxHeaderBytes: adminMaxHeader,
	}}
}

// Start listens and serves. It must not be called twice.
func (a *Admin) Start(ctx context.Context) error {
	listener, err := Listen(ctx, a.addr, "--admin-addr (THROUGHLINE_ADMIN_ADDR)")
	if err != nil {
		return err
	}
	a.listener, a.served = listener, make(chan struct{})
	if tcp, ok := listener.Addr().(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		a.server.Handler = LocalOnly(a.server.Handler)
	}
	go func() {
		defer close(a.served)
		if err := a.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			a.err = fmt.Errorf("serving the admin address: %w", err)
		}
	}()
	return nil
}

// Addr gives the address it listens on, with the port that was found for port
// 0; "" before Start.
func (a *Admin) Addr() string {
	if a.listener == nil {
		return ""
	}
	return a.listener.Addr().String()
}

// Stop lets running requests end until ctx does, then cuts them. It may be
// called again, and without Start.
func (a *Admin) Stop(ctx context.Context) error {
	if a.listener == nil {
		return nil
	}
	if err := a.server.Shutdown(ctx); err != nil {
		_ = a.server.Close() // a scrape or profile that is cut loses nothing
	}
	<-a.served
	return a.err
}

func adminHandler(rt *Runtime, withPprof bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", rt.Health.Livez)
	mux.HandleFunc("GET /readyz", rt.Health.Readyz)
	mux.Handle("GET /metrics", promhttp.InstrumentMetricHandler(rt.Registry, promhttp.HandlerFor(rt.Registry, promhttp.HandlerOpts{
		EnableOpenMetrics: true, MaxRequestsInFlight: adminScrapes, Timeout: adminReadTimeout,
		ErrorHandling: promhttp.ContinueOnError,
	})))
	if withPprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}
