package console

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/tlsfiles"
	"github.com/throughline-dev/throughline/services/console/problem"
	"github.com/throughline-dev/throughline/services/console/rest"
	"github.com/throughline-dev/throughline/services/console/signin"
)

const (
	maxHeaderBytes    = 16 << 10
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 20 * time.Second
	idleTimeout       = 2 * time.Minute
	writeTimeout      = time.Minute // streams set their own
	// maxInFlight bounds the requests of those who are signed in that are worked on at a time, streams aside, which have a
	// bound of their own. Those who are not are bounded by their connections.
	maxInFlight = 256
	// maxConnections bounds the open connections. Beyond it one of somebody is closed who is not signed in, idle ones first;
	// so is one of an address that has more than maxPerAddress of them.
	maxConnections = 1024
	maxPerAddress  = 256
)

// listen opens the port.
func (c *Console) listen(ctx context.Context) error {
	l, err := service.Listen(ctx, c.o.Server.Listen, "--console-listen (THROUGHLINE_CONSOLE_LISTEN)")
	if err != nil {
		return err
	}
	c.listener.Store(&l)
	c.rt.Log.Info("serving the console and the HTTP API", zap.String("address", l.Addr().String()), zap.String("login", c.o.SignIn.Login))
	return nil
}

// Addr gives the address it listens on, with the port that was found for port 0; "" until it does.
func (c *Console) Addr() string {
	if l := c.listener.Load(); l != nil {
		return (*l).Addr().String()
	}
	return ""
}

func (c *Console) newServer(handler http.Handler) (*http.Server, error) {
	// The bounds know one request a connection: no HTTP/2, with or without TLS.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	server := &http.Server{
		Protocols: protocols, ConnState: c.connections.Track, ConnContext: c.connections.Context,
		Handler: handler, MaxHeaderBytes: maxHeaderBytes, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog: zap.NewStdLog(zap.NewNop()), // strangers write into it
		// Streams end with it: a server's Shutdown does not wait for ever then.
		BaseContext: func(net.Listener) context.Context { return c.serving },
	}
	if c.o.Server.TLSCertFile == "" {
		return server, nil
	}
	certificate, err := tlsfiles.NewCertificate(c.o.Server.TLSCertFile, c.o.Server.TLSKeyFile, c.rt.Log)
	if err != nil {
		return nil, fmt.Errorf("--console-tls-cert-file: %w", err)
	}
	if err := certificate.Register(c.rt.Registry, "console"); err != nil {
		return nil, fmt.Errorf("registering the certificate's metrics: %w", err)
	}
	server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.GetCertificate}
	return server, nil
}

func (c *Console) serve(ctx context.Context) error {
	l := *c.listener.Load()
	if c.server.TLSConfig != nil {
		l = tls.NewListener(l, c.server.TLSConfig)
	}
	if err := c.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the console: %w", err)
	}
	<-ctx.Done()
	return nil
}

// stop serves on for the drain delay, and ends the streams then.
func (c *Console) stop(ctx context.Context) error {
	c.rt.Drain(ctx, c.o.Server.DrainDelay)
	c.endStreams()
	if err := c.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("answering what was asked already: %w", err), c.server.Close())
	}
	return nil
}

// outermost is what every request passes: what is the same for the API and the pages.
func (c *Console) outermost(next http.Handler) (http.Handler, error) {
	sameOrigin := http.NewCrossOriginProtection()
	if u, err := url.Parse(string(c.o.SignIn.PublicURL)); err == nil && u.Host != "" {
		// A proxy in front may give another Host than people see.
		if err := sameOrigin.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
			return nil, fmt.Errorf("--console-public-url: %w", err)
		}
	}
	sameOrigin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		problem.Write(w, problem.Problem{Type: "about:blank", Title: http.StatusText(http.StatusForbidden), Status: http.StatusForbidden, Reason: "forbidden",
			Detail: "a page of another site asked for this: open the console's own page and do it there; where a proxy is in front, --console-public-url should be the address that people open"}, 0)
	}))
	next = sameOrigin.Handler(next)
	if c.o.SignIn.Login == signin.None {
		next = service.LocalOnly(next)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		seen := &response{ResponseWriter: w}
		defer func() {
			trouble := recover()
			aborted := trouble == http.ErrAbortHandler //nolint:errorlint // compared as net/http does
			if trouble != nil && !aborted {
				c.rt.Log.Error("a request ended in a panic", zap.Any("panic", trouble), zap.ByteString("stack", debug.Stack()))
				if seen.status == 0 {
					problem.Write(seen, problem.Problem{Type: "about:blank", Title: "Internal Server Error", Status: 500, Detail: "this is a fault of the console: its log says more"}, 0)
				}
			}
			c.metrics.answered(r, seen.status, time.Since(started))
			if aborted {
				panic(http.ErrAbortHandler) // net/http ends the connection, so that nobody takes half an answer for all of it
			}
		}()
		h := seen.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if !isStream(r) {
			readAhead(r) // before it takes a slot (inside): who sends slowly keeps nobody out
			if r.Method == http.MethodGet || r.Method == http.MethodHead {
				ctx, cancel := context.WithTimeout(r.Context(), c.readWithin(r))
				defer cancel()
				r = r.WithContext(ctx)
			}
		}
		next.ServeHTTP(seen, r)
	}), nil
}

// inside is what every request passes that the door has let in. Its slots are behind the door, so that those who wait before
// it, for their tokens to be looked up, take none from those who are known.
func (c *Console) inside(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.connections.Vouch(r.Context())
		if !isStream(r) {
			select {
			case c.slots <- struct{}{}:
				defer func() { <-c.slots }()
			default:
				problem.Write(w, problem.Problem{Type: "about:blank", Title: "Service Unavailable", Status: 503, Detail: "too many requests at a time: try again in a second"}, time.Second)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// readWithin bounds the answer to a question. A server that hangs does not end its statements by itself.
func (c *Console) readWithin(r *http.Request) time.Duration {
	if strings.HasSuffix(r.URL.Path, rest.Base+"/feed") {
		return 2*c.o.Server.Patience + rest.FeedWait
	}
	return 2 * c.o.Server.Patience
}

// readAhead reads a body as far as strangers' bodies are taken by any handler.
func readAhead(r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody {
		return
	}
	start, err := io.ReadAll(io.LimitReader(r.Body, rest.MaxBody+1))
	behind := io.Reader(r.Body)
	if err != nil {
		behind = failed{err}
	}
	r.Body = body{io.MultiReader(bytes.NewReader(start), behind), r.Body}
}

// body is one of which the start was read.
type body struct {
	io.Reader
	io.Closer
}

// failed is what is behind the bytes that came before an error.
type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }

// isStream says whether a path answers with server-sent events or an export, whose number package backend bounds.
func isStream(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, "/export") || strings.HasSuffix(r.URL.Path, rest.Base+"/live") || strings.HasSuffix(r.URL.Path, "/live/events")
}

// response knows the status that was answered.
type response struct {
	http.ResponseWriter
	status int
}

// WriteHeader is http.ResponseWriter's.
func (r *response) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write is http.ResponseWriter's.
func (r *response) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (r *response) Unwrap() http.ResponseWriter { return r.ResponseWriter }
