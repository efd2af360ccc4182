package receiver

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/tlsfiles"
)

// endsSoon is how long before its end a certificate's readiness says so: the time in
// which a person can renew it. The alert ThroughlineCertificateExpires has the same.
const endsSoon = 7 * 24 * time.Hour

// buildTLS makes the server speak HTTPS, if there is a certificate.
func (r *Receiver) buildTLS() error {
	c := r.o.Config
	if c.TLSCertFile == "" {
		return nil
	}
	certificate, err := tlsfiles.NewCertificate(c.TLSCertFile, c.TLSKeyFile, r.o.Runtime.Log)
	if err != nil {
		return fmt.Errorf("--tls-cert-file: %w", err)
	}
	if err := certificate.Register(r.o.Runtime.Registry, "receiver"); err != nil {
		return fmt.Errorf("registering the certificate's metrics: %w", err)
	}
	r.o.Runtime.Health.CheckNoted("receiver-certificate", 0, func(context.Context) (string, error) {
		end, broken := certificate.Status()
		return certificateState(time.Now(), end, broken)
	})
	r.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.GetCertificate}
	return nil
}

// certificateState is an error for a certificate that has expired, because no vendor
// takes it, and a note for one that will soon or that cannot be renewed.
func certificateState(now, end time.Time, broken error) (note string, err error) {
	at := end.UTC().Format(time.RFC3339)
	reason := ""
	if broken != nil {
		reason = "; the files cannot be used: " + broken.Error()
	}
	switch {
	case now.After(end):
		return "", fault.Advise(fmt.Errorf("the certificate expired on %s, so vendors refuse it%s", at, reason),
			"put a new certificate and its key into the files of THROUGHLINE_RECEIVER_TLS_CERT_FILE and THROUGHLINE_RECEIVER_TLS_KEY_FILE; it is used at once")
	case broken != nil:
		return "the certificate cannot be renewed, and the one in use ends on " + at + reason, nil
	case end.Sub(now) < endsSoon:
		return "the certificate ends on " + at + ": renew it in THROUGHLINE_RECEIVER_TLS_CERT_FILE and THROUGHLINE_RECEIVER_TLS_KEY_FILE", nil
	}
	return "", nil
}
