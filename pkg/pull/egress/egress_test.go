package egress

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "rk_live_0123456789abcdef"

func bearer(h http.Header, key string) { h.Set("Authorization", "Bearer "+key) }

// client gives one whose API is at this address, and allows loopback unless it is refused.
func client(t *testing.T, o Options) *Client {
	t.Helper()
	o.API.Authorize, o.Key = bearer, key
	c, err := New(o)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func get(t *testing.T, c *Client, at string) (string, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at, nil)
	require.NoError(t, err)
	resp, err := c.Do(r)
	if err != nil {
		require.NotContains(t, err.Error(), key)
		require.NotContains(t, err.Error(), "?", "no query")
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// serve starts a server and counts what reaches it.
func serve(t *testing.T, handle http.HandlerFunc) (*httptest.Server, *atomic.Int64) {
	t.Helper()
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		handle(w, r)
	}))
	t.Cleanup(server.Close)
	return server, &calls
}

func TestAsksTheHostWithTheKey(t *testing.T) {
	t.Parallel()
	server, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.URL.RequestURI(), r.Header.Get("Authorization"))
	})
	c := client(t, Options{Address: server.URL + "/gateway/", AllowPrivate: true})
	body, err := get(t, c, "/v1/events?limit=1")
	require.NoError(t, err)
	require.Equal(t, "/gateway/v1/events?limit=1 Bearer "+key, body)
}

func TestCallsNoOtherHost(t *testing.T) {
	t.Parallel()
	c := client(t, Options{API: source.API{Address: "https://api.example.com", Hosts: []string{"api.example.com", ".cdn.example.com"}}})
	for _, at := range []string{
		"https://evil.example/?q=1", "http://api.example.com/", "https://api.example.com:8443/", "https://api.example.com.evil.example/",
		"https://cdn.example.com/", "https://evilcdn.example.com/", "//evil.example/x", "https://user@api.example.com/", "https://169.254.169.254/",
	} {
		_, err := get(t, c, at)
		require.True(t, fault.IsPermanent(err), at)
		require.Equal(t, fault.Forbidden, fault.ReasonOf(err), at)
	}
	for host, want := range map[string]bool{"a.cdn.example.com": true, "A.CDN.example.com": true, ".cdn.example.com": false, "api.EXAMPLE.com": true} {
		require.Equal(t, want, c.check(&url.URL{Scheme: "https", Host: host}) == nil, host)
	}
}

func TestInnerAddresses(t *testing.T) {
	t.Parallel()
	for _, addr := range strings.Fields(`127.0.0.1 127.8.8.8 10.1.2.3 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 0.1.2.3 255.255.255.255
		224.0.0.1 240.0.0.1 198.18.0.1 192.0.0.192 ::1 :: fe80::1 fe80::1%eth0 fc00::1 fd00:ec2::254 ff02::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1
		::7f00:1 64:ff9b::7f00:1 2002:7f00:1::1 2001:0:1::1 fec0::1 2001:db8::1`) {
		require.True(t, isInner(netip.MustParseAddr(addr)), addr)
	}
	for _, addr := range strings.Fields("54.187.216.72 1.1.1.1 8.8.8.8 172.32.0.1 100.128.0.1 2606:4700::1 2a00:1450:4001::1 ::ffff:8.8.8.8") {
		require.False(t, isInner(netip.MustParseAddr(addr)), addr)
	}
}

func TestRefusesLoopbackUnlessItIsAllowed(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") }))
	t.Cleanup(server.Close)
	roots := server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	_, err := get(t, client(t, Options{Address: server.URL, Roots: roots}), "/x?y=z")
	require.ErrorContains(t, err, "127.0.0.1, which is no address on the internet")
	require.Equal(t, fault.Forbidden, fault.ReasonOf(err))
	body, err := get(t, client(t, Options{Address: server.URL, Roots: roots, AllowPrivate: true}), "/")
	require.NoError(t, err)
	require.Equal(t, "hello", body)
	_, err = get(t, client(t, Options{Address: server.URL, AllowPrivate: true}), "/")
	require.ErrorContains(t, err, "certificate", "an authority that nobody knows")
	require.False(t, fault.IsPermanent(err))
}

// resolver answers each question about an IPv4 address with the next of these, and the last from then on.
func resolver(t *testing.T, addrs ...string) *net.Resolver {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	t.Cleanup(func() { socket.Close(); <-done })
	go func() {
		defer close(done)
		buffer := make([]byte, 1500)
		for asked := 0; ; {
			n, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			answer := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
			if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
				addr := netip.MustParseAddr(addrs[min(asked, len(addrs)-1)])
				asked++
				answer.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: addr.As4()},
				}}
			}
			packed, err := answer.Pack()
			if err == nil {
				_, _ = socket.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", socket.LocalAddr().String())
	}}
}

// A name that was the vendor's a moment ago, and is looked at first, leads to this machine when the connection is made.
func TestDNSRebinding(t *testing.T) {
	t.Parallel()
	server, calls := serve(t, func(http.ResponseWriter, *http.Request) {})
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	names := resolver(t, "54.187.216.72", "127.0.0.1")
	c := client(t, Options{API: source.API{Address: "https://api.stripe.test:" + port, Hosts: []string{"api.stripe.test"}}, Resolver: names})
	first, err := names.LookupNetIP(t.Context(), "ip4", "api.stripe.test")
	require.NoError(t, err)
	require.False(t, isInner(first[0]), "a check before the connection would pass")
	_, err = get(t, c, "/v1/events?x=1")
	require.ErrorContains(t, err, "127.0.0.1, which is no address on the internet")
	require.True(t, fault.IsPermanent(err))
	require.Zero(t, calls.Load(), "nothing reached it")
}

func TestRedirects(t *testing.T) {
	t.Parallel()
	elsewhere, stolen := serve(t, func(http.ResponseWriter, *http.Request) {})
	server, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, elsewhere.URL+"/?secret=1", http.StatusFound)
		case "/metadata":
			http.Redirect(w, r, "http://169.254.169.254/latest/", http.StatusTemporaryRedirect)
		case "/loop":
			http.Redirect(w, r, "/loop", http.StatusFound)
		case "/here":
			http.Redirect(w, r, "/there", http.StatusMovedPermanently)
		default:
			fmt.Fprint(w, r.Header.Get("Authorization"))
		}
	})
	c := client(t, Options{Address: server.URL, AllowPrivate: true})
	for _, path := range []string{"/away", "/metadata", "/loop"} {
		_, err := get(t, c, path)
		require.ErrorContains(t, err, "redirects", path)
		require.True(t, fault.IsPermanent(err), path)
	}
	require.Zero(t, stolen.Load())
	body, err := get(t, c, "/here")
	require.NoError(t, err)
	require.Equal(t, "Bearer "+key, body)
}

func TestSlowBodyIsCut(t *testing.T) {
	t.Parallel()
	server, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "{")
		w.(http.Flusher).Flush()
		<-r.Context().Done() // until the client has had enough
	})
	_, err := get(t, client(t, Options{Address: server.URL, AllowPrivate: true, Timeout: 50 * time.Millisecond}), "/")
	var timeout net.Error
	require.True(t, errors.As(err, &timeout) && timeout.Timeout(), "%v", err)
}

func TestLargeAnswers(t *testing.T) {
	t.Parallel()
	server, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			packed := gzip.NewWriter(w)
			_, _ = io.CopyN(packed, zeros{}, 64<<20)
			packed.Close()
		case "/header":
			w.Header().Set("X", strings.Repeat("x", 2*mostHeader))
		case "/exactly":
			fmt.Fprint(w, strings.Repeat("x", 1000))
		}
	})
	c := client(t, Options{Address: server.URL, AllowPrivate: true, MostBytes: 1000})
	body, err := get(t, c, "/exactly")
	require.NoError(t, err)
	require.Len(t, body, 1000)
	body, err = get(t, c, "/bomb")
	require.ErrorContains(t, err, "more than 1000 bytes")
	require.Equal(t, fault.Oversized, fault.ReasonOf(err))
	require.LessOrEqual(t, len(body), 1001)
	_, err = get(t, c, "/header")
	require.Error(t, err)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestNoProxyOfTheEnvironment(t *testing.T) {
	proxy, calls := serve(t, func(http.ResponseWriter, *http.Request) {})
	server, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "direct") })
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, proxy.URL)
	}
	require.Nil(t, client(t, Options{Address: server.URL, AllowPrivate: true}).pool.Proxy)
	body, err := get(t, client(t, Options{Address: server.URL, AllowPrivate: true}), "/")
	require.NoError(t, err)
	require.Equal(t, "direct", body)
	require.Zero(t, calls.Load())
}

func TestRateEndsWithTheContext(t *testing.T) {
	t.Parallel()
	server, calls := serve(t, func(http.ResponseWriter, *http.Request) {})
	c := client(t, Options{Address: server.URL, AllowPrivate: true, Rate: 1e-6})
	_, err := get(t, c, "/")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	require.NoError(t, err)
	_, err = c.Do(r)
	require.ErrorContains(t, err, "waiting for the turn", "the second would come in days")
	require.EqualValues(t, 1, calls.Load())
}

func TestAddressProblems(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"api.example.com":            "absolute URL",
		"ftp://api.example.com":      "absolute URL",
		"http://api.example.com":     "in the clear",
		"https://u:p@example.com":    "without user",
		"https://example.com/?key=1": "without user, query",
		"https://exa mple.com/%zz":   "absolute URL",
	} {
		_, err := New(Options{Address: address})
		require.ErrorContains(t, err, want, address)
	}
}
