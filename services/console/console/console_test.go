package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/service"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/services/console/console"
	"github.com/throughline-dev/throughline/services/console/signin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

// start runs a console until the test ends, and gives its address and its tokens' store.
func start(t *testing.T, change func(*console.Options)) (string, *access.Store) {
	t.Helper()
	return startOn(t, postgrestest.New(t), change)
}

func startOn(t *testing.T, pool *pgxpool.Pool, change func(*console.Options)) (string, *access.Store) {
	t.Helper()
	var o console.Options
	settings.Defaults(&o.Server)
	settings.Defaults(&o.SignIn)
	o.Server.Listen, o.Server.DrainDelay = "127.0.0.1:0", 0
	change(&o)
	d := stage.Deps{Pool: pool, Sources: catalog.Set(), Runtime: service.NewRuntime(service.Options{Name: "console", Registry: prometheus.NewRegistry()})}
	c, err := console.New(d, o)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Group(c).Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	require.Eventually(t, func() bool { return c.Addr() != "" }, 30*time.Second, 5*time.Millisecond)
	return "http://" + c.Addr(), access.NewStore(pool)
}

type answer struct {
	status int
	at     string
	header http.Header
	body   string
}

func browser(t *testing.T) func(method, address, form string, header ...string) answer {
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Jar: jar, Transport: transport}
	return func(method, address, form string, header ...string) answer {
		r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form))
		require.NoError(t, err)
		if form != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := client.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return answer{resp.StatusCode, resp.Request.URL.RequestURI(), resp.Header, string(body)}
	}
}

func TestConsole(t *testing.T) {
	t.Parallel()
	address, store := start(t, func(*console.Options) {})
	made, err := store.CreateToken(t.Context(), access.Actor{Who: "cli:root"}, "ada", access.Viewer, time.Time{})
	require.NoError(t, err)
	bearer := "Bearer " + made.Secret
	ask := browser(t)

	a := ask(http.MethodGet, address+"/api/v1/me", "", "Authorization", bearer)
	require.Equal(t, http.StatusOK, a.status)
	require.JSONEq(t, `{"who": "token:ada", "role": "viewer"}`, a.body)
	a = ask(http.MethodGet, address+"/api/v1/me", "")
	require.Equal(t, http.StatusUnauthorized, a.status)
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	require.True(t, json.Valid([]byte(a.body)))
	a = ask(http.MethodGet, address+"/api/v1/nothing", "", "Authorization", bearer)
	require.Equal(t, http.StatusNotFound, a.status)

	a = ask(http.MethodGet, address+"/accounts", "")
	require.Equal(t, "/signin?next=%2Faccounts", a.at)
	require.Contains(t, a.body, "API token")
	require.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'")
	a = ask(http.MethodPost, address+"/signin", url.Values{"token": {made.Secret}, "next": {"/accounts"}}.Encode())
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, "/accounts", a.at)
	for _, path := range []string{"/", "/live", "/quarantine", "/sources", "/jobs"} {
		a = ask(http.MethodGet, address+path, "")
		require.Equal(t, http.StatusOK, a.status, path)
		require.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'", path)
		require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"), path)
	}
	a = ask(http.MethodGet, address+"/audit", "")
	require.Equal(t, http.StatusForbidden, a.status, "a viewer does not read the audit log")
	a = ask(http.MethodPost, address+"/api/v1/accounts", `{"name": "Acme"}`, "Content-Type", "application/json")
	require.Equal(t, http.StatusForbidden, a.status, "a viewer does not make accounts")
	log, err := store.Audit(t.Context(), "token:ada", "createAccount", 0, 10)
	require.NoError(t, err)
	require.Len(t, log, 1)
	require.Equal(t, access.Refused, log[0].Result)

	a = ask(http.MethodPost, address+"/signout", "", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example.com")
	require.Equal(t, http.StatusForbidden, a.status, "a page of another site does nothing here")
	a = ask(http.MethodPost, address+"/signout", "")
	require.Equal(t, "/signin", a.at)
}

// Paths that net/http would redirect with a page of its own are not there: programs get a problem, people a page.
func TestPathsWithEmptySegments(t *testing.T) {
	t.Parallel()
	for _, base := range []string{"", "/tools"} {
		address, _ := start(t, func(o *console.Options) {
			o.SignIn.Login, o.SignIn.PublicURL = signin.None, settings.URL("http://localhost"+base)
		})
		ask := browser(t)
		for _, path := range []string{"//api/v1/accounts", "/api/v1//accounts", "/api/v1/./accounts", "/api/v1/x/../accounts", "/api//v1/accounts/", "/api/v1", "/x/..//api/v1"} {
			a := ask(http.MethodGet, address+base+path, "")
			require.Equal(t, http.StatusNotFound, a.status, path)
			require.Equal(t, base+path, a.at, "no redirect")
			require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), path)
		}
		for _, path := range []string{"//accounts", "/accounts//", "/./accounts", "/x/../accounts"} {
			a := ask(http.MethodGet, address+base+path, "")
			require.Equal(t, http.StatusNotFound, a.status, path)
			require.Equal(t, base+path, a.at, "no redirect")
			require.Contains(t, a.header.Get("Content-Type"), "text/html", path)
			require.Contains(t, a.body, "there is no such page", path)
		}
		require.Equal(t, http.StatusOK, ask(http.MethodGet, address+base+"/api/v1/accounts", "").status)
	}
}

// Connections that send a form byte by byte keep nobody out.
func TestSlowSenders(t *testing.T) {
	t.Parallel()
	address, _ := start(t, func(*console.Options) {})
	for range 300 {
		var dialer net.Dialer
		conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(address, "http://"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, "POST /signin HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 1000\r\n\r\nt")
		require.NoError(t, err)
	}
	ask := browser(t)
	for range 200 { // some come when all of those are being read
		a := ask(http.MethodGet, address+"/api/v1/me", "")
		require.Equal(t, http.StatusUnauthorized, a.status, a.body)
	}
	a := ask(http.MethodPost, address+"/signin", "token=tl_"+strings.Repeat("x", 100_000))
	require.Equal(t, http.StatusBadRequest, a.status)
	a = ask(http.MethodPost, address+"/signin", "token=tl_x")
	require.Equal(t, http.StatusUnauthorized, a.status)
}

// Connections that a stranger keeps open, from one address, keep nobody out.
func TestIdleStrangers(t *testing.T) {
	t.Parallel()
	address, store := start(t, func(*console.Options) {})
	made, err := store.CreateToken(t.Context(), access.Actor{Who: "cli:root"}, "ada", access.Viewer, time.Time{})
	require.NoError(t, err)
	for range 1100 {
		var dialer net.Dialer
		conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(address, "http://"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, "GET /signin HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: 20 * time.Second}
	for range 5 {
		require.Equal(t, http.StatusOK, status(t.Context(), client, address+"/api/v1/me", made.Secret))
	}
}

// status gives that of an API's answer, 0 for none.
func status(ctx context.Context, client *http.Client, address, token string) int {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(r)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// Hundreds who try one wrong token after the other take no slot from a right one.
func TestWrongTokensShutNobodyOut(t *testing.T) {
	t.Parallel()
	address, store := start(t, func(*console.Options) {})
	made, err := store.CreateToken(t.Context(), access.Actor{Who: "cli:root"}, "ada", access.Viewer, time.Time{})
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	require.Equal(t, http.StatusOK, status(t.Context(), client, address+"/api/v1/me", made.Secret))
	guessing, end := context.WithCancel(t.Context())
	var strangers sync.WaitGroup
	defer strangers.Wait()
	defer end()
	var refused atomic.Int64
	for i := range 400 {
		strangers.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			guesser := &http.Client{Transport: transport}
			for n := 0; guessing.Err() == nil; n++ {
				if status(guessing, guesser, address+"/api/v1/me", fmt.Sprintf("tl_%020d%023d", i, n)) == http.StatusUnauthorized {
					refused.Add(1)
				}
			}
		})
	}
	require.Eventually(t, func() bool { return refused.Load() > 400 }, 60*time.Second, time.Millisecond)
	for range 100 {
		require.Equal(t, http.StatusOK, status(t.Context(), client, address+"/api/v1/me", made.Secret))
	}
}

// A database that takes everything and answers nothing ends no statement: the console does.
func TestDatabaseHangs(t *testing.T) {
	t.Parallel()
	url := postgrestest.URL(t)
	network := postgrestest.NewProxy(t, url)
	pool, err := postgres.Open(t.Context(), postgres.Config{URL: settings.URL(network.URL()), MaxConns: 10}, "console")
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	address, store := startOn(t, pool, func(o *console.Options) { o.Server.Patience = time.Second })
	made, err := store.CreateToken(t.Context(), access.Actor{Who: "cli:root"}, "ada", access.Viewer, time.Time{})
	require.NoError(t, err)
	ask := browser(t)
	bearer := []string{"Authorization", "Bearer " + made.Secret}
	require.Equal(t, http.StatusOK, ask(http.MethodGet, address+"/api/v1/overview", "", bearer...).status)
	network.Lose(true)
	began := time.Now()
	for _, path := range []string{"/api/v1/overview", "/api/v1/accounts", "/"} {
		require.Equal(t, http.StatusServiceUnavailable, ask(http.MethodGet, address+path, "", bearer...).status, path)
	}
	require.Less(t, time.Since(began), 45*time.Second, "not for as long as the database hangs")
	network.Lose(false)
	network.Cut()
	require.Eventually(t, func() bool {
		return ask(http.MethodGet, address+"/api/v1/overview", "", bearer...).status == http.StatusOK
	}, 30*time.Second, 100*time.Millisecond)
}

func TestConsoleBehindAPath(t *testing.T) {
	t.Parallel()
	address, _ := start(t, func(o *console.Options) {
		o.SignIn.Login, o.SignIn.PublicURL = signin.None, "http://localhost/tools/throughline/"
	})
	ask := browser(t)
	for path, at := range map[string]string{"/": "/", "/accounts": "/accounts", "/tools/throughline": "/tools/throughline/", "/tools/throughline/": "/tools/throughline/"} {
		a := ask(http.MethodGet, address+path, "")
		require.Equal(t, http.StatusOK, a.status, path)
		require.Equal(t, at, a.at, path)
		require.Contains(t, a.body, `href="/tools/throughline/accounts"`, path)
	}
	for _, prefix := range []string{"/tools/throughline", ""} { // a proxy takes it away, or does not
		a := ask(http.MethodGet, address+prefix+"/api/v1/me", "")
		require.JSONEq(t, `{"who": "user:local", "role": "admin"}`, a.body)
		require.Equal(t, http.StatusNotFound, ask(http.MethodGet, address+prefix+"/assets/nothing.js", "").status)
	}
}

// A stop goes on answering, for load balancers to notice, and ends when it has to.
func TestDrain(t *testing.T) {
	t.Parallel()
	var o console.Options
	settings.Defaults(&o.Server)
	settings.Defaults(&o.SignIn)
	o.Server.Listen, o.Server.DrainDelay = "127.0.0.1:0", time.Hour
	core, said := observer.New(zap.InfoLevel)
	d := stage.Deps{Pool: postgrestest.New(t), Sources: catalog.Set(), Runtime: service.NewRuntime(service.Options{Name: "console", Log: zap.New(core), Registry: prometheus.NewRegistry(), StopTimeout: 2 * time.Hour})}
	c, err := console.New(d, o)
	require.NoError(t, err)
	parts := c.Components()
	server := parts[len(parts)-1]
	require.Greater(t, server.StopTimeout, time.Hour)
	require.NoError(t, server.Start(t.Context()))
	running, end := context.WithCancel(t.Context())
	stopping, cut := context.WithCancel(t.Context())
	ran, stopped := make(chan error, 1), make(chan error, 1)
	go func() { ran <- server.Run(running) }()
	go func() { stopped <- server.Stop(stopping) }()
	require.Eventually(t, func() bool { return said.FilterMessage("serving until the drain delay is over").Len() == 1 }, 30*time.Second, time.Millisecond)
	require.Equal(t, 200, browser(t)(http.MethodGet, "http://"+c.Addr()+"/signin", "").status)
	cut()
	<-stopped // connections that were open are closed
	end()
	require.NoError(t, <-ran)
	require.NoError(t, parts[0].Stop(t.Context()))
}
