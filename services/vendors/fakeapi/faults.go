// Package fakeapi is what the fake APIs of vendors have in common: they count the
// requests, and on request limit, fail, repeat themselves and lie in the place of an
// answer (Fault).
package fakeapi

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Fault answers a request in the place of the API, which is next.
type Fault func(next http.Handler, w http.ResponseWriter, r *http.Request)

// Faults stand before an API. The zero value with an API is one without faults. It is
// safe for concurrent use.
type Faults struct {
	API http.Handler

	mu       sync.Mutex
	faults   []injected
	requests []Request
	last     map[string][]byte // by method and path: the answer that was given last
}

// Request is one that came.
type Request struct {
	Method, Path, Query string
	Header              http.Header
	Body                []byte
}

type injected struct {
	path     string
	from, to int // of the requests of the path, counted from 1
	fault    Fault
}

// Inject lets this fault answer so many requests of a path ("" are all), after so many
// that are answered rightly; a negative count: all that come. The newest fault goes
// before older ones, and nil is none.
func (f *Faults) Inject(path string, after, count int, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	from := f.came(path) + after + 1
	to := from + count
	if count < 0 {
		to = int(^uint(0) >> 1)
	}
	f.faults = append([]injected{{path, from, to, fault}}, f.faults...)
}

// Heal takes all faults away.
func (f *Faults) Heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = nil
}

// Requests gives all requests of a path so far; "": of all.
func (f *Faults) Requests(path string) []Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.requests), func(r Request) bool { return path != "" && r.Path != path })
}

func (f *Faults) came(path string) (n int) {
	for _, r := range f.requests {
		if path == "" || r.Path == path {
			n++
		}
	}
	return n
}

// ServeHTTP implements http.Handler.
func (f *Faults) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 16<<20))
	r.Body = io.NopCloser(bytes.NewReader(body))
	if fault := f.next(r, body); fault != nil {
		fault(http.HandlerFunc(f.answer), w, r)
		return
	}
	f.answer(w, r)
}

func (f *Faults) next(r *http.Request, body []byte) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, Request{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Clone(), body})
	for _, one := range f.faults {
		if one.path != "" && one.path != r.URL.Path {
			continue
		}
		if n := f.came(one.path); n >= one.from && n < one.to {
			return one.fault
		}
	}
	return nil
}

// answer lets the API answer, and remembers it.
func (f *Faults) answer(w http.ResponseWriter, r *http.Request) {
	recorder := httptest.NewRecorder()
	f.API.ServeHTTP(recorder, r)
	f.mu.Lock()
	if f.last == nil {
		f.last = map[string][]byte{}
	}
	f.last[r.Method+r.URL.Path] = recorder.Body.Bytes()
	f.mu.Unlock()
	for name, values := range recorder.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(recorder.Code)
	w.Write(recorder.Body.Bytes())
}

// SamePage answers with what was answered last to the same method and path, whatever
// is asked for.
func (f *Faults) SamePage(next http.Handler, w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	last, ok := f.last[r.Method+r.URL.Path]
	f.mu.Unlock()
	if !ok {
		next.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(last)
}

// Answers answers with this status and body.
func Answers(status int, body string) Fault {
	return func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// TooMany answers 429, with Retry-After where it is not "".
func TooMany(retryAfter string) Fault {
	return func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
		if retryAfter != "" {
			w.Header().Set("Retry-After", retryAfter)
		}
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"message":"too many requests"}`)
	}
}

// TooManyUntil answers 429 and says until when as a date, by a clock that is off by so
// much.
func TooManyUntil(after, off time.Duration) Fault {
	return func(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
		now := time.Now().Add(off).UTC()
		w.Header().Set("Date", now.Format(http.TimeFormat))
		w.Header().Set("Retry-After", now.Add(after).Format(http.TimeFormat))
		w.WriteHeader(http.StatusTooManyRequests)
		fmt.Fprint(w, `{"message":"too many requests"}`)
	}
}

// HTML answers 200 with a page for people, as a proxy does.
func HTML(_ http.Handler, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprint(w, "<!doctype html><html><body>We'll be back soon</body></html>")
}

// TruncatedGzip answers with half of the compressed answer.
func TruncatedGzip(next http.Handler, w http.ResponseWriter, r *http.Request) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, _ = z.Write(Right(next, r))
	_ = z.Close()
	w.Header().Set("Content-Encoding", "gzip")
	w.Write(packed.Bytes()[:packed.Len()/2])
}

// BreaksOff answers with half of what its Content-Length promises.
func BreaksOff(next http.Handler, w http.ResponseWriter, r *http.Request) {
	body := Right(next, r)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body[:len(body)/2])
}

// Right is what the API answers rightly.
func Right(next http.Handler, r *http.Request) []byte {
	recorder := httptest.NewRecorder()
	next.ServeHTTP(recorder, r)
	return recorder.Body.Bytes()
}
