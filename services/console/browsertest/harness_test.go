//go:build browser

package browsertest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/services/console/web"
	"github.com/throughline-dev/throughline/services/console/web/webtest"
)

// base is the path prefix that every journey is made under.
const base = "/console"

// site is the console's pages on a port of this machine.
type site struct {
	*webtest.Fake
	t      *testing.T
	addr   string
	role   access.Role
	server *http.Server
}

func serve(t *testing.T, role access.Role, o webtest.Options) *site {
	t.Helper()
	fake, err := webtest.New(o)
	require.NoError(t, err)
	s := &site{Fake: fake, t: t, role: role, addr: "127.0.0.1:0"}
	s.start()
	t.Cleanup(s.stop)
	return s
}

func (s *site) start() {
	listener, err := net.Listen("tcp", s.addr)
	require.NoError(s.t, err)
	s.addr = listener.Addr().String()
	pages := web.New(web.Options{Backend: s.Fake, BasePath: base, SignOut: base + "/sign-out"})
	s.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages.ServeHTTP(w, r.WithContext(access.WithActor(r.Context(), access.Actor{Who: "user:kim@throughline.example", Role: s.role, Via: "console"})))
	})}
	go s.server.Serve(listener)
}

// stop ends the server and its connections at once, as a kill does.
func (s *site) stop() { s.server.Close() }

func (s *site) url(path string) string { return "http://" + s.addr + base + path }

var browser = sync.OnceValues(func() (context.Context, error) {
	program, err := exec.LookPath("chromium")
	if err != nil {
		return nil, fmt.Errorf("these tests need Debian's chromium (make browser installs it): %w", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Flag("lang", "en-GB"))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancelBrowser := chromedp.NewContext(ctx)
	ending = func() { cancelBrowser(); cancel() }
	return ctx, chromedp.Do(ctx)
})

var ending = func() {}

func TestMain(m *testing.M) {
	code := m.Run()
	ending()
	os.Exit(code)
}

// tab is a tab that fails its test on violations of the policy, on exceptions, and on what the console logs as an error.
type tab struct {
	context.Context
	t        *testing.T
	mu       sync.Mutex
	problems []string
	// allowed are parts of messages that a journey means to cause.
	allowed []string
}

func open(t *testing.T, allowed ...string) *tab {
	t.Helper()
	parent, err := browser()
	require.NoError(t, err)
	ctx, cancel := chromedp.NewContext(parent)
	timed, cancelTime := context.WithTimeout(ctx, 15*time.Minute) // axe goes over all pages in one tab
	b := &tab{Context: timed, t: t, allowed: allowed}
	require.NoError(t, chromedp.Listen(timed, func(ev any) {
		switch ev := ev.(type) {
		case *log.EventEntryAdded:
			if ev.Entry.Level == log.EntryLevelError || ev.Entry.Source == log.EntrySourceSecurity {
				b.problem(ev.Entry.Text + " " + ev.Entry.URL)
			}
		case *runtime.EventExceptionThrown:
			text := ev.ExceptionDetails.Text
			if ev.ExceptionDetails.Exception != nil {
				text += " " + ev.ExceptionDetails.Exception.Description
			}
			b.problem("exception: " + text)
		case *runtime.EventConsoleAPICalled:
			if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning {
				b.problem(fmt.Sprintf("console: %s", ev.Args[0].Value))
			}
		case *page.EventJavascriptDialogOpening:
			b.problem("a dialog of the browser: " + ev.Message)
		}
	}))
	call(b, log.Enable, cdp.Empty{})
	call(b, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: `document.addEventListener("securitypolicyviolation", e => console.error("policy: " + e.violatedDirective + " " + e.blockedURI))`})
	b.size(1280)
	b.theme("light")
	t.Cleanup(func() {
		cancelTime()
		cancel()
		b.mu.Lock()
		defer b.mu.Unlock()
		require.Empty(t, b.problems, "what the browser complained about")
	})
	return b
}

func (b *tab) problem(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.allowed {
		if strings.Contains(text, a) {
			return
		}
	}
	b.problems = append(b.problems, text)
}

func call[P, R any](b *tab, cmd cdp.Command[P, R], params P) R {
	b.t.Helper()
	out, err := chromedp.Call(b.Context, cmd, params)
	require.NoError(b.t, err)
	return out
}

func (b *tab) size(width int64) {
	b.t.Helper()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 900, DeviceScaleFactor: 1})
}

func (b *tab) theme(name string) {
	b.t.Helper()
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.Context, actions...))
}

func (b *tab) visit(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
}

// press presses keys one after the other, as a person does who uses nothing else.
func (b *tab) press(keys ...string) {
	b.t.Helper()
	for _, k := range keys {
		b.do(chromedp.KeyEvent(k))
	}
}

// eval gives what an expression is. A promise is waited for.
func eval[T any](b *tab, js string) T {
	b.t.Helper()
	out, err := chromedp.Run(b.Context, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	require.NoError(b.t, err, js)
	return out
}

// until waits for an expression to be true. The page may change meanwhile.
func (b *tab) until(js string) {
	b.t.Helper()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(40 * time.Second)
	for {
		ok, err := chromedp.Run(b.Context, chromedp.Evaluate[bool]("!!("+js+")"))
		if err == nil && ok {
			return
		}
		select {
		case <-poll.C:
		case <-deadline:
			text, _ := chromedp.Run(b.Context, chromedp.Evaluate[string](`location.href + "\n" + document.body.innerText.slice(0, 2000)`))
			require.Fail(b.t, "this did not become true", "%s\n%v\nthe page: %s\nproblems: %v", js, err, text, b.problems)
		}
	}
}

// shot puts a picture into the directory that THROUGHLINE_SHOTS names, if it does.
func (b *tab) shot(name string, whole bool) {
	b.t.Helper()
	dir := os.Getenv("THROUGHLINE_SHOTS")
	if dir == "" {
		return
	}
	take := chromedp.CaptureScreenshot()
	if whole {
		take = chromedp.FullScreenshot(100)
	}
	picture, err := chromedp.Run(b.Context, take)
	require.NoError(b.t, err)
	require.NoError(b.t, os.MkdirAll(dir, 0o755))
	require.NoError(b.t, os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644))
}

// scriptOff switches JavaScript off, as some people do.
func (b *tab) scriptOff() {
	b.t.Helper()
	call(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
}
