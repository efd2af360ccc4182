package postgres

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// tlsAdvice is Advice for a connection that TLS, or a server that asks for certificates, does not let come about.
func tlsAdvice(err error) string {
	var name x509.HostnameError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &name):
		return "the server's certificate is for another name: use a host in THROUGHLINE_POSTGRES_URL that it is for"
	case errors.As(err, &authority):
		return "the server's certificate is of an authority that is not known here: name its certificate by sslrootcert in THROUGHLINE_POSTGRES_URL"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the server's certificate has expired, or is not valid yet: renew it, and look at the clocks of both machines"
	}
	for _, known := range []struct{ text, advice string }{
		{"tls: expired certificate", "the client certificate (sslcert in THROUGHLINE_POSTGRES_URL) has expired: renew it"},
		{"connection requires a valid client certificate", "the server asks for a client certificate of an authority that it trusts (its ssl_ca_file): name one by sslcert and sslkey in THROUGHLINE_POSTGRES_URL"},
		{"tls: unknown certificate authority", "the server does not know the authority of the client certificate (sslcert in THROUGHLINE_POSTGRES_URL): add it to the server's ssl_ca_file, or use another certificate"},
		{"certificate authentication failed", "the server does not take the client certificate: its common name must be the user of THROUGHLINE_POSTGRES_URL (or be mapped to it in the server's pg_ident.conf)"},
		{"no encryption", "the server lets this user in over TLS only, or not at all: set sslmode=verify-full in THROUGHLINE_POSTGRES_URL, and look at the server's pg_hba.conf"},
		{"server refused TLS connection", "the server has TLS turned off (ssl in its postgresql.conf), or another program answers at that port; sslmode=disable in THROUGHLINE_POSTGRES_URL goes without TLS, on a network that nobody else reads"},
	} {
		if err != nil && strings.Contains(err.Error(), known.text) {
			return known.advice
		}
	}
	return ""
}

// filesProblem says what is wrong with the files that a URL names for TLS; "" where something else is wrong. It has their
// names, and nothing of what they hold.
func filesProblem(err error) string {
	var parsing *pgconn.ParseConfigError
	if !errors.As(err, &parsing) || !strings.Contains(err.Error(), "failed to configure TLS") {
		return ""
	}
	if inner := errors.Unwrap(parsing); inner != nil && inner.Error() != "sslmode is invalid" {
		return "names files for TLS that cannot be used: " + inner.Error()
	}
	return ""
}

// renewed reads the files that the URL names, certificates and the file of passwords, for each new connection: whoever
// renews them restarts nothing.
func renewed(c Config) func(context.Context, *pgx.ConnConfig) error {
	return func(_ context.Context, config *pgx.ConnConfig) error {
		fresh, err := pgxpool.ParseConfig(string(c.URL))
		if problem := filesProblem(err); problem != "" {
			return fmt.Errorf("%s %s", c.variable(), problem)
		}
		if err != nil {
			return fmt.Errorf("reading %s: it is not understood", c.variable())
		}
		config.TLSConfig, config.Password = fresh.ConnConfig.TLSConfig, fresh.ConnConfig.Password
		for i := range min(len(config.Fallbacks), len(fresh.ConnConfig.Fallbacks)) {
			config.Fallbacks[i].TLSConfig = fresh.ConnConfig.Fallbacks[i].TLSConfig
		}
		return nil
	}
}
