package tlsfiles_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/throughline-dev/throughline/pkg/tlsfiles"
	"github.com/throughline-dev/throughline/pkg/tlsfiles/tlsfilestest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secretDir is a directory as kubelet mounts a Secret: the files are links through a
// link that a renewal swaps.
type secretDir struct {
	t   *testing.T
	dir string
	n   int
}

func (s *secretDir) put(cert, key string) {
	s.t.Helper()
	s.n++
	version := filepath.Join(s.dir, "..v"+string(rune('0'+s.n)))
	require.NoError(s.t, os.Mkdir(version, 0o700))
	for name, from := range map[string]string{"tls.crt": cert, "tls.key": key} {
		text, err := os.ReadFile(from)
		require.NoError(s.t, err)
		require.NoError(s.t, os.WriteFile(filepath.Join(version, name), text, 0o600))
		if s.n == 1 {
			require.NoError(s.t, os.Symlink(filepath.Join("..data", name), filepath.Join(s.dir, name)))
		}
	}
	next := filepath.Join(s.dir, "..next")
	require.NoError(s.t, os.Symlink(version, next))
	require.NoError(s.t, os.Rename(next, filepath.Join(s.dir, "..data")))
}

func commonName(t *testing.T, c *tlsfiles.Certificate) string {
	t.Helper()
	got, err := c.GetCertificate(nil)
	require.NoError(t, err)
	return got.Leaf.Subject.CommonName
}

func TestARenewedCertificateIsUsed(t *testing.T) {
	t.Parallel()
	authority := tlsfilestest.NewAuthority(t)
	dir := &secretDir{t: t, dir: t.TempDir()}
	dir.put(authority.Issue("first"))
	core, lines := observer.New(zap.InfoLevel)
	c, err := tlsfiles.NewCertificate(filepath.Join(dir.dir, "tls.crt"), filepath.Join(dir.dir, "tls.key"), zap.New(core))
	require.NoError(t, err)
	require.Equal(t, "first", commonName(t, c))
	dir.put(authority.Issue("second"))
	require.Equal(t, "second", commonName(t, c))
	require.Len(t, lines.TakeAll(), 1)

	// A certificate with another one's key, then one that has expired.
	cert, _ := authority.Issue("third")
	_, key := authority.Issue("other")
	expiredCert, expiredKey := authority.IssueUntil("expired", time.Now().Add(-time.Hour))
	for _, bad := range [][2]string{{cert, key}, {expiredCert, expiredKey}} {
		dir.put(bad[0], bad[1])
		for range 3 {
			require.Equal(t, "second", commonName(t, c))
		}
		require.Equal(t, 1, lines.FilterMessageSnippet("stays in use").Len(), "once")
		require.Len(t, lines.TakeAll(), 1)
	}
	dir.put(authority.Issue("third"))
	require.Equal(t, "third", commonName(t, c))
}

// What ends soon and what cannot be renewed shows, until it is repaired.
func TestStatusAndMetrics(t *testing.T) {
	t.Parallel()
	authority := tlsfilestest.NewAuthority(t)
	end := time.Now().Add(time.Hour).Truncate(time.Second)
	cert, key := authority.IssueUntil("server", end)
	good, err := os.ReadFile(cert)
	require.NoError(t, err)
	c, err := tlsfiles.NewCertificate(cert, key, nil)
	require.NoError(t, err)
	registry := prometheus.NewRegistry()
	require.NoError(t, c.Register(registry, "receiver"))
	dialer, err := tlsfiles.NewDialer(tlsfiles.Files{CA: authority.CAFile, Cert: cert, Key: key}, time.Second, nil)
	require.NoError(t, err)
	require.NoError(t, dialer.Register(registry, "kafka"))
	require.NoError(t, dialer.Register(registry, "kafka"), "another client of the process")
	shows := func(receiver, kafka float64) {
		t.Helper()
		families, err := registry.Gather()
		require.NoError(t, err)
		got := map[string]float64{}
		for _, f := range families {
			for _, m := range f.Metric {
				got[f.GetName()+" "+m.Label[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
		require.Equal(t, map[string]float64{
			"throughline_tls_certificate_expiry_timestamp_seconds receiver": float64(end.Unix()), "throughline_tls_files_broken receiver": receiver,
			"throughline_tls_certificate_expiry_timestamp_seconds kafka": float64(end.Unix()), "throughline_tls_files_broken kafka": kafka,
		}, got)
	}
	shows(0, 0)
	for _, bad := range [][]byte{{}, good[:len(good)/2], nil} { // emptied, half written, gone
		if bad == nil {
			require.NoError(t, os.Remove(cert))
		} else {
			require.NoError(t, os.WriteFile(cert, bad, 0o600))
		}
		for range 2 {
			until, broken := c.Status()
			require.ErrorContains(t, broken, cert)
			require.True(t, until.Equal(end))
			shows(1, 1)
		}
	}
	require.NoError(t, os.WriteFile(cert, good, 0o600))
	shows(0, 0)
	require.NoError(t, os.WriteFile(authority.CAFile, nil, 0o600))
	shows(0, 1)
}

func TestWhatCannotBeUsedIsOneSentence(t *testing.T) {
	t.Parallel()
	authority := tlsfilestest.NewAuthority(t)
	cert, key := authority.Issue("good")
	_, otherKey := authority.Issue("other")
	expiredCert, expiredKey := authority.IssueUntil("expired", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	for _, bad := range []struct{ cert, key, says string }{
		{"/nowhere/tls.crt", key, "reading /nowhere/tls.crt: no such file or directory"},
		{cert, "/nowhere/tls.key", "reading /nowhere/tls.key: no such file or directory"},
		{cert, otherKey, "are no certificate and its key: tls: private key does not match public key"},
		{key, key, "are no certificate and its key"},
		{expiredCert, expiredKey, "expired on 2026-01-02T03:04:05Z"},
	} {
		_, err := tlsfiles.NewCertificate(bad.cert, bad.key, nil)
		require.ErrorContains(t, err, bad.says)
		_, err = tlsfiles.NewDialer(tlsfiles.Files{Cert: bad.cert, Key: bad.key}, time.Second, nil)
		require.ErrorContains(t, err, bad.says)
	}
	_, err := tlsfiles.Roots(key)
	require.ErrorContains(t, err, key+" holds no PEM certificate")
	_, err = tlsfiles.NewDialer(tlsfiles.Files{CA: "/nowhere/ca.pem"}, time.Second, nil)
	require.EqualError(t, err, "reading /nowhere/ca.pem: no such file or directory")
}

// The servers' authority and the client's certificate are both renewed between two
// connections of one dialer.
func TestDialer(t *testing.T) {
	t.Parallel()
	old, renewed := tlsfilestest.NewAuthority(t), tlsfilestest.NewAuthority(t)
	dir := t.TempDir()
	files := tlsfiles.Files{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "tls.crt"), Key: filepath.Join(dir, "tls.key")}
	give := func(a *tlsfilestest.Authority, name string) {
		cert, key := a.Issue(name)
		for to, from := range map[string]string{files.CA: a.CAFile, files.Cert: cert, files.Key: key} {
			text, err := os.ReadFile(from)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(to, text, 0o600))
		}
	}
	give(old, "client-1")
	dialer, err := tlsfiles.NewDialer(files, time.Minute, nil)
	require.NoError(t, err)
	first, second := listen(t, old), listen(t, renewed)
	require.Equal(t, "client-1", dial(t, dialer, first))
	_, err = dialer.DialContext(t.Context(), "tcp", second)
	var unknown *tls.CertificateVerificationError
	require.ErrorAs(t, err, &unknown)
	give(renewed, "client-2")
	require.Equal(t, "client-2", dial(t, dialer, second))
}

// listen serves the name of each client's certificate until the test ends.
func listen(t *testing.T, a *tlsfilestest.Authority) (addr string) {
	t.Helper()
	roots, err := tlsfiles.Roots(a.CAFile)
	require.NoError(t, err)
	certificate, err := tlsfiles.NewCertificate(certAndKey(a)[0], certAndKey(a)[1], nil)
	require.NoError(t, err)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: certificate.GetCertificate, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			secure := conn.(*tls.Conn)
			if secure.HandshakeContext(context.Background()) == nil {
				_, _ = io.WriteString(secure, secure.ConnectionState().PeerCertificates[0].Subject.CommonName)
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String()
}

func certAndKey(a *tlsfilestest.Authority) [2]string {
	cert, key := a.Issue("server")
	return [2]string{cert, key}
}

func dial(t *testing.T, d *tlsfiles.Dialer, addr string) string {
	t.Helper()
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	text, err := io.ReadAll(conn)
	require.NoError(t, err)
	return string(text)
}
