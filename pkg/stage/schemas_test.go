package stage_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/service/servicetest"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// registryDeps are Deps of the registry alone.
func registryDeps(t *testing.T, u *streamtest.UnreliableRegistry) (stage.Deps, *observer.ObservedLogs) {
	t.Helper()
	registry, err := event.NewRegistry(event.RegistryConfig{URL: settings.URL(u.URL), Timeout: 200 * time.Millisecond, Refresh: 20 * time.Millisecond})
	require.NoError(t, err)
	core, lines := observer.New(zapcore.InfoLevel)
	return stage.Deps{Registry: registry, Runtime: service.NewRuntime(service.Options{Name: "toy", Log: zap.New(core)})}, lines
}

// registryFaults are a registry's ways to fail, and what is told of each.
func registryFaults(u *streamtest.UnreliableRegistry) map[string]struct {
	fault         http.HandlerFunc
	error, advice string
} {
	return map[string]struct {
		fault         http.HandlerFunc
		error, advice string
	}{
		"gone":         {streamtest.Gone, "EOF", ""},
		"broken":       {streamtest.Answers(500, `{"error_code":50001,"message":"Error in the backend data store"}`), "answered 500: Error in the backend data store", ""},
		"a proxy's":    {streamtest.Answers(502, "<html>Bad Gateway</html>"), "answered 502", ""},
		"HTML":         {streamtest.Answers(200, "<html>Welcome</html>"), "unable to decode", "THROUGHLINE_SCHEMA_REGISTRY_URL"},
		"another path": {streamtest.Answers(404, "<html>Not found</html>"), "answered 404", "THROUGHLINE_SCHEMA_REGISTRY_URL"},
		"password":     {streamtest.Answers(401, `{"error_code":401,"message":"Unauthorized"}`), "answered 401: Unauthorized", "THROUGHLINE_SCHEMA_REGISTRY_PASSWORD"},
		"slow":         {u.Slow(5 * time.Second), "Client.Timeout exceeded", ""},
		"read only":    {u.ReadOnly(), "answered 403: User is denied operation Write", "may not register it"},
	}
}

// A registry that is wrong when a service starts is waited for.
func TestTheRegistryIsAwaited(t *testing.T) {
	t.Parallel()
	for name, fault := range registryFaults(streamtest.Unreliable(t)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := streamtest.Unreliable(t)
			u.Fail(registryFaults(u)[name].fault)
			d, lines := registryDeps(t, u)
			servicetest.Run(t, func(ctx context.Context) error { _, err := d.NewEncoder(ctx); return err })
			var state service.ComponentHealth
			require.Eventually(t, func() bool { state, _ = servicetest.Component(d.Runtime, "schema-registry"); return state.Error != "" }, servicetest.Patience, 5*time.Millisecond)
			require.Contains(t, state.Error, "schema registry "+u.URL[len("http://"):])
			require.Contains(t, state.Error, fault.error)
			require.NotContains(t, state.Error, "<html>")
			require.Contains(t, state.Advice, fault.advice)
			require.Equal(t, fault.advice == "", state.Advice == "")
			u.Recover()
			require.Eventually(t, func() bool { _, there := servicetest.Component(d.Runtime, "schema-registry"); return !there }, servicetest.Patience, 5*time.Millisecond)
			require.Equal(t, 1, lines.FilterMessage("finding the schemas fails and is tried again until it succeeds").Len())
			require.Equal(t, 1, lines.FilterMessage("finding the schemas works again").Len())
		})
	}
}

// A registry that fails or is made anew while a service runs.
func TestTheSchemasAreKept(t *testing.T) {
	t.Parallel()
	u := streamtest.Unreliable(t)
	d, lines := registryDeps(t, u)
	encoder, err := d.NewEncoder(t.Context())
	require.NoError(t, err)
	ev := event.AccountEvent{Type: "a.b", Source: "stripe", SourceEventID: "1", Payload: []byte("{}"), OccurredAt: time.Now(), IngestedAt: time.Now()}
	id := func() byte {
		value, err := encoder.AccountEvent(&ev)
		require.NoError(t, err)
		return value[4]
	}
	require.EqualValues(t, 1, id())
	component := d.KeepSchemas("toy", encoder.Refresh)
	servicetest.Run(t, component.Run)
	u.Fail(streamtest.Gone)
	servicetest.RequireReady(t, d.Runtime, false)
	require.EqualValues(t, 1, id(), "what is written goes on")
	u.MakeAnew()
	u.Recover()
	servicetest.RequireReady(t, d.Runtime, true)
	require.Eventually(t, func() bool { return id() != 1 }, servicetest.Patience, 5*time.Millisecond)
	require.Equal(t, 1, lines.FilterMessageSnippet("the schema registry was made anew").Len())
	servicetest.RequireFewLines(t, lines)
}
