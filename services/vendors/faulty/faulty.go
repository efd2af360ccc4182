// Package faulty lets a fake of a vendor's API limit, fail, repeat itself and lie, as
// APIs and what stands before them do.
package faulty

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"time"
)

// API serves a fake, and its faults. It is safe for concurrent use.
type API struct {
	right http.Handler

	mu       sync.Mutex
	faults   []injected
	requests []Request
	last     []byte // the answer before
}

// New makes an API that answers as right does.
func New(right http.Handler) *API { return &API{right: right} }

// Request is one that came.
type Request struct {
	Method, Path string
	Query        url.Values
	Header       http.Header
	Body         []byte
}

// Fault answers a request in the place of the API. It may ask Right.
type Fault func(a *API, w http.ResponseWriter, r *http.Request)

type injected struct {
	from, to int // of the requests, counted from 1
	fault    Fault
}

// Inject lets this fault answer so many requests, after so many that are answered
// rightly; a negative count: all that come. The newest fault goes before older ones.
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

// Requests gives all requests so far.
func (a *API) Requests() []Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]Request(nil), a.requests...)
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	a.mu.Lock()
	a.requests = append(a.requests, Request{r.Method, r.URL.Path, r.URL.Query(), r.Header.Clone(), body})
	var fault Fault
	for _, f := range a.faults {
		if n := len(a.requests); n >= f.from && n < f.to {
			fault = f.fault
			break
		}
	}
	a.mu.Unlock()
	if fault != nil {
		fault(a, w, r)
		return
	}
	a.Write(w, a.Right(r))
}

// Right is what the API answers rightly.
func (a *API) Right(r *http.Request) *http.Response {
	recorder := httptest.NewRecorder()
	a.right.ServeHTTP(recorder, r)
	answer := recorder.Result()
	body := recorder.Body.Bytes()
	answer.Body = io.NopCloser(bytes.NewReader(body))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = body
	return answer
}

// Write sends an answer on.
func (*API) Write(w http.ResponseWriter, answer *http.Response) {
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.StatusCode)
	_, _ = io.Copy(w, answer.Body)
}

// Answers gives this, whatever is asked for.
func Answers(status int, body string) Fault {
	return func(_ *API, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// TooMany answers 429, with Retry-After where it is not "".
func TooMany(retryAfter string) Fault {
	return func(_ *API, w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

// TooManyUntil answers 429 and says until when as a date, by a clock that is off by
// so much.
func TooManyUntil(after, off time.Duration) Fault {
	return func(_ *API, w http.ResponseWriter, _ *http.Request) {
		now := time.Now().Add(off).UTC()
		w.Header().Set("Date", now.Format(http.TimeFormat))
		w.Header().Set("Retry-After", now.Add(after).Format(http.TimeFormat))
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

// HTML answers 200 with a page for people, as a proxy does.
func HTML(_ *API, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "<!doctype html><html><body>We'll be back soon</body></html>")
}

// TruncatedGzip answers with half of a compressed answer.
func TruncatedGzip(a *API, w http.ResponseWriter, r *http.Request) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = io.Copy(z, a.Right(r).Body)
	_ = z.Close()
	w.Header().Set("Content-Encoding", "gzip")
	_, _ = w.Write(packed.Bytes()[:packed.Len()/2])
}

// BreaksOff answers with half of what its Content-Length promises.
func BreaksOff(a *API, w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(a.Right(r).Body)
	w.Header().Set("Content-Length", "1000000")
	_, _ = w.Write(body[:len(body)/2])
}

// SamePage answers with what was answered last, whatever is asked for.
func SamePage(a *API, w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, _ = w.Write(a.last)
}

// Only lets a fault answer the requests whose path it fits, and the API the others.
func Only(fits func(path string) bool, f Fault) Fault {
	return func(a *API, w http.ResponseWriter, r *http.Request) {
		if fits(r.URL.Path) {
			f(a, w, r)
			return
		}
		a.Write(w, a.Right(r))
	}
}
