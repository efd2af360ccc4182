//go:build browser

package browsertest

import (
	"os"
	"strings"
	"testing"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/services/console/web/webtest"
)

func TestLook(t *testing.T) {
	s := serve(t, access.Admin, webtest.Options{Many: 1000})
	b := open(t)
	only := os.Getenv("ONLY")
	for _, p := range []struct{ name, path string }{
		{"home", "/"}, {"accounts", "/accounts"}, {"timeline", "/accounts/" + webtest.Acme.String()}, {"timeline-event", "/accounts/" + webtest.Acme.String() + "?event=1012"},
		{"hostile", "/accounts/" + webtest.Hostile.String()}, {"event", "/events/1010"}, {"live", "/live"}, {"quarantine", "/quarantine"}, {"error", "/nowhere"},
	} {
		if only != "" && !strings.Contains(","+only+",", ","+p.name+",") {
			continue
		}
		for _, th := range []string{"light", "dark"} {
			for _, w := range []int64{320, 1280} {
				b.theme(th)
				b.size(w)
				b.visit(s.url(p.path))
				b.shot(p.name+"-"+th+"-"+map[int64]string{320: "320", 1280: "1280"}[w], w == 320)
			}
		}
	}
}
