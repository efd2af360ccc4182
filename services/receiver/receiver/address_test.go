package receiver

import (
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhomLimitsCountFor(t *testing.T) {
	t.Parallel()
	trusted, err := parseProxies([]string{"10.0.0.0/8", "192.0.2.7", "fd00::/8"})
	require.NoError(t, err)
	for _, tt := range []struct {
		remote    string
		forwarded []string
		want      string
	}{
		{"203.0.113.9:1", nil, "203.0.113.9"},
		{"203.0.113.9:1", []string{"198.51.100.1"}, "203.0.113.9"}, // no proxy of ours: anybody's text
		{"10.1.2.3:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"10.1.2.3:1", []string{"6.6.6.6, 198.51.100.1"}, "198.51.100.1"}, // the client wrote the first
		{"10.1.2.3:1", []string{"6.6.6.6", "198.51.100.1 , 192.0.2.7"}, "198.51.100.1"},
		{"10.1.2.3:1", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"10.1.2.3:1", []string{"10.9.9.9"}, ""},
		{"10.1.2.3:1", []string{"unknown"}, ""},
		{"10.1.2.3:1", []string{"198.51.100.1, garbage"}, ""},
		{"10.1.2.3:1", []string{""}, ""},
		{"10.1.2.3:1", nil, ""},
		{"10.1.2.3:1", []string{"198.51.100.1" + strings.Repeat(",10.0.0.1", 100_000)}, ""},
		{"[2001:db8:1:2:3:4:5:6]:1", nil, "2001:db8:1:2::"},
		{"[::ffff:203.0.113.9]:1", nil, "203.0.113.9"},
		{"[fe80::1%eth0]:1", nil, "fe80::"},
		{"[fd00::1]:1", []string{"2001:db8:1:2:3:4:5:6"}, "2001:db8:1:2::"},
		{"pipe", nil, ""},
	} {
		want := netip.Addr{}
		if tt.want != "" {
			want = netip.MustParseAddr(tt.want)
		}
		require.Equal(t, want, trusted.client(tt.remote, http.Header{"X-Forwarded-For": tt.forwarded}), "%s %.60v", tt.remote, tt.forwarded)
	}
}

func TestFailuresAreForgotten(t *testing.T) {
	t.Parallel()
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	at := time.Now()
	f := &failures{most: 2}
	require.Zero(t, f.add(addr(1), "stripe", at))
	require.Zero(t, f.add(addr(1), "zendesk", at))
	require.Equal(t, failuresFor, f.add(addr(1), "stripe", at))
	require.Zero(t, f.add(addr(2), "stripe", at))
	require.Zero(t, f.add(netip.Addr{}, "stripe", at), "where there is no address the source counts")
	require.Zero(t, f.add(netip.Addr{}, "zendesk", at))
	require.Zero(t, f.add(addr(1), "stripe", at.Add(failuresFor)), "the window is over")
}

// An address that goes on failing is told to come later; what is verified is
// taken from it all the same.
func TestFailedVerificationsAreLimited(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) {
		o.Config.MaxFailures = 3
		o.Config.TrustedProxies = []string{"127.0.0.0/8"}
	})
	from := func(req *http.Request, client string) reply {
		req.Header.Set("X-Forwarded-For", client)
		return r.do(req)
	}
	wrong := func() *http.Request { return r.signedAt("stripe", "somebody-elses-secret-0123456789", time.Now()) }
	for range 3 {
		require.Equal(t, 401, from(wrong(), "203.0.113.9").status)
	}
	got := from(wrong(), "203.0.113.9")
	require.Equal(t, 429, got.status)
	seconds, err := strconv.Atoi(got.header.Get("Retry-After"))
	require.NoError(t, err)
	require.Positive(t, seconds)
	require.LessOrEqual(t, seconds, 60)
	require.EqualValues(t, 1, r.metric("limited_total", "source", "stripe", "cause", "failures"))
	require.EqualValues(t, 1, r.metric("rejected_total", "source", "stripe", "reason", "limited"))
	require.Equal(t, 401, from(wrong(), "203.0.113.10").status, "another address behind the same proxy")
	for _, name := range []string{"stripe", "zendesk", "looker"} {
		require.Equal(t, 200, from(r.signed(name, example(t, name)), "203.0.113.9").status, "%s is verified", name)
	}
}

// One stranger's requests displace each other, and nobody else's.
func TestRequestsOfOneAddressAreLimited(t *testing.T) {
	t.Parallel()
	r := newRig(t, func(o *Options) { o.Config.MaxUnverifiedPerAddress = 2 })
	hold := func(i int) (answer func() string) {
		conn := dialFrom(t, netip.AddrFrom4([4]byte{127, 0, byte(i), 1}), r.receiver.Addr())
		_, err := fmt.Fprint(conn, forged("/webhooks/stripe", 9000), "x")
		require.NoError(t, err)
		return func() string {
			buf := make([]byte, 1000)
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
			n, err := conn.Read(buf)
			require.NoError(t, err)
			return string(buf[:n])
		}
	}
	held := func(n float64) {
		require.Eventually(t, func() bool { return r.metric("unverified_requests") == n }, patience, time.Millisecond)
	}
	first := hold(1)
	held(1)
	hold(1)
	held(2)
	hold(2)
	held(3)
	hold(1)
	answer := first()
	require.Contains(t, answer, "HTTP/1.1 429 ")
	require.Contains(t, answer, "Retry-After: 5")
	require.Contains(t, answer, "Connection: close")
	held(3)
	require.EqualValues(t, 1, r.metric("limited_total", "source", "stripe", "cause", "address"))
}
