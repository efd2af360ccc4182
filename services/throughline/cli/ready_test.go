package cli_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/service"
)

func TestReady(t *testing.T) {
	t.Parallel()
	health := service.NewHealth()
	server := httptest.NewServer(http.HandlerFunc(health.Readyz))
	t.Cleanup(server.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	sh := &shell{t: t, env: map[string]string{"THROUGHLINE_ADMIN_ADDR": ":" + port, "HTTP_PROXY": "http://127.0.0.1:1"}}

	r := sh.run("ready")
	require.Equal(t, 1, r.code)
	require.Equal(t, "throughline: not ready: nothing has started yet\n", r.err)

	health.Set("kafka", nil)
	health.Set("topics", fault.Advise(errors.New("raw.stripe is missing"), "throughline topics apply"))
	r = sh.run("ready")
	require.Equal(t, 1, r.code)
	require.Equal(t, "throughline: not ready\n", r.err)
	require.Regexp(t, `(?m)^topics  not ready  \S+  raw.stripe is missing  throughline topics apply$`, r.out)
	require.Contains(t, sh.run("ready", "--json").out, `"advice":"throughline topics apply"`)

	health.Set("topics", nil)
	for _, addr := range []string{":", "0.0.0.0:", "127.0.0.1:", "localhost:"} {
		require.Regexp(t, `(?m)^topics  ready  `, sh.must("ready", "--admin-addr", addr+port))
	}

	health.CheckNoted("certificate", 0, func(context.Context) (string, error) { return "it ends soon", nil })
	require.Regexp(t, `(?m)^certificate  ready  .*it ends soon`, sh.must("ready"))

	// The webhook port's answer is JSON, too.
	webhooks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"error":"not found"}`))
	}))
	t.Cleanup(webhooks.Close)
	r = sh.run("ready", "--admin-addr", strings.TrimPrefix(webhooks.URL, "http://"))
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "this is no admin port: check --admin-addr")

	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	r = sh.run("ready", "--admin-addr", strings.TrimPrefix(other.URL, "http://"))
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "answered 404 Not Found, which is no readiness of a service, so this is no admin port: check --admin-addr")
	r = sh.run("ready", "--admin-addr", "127.0.0.1:1")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "connection refused: check that the service runs")
	require.Equal(t, 2, sh.run("ready", "--admin-addr", "nonsense").code)
}
