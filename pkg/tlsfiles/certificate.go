package tlsfiles

import (
	"crypto/tls"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// Certificate is a certificate, with the authorities between it and the root behind
// it, and its key, in two PEM files. It is safe for concurrent use.
type Certificate struct{ pair *watched[*tls.Certificate] }

// NewCertificate reads the files. Its error is one sentence that names the file:
// one cannot be read, the key is another certificate's, or the certificate has
// expired. log, which may be nil, gets a line for each renewal, or why it failed.
func NewCertificate(certFile, keyFile string, log *zap.Logger) (*Certificate, error) {
	pair, err := watch(log, func() (*tls.Certificate, error) { return load(certFile, keyFile) }, certFile, keyFile)
	if err != nil {
		return nil, err
	}
	return &Certificate{pair}, nil
}

func load(certFile, keyFile string) (*tls.Certificate, error) {
	cert, err := content(certFile)
	if err != nil {
		return nil, err
	}
	key, err := content(keyFile)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s are no certificate and its key: %w", certFile, keyFile, err)
	}
	if end := pair.Leaf.NotAfter; time.Now().After(end) {
		return nil, fmt.Errorf("the certificate in %s expired on %s", certFile, end.UTC().Format(time.RFC3339))
	}
	return &pair, nil
}

// GetCertificate is for a server's tls.Config. It never fails.
func (c *Certificate) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	return c.pair.get(), nil
}

// GetClientCertificate is for a client's tls.Config. It never fails.
func (c *Certificate) GetClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return c.pair.get(), nil
}

// Status gives the time at which the certificate in use ends, and why what the files
// hold now cannot be used, which is one sentence; nil: they hold the one in use.
func (c *Certificate) Status() (end time.Time, broken error) {
	pair, broken := c.pair.look()
	return pair.Leaf.NotAfter, broken
}
