package receiver

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What the sender did wrong in how a body is sent comes the same the next time: 4xx, not "again later". Looker's headers
// are all the proof there is, Stripe's signature covers the body.
func TestBodiesThatAreNone(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	const chunked = "Transfer-Encoding: chunked"
	for _, tt := range []struct{ what, length, body, reason string }{
		{"a chunk line", chunked, "zz\r\n{}\r\n0\r\n\r\n", "malformed"},
		{"a chunk line in the middle", chunked, "1\r\n{\r\n-1\r\n}\r\n0\r\n\r\n", "malformed"},
		{"no chunk line", chunked, "\r\n{}\r\n0\r\n\r\n", "malformed"},
		{"a bare LF", chunked, "2\n{}\n0\n\n", "malformed"},
		{"a chunk longer than it says", chunked, "1\r\n{}\r\n0\r\n\r\n", "malformed"},
		{"a length beyond all numbers", chunked, "fffffffffffffffff\r\n{}\r\n0\r\n\r\n", "malformed"},
		{"a chunk extension", chunked, "2;x=" + strings.Repeat("y", 10_000) + "\r\n{}\r\n0\r\n\r\n", "malformed"},
		{"much extension and little body", chunked, strings.Repeat("1;x="+strings.Repeat("y", 2000)+"\r\n \r\n", 50) + "0\r\n\r\n", "malformed"},
		{"a trailer", chunked, "2\r\n{}\r\n0\r\nno trailer\r\n\r\n", "malformed"},
		{"a trailer's end", chunked, "2\r\n{}\r\n0\r\nx: y\r\n", "malformed"},
		{"a chunk's end", chunked, "9\r\n{}", "incomplete"},
		{"the last chunk", chunked, "2\r\n{}\r\n", "incomplete"},
		{"the end of a body", "Content-Length: 9", "{}", "incomplete"},
	} {
		for _, name := range []string{"looker", "stripe"} {
			before := r.metric("rejected_total", "source", name, "reason", tt.reason)
			conn := dialFrom(t, netip.MustParseAddr("127.0.0.1"), r.receiver.Addr())
			var headers strings.Builder
			require.NoError(t, r.signed(name, []byte("{}")).Header.Write(&headers))
			_, err := fmt.Fprintf(conn, "POST /webhooks/%s HTTP/1.1\r\nHost: x\r\n%s%s\r\n\r\n%s", name, headers.String(), tt.length, tt.body)
			require.NoError(t, err)
			_ = conn.(*net.TCPConn).CloseWrite() // an error: it was answered already
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err, tt.what)
			require.Equal(t, http.StatusBadRequest, resp.StatusCode, "%s of %s", tt.what, name)
			require.True(t, resp.Close, tt.what)
			require.NoError(t, resp.Body.Close())
			require.Equal(t, before+1, r.metric("rejected_total", "source", name, "reason", tt.reason), "%s of %s", tt.what, name)
		}
	}
	require.Zero(t, r.written())
}
