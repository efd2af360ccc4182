package pgserver

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"time"
)

const (
	// repository has the archives of embedded-postgres; it is the library's own default.
	repository = "https://repo1.maven.org/maven2"
	// tellEvery is how often it is said how much has come.
	tellEvery = 2 * time.Second
	mega      = 1 << 20
)

// watched is a repository behind a proxy on loopback that says how much has come, because the library cannot.
type watched struct {
	url    string
	server *http.Server
	client *http.Transport
	served sync.WaitGroup

	mu  sync.Mutex
	err error // of the newest request that failed
}

// watch begins to serve what is at target. doing begins each line that tell gets.
func watch(target, doing string, tell func(string)) (*watched, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("reading the repository's address: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for the fetch of postgres: %w", err)
	}
	w := &watched{url: "http://" + listener.Addr().String(), client: &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}}
	w.server = &http.Server{ReadHeaderTimeout: startTimeout, Handler: &httputil.ReverseProxy{
		Transport: w.client,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		ModifyResponse: func(r *http.Response) error {
			if r.ContentLength > mega { // the archive, and not its checksum
				r.Body = &counted{ReadCloser: r.Body, total: r.ContentLength, doing: doing, tell: tell}
			}
			return nil
		},
		ErrorHandler: func(answer http.ResponseWriter, _ *http.Request, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.err = err
			answer.WriteHeader(http.StatusBadGateway)
		},
	}}
	w.served.Go(func() {
		if err := w.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.err = err
		}
	})
	return w, nil
}

func (w *watched) failed() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *watched) close() {
	_ = w.server.Close() // the listener's error; what it served is here, or failed
	w.served.Wait()
	w.client.CloseIdleConnections()
}

// counted is a body that says how much of it was read.
type counted struct {
	io.ReadCloser
	read, total int64
	doing       string
	tell        func(string)
	told        time.Time
}

// Read implements io.Reader.
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.read += int64(n)
	if now := time.Now(); now.Sub(c.told) >= tellEvery || c.read == c.total && n > 0 {
		c.told = now
		c.tell(fmt.Sprintf("%s, once: %.1f of %.1f MB", c.doing, float64(c.read)/1e6, float64(c.total)/1e6))
	}
	return n, err
}
