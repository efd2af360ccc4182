// Package egress makes requests to vendors' APIs, and to nothing else.
//
// A Client calls the hosts of one source, by HTTPS, and looks at each address
// itself, after DNS has given it and before anything is sent: a name that leads to
// this machine, a private network or a cloud's metadata service is refused,
// whatever it led to a moment before. It follows no redirect to another host, uses
// no proxy of the environment, and bounds the time, the size and the rate of
// requests. The key is put on the headers of requests to those hosts only; no error
// holds it, nor a URL's query.
package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Options say what a Client may do.
type Options struct {
	// API has the address, the hosts and the rate of the vendor's API.
	API source.API
	// Key is put on each request by API.Authorize.
	Key settings.Secret
	// Address replaces the API's, and its host the API's hosts: a gateway through
	// which calls have to go, or a fake in a test. "": the API's own. It is the only
	// way to call by http.
	Address string
	// AddressSetting is what sets Address, for the advice of a refusal:
	// "THROUGHLINE_STRIPE_API_URL"; "": a refusal says nothing of it.
	AddressSetting string
	// AllowPrivate takes private, loopback and link-local addresses.
	AllowPrivate bool
	// Rate replaces the API's requests a second, the slower ones too, where it is above 0.
	Rate float64
	// Turns, if set, says when each request may go, in the place of the rate: it shares
	// that with other processes.
	Turns Turns
	// Timeout bounds one request until its body is read; 0: a minute.
	Timeout time.Duration
	// MostBytes bounds an answer's body after decompression; 0: what a page of a raw
	// topic may have.
	MostBytes int64
	// Roots are the authorities that sign the hosts' certificates; nil: the system's.
	Roots *x509.CertPool
	// Resolver finds addresses; nil: the system's.
	Resolver *net.Resolver
}

// Turns shares the requests that a vendor allows (pull.Budget). It is safe for
// concurrent use.
type Turns interface {
	// Wait returns when a request may be sent.
	Wait(ctx context.Context) error
	// Told hears what an answer's headers say is left.
	Told(ctx context.Context, left source.Left) error
	// Pause lets nobody send one for so long; why says what the vendor answered, for a
	// person.
	Pause(ctx context.Context, long time.Duration, why string) error
}

const (
	defaultTimeout = time.Minute
	dialTimeout    = 10 * time.Second
	mostHeader     = 64 << 10
	mostRedirects  = 3
)

// Client is a source.Doer. It is safe for concurrent use. Close it.
type Client struct {
	o       Options
	base    *url.URL
	hosts   []string
	limiter *rate.Limiter
	slower  map[string]*rate.Limiter // by the beginning of a path
	client  *http.Client
	pool    *http.Transport
	login   *login // nil: the key itself is sent
}

// New makes a Client. It does not connect. An error is one sentence for the person
// who set Address.
func New(o Options) (*Client, error) {
	address, hosts := o.API.Address, o.API.Hosts
	if o.Address != "" {
		address = o.Address
	}
	if address == "" {
		return nil, errors.New("is not set: this vendor gives each of its customers an address of its own")
	}
	base, err := url.Parse(address)
	switch {
	case err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http":
		return nil, errors.New("the API's address should be an absolute URL like https://api.example.com")
	case base.User != nil || base.RawQuery != "" || base.Fragment != "":
		return nil, errors.New("the API's address should be without user, query and fragment")
	case base.Scheme == "http" && !o.AllowPrivate:
		return nil, errors.New("the API's address should begin with https://: the key would be sent in the clear")
	}
	if o.Address != "" {
		hosts = []string{base.Hostname()}
	}
	slower := map[string]*rate.Limiter{}
	if o.Rate <= 0 {
		o.Rate = o.API.Rate
		for path, limit := range o.API.Slower {
			slower[path] = rate.NewLimiter(rate.Limit(limit), 1)
		}
	}
	limit := rate.Inf
	if o.Rate > 0 {
		limit = rate.Limit(o.Rate)
	}
	if o.Timeout <= 0 {
		o.Timeout = defaultTimeout
	}
	if o.MostBytes <= 0 {
		o.MostBytes = rawjson.MaxPageBytes
	}
	c := &Client{o: o, base: base, hosts: hosts, limiter: rate.NewLimiter(limit, 1), slower: slower}
	dialer := &net.Dialer{Timeout: dialTimeout, Resolver: o.Resolver, ControlContext: c.control}
	c.pool = &http.Transport{
		Proxy:                  nil, // not the environment's: it would resolve names in our place
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots},
		TLSHandshakeTimeout:    dialTimeout,
		MaxResponseHeaderBytes: mostHeader,
		MaxConnsPerHost:        8,
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        30 * time.Second,
		ForceAttemptHTTP2:      true,
	}
	c.client = &http.Client{Transport: c.pool, CheckRedirect: c.redirect, Timeout: o.Timeout}
	if o.API.Login != nil {
		c.login = &login{by: o.API.Login, key: string(o.Key), turn: make(chan struct{}, 1)}
	}
	return c, nil
}

// Close ends idle connections.
func (c *Client) Close() { c.pool.CloseIdleConnections() }

// Do implements source.Doer: it waits for its turn, which the rate gives, and asks.
// Where the vendor wants a token it logs in first, and once more after a 401. Errors
// are Permanent(Forbidden) where the request may not be made, whatever asks for it,
// those of API.Login, and else Transient(Unavailable). The body gives
// Permanent(Oversized) where it is over the bound.
func (c *Client) Do(r *http.Request) (*http.Response, error) {
	switch {
	case source.GoesWithoutKey(r.Context()):
		return c.send(r, "")
	case c.login == nil:
		return c.send(r, string(c.o.Key))
	}
	token, err := c.login.token(r.Context(), c)
	if err != nil {
		return nil, err
	}
	resp, err := c.send(r, token)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || r.Body != nil && r.GetBody == nil {
		return resp, err
	}
	resp.Body.Close()
	c.login.refused(token)
	if token, err = c.login.token(r.Context(), c); err != nil {
		return nil, err
	}
	if r.GetBody != nil {
		r = r.Clone(r.Context())
		if r.Body, err = r.GetBody(); err != nil {
			return nil, fault.Permanent(fault.Malformed, fmt.Errorf("sending a request again: %w", err))
		}
	}
	return c.send(r, token)
}

// TokenRefused implements what source.TokenRefused asks for.
func (c *Client) TokenRefused() {
	if c.login != nil {
		c.login.refused("")
	}
}

// send makes one request, with this key unless it is "".
func (c *Client) send(r *http.Request, key string) (*http.Response, error) {
	at := c.base.ResolveReference(r.URL)
	if !r.URL.IsAbs() {
		at.Path = strings.TrimSuffix(c.base.Path, "/") + r.URL.Path
	}
	if err := c.check(at); err != nil {
		return nil, err
	}
	for path, limiter := range c.slower {
		if strings.HasPrefix(r.URL.Path, path) {
			if err := turn(r.Context(), limiter.Wait); err != nil {
				return nil, err
			}
		}
	}
	if err := c.wait(r.Context()); err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.URL, r.Host = at, ""
	if c.o.API.Authorize != nil && key != "" {
		c.o.API.Authorize(r.Header, key)
	}
	resp, err := c.client.Do(r)
	if err != nil {
		return nil, c.failed(at, err)
	}
	if err := c.tell(r.Context(), resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	resp.Body = &bounded{body: resp.Body, left: c.o.MostBytes, most: c.o.MostBytes}
	return resp, nil
}

// wait returns when it is a request's turn among all of this API.
func (c *Client) wait(ctx context.Context) error {
	if c.o.Turns != nil {
		return turn(ctx, c.o.Turns.Wait)
	}
	return turn(ctx, c.limiter.Wait)
}

func turn(ctx context.Context, wait func(context.Context) error) error {
	if err := wait(ctx); err != nil {
		return fault.Transient(fault.Unavailable, fmt.Errorf("waiting for the turn of a request: %w", err))
	}
	return nil
}

// tell shares what an answer says of the requests to come.
func (c *Client) tell(ctx context.Context, resp *http.Response) error {
	if c.o.Turns == nil {
		return nil
	}
	read := c.o.API.Left
	if read == nil {
		read = source.ReadLeft
	}
	if left, ok := read(resp.Header); ok {
		if err := c.o.Turns.Told(ctx, left); err != nil {
			return err
		}
	}
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		if after := source.RetryAfter(resp.Header); after > 0 {
			return c.o.Turns.Pause(ctx, after, fmt.Sprintf("the API answered %d %s with Retry-After", resp.StatusCode, http.StatusText(resp.StatusCode)))
		}
	}
	return nil
}

// check refuses what is not the vendor's.
func (c *Client) check(at *url.URL) error {
	switch {
	case at.Scheme != c.base.Scheme:
		return c.elsewhere("a request to %s would not go by %s", at.Hostname(), c.base.Scheme)
	case at.User != nil:
		return c.elsewhere("a request to %s has a user in its URL", at.Hostname())
	case at.Port() != c.base.Port():
		return c.elsewhere("a request to %s goes to another port than the API's", at.Hostname())
	case !slices.ContainsFunc(c.hosts, func(host string) bool { return matches(host, at.Hostname()) }):
		return c.elsewhere("%s is no host of this API (%s)", at.Hostname(), strings.Join(c.hosts, ", "))
	}
	return nil
}

// matches: ".example.com" stands for every name below example.com.
func matches(pattern, host string) bool {
	host = strings.ToLower(host)
	if strings.HasPrefix(pattern, ".") {
		return len(host) > len(pattern) && strings.HasSuffix(host, pattern)
	}
	return host == strings.ToLower(pattern)
}

// control sees the address that a connection is about to be made to.
func (c *Client) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	if c.o.AllowPrivate {
		return nil
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil || isInner(to.Addr()) {
		return fault.Advise(forbidden("the host leads to %s, which is no address on the internet", to.Addr()),
			"if a gateway of yours is there, set --egress-allow-private (THROUGHLINE_EGRESS_ALLOW_PRIVATE=true); if not, look at what your DNS answers for that host")
	}
	return nil
}

// redirect follows what stays on the host: the key goes along.
func (c *Client) redirect(r *http.Request, via []*http.Request) error {
	first := via[0].URL
	switch {
	case r.URL.Scheme != first.Scheme || r.URL.Host != first.Host || r.URL.User != nil:
		return c.elsewhere("the API redirects to another place, %s://%s, which is not followed", r.URL.Scheme, r.URL.Host)
	case len(via) > mostRedirects:
		return c.elsewhere("the API redirects more than %d times, at last to %s", mostRedirects, r.URL.Host)
	}
	return nil
}

// failed names the host and the path: a query may hold what is nobody's business.
func (c *Client) failed(at *url.URL, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // its text is the whole URL's
	}
	err = fmt.Errorf("asking %s%s: %w", at.Host, at.Path, err)
	if fault.IsPermanent(err) {
		return err
	}
	return fault.Transient(fault.Unavailable, err)
}

// elsewhere refuses a place that is not the API's.
func (c *Client) elsewhere(format string, args ...any) error {
	err := forbidden(format, args...)
	if c.o.AddressSetting == "" {
		return err
	}
	return fault.Advise(err, "the key is sent to "+c.base.Host+" only: if the API has moved there, set "+c.o.AddressSetting+" to its new address")
}

func forbidden(format string, args ...any) error {
	return fault.Permanent(fault.Forbidden, fmt.Errorf(format, args...))
}

// bounded is a body that ends with an error where it is too large.
type bounded struct {
	body       io.ReadCloser
	left, most int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, b.over()
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.body.Read(p)
	b.left -= int64(n)
	if b.left < 0 {
		return n, b.over()
	}
	return n, err
}

func (b *bounded) over() error {
	return fault.Permanent(fault.Oversized, fmt.Errorf("the answer has more than %d bytes", b.most))
}

// Close implements io.Closer.
func (b *bounded) Close() error { return b.body.Close() }
