package rest

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"
)

// maxTagged bounds the answers that get an ETag: until its end an answer is kept.
const maxTagged = 1 << 20

// tagged keeps an answer until its end, gives it a weak ETag, and answers 304 where the client has it.
type tagged struct {
	http.ResponseWriter
	request *http.Request
	status  int
	kept    []byte
	passing bool // the answer is too large, or not 200
}

// WriteHeader is http.ResponseWriter's.
func (t *tagged) WriteHeader(status int) {
	if t.status == 0 {
		t.status = status
	}
	if status != http.StatusOK {
		t.passing = true
		t.ResponseWriter.WriteHeader(status)
	}
}

// Write is http.ResponseWriter's.
func (t *tagged) Write(b []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	if t.passing {
		return t.ResponseWriter.Write(b)
	}
	if t.kept = append(t.kept, b...); len(t.kept) > maxTagged {
		t.passing = true
		t.ResponseWriter.WriteHeader(t.status)
		_, err := t.ResponseWriter.Write(t.kept)
		return len(b), err
	}
	return len(b), nil
}

// Unwrap is for http.ResponseController.
func (t *tagged) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// end answers.
func (t *tagged) end() {
	if t.passing || t.status == 0 {
		return
	}
	sum := sha256.Sum256(t.kept)
	tag := `W/"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	t.Header().Set("ETag", tag)
	for candidate := range strings.SplitSeq(t.request.Header.Get("If-None-Match"), ",") {
		if candidate = strings.TrimSpace(candidate); candidate == tag || candidate == "*" || candidate == strings.TrimPrefix(tag, "W/") {
			t.Header().Del("Content-Type")
			t.Header().Del("Content-Length")
			t.ResponseWriter.WriteHeader(http.StatusNotModified)
			return
		}
	}
	t.ResponseWriter.WriteHeader(t.status)
	_, _ = t.ResponseWriter.Write(t.kept) // the client is gone
}
