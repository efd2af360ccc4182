package event

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/tlsfiles"
	"github.com/throughline-dev/throughline/pkg/tlsfiles/tlsfilestest"
)

// A registry whose authority the system does not know, and that wants a certificate.
func TestRegistryByTLSFiles(t *testing.T) {
	t.Parallel()
	authority := tlsfilestest.NewAuthority(t)
	roots, err := tlsfiles.Roots(authority.CAFile)
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"schema":"` + r.TLS.PeerCertificates[0].Subject.CommonName + `"}`))
	}))
	certFile, keyFile := authority.Issue("registry")
	certificate, err := tlsfiles.NewCertificate(certFile, keyFile, nil)
	require.NoError(t, err)
	own, err := certificate.GetCertificate(nil)
	require.NoError(t, err)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{*own}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots}
	server.StartTLS()
	t.Cleanup(server.Close)

	config := RegistryConfig{URL: settings.URL(server.URL), CAFile: authority.CAFile}
	config.CertFile, config.KeyFile = authority.Issue("sink")
	require.NoError(t, config.Validate())
	registry, err := NewRegistry(config)
	require.NoError(t, err)
	schema, err := registry.schema(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, "sink", schema)

	registry, err = NewRegistry(RegistryConfig{URL: settings.URL(server.URL)})
	require.NoError(t, err)
	_, err = registry.schema(t.Context(), 1)
	require.ErrorContains(t, err, "certificate signed by unknown authority")
	config.KeyFile = ""
	config.CAFile = "/nowhere/ca.pem"
	err = config.Validate()
	require.ErrorContains(t, err, "THROUGHLINE_SCHEMA_REGISTRY_KEY_FILE (--schema-registry-key-file) must both be set")
	require.ErrorContains(t, err, "THROUGHLINE_SCHEMA_REGISTRY_CA_FILE (--schema-registry-ca-file): reading /nowhere/ca.pem")
}
