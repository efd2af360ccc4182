package receiver

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/tlsfiles"
	"github.com/throughline-dev/throughline/pkg/tlsfiles/tlsfilestest"
)

// secureRig is a rig that speaks HTTPS. Its certificate lies in files that may be
// overwritten.
type secureRig struct {
	*rig
	authority *tlsfilestest.Authority
}

func newSecureRig(t *testing.T, change func(*Options)) *secureRig {
	t.Helper()
	authority := tlsfilestest.NewAuthority(t)
	cert, key := authority.Issue("receiver")
	r := newRig(t, func(o *Options) {
		o.Config.TLSCertFile, o.Config.TLSKeyFile = cert, key
		if change != nil {
			change(o)
		}
	})
	return &secureRig{r, authority}
}

// client speaks TLS as conf says, and offers HTTP/2.
func (s *secureRig) client(conf *tls.Config) *http.Client {
	s.t.Helper()
	roots, err := tlsfiles.Roots(s.authority.CAFile)
	require.NoError(s.t, err)
	conf.RootCAs = roots
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true}, Timeout: patience}
	s.t.Cleanup(client.CloseIdleConnections)
	return client
}

// post posts an example of Stripe's by this client.
func (s *secureRig) post(client *http.Client) (*http.Response, error) {
	s.t.Helper()
	request := s.signed("stripe", example(s.t, "stripe"))
	request.URL.Scheme = "https"
	response, err := client.Do(request)
	if err == nil {
		_, err = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
	return response, err
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	s := newSecureRig(t, nil)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		response, err := s.post(s.client(&tls.Config{MinVersion: version, MaxVersion: version}))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.Equal(t, version, response.TLS.Version)
		require.Equal(t, "HTTP/1.1", response.Proto)
	}
	_, err := s.post(s.client(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}))
	require.ErrorContains(t, err, "protocol version")
	_, err = s.post(&http.Client{Transport: &http.Transport{DisableKeepAlives: true}})
	require.ErrorContains(t, err, "unknown authority")
}

// A renewed certificate is for the next connection; those that are open go on.
func TestTheCertificateIsRenewed(t *testing.T) {
	t.Parallel()
	s := newSecureRig(t, nil)
	kept := s.client(&tls.Config{})
	first, err := s.post(kept)
	require.NoError(t, err)
	require.Equal(t, "receiver", first.TLS.PeerCertificates[0].Subject.CommonName)

	cert, key := s.authority.Issue("renewed")
	move := func(from, to string) { require.NoError(t, os.Rename(from, to)) }
	move(cert, s.options.Config.TLSCertFile) // the key is still the old one
	between, err := s.post(s.client(&tls.Config{}))
	require.NoError(t, err)
	require.Equal(t, "receiver", between.TLS.PeerCertificates[0].Subject.CommonName)
	move(key, s.options.Config.TLSKeyFile)
	second, err := s.post(s.client(&tls.Config{}))
	require.NoError(t, err)
	require.Equal(t, "renewed", second.TLS.PeerCertificates[0].Subject.CommonName)
	again, err := s.post(kept)
	require.NoError(t, err)
	require.Equal(t, "receiver", again.TLS.PeerCertificates[0].Subject.CommonName, "the same connection")
	require.EqualValues(t, 3, s.metric("connections"), "none was closed")
}

// Readiness notes a certificate that ends soon or cannot be renewed, and is gone with
// one that has expired.
func TestReadinessKnowsTheCertificate(t *testing.T) {
	t.Parallel()
	s := newSecureRig(t, nil) // for twelve hours
	state := func() service.ComponentHealth {
		found, there := servicetest.Component(s.options.Runtime, "receiver-certificate")
		require.True(t, there)
		return found
	}
	require.True(t, state().Ready)
	require.Contains(t, state().Note, "the certificate ends on ")
	require.NoError(t, os.WriteFile(s.options.Config.TLSCertFile, nil, 0o600))
	require.True(t, state().Ready)
	require.Contains(t, state().Note, "cannot be renewed")
	require.Contains(t, state().Note, s.options.Config.TLSCertFile)

	now := time.Now()
	note, err := certificateState(now, now.Add(8*24*time.Hour), nil)
	require.NoError(t, err)
	require.Empty(t, note)
	_, err = certificateState(now, now.Add(-time.Second), errors.New("tls.crt is empty"))
	require.ErrorContains(t, err, "expired on ")
	require.ErrorContains(t, err, "tls.crt is empty")
	require.Contains(t, fault.Advice(err), "THROUGHLINE_RECEIVER_TLS_CERT_FILE")
}

// Whoever never ends its handshake is cut, and holds no place of others meanwhile.
func TestHandshakesAreBounded(t *testing.T) {
	t.Parallel()
	hello := "\x16\x03\x01\x02\x00\x01" // how a ClientHello of 512 bytes begins
	connect := func(s *secureRig) net.Conn {
		conn, err := net.Dial("tcp", s.receiver.Addr())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
		_, err = io.WriteString(conn, hello)
		require.NoError(t, err)
		return conn
	}
	t.Run("by time", func(t *testing.T) {
		t.Parallel()
		s := newSecureRig(t, func(o *Options) { o.Config.ReadTimeout = 200 * time.Millisecond })
		slow := connect(s)
		_, err := io.ReadAll(slow)
		require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "it is still open")
		require.Eventually(t, func() bool { return s.metric("connections") == 0 }, patience, time.Millisecond)
	})
	t.Run("by number", func(t *testing.T) {
		t.Parallel()
		const most = 4
		s := newSecureRig(t, func(o *Options) { o.Config.MaxConnectionsPerAddress = most })
		var slow []net.Conn
		for range 3 * most {
			slow = append(slow, connect(s))
		}
		for _, conn := range slow[:2*most] {
			_, err := io.ReadAll(conn)
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded, "the oldest are closed")
		}
		require.Eventually(t, func() bool { return s.metric("connections") <= most }, patience, time.Millisecond)
		response, err := s.post(s.client(&tls.Config{}))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, response.StatusCode)
	})
}

func TestTLSFilesAreChecked(t *testing.T) {
	t.Parallel()
	authority := tlsfilestest.NewAuthority(t)
	cert, key := authority.Issue("good")
	_, otherKey := authority.Issue("other")
	oldCert, oldKey := authority.IssueUntil("old", time.Now().Add(-time.Hour))
	for _, bad := range []struct{ cert, key, says string }{
		{cert, "", "--tls-cert-file and --tls-key-file must both be set, or neither"},
		{cert, filepath.Join(t.TempDir(), "none"), "no such file or directory"},
		{cert, otherKey, "are no certificate and its key"},
		{oldCert, oldKey, "expired on"},
	} {
		c := testConfig(t)
		c.TLSCertFile, c.TLSKeyFile = bad.cert, bad.key
		err := c.Validate()
		require.ErrorContains(t, err, bad.says)
		require.Len(t, strings.Split(err.Error(), "\n"), 1)
	}
	c := testConfig(t)
	c.TLSCertFile, c.TLSKeyFile = cert, key
	require.NoError(t, c.Validate())
}
