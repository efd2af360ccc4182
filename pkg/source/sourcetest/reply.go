package sourcetest

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

func replyChecks() []check {
	return []check{
		{"reply/accepted", (*suite).checkAccepted},
		{"reply/again", (*suite).checkAgain},
		{"reply/stop", (*suite).checkStop},
		{"media", (*suite).checkMedia},
		{"handshake", (*suite).checkHandshake},
	}
}

// inside is what no vendor needs to know.
const inside = "broker 10.0.0.7 is away"

// replies gives the answer to each delivery, and to one that was refused before
// its body was read.
func (s *suite) replies(t require.TestingT, outcome error, each func(source.Response)) {
	for _, c := range append([]file{{}}, s.deliveries...) {
		d := s.delivery(c.body)
		reply := s.src.Reply(d, outcome)
		require.Equal(t, reply, s.src.Reply(d, outcome), "answered twice")
		require.Equal(t, c.body, d.Body, "Reply changed the body")
		requireReadable(t, reply)
		each(reply)
	}
}

func (s *suite) checkAccepted(t require.TestingT) {
	s.replies(t, nil, func(r source.Response) {
		require.True(t, r.Status >= 200 && r.Status < 300, "accepted: %d", r.Status)
	})
}

// checkAgain: whatever is broken inside, the vendor keeps the delivery.
func (s *suite) checkAgain(t require.TestingT) {
	outcomes := []error{errors.New(inside + ", and nobody classified it")}
	for _, reason := range fault.Reasons() {
		outcomes = append(outcomes, fault.Transient(reason, errors.New(inside)))
	}
	for _, outcome := range outcomes {
		s.replies(t, outcome, func(r source.Response) {
			require.Equal(t, s.cfg.Retry, r.Status, "after %v the vendor should send again", outcome)
			require.NotContains(t, string(r.Body), "10.0.0.7", "what is broken inside stays inside")
		})
	}
}

// checkStop: what can never be taken is not sent for ever, and not answered as
// if the subscription were over.
func (s *suite) checkStop(t require.TestingT) {
	never := []int{http.StatusGone, http.StatusTooManyRequests, s.cfg.Retry}
	for _, reason := range fault.Reasons() {
		s.replies(t, fault.Permanent(reason, errors.New("no use "+strings.Repeat("x", 10_000))), func(r source.Response) {
			require.True(t, r.Status >= 400 && r.Status < 500, "permanent %s: %d", reason, r.Status)
			require.False(t, slices.Contains(never, r.Status), "permanent %s: %d", reason, r.Status)
		})
	}
}

// requireReadable: a body of at most 4 KiB in what its content type says.
func requireReadable(t require.TestingT, r source.Response) {
	require.LessOrEqual(t, len(r.Body), 4<<10)
	for name, values := range r.Header {
		require.Equal(t, http.CanonicalHeaderKey(name), name)
		for _, value := range values {
			require.NotContains(t, value, "\n", name)
		}
	}
	switch media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); {
	case len(r.Body) == 0:
	case media == "" || strings.HasSuffix(media, "json"):
		require.True(t, json.Valid(r.Body), "the body of %d is not JSON: %s", r.Status, r.Body)
	case strings.HasSuffix(media, "xml"):
		var document struct{ XMLName xml.Name }
		require.NoError(t, xml.Unmarshal(r.Body, &document), "the body of %d is not XML: %s", r.Status, r.Body)
	}
}

// checkMedia: the source takes what its vendor sends, and not just anything.
func (s *suite) checkMedia(t require.TestingT) {
	profile := s.src.Profile()
	for _, media := range profile.Media {
		require.Equal(t, strings.ToLower(media), media)
		require.NotContains(t, media, ";", "a media type without its parameters")
		require.True(t, profile.Takes(media+"; charset=utf-8"), media)
	}
	sent := s.signed(t, s.deliveries[0].body, s.cfg.Secret, s.cfg.Now).Header.Get("Content-Type")
	require.NotEmpty(t, sent, "Sign sets the content type that the vendor sends")
	require.True(t, profile.Takes(sent), "the vendor's own content type %q is refused", sent)
	for _, media := range []string{"text/plain", "multipart/form-data; boundary=x", "application/octet-stream", "text/html", "application/jsonx"} {
		require.False(t, profile.Takes(media), media)
	}
}

// checkHandshake: only what the vendor asks is answered, and never a delivery.
func (s *suite) checkHandshake(t require.TestingT) {
	shaker, ok := s.src.(source.Handshaker)
	require.Equal(t, ok, len(s.cfg.Handshakes) > 0, "a source.Handshaker has examples of its handshake, and no other source has")
	if !ok {
		return
	}
	post, err := http.NewRequest(http.MethodPost, s.cfg.URL, http.NoBody)
	require.NoError(t, err)
	methods := map[string]bool{}
	for _, r := range s.cfg.Handshakes {
		methods[r.Method] = true
		resp, ok := shaker.Handshake(r)
		require.True(t, ok, "%s is not answered", r.Method)
		require.True(t, resp.Status >= 200 && resp.Status < 300, "%s: %d", r.Method, resp.Status)
		requireReadable(t, resp)
		post.Header = r.Header.Clone()
		_, ok = shaker.Handshake(post)
		require.False(t, ok, "a POST is a delivery")
	}
	for _, method := range []string{http.MethodHead, http.MethodGet, http.MethodOptions, http.MethodPut, http.MethodDelete} {
		r, err := http.NewRequest(method, s.cfg.URL, http.NoBody)
		require.NoError(t, err)
		if resp, ok := shaker.Handshake(r); ok {
			require.True(t, methods[method], "%s is answered and no example asks it", method)
			requireReadable(t, resp)
		}
	}
}
