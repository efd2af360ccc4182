package stripeapi

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"time"
)

// Fault answers a request in the place of the API.
type Fault func(a *API, w http.ResponseWriter, r *http.Request)

type injected struct {
	from, to int // of the requests, counted from 1
	fault    Fault
}

// Inject lets this fault answer so many requests, after so many that are answered
// rightly; a negative count: all that come. The newest fault goes before older ones, and
// nil is none.
func (a *API) Inject(after, count int, f Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	from := len(a.requests) + after + 1
	to := from + count
	if count < 0 {
		to = int(^uint(0) >> 1)
	}
	a.faults = append([]injected{{from, to, f}}, a.faults...)
}

func (a *API) next(request int) Fault {
	for _, f := range a.faults {
		if request >= f.from && request < f.to {
			return f.fault
		}
	}
	return nil
}

// TooMany answers 429, with Retry-After where it is not "".
func TooMany(retryAfter string) Fault {
	return func(_ *API, w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		refuse(w, http.StatusTooManyRequests, "rate_limit", "", "Too many requests")
	}
}

// TooManyUntil answers 429 and says until when as a date, by a clock that is off by
// so much.
func TooManyUntil(after, off time.Duration) Fault {
	return func(_ *API, w http.ResponseWriter, _ *http.Request) {
		now := time.Now().Add(off).UTC()
		w.Header().Set("Date", now.Format(http.TimeFormat))
		w.Header().Set("Retry-After", now.Add(after).Format(http.TimeFormat))
		refuse(w, http.StatusTooManyRequests, "rate_limit", "", "Too many requests")
	}
}

// Status answers with an error of this status.
func Status(status int) Fault {
	return func(_ *API, w http.ResponseWriter, _ *http.Request) {
		refuse(w, status, "", "", "Something went wrong on Stripe's end.")
	}
}

// HTML answers 200 with a page for people, as a proxy does.
func HTML(_ *API, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprint(w, "<!doctype html><html><body>We'll be back soon</body></html>")
}

// ErrorWith200 answers 200 with an error.
func ErrorWith200(_ *API, w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, `{"error":{"type":"api_error","message":"An unknown error occurred"}}`)
}

// TruncatedGzip answers with half of a compressed page.
func TruncatedGzip(a *API, w http.ResponseWriter, r *http.Request) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(a.answer(r))
	_ = z.Close()
	w.Header().Set("Content-Encoding", "gzip")
	w.Write(packed.Bytes()[:packed.Len()/2])
}

// Oversized answers with a page of so many bytes of blanks.
func Oversized(size int64) Fault {
	return func(_ *API, w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"object":"list",`)
		_, _ = io.Copy(w, io.LimitReader(blanks{}, size))
	}
}

// blanks is a body that never ends.
type blanks struct{}

// Read gives spaces, as many as there is room for.
func (blanks) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte(" "), len(p))), nil }

var eventID = regexp.MustCompile(`"id": ?"evt_[^"]*"`)

// NumberIDs answers rightly, but for the events' ids, which are numbers.
func NumberIDs(a *API, w http.ResponseWriter, r *http.Request) {
	w.Write(eventID.ReplaceAll(a.answer(r), []byte(`"id":4711`)))
}

// SamePage answers with the page that was served last, whatever is asked for.
func SamePage(a *API, w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w.Write(a.last)
}

// Endless answers rightly, but at the end of the list it begins again: there is
// always more.
func Endless(a *API, w http.ResponseWriter, r *http.Request) {
	body := a.answer(r)
	if bytes.HasSuffix(body, []byte(`"data":[]}`)) {
		again := r.Clone(r.Context())
		q := again.URL.Query()
		q.Del("starting_after")
		again.URL.RawQuery = q.Encode()
		body = a.answer(again)
	}
	w.Write([]byte(strings.Replace(string(body), `"has_more":false`, `"has_more":true`, 1)))
}

// answer is what the API answers rightly.
func (a *API) answer(r *http.Request) []byte {
	recorder := httptest.NewRecorder()
	a.serve(recorder, r)
	return recorder.Body.Bytes()
}
