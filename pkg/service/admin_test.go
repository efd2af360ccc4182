package service_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
)

func TestAdminEndpoints(t *testing.T) {
	t.Parallel()
	rt := service.NewRuntime(service.Options{Name: "sink"})
	plain, profiled := service.NewAdmin(rt, "127.0.0.1:0", false), service.NewAdmin(rt, "127.0.0.1:0", true)
	for _, admin := range []*service.Admin{plain, profiled} {
		require.Empty(t, admin.Addr())
		require.NoError(t, admin.Start(t.Context()))
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(admin *service.Admin, path, accept string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+admin.Addr()+path, nil)
		require.NoError(t, err)
		req.Header.Set("Accept", accept)
		resp, err := client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}

	status, body := get(plain, "/livez", "")
	require.Equal(t, 200, status)
	require.Equal(t, "ok\n", body)
	_, body = get(plain, "/livez?verbose", "")
	require.Contains(t, body, `"uptime_seconds":`)

	status, body = get(plain, "/readyz", "")
	require.Equal(t, 503, status, "nothing has said that it is ready")
	require.Equal(t, "not ready: nothing has started yet\n", body)

	rt.Health.Set("kafka", nil)
	rt.Health.Set("postgres", errors.New("away"))
	status, body = get(plain, "/readyz", "")
	require.Equal(t, 503, status)
	require.Equal(t, "not ready: postgres\n", body)
	status, body = get(plain, "/readyz?verbose", "")
	require.Equal(t, 503, status)
	var report service.HealthReport
	require.NoError(t, json.Unmarshal([]byte(body), &report))
	require.Len(t, report.Components, 2)
	require.Equal(t, "away", report.Components[1].Error)

	rt.Health.Set("postgres", nil)
	status, body = get(plain, "/readyz", "")
	require.Equal(t, 200, status)
	require.Equal(t, "ok\n", body)

	_, body = get(plain, "/metrics", "")
	require.Contains(t, body, `throughline_build_info{goversion="go`)
	require.Contains(t, body, `service="sink"`)
	require.Contains(t, body, "go_goroutines")
	require.Contains(t, body, "process_open_fds")
	_, body = get(plain, "/metrics", "application/openmetrics-text")
	require.Contains(t, body, "# EOF")

	status, _ = get(plain, "/debug/pprof/", "")
	require.Equal(t, 404, status)
	status, _ = get(profiled, "/debug/pprof/", "")
	require.Equal(t, 200, status)

	for _, admin := range []*service.Admin{plain, profiled} {
		require.NoError(t, admin.Stop(t.Context()))
		require.NoError(t, admin.Stop(t.Context()), "it may be stopped again")
	}
	require.NoError(t, service.NewAdmin(rt, "127.0.0.1:0", false).Stop(t.Context()), "or before it started")
}

// A part with a state and a check is one part, and what is wrong with it is told.
func TestAPartWithAStateAndACheck(t *testing.T) {
	t.Parallel()
	h := service.NewHealth()
	for _, wrong := range []struct{ state, check error }{{nil, nil}, {errors.New("stopped"), nil}, {nil, errors.New("full")}} {
		h.Set("spool", wrong.state)
		h.Check("spool", time.Minute, func(context.Context) error { return wrong.check })
		report := h.Report(t.Context())
		require.Len(t, report.Components, 1)
		require.Equal(t, wrong.state == nil && wrong.check == nil, report.Ready)
		if err := cmp.Or(wrong.state, wrong.check); err != nil {
			require.Equal(t, err.Error(), report.Components[0].Error)
		}
	}
}

func TestHealthChecks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := service.NewHealth()
		release := make(chan struct{})
		h.Check("deaf", time.Second, func(context.Context) error { <-release; return nil })
		h.Check("fine", 0, func(context.Context) error { return nil })
		h.Check("ill", 0, func(context.Context) error { return errors.New("ill") })
		texts := func() map[string]string {
			got := map[string]string{}
			for _, c := range h.Report(t.Context()).Components {
				got[c.Name] = c.Error
			}
			return got
		}
		begin := time.Now()
		require.Equal(t, map[string]string{"deaf": "no answer within 1s", "fine": "", "ill": "ill"}, texts())
		require.Equal(t, "an earlier check has not ended", texts()["deaf"])
		require.Equal(t, 2*time.Second, time.Since(begin))
		close(release)
		synctest.Wait()
		require.Equal(t, map[string]string{"deaf": "", "fine": "", "ill": "ill"}, texts())
		h.Remove("ill")
		require.True(t, h.Report(t.Context()).Ready)
	})
}

func TestHealthKeepsSinceWhileTheStateStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := service.NewHealth()
		h.Set("kafka", errors.New("away"))
		since := time.Now()
		<-time.After(time.Minute)
		h.Set("kafka", errors.New("still away"))
		got := h.Report(t.Context()).Components[0]
		require.Equal(t, "still away", got.Error)
		require.True(t, since.Equal(got.Since))
		h.Set("kafka", nil)
		require.True(t, time.Now().Equal(h.Report(t.Context()).Components[0].Since))
	})
}

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestTraceparentRoundTrip(t *testing.T) {
	t.Parallel()
	ctx := service.WithTraceparent(t.Context(), traceparent)
	require.Equal(t, traceparent, service.Traceparent(ctx))
	require.Empty(t, service.Traceparent(t.Context()))

	t.Run("garbage is ignored", func(t *testing.T) {
		t.Parallel()
		for _, bad := range []string{
			"", "x", "00-0-0-0", "ff" + traceparent[2:], traceparent[:54], "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
			"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", string(make([]byte, 1<<16)), traceparent + "-more",
		} {
			require.Empty(t, service.Traceparent(service.WithTraceparent(t.Context(), bad)), "%.80q", bad)
		}
		require.Equal(t, traceparent, service.Traceparent(service.WithTraceparent(ctx, "x")), "what was there stays")
	})
	t.Run("without an exporter the trace travels and no id is made", func(t *testing.T) {
		t.Parallel()
		rt := service.NewRuntime(service.Options{Name: "sink"})
		spanned, span := rt.Tracer.Start(ctx, "write")
		defer span.End()
		require.False(t, span.IsRecording())
		require.Equal(t, traceparent, service.Traceparent(spanned))
		fresh, other := rt.Tracer.Start(t.Context(), "write")
		defer other.End()
		require.Empty(t, service.Traceparent(fresh))
	})
}

func TestSampling(t *testing.T) {
	t.Parallel()
	exporter := tracetest.NewInMemoryExporter()
	provider := service.NewProvider("sink", 0, sdktrace.WithSyncer(exporter))
	rt := service.NewRuntime(service.Options{Name: "sink", TracerProvider: provider})
	_, span := rt.Tracer.Start(t.Context(), "ours")
	span.End()
	require.Empty(t, exporter.GetSpans(), "ratio 0 samples nothing that begins here")
	_, span = rt.Tracer.Start(service.WithTraceparent(t.Context(), traceparent), "theirs")
	span.End()
	spans := exporter.GetSpans()
	require.Len(t, spans, 1, "the sender's decision holds")
	require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", spans[0].SpanContext.TraceID().String())
	require.Equal(t, "00f067aa0ba902b7", spans[0].Parent.SpanID().String())
	require.NoError(t, provider.Shutdown(t.Context()))
}

func TestSpansReachTheCollector(t *testing.T) {
	t.Parallel()
	posted := make(chan string, 1)
	admin := &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		posted <- user + ":" + password + " " + r.URL.Path
	})}
	address := serveHTTP(t, admin)
	var out bytes.Buffer
	c := settings.Common{OTLPEndpoint: settings.URL("http://kim:hunter2@" + address + "/"), TraceRatio: 1}
	rt, err := service.OpenRuntime(t.Context(), "sink", &c, &out)
	require.NoError(t, err)
	_, span := rt.Tracer.Start(t.Context(), "write")
	span.End()
	require.NoError(t, rt.Close(t.Context()))
	require.Equal(t, "kim:hunter2 /v1/traces", <-posted)
}

func TestLogLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := service.NewLogger(&out, "sink", "info", "json")
	log.Debug("unseen")
	log.Info("plain")
	decoder := json.NewDecoder(&out)
	var plain map[string]any
	require.NoError(t, decoder.Decode(&plain))
	require.False(t, decoder.More())
	ts, err := time.Parse(time.RFC3339Nano, plain["ts"].(string))
	require.NoError(t, err)
	require.Equal(t, time.UTC, ts.Location())
	delete(plain, "ts")
	require.Equal(t, map[string]any{"level": "info", "msg": "plain", "service": "sink", "version": settings.Version()}, plain)
	var text bytes.Buffer
	service.NewLogger(&text, "sink", "info", "console").Info("hello")
	require.NotEqual(t, byte('{'), text.Bytes()[0])
	var auto bytes.Buffer
	service.NewLogger(&auto, "sink", "info", "auto").Info("hello")
	require.Equal(t, byte('{'), auto.Bytes()[0], "a buffer is no terminal")
}

func TestManyRuntimesInOneProcess(t *testing.T) {
	t.Parallel()
	for range 3 {
		rt := service.NewRuntime(service.Options{Name: "sink"})
		require.NoError(t, rt.Close(t.Context()))
		require.False(t, trace.SpanContextFromContext(t.Context()).IsValid())
	}
}

// serveHTTP serves on a free port until the test ends.
func serveHTTP(t *testing.T, server *http.Server) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return listener.Addr().String()
}
