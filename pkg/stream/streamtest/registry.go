package streamtest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// An UnreliableRegistry is a schema registry (Registry) behind an address that a test
// makes misbehave.
type UnreliableRegistry struct {
	URL string

	t     testing.TB
	mu    sync.Mutex
	next  http.Handler
	fault http.HandlerFunc // nil: none
	made  int
}

// Unreliable starts one that is empty and works.
func Unreliable(t testing.TB) *UnreliableRegistry {
	t.Helper()
	u := &UnreliableRegistry{t: t}
	u.MakeAnew()
	server := httptest.NewServer(http.HandlerFunc(u.serve))
	t.Cleanup(server.Close)
	u.URL = server.URL
	return u
}

func (u *UnreliableRegistry) serve(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	fault, next := u.fault, u.next
	u.mu.Unlock()
	if fault != nil {
		fault(w, r)
		return
	}
	next.ServeHTTP(w, r)
}

// MakeAnew loses all schemas; those that are registered from now on get other ids.
func (u *UnreliableRegistry) MakeAnew() {
	u.t.Helper()
	target, err := url.Parse(Registry(u.t))
	require.NoError(u.t, err)
	// Somebody else registered first, and more each time.
	u.made++
	for i := range 3 * (u.made - 1) {
		body := strings.NewReader(fmt.Sprintf(`{"schema": "{\"type\":\"fixed\",\"name\":\"Other\",\"size\":%d}"}`, i+1))
		answer, err := http.Post(target.String()+"/subjects/others-value/versions", "application/json", body) //nolint:noctx // a test's
		require.NoError(u.t, err)
		require.NoError(u.t, answer.Body.Close())
		require.Equal(u.t, http.StatusOK, answer.StatusCode)
	}
	u.t.Cleanup(http.DefaultClient.CloseIdleConnections)
	transport := &http.Transport{DisableKeepAlives: true}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = transport
	u.mu.Lock()
	defer u.mu.Unlock()
	u.next = proxy
}

// Fail answers every request by fault, until Recover.
func (u *UnreliableRegistry) Fail(fault http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.fault = fault
}

// Recover ends what Fail began.
func (u *UnreliableRegistry) Recover() { u.Fail(nil) }

// What Fail can be given.

// Gone hangs up without an answer.
func Gone(w http.ResponseWriter, _ *http.Request) {
	if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = c.Close()
	}
}

// Answers answers with this status and body.
func Answers(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body) // whoever hung up needs no answer
	}
}

// Slow answers rightly, after this time.
func (u *UnreliableRegistry) Slow(after time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-timer.C:
			u.mu.Lock()
			next := u.next
			u.mu.Unlock()
			next.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
}

// ReadOnly forbids to register.
func (u *UnreliableRegistry) ReadOnly() http.HandlerFunc {
	u.mu.Lock()
	next := u.next
	u.mu.Unlock()
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/versions") {
			Answers(http.StatusForbidden, `{"error_code":40301,"message":"User is denied operation Write"}`)(w, r)
			return
		}
		next.ServeHTTP(w, r)
	}
}
