package postgrestest

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// Authority issues certificates for as long as a test runs.
type Authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  crypto.Signer
	// File is its own certificate.
	File string
}

// NewAuthority makes one of this name, with its certificate in a directory of the test's own.
func NewAuthority(t testing.TB, name string) *Authority {
	t.Helper()
	a := &Authority{t: t, key: newKey(t), File: filepath.Join(t.TempDir(), "ca.pem")}
	a.cert = &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: []byte(name),
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, a.key.Public(), a.key)
	require.NoError(t, err)
	writePEM(t, a.File, "CERTIFICATE", der)
	return a
}

// Issue writes a certificate of this common name, which is a DNS name of it too, and its key. It has expired when valid
// is negative.
func (a *Authority) Issue(certFile, keyFile, name string, valid time.Duration) {
	a.t.Helper()
	key := newKey(a.t)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(a.t, err)
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(valid),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(a.t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	writePEM(a.t, keyFile, "PRIVATE KEY", encoded)
	writePEM(a.t, certFile, "CERTIFICATE", der)
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}

// RequireCertificates gives the node a certificate for the name localhost, and from now on lets in over TLS only who has
// a certificate of the authority for the user that it connects as (clientcert=verify-full). The node's own superuser may
// connect without TLS, for the test.
func (n *Node) RequireCertificates(server, clients *Authority) {
	n.t.Helper()
	n.Serve(server, "localhost", time.Hour)
	ca, err := os.ReadFile(clients.File)
	require.NoError(n.t, err)
	n.write("clients.crt", ca)
	n.write("pg_hba.conf", []byte("hostnossl all throughline 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 cert clientcert=verify-full\n"))
	n.on(func(ctx context.Context, conn *pgx.Conn) error {
		for _, sql := range []string{"ALTER SYSTEM SET ssl_ca_file = 'clients.crt'", "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()"} {
			if _, err := conn.Exec(ctx, sql); err != nil {
				return err
			}
		}
		return nil
	})
	n.Await("SELECT current_setting('ssl') = 'on'")
}

// Serve replaces the node's own certificate.
func (n *Node) Serve(authority *Authority, name string, valid time.Duration) {
	n.t.Helper()
	dir := n.t.TempDir()
	cert, key := filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	authority.Issue(cert, key, name, valid)
	for _, path := range []string{cert, key} {
		text, err := os.ReadFile(path)
		require.NoError(n.t, err)
		n.write(filepath.Base(path), text)
	}
	n.Exec("SELECT pg_reload_conf()")
}

// write replaces a file of the data directory, whose user the server runs as.
func (n *Node) write(name string, text []byte) {
	n.t.Helper()
	path := filepath.Join(n.dir, name)
	require.NoError(n.t, os.WriteFile(path, text, 0o600))
	info, err := os.Stat(n.dir)
	require.NoError(n.t, err)
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		require.NoError(n.t, os.Chown(path, int(owner.Uid), int(owner.Gid)))
	}
}
