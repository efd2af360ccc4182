package postgrestest

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/local/network"
)

// Proxy is a network between a program and its database that can lose packets, or be slow. It ends with the test.
type Proxy struct {
	*network.Proxy
	url string
}

// NewProxy starts a proxy before the database at this address.
func NewProxy(t testing.TB, databaseURL string) *Proxy {
	t.Helper()
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	p, err := network.Start("127.0.0.1:0", u.Host)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	u.Host = p.Addr()
	return &Proxy{Proxy: p, url: u.String()}
}

// URL is the database's address by way of the proxy.
func (p *Proxy) URL() string { return p.url }
