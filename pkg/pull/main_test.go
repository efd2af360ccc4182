package pull

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/stripe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(postgrestest.Main(m)) }

// atOnce is a vendor that answers at once: pages of a hundred Stripe events, so many
// pages a window.
type atOnce struct {
	source.Webhook
	windows, pages, together int
	// asked, if set, hears of each query, and may refuse it.
	asked func(source.Query) error
}

func newAtOnce(windows, pages int) atOnce {
	return atOnce{Webhook: stripe.New(), windows: windows, pages: pages}
}

func (atOnce) API() source.API { return source.API{} }
func (a atOnce) Streams() []source.Stream {
	return []source.Stream{{Name: "events", Window: time.Hour, Together: a.together}}
}

func (a atOnce) Page(_ context.Context, _ source.Doer, q source.Query) (source.APIPage, error) {
	if a.asked != nil {
		if err := a.asked(q); err != nil {
			return source.APIPage{}, err
		}
	}
	at, _ := strconv.Atoi(string(q.Cursor))
	var page source.APIPage
	for n := range 100 {
		page.Parts = append(page.Parts, source.Part{Value: stripeEvent(fmt.Sprintf("%d_%d_%d", q.From.Unix(), at, n), q.From, n)})
	}
	if at+1 < a.pages {
		page.Next = []byte(strconv.Itoa(at + 1))
	}
	return page, nil
}

// stripeEvent gives an event of about a kilobyte.
func stripeEvent(id string, at time.Time, customer int) []byte {
	return fmt.Appendf(nil, `{"id":"evt_%s","object":"event","api_version":"2026-03-25.dahlia","created":%d,"livemode":true,"type":"invoice.paid",
"data":{"object":{"id":"in_%[1]s","object":"invoice","customer":"cus_%[3]d","customer_email":null,"amount_due":4200,"amount_paid":4200,"currency":"eur","description":%[4]q}}}`,
		id, at.Unix(), customer, lines)
}

var lines = func() string {
	text := ""
	for n := range 40 {
		text += "line item " + strconv.Itoa(n) + "; "
	}
	return text
}()

// options give a pull of all windows.
func (a atOnce) options() Options {
	from := time.Now().Add(-365 * 24 * time.Hour).Truncate(time.Hour)
	return Options{Source: a, From: from, To: from.Add(time.Duration(a.windows) * time.Hour), By: "test", API: nobody{}}
}

type nobody struct{}

func (nobody) Do(*http.Request) (*http.Response, error) { panic("it answers by itself") }
