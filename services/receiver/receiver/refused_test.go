package receiver

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// refusedCase is a request that no source takes.
type refusedCase struct {
	request func(r *rig, name string) *http.Request
	status  int
	reason  reason
	says    string
}

func badRequests() map[string]refusedCase {
	signedBody := func(body string) func(*rig, string) *http.Request {
		return func(r *rig, name string) *http.Request { return r.signed(name, []byte(body)) }
	}
	changed := func(change func(*http.Request)) func(*rig, string) *http.Request {
		return func(r *rig, name string) *http.Request {
			req := r.signed(name, example(r.t, name))
			change(req)
			return req
		}
	}
	header := func(name, value string) func(*rig, string) *http.Request {
		return changed(func(req *http.Request) { req.Header.Set(name, value) })
	}
	chunked := func(size int64) func(*rig, string) *http.Request {
		return func(r *rig, name string) *http.Request {
			req := r.signed(name, nil)
			src, _ := catalog.Set().Find(name)
			req.Body = io.NopCloser(io.LimitReader(spaces{}, src.Profile().Limits.BodyBytes+size))
			req.ContentLength = -1
			return req
		}
	}
	return map[string]refusedCase{
		"no signature": {request: changed(func(req *http.Request) { req.Header = http.Header{"Content-Type": {"application/json"}} }), status: 401, reason: unauthenticated},
		"another secret": {request: func(r *rig, name string) *http.Request {
			return r.signedAt(name, "somebody-elses-secret-0123456789", time.Now())
		}, status: 401, reason: unauthenticated},
		"not JSON":           {request: signedBody("<xml/>"), status: 400, reason: malformed, says: "not valid JSON"},
		"cut off":            {request: signedBody(`{"id":"evt_1"`), status: 400, reason: malformed, says: "not valid JSON"},
		"two values":         {request: signedBody(`{} {}`), status: 400, reason: malformed, says: "more data"},
		"empty":              {request: signedBody(""), status: 400, reason: malformed, says: "empty"},
		"a byte order mark":  {request: signedBody("\xef\xbb\xbf{}"), status: 400, reason: malformed, says: "byte order mark"},
		"too deep":           {request: signedBody(strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)), status: 400, reason: malformed, says: "deep"},
		"form content type":  {request: header("Content-Type", "application/x-www-form-urlencoded"), status: 415, reason: unsupported, says: "content type"},
		"XML content type":   {request: header("Content-Type", "text/xml"), status: 415, reason: unsupported, says: "content type"},
		"broken type":        {request: header("Content-Type", "/;;="), status: 415, reason: unsupported, says: "content type"},
		"gzip":               {request: changed(gzipped), status: 415, reason: unsupported, says: "compressed"},
		"brotli":             {request: header("Content-Encoding", "br"), status: 415, reason: unsupported, says: "compressed"},
		"deflate":            {request: header("Content-Encoding", "deflate"), status: 415, reason: unsupported, says: "compressed"},
		"zstd":               {request: header("Content-Encoding", "zstd"), status: 415, reason: unsupported, says: "compressed"},
		"unknown encoding":   {request: header("Content-Encoding", "identity, x-pack"), status: 415, reason: unsupported, says: "compressed"},
		"over the cap":       {request: changed(announceTooMuch), status: 413, reason: oversized, says: "bytes"},
		"chunked over a cap": {request: chunked(1), status: 413, reason: oversized, says: "bytes"},
		"PUT":                {request: changed(func(req *http.Request) { req.Method = http.MethodPut }), status: 405, reason: unsupported, says: "POST"},
		"DELETE":             {request: changed(func(req *http.Request) { req.Method = http.MethodDelete }), status: 405, reason: unsupported, says: "POST"},
	}
}

// spaces is white space without end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte{' '}, len(p))), nil }

// announceTooMuch is a body that is one byte over the largest cap of all.
func announceTooMuch(req *http.Request) {
	const more = 8<<20 + 1
	req.Body, req.ContentLength = io.NopCloser(io.LimitReader(spaces{}, more)), more
}

func gzipped(req *http.Request) {
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = io.Copy(w, req.Body)
	_ = w.Close()
	req.Body, req.ContentLength = io.NopCloser(&packed), int64(packed.Len())
	req.Header.Set("Content-Encoding", "gzip")
}

// signedAt is an example of the source, signed with this secret at this time.
func (r *rig) signedAt(name, secret string, at time.Time) *http.Request {
	r.t.Helper()
	body := example(r.t, name)
	src, _ := catalog.Set().Find(name)
	d := &source.Delivery{Method: http.MethodPost, URL: publicHost + path(name), Header: http.Header{}, Body: body}
	d.Header.Set("Content-Type", "application/json")
	require.NoError(r.t, source.Sign(src, d, secret, at))
	req := r.signed(name, body)
	req.Header = d.Header
	return req
}

func TestBadRequestsAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, src := range catalog.Set().Sources() {
		name, profile := src.Name(), src.Profile()
		bad := badRequests()
		if profile.Takes("text/xml") {
			delete(bad, "XML content type")
			delete(bad, "not JSON") // it is XML
		}
		for what, tt := range bad {
			t.Run(name+"/"+what, func(t *testing.T) {
				before := r.metric("rejected_total", "source", name, "reason", string(tt.reason))
				got := r.do(tt.request(r, name))
				require.Equal(t, tt.status, got.status, got.body)
				require.True(t, json.Valid([]byte(got.body)), got.body)
				require.NotContains(t, strings.TrimSpace(got.body), "\n")
				require.Contains(t, got.body, tt.says)
				require.NotContains(t, got.body, secretOf(name))
				if tt.status == 405 {
					require.Contains(t, got.header.Get("Allow"), http.MethodPost)
				}
				require.InDelta(t, before+1, r.metric("rejected_total", "source", name, "reason", string(tt.reason)), 0)
			})
		}
	}
	require.Zero(t, r.written(), "a refused body was stored")
	require.Zero(t, r.metric("in_flight_bytes"))
	require.Zero(t, r.metric("in_flight_requests"))
}

func TestSignaturesOutOfTheirTimeAreRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, nil)
	for _, src := range catalog.Set().Sources() {
		window := src.Profile().SignatureWindow
		if window == 0 {
			continue
		}
		for what, skew := range map[string]time.Duration{"expired": -window - 10*time.Second, "from the future": window + 10*time.Second} {
			t.Run(src.Name()+"/"+what, func(t *testing.T) {
				got := r.do(r.signedAt(src.Name(), secretOf(src.Name()), time.Now().Add(skew)))
				require.Equal(t, 401, got.status, got.body)
			})
		}
	}
	require.Zero(t, r.written())
}
