//go:build browser

package browsertest

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/services/console/web/webtest"
)

const nimbus = "0badc0de-0000-4000-8000-000000000004"

// pages are all views, and the dialogs as the pages that they are without JavaScript.
var pages = []struct{ name, path string }{
	{"home", "/"}, {"accounts", "/accounts"}, {"timeline", "/accounts/" + webtest.Acme.String()}, {"timeline-event", "/accounts/" + webtest.Acme.String() + "?event=1012"},
	{"timeline-empty", "/accounts/" + webtest.Quiet.String()}, {"hostile", "/accounts/" + webtest.Hostile.String()}, {"account-links", "/accounts/" + webtest.Acme.String() + "/links"}, {"event", "/events/1010"},
	{"live", "/live"}, {"quarantine", "/quarantine"}, {"records", "/quarantine/records"}, {"record", "/quarantine/99"}, {"reference", "/references?ref=stripe:customer:cus_NimbusLab"},
	{"link", "/decide/link?reference=stripe:customer:cus_NimbusLab&account=" + nimbus}, {"choose", "/decide/link?reference=stripe:customer:cus_NimbusLab"}, {"create", "/decide/create"}, {"alerts", "/alerts?state=all"}, {"silence", "/decide/silence?rule=drift&source=stripe"}, {"suggestion", "/decide/suggestion?id=1"},
	{"links", "/links"}, {"ledger", "/links?view=decisions"}, {"suggestions", "/links?view=suggestions"}, {"jobs", "/jobs"}, {"pull", "/decide/pull"}, {"drift", "/drift?status=all"}, {"patterns", "/patterns"}, {"pattern", "/patterns?pattern=charge.dispute.created,+then+30+days+without+conversation.*,+then+subscription.deleted+within+120+days"}, {"pattern-wrong", "/patterns?pattern=charge.dispute.created,+then+30+days+conversation"}, {"domains", "/links?view=domains"}, {"domain", "/decide/domain?domain=webagentur-muenchen.example"}, {"audit", "/audit"}, {"tokens", "/tokens"},
	{"token", "/decide/token"}, {"sources", "/sources"}, {"source", "/sources/stripe"}, {"search", "/search?q=a"}, {"keys", "/keys"}, {"view", "/decide/view?path=/quarantine?reason=malformed"}, {"error", "/nowhere"},
}

// TestAccessible: axe finds nothing on any page, in both themes, narrow and wide, and no page is wider than the window.
func TestAccessible(t *testing.T) {
	axe, err := os.ReadFile(os.Getenv("THROUGHLINE_AXE"))
	require.NoError(t, err, "THROUGHLINE_AXE names axe.min.js: make browser fetches it")
	s := serve(t, access.Admin, webtest.Options{Many: 1000})
	b := open(t, "404 (Not Found)")
	call(b, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true}) // for axe alone: every other test keeps the policy
	checked := 0
	for _, p := range pages {
		if only := os.Getenv("THROUGHLINE_ONLY"); only != "" && !strings.Contains(","+only+",", ","+p.name+",") {
			continue
		}
		for _, width := range []int64{320, 1280} {
			b.size(width)
			b.visit(s.url(p.path))
			require.LessOrEqual(t, eval[int64](b, `document.documentElement.scrollWidth`), width, "%s at %d px: it does not fit", p.name, width)
			_, err := chromedp.Run(b.Context, chromedp.Evaluate[any](string(axe)+";0"))
			require.NoError(t, err)
			for _, theme := range []string{"light", "dark"} {
				b.theme(theme)
				b.shot(fmt.Sprintf("%s-%s-%d", p.name, theme, width), width == 320)
				found := eval[[]string](b, `axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(r => r.violations.flatMap(v => v.nodes.map(n => v.id + ": " + n.target + " " + n.failureSummary.replace(/\s+/g, " "))))`)
				if len(found) > 0 {
					t.Errorf("%s, %s, %d px: %d findings\n%s", p.name, theme, width, len(found), strings.Join(found[:min(len(found), 4)], "\n"))
				}
				checked++
			}
		}
	}
	t.Logf("axe: %d pages in a theme and width", checked)
}
