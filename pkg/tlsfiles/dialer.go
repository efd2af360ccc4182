package tlsfiles

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"
)

// Files are what a client's TLS is made of, each a path or "".
type Files struct {
	CA   string // authorities that sign servers' certificates; "": the system's
	Cert string // the client's own certificate; "": it has none
	Key  string
}

// Dialer makes TLS connections. It is safe for concurrent use.
type Dialer struct {
	roots *watched[*x509.CertPool] // nil: the system's
	own   *Certificate             // nil: none
	net   net.Dialer
}

// NewDialer reads the files. timeout bounds a connection and its handshake. Its
// errors are NewCertificate's and Roots'; log is as there.
func NewDialer(f Files, timeout time.Duration, log *zap.Logger) (*Dialer, error) {
	d := &Dialer{net: net.Dialer{Timeout: timeout}}
	var problems [2]error
	if f.CA != "" {
		d.roots, problems[0] = watch(log, func() (*x509.CertPool, error) { return Roots(f.CA) }, f.CA)
	}
	if f.Cert != "" {
		d.own, problems[1] = NewCertificate(f.Cert, f.Key, log)
	}
	if err := errors.Join(problems[:]...); err != nil {
		return nil, err
	}
	return d, nil
}

// Log sets where renewals are logged from then on, in place of NewDialer's. It is not
// called while the dialer is in use.
func (d *Dialer) Log(log *zap.Logger) {
	if d.roots != nil {
		d.roots.log = log
	}
	if d.own != nil {
		d.own.pair.log = log
	}
}

// DialContext connects and shakes hands, with TLS 1.2 or later. addr is host:port,
// and the host is whom the server's certificate must name.
func (d *Dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if d.roots != nil {
		conf.RootCAs = d.roots.get()
	}
	if d.own != nil {
		conf.GetClientCertificate = d.own.GetClientCertificate
	}
	return (&tls.Dialer{NetDialer: &d.net, Config: conf}).DialContext(ctx, network, addr)
}

// Roots reads the authorities in a PEM file. Its error is one sentence that names it.
func Roots(caFile string) (*x509.CertPool, error) {
	text, err := content(caFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no PEM certificate", caFile)
	}
	return pool, nil
}
