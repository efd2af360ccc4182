//go:build browser

package browsertest

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/services/console/web/webtest"
)

// click presses what a selector finds, where it is on the page.
func (b *tab) click(selector string) {
	b.t.Helper()
	b.until(`document.querySelector(` + quote(selector) + `)?.checkVisibility()`)
	b.do(chromedp.Click(chromedp.CSS(selector)))
}

func (b *tab) write(selector, text string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS(selector), text))
}

func quote(s string) string { return "`" + s + "`" }

// says waits for the page to show a text.
func (b *tab) says(text string) {
	b.t.Helper()
	b.until(`document.body.innerText.includes(` + quote(text) + `)`)
}

// focused describes what has the focus.
const focused = `(e => e.tagName + " " + (e.id || e.name || e.getAttribute("href") || e.innerText || ""))(document.activeElement)`

// TestPaletteOpensTheFirst: Enter opens what is marked, whether its list had come when it was pressed or not.
func TestPaletteOpensTheFirst(t *testing.T) {
	s := serve(t, access.Viewer, webtest.Options{})
	b := open(t)
	b.visit(s.url("/"))
	b.click(`[data-palette]`)
	b.until(`document.querySelector("#palette").open`)
	b.press("acme", kb.Enter)
	b.until(`document.title.startsWith("Acme Robotics")`)
}

// TestChurnStory: somebody who knows no SQL finds out why a customer left, from its name.
func TestChurnStory(t *testing.T) {
	s := serve(t, access.Viewer, webtest.Options{})
	b := open(t)
	b.visit(s.url("/"))
	b.click(`[data-palette]`)
	b.until(`document.querySelector("#palette").open`)
	b.press("acme")
	b.until(`document.querySelector("#found a")?.innerText.includes("Acme Robotics")`)
	b.press(kb.ArrowDown, kb.Enter)
	b.until(`document.title.startsWith("Acme Robotics")`)
	b.until(`document.querySelectorAll(".event").length > 10`)
	said := eval[[]string](b, `[...document.querySelectorAll(".timeline .day > ol > li > a .name, .timeline .day > ol > li > details > summary .name")].map(e => e.innerText)`)
	var story []string
	for _, want := range []string{"Subscription deleted", "Invoice payment failed", "Conversation replied", "Ticket replied", "Ticket created", "Conversation created", "Invoice paid", "Deal stage changed", "Email opened", "Contact created"} {
		for i, line := range said {
			if line == want {
				story, said = append(story, want), said[i+1:]
				break
			}
		}
	}
	require.Len(t, story, 10, "the story from its end to its beginning; after that came %v", said)
	b.says("charged twice")
	require.True(t, eval[bool](b, `document.querySelector(".event.tone-bad .visually-hidden").textContent.includes("bad news")`), "and not by colour alone")
	require.Equal(t, "6", eval[string](b, `document.querySelector(".run .times").innerText.replace(/\D/g, "")`), "noise is folded")
	b.click(`.event a[data-panel]`) // the newest
	b.until(`document.querySelector("#panel h2")?.innerText === "Subscription deleted"`)
	require.Contains(t, eval[string](b, `location.search`), "event=")
	require.Equal(t, "panel", eval[string](b, `document.activeElement.id`))
	b.press(kb.Escape)
	b.until(`!document.querySelector("#split").classList.contains("has-panel")`)
	require.Contains(t, eval[string](b, focused), "event=", "the focus is where it was")
	b.click(`a[href*="order=asc"]`)
	b.until(`document.querySelector(".event .name").innerText === "Customer created"`)
}

// TestLinkInQuarantine: a dry run, a yes, and the past comes onto the timeline while one looks on.
func TestLinkInQuarantine(t *testing.T) {
	s := serve(t, access.Operator, webtest.Options{})
	b := open(t)
	b.visit(s.url("/search?q=cus_NimbusLab"))
	b.says("3 events wait for it in quarantine.")
	b.click(`[data-link]`)
	b.until(`document.querySelector("#dialog").open && document.querySelector("#dialog input[type=search]")`)
	b.press("nimb", kb.Enter)
	b.until(`document.querySelectorAll("#dialog .choices label").length === 1`)
	b.click(`#dialog .choices label`)
	b.click(`#dialog .button.primary`)
	b.says("3 events leave the quarantine and come onto the timeline of Nimbus Lab.")
	for _, e := range s.Audited() {
		require.True(t, e.DryRun || e.Action != "linkReference" || e.Result != "done" || e.At.Before(time.Now().Add(-time.Hour)), "nothing is done yet")
	}
	b.click(`#dialog textarea`)
	b.press("They wrote from that domain")
	b.click(`#dialog .button.primary`)
	b.says("0 of 3 events came onto the timeline.")
	require.True(t, s.Drain())
	b.says("1 of 3 events came onto the timeline.")
	require.True(t, s.Drain())
	require.True(t, s.Drain())
	b.says("All 3 events left the quarantine.")
	b.click(`.drain a`)
	b.until(`document.title.startsWith("Nimbus Lab") && document.querySelectorAll(".event").length === 3`)
	b.visit(s.url("/links?view=decisions"))
	b.says("They wrote from that domain")
}

// TestEightTabs: eight live tails neither hang each other nor the pages beside them, and the tab that is used is live.
func TestEightTabs(t *testing.T) {
	s := serve(t, access.Viewer, webtest.Options{})
	var tabs []*tab
	for range 8 {
		b := open(t)
		b.visit(s.url("/live"))
		b.until(`["live", "paused"].includes(document.querySelector("[data-live-toggle]").dataset.state)`)
		tabs = append(tabs, b)
	}
	last := tabs[7]
	last.until(`document.querySelector("[data-live-toggle]").dataset.state === "live"`)
	require.LessOrEqual(t, s.Tails(), 3)
	s.Store(webtest.Acme, "stripe", "invoice.paid", "told to eight", time.Now(), `{}`)
	last.says("told to eight")
	first := tabs[0]
	call(first, page.BringToFront, cdp.Empty{})
	if eval[string](first, `document.querySelector("[data-live-toggle]").dataset.state`) != "live" {
		require.Contains(t, eval[string](first, `document.querySelector("[data-live-label]").innerText`), "Paused", "it says that it waits")
		first.click(`[data-live-toggle]`)
	}
	first.until(`document.querySelector("[data-live-toggle]").dataset.state === "live"`)
	s.Store(webtest.Acme, "stripe", "invoice.paid", "told to the first", time.Now(), `{}`)
	first.says("told to the first")
	tabs[3].visit(s.url("/accounts"))
	tabs[3].says("Acme Robotics")
}

// TestLiveTailSurvivesRestart: the server goes and comes back; the page says so, and misses and doubles nothing.
func TestLiveTailSurvivesRestart(t *testing.T) {
	s := serve(t, access.Viewer, webtest.Options{})
	b := open(t, "net::ERR_", "EventSource")
	b.visit(s.url("/live"))
	live := `document.querySelector("[data-live-toggle]").dataset.state === "live"`
	b.until(live)
	s.Store(webtest.Acme, "stripe", "invoice.paid", "before", time.Now(), `{}`)
	b.says("before")
	s.stop()
	b.says("Reconnecting")
	s.Store(webtest.Acme, "stripe", "invoice.paid", "while it was away", time.Now(), `{}`)
	s.start()
	b.until(live)
	b.says("while it was away")
	s.Skip(7)
	b.says("7 events skipped")
	s.Store(webtest.Acme, "stripe", "invoice.paid", "after", time.Now(), `{}`)
	b.says("after")
	require.EqualValues(t, 3, eval[int64](b, `document.querySelectorAll(".event").length`))
	b.press("p")
	b.until(`document.querySelector("[data-live-label]").innerText === "Paused"`)
	s.Store(webtest.Acme, "zendesk", "ticket.created", "held back", time.Now(), `{}`)
	b.says("Paused · 1 new")
	require.False(t, eval[bool](b, `document.body.innerText.includes("held back")`))
	b.press("p")
	b.says("held back")
}

// TestLiveTimeline: an event that comes is on the timeline that is open, once.
func TestLiveTimeline(t *testing.T) {
	s := serve(t, access.Viewer, webtest.Options{})
	b := open(t)
	b.visit(s.url("/accounts/" + webtest.Acme.String()))
	b.until(`document.querySelector("[data-live-toggle]").dataset.state === "live"`)
	before := eval[int64](b, `document.querySelectorAll(".event").length`)
	s.Store(webtest.Quiet, "stripe", "invoice.paid", "another customer's", time.Now(), `{}`)
	s.Store(webtest.Acme, "stripe", "subscription.created", "they came back", time.Now(), `{}`)
	b.says("they came back")
	require.Equal(t, before+1, eval[int64](b, `document.querySelectorAll(".event").length`))
	require.False(t, eval[bool](b, `document.body.innerText.includes("another customer's")`))
	b.press("j", kb.Enter)
	b.until(`document.querySelector("#panel h2")?.innerText === "Subscription created"`)
}

// TestLargePayload: 5 MB neither come with the page nor stop it; they come when they are asked for.
func TestLargePayload(t *testing.T) {
	s := serve(t, access.Viewer, webtest.Options{})
	b := open(t)
	b.visit(s.url("/accounts/" + webtest.Hostile.String() + "?source=zendesk"))
	b.click(`.event a[data-panel]`)
	b.says("The first 64 KB of 5.0 MB.")
	require.Less(t, eval[int64](b, `document.documentElement.outerHTML.length`), int64(600_000))
	b.click(`[data-rest]`)
	b.until(`document.querySelector(".rest-text")?.textContent.endsWith(` + quote(webtest.Big+"}") + `)`)
	require.Greater(t, eval[int64](b, `document.querySelector(".rest-text").textContent.length`), int64(5_000_000))
	b.press(kb.Escape)
	b.until(`!document.querySelector("#split").classList.contains("has-panel")`)
}

// TestHundredThousandEvents: the page is as large and as fast as that of any account, and the beginning can be reached.
func TestHundredThousandEvents(t *testing.T) {
	s := serve(t, access.Viewer, webtest.Options{Many: 100_000})
	b := open(t)
	b.visit(s.url("/accounts/" + webtest.Many.String()))
	b.until(`document.querySelectorAll(".event").length === 60`)
	require.Less(t, eval[int64](b, `document.documentElement.outerHTML.length`), int64(250_000))
	b.click(`a[rel=next]`)
	b.until(`location.search.includes("cursor") && document.querySelectorAll(".event").length === 60`)
	b.click(`.strip svg`) // its middle
	b.until(`location.search.includes("at=") && document.querySelectorAll(".event").length === 60`)
	b.click(`a[href*="order=asc"]`)
	b.until(`location.search.includes("order=asc") && document.querySelectorAll(".event").length === 60`)
}

// TestHostileTexts: nothing that strangers wrote runs, or changes what stands beside it.
func TestHostileTexts(t *testing.T) {
	s := serve(t, access.Admin, webtest.Options{})
	b := open(t)
	for _, path := range []string{"/accounts", "/accounts/" + webtest.Hostile.String(), "/quarantine", "/quarantine/99", "/drift?status=all", "/search?q=%3Cscript%3E", "/live"} {
		b.visit(s.url(path))
		require.NotEqual(t, "owned", eval[string](b, `document.title`), path)
		require.EqualValues(t, 0, eval[int64](b, `document.querySelectorAll("main img, main script, main iframe, main a[href^=javascript]").length`), path)
		require.Equal(t, false, eval[bool](b, `/[\u202a-\u202e\u2066-\u2069\u200b\u001b\u0000]/.test(document.body.innerText)`), path)
		require.LessOrEqual(t, eval[int64](b, `document.documentElement.scrollWidth`), int64(1280), path)
	}
	b.until(`document.querySelector("[data-live-toggle]").dataset.state === "live"`)
	for _, text := range webtest.HostileTexts {
		s.Store(webtest.Hostile, text, text, text, time.Now(), `{}`)
	}
	b.until(`document.querySelectorAll(".event").length === ` + quoteInt(len(webtest.HostileTexts)))
	require.NotEqual(t, "owned", eval[string](b, `document.title`))
	require.EqualValues(t, 0, eval[int64](b, `document.querySelectorAll("main img, main script").length`))
}

func quoteInt(n int) string { return strings.Repeat("1+", n-1) + "1" }

// TestKeyboardOnly: from signing in to a discarded record without a mouse.
func TestKeyboardOnly(t *testing.T) {
	s := serve(t, access.Operator, webtest.Options{})
	b := open(t)
	b.visit(s.url("/"))
	b.press(kb.Tab)
	require.Equal(t, "A #main", eval[string](b, focused), "the first stop skips the navigation")
	b.press(kb.Enter)
	require.Equal(t, "main", eval[string](b, `document.activeElement.id`))
	b.press("?")
	b.until(`document.querySelector("#keys").open`)
	b.press(kb.Escape)
	b.until(`!document.querySelector("#keys").open`)
	b.press("g", "q")
	b.until(`document.title.startsWith("Quarantine") && document.querySelector("html.js")`)
	b.press("j", "j")
	b.until(`document.querySelector("[data-current]")?.innerText.includes("cus_NimbusLab")`)
	b.press(kb.Enter)
	b.until(`document.title.startsWith("Quarantined records") && document.querySelector("html.js")`)
	b.press("j", "x", "j", "j", "X")
	b.until(`document.querySelectorAll("[data-row] input:checked").length === 3`)
	b.says("3 selected")
	b.press("r")
	b.until(`document.querySelector("h1").innerText === "Release 3 records?" && document.querySelector("html.js")`)
	b.press(kb.Escape) // its way back
	b.until(`document.title.startsWith("Quarantine ") && document.querySelector("html.js")`)
	b.press("j", "j", "l")
	b.until(`document.querySelector("#dialog").open && document.activeElement.type === "search"`)
	b.press("?l") // typed, not done
	require.False(t, eval[bool](b, `document.querySelector("#keys").open`))
	b.press(kb.Escape, kb.Escape)
	b.until(`!document.querySelector("#dialog").open`)
	require.NotEqual(t, "BODY", eval[string](b, `document.activeElement.tagName`), "the focus goes back to the row")
	b.visit(s.url("/quarantine/99"))
	b.until(`document.querySelector("html.js")`)
	for range 60 {
		if strings.HasPrefix(eval[string](b, focused), "A /console/decide/discard") {
			break
		}
		b.press(kb.Tab)
	}
	b.press(kb.Enter)
	b.until(`document.querySelector("#dialog").open && document.activeElement.name === "reason"`)
	b.press("not ours", kb.Tab, kb.Enter)
	b.until(`location.search.includes("status=discarded")`)
	b.says("Record 99")
	eval[bool](b, `window.before = true`) // the switch loads the page again
	b.press("u")
	b.until(`!window.before && document.querySelector("html.js") && (document.querySelector("#zone-local").getAttribute("aria-pressed") === "true" || Intl.DateTimeFormat().resolvedOptions().timeZone === "UTC")`)
	b.visit(s.url("/keys"))
	b.click(`[name=keys]`)
	b.until(`document.documentElement.dataset.keys === "off"`)
	b.press("g", "h", "?")
	require.False(t, eval[bool](b, `document.querySelector("#keys").open`), "keys are off")
	b.visit(s.url("/keys"))
	b.click(`[name=keys]`)
	b.until(`document.documentElement.dataset.keys !== "off" && document.querySelector("html.js")`) // the cookie is of every port, and the browser of every test
	b.press("g", "h")
	b.until(`document.title.startsWith("Home")`)
}

// TestWithoutScript: reading and deciding need no JavaScript.
func TestWithoutScript(t *testing.T) {
	s := serve(t, access.Operator, webtest.Options{})
	b := open(t)
	b.scriptOff()
	b.visit(s.url("/quarantine"))
	b.do(chromedp.Click(chromedp.CSS(`a[href*="decide/discard"][href*="malformed"]`)))
	b.do(chromedp.WaitReady(chromedp.CSS(`form[action$="/decide/discard/quarantine"]`)))
	b.do(chromedp.Click(chromedp.CSS(`main form .button.danger`)))
	b.do(chromedp.WaitReady(chromedp.CSS(`a[href$="/quarantine/99"]`)))
	last := s.Audited()[len(s.Audited())-1]
	require.Equal(t, "discardQuarantine", last.Action)
	require.False(t, last.DryRun)
}
