package receiver

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
)

// once is a source that signs its body, as Intercom does, and never comes again.
type once struct{ source.Webhook }

func (o once) Profile() source.Profile {
	p := o.Webhook.Profile()
	p.NeverRetries = true
	return p
}

// A vendor that never comes again is spooled beyond the bounds, also where its
// signature covers the body, so that it is known only when that is read.
func TestASignedBodyThatNeverComesAgainIsSpooled(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*Config){
		"requests": func(c *Config) { c.MaxInFlight = 1 },
		"bytes":    func(c *Config) { c.MaxInFlightBytes = 8<<20 + smallBody },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(o *Options) {
				change(&o.Config)
				for i, e := range o.Endpoints {
					if e.Source.Name() == "intercom" {
						o.Endpoints[i].Source = once{e.Source}
					}
				}
			})
			let := r.holdProduce()
			defer let()
			large := fmt.Appendf(nil, `{"id":"evt_1","object":"event","type":"invoice.paid","created":1760000000,"data":{"object":{"note":"%s"}}}`, strings.Repeat("x", 1_000_000))
			answered := make(chan reply, 12)
			for range cap(answered) {
				req := r.signed("stripe", large)
				go func() { answered <- r.do(req) }()
			}
			require.Eventually(t, func() bool { return r.metric("rejected_total", "source", "stripe", "reason", "overloaded") > 0 }, patience, time.Millisecond)
			body := bytes.Replace(example(t, "intercom"), []byte("{"), fmt.Appendf(nil, `{"note":"%s",`, strings.Repeat("x", 600_000)), 1)
			got := r.post("intercom", body)
			require.Equal(t, 200, got.status, got.body)
			require.EqualValues(t, 1, r.metric("spooled_total", "source", "intercom"))
			let()
			for range cap(answered) {
				<-answered
			}
			require.Len(t, r.records("intercom", 1), 1)
			require.Zero(t, r.metric("in_flight_bytes"))
		})
	}
}

// cutAccount is of a request that was cut as its body's deadline was set.
type cutAccount struct{}

func (cutAccount) take(n int64) bool { return n > 0 }
func (cutAccount) give(int64)        {}

// A request that is cut just before its body's deadline is set anew must not wait
// for a body that does not come.
func TestACutRequestIsNotReadOn(t *testing.T) {
	t.Parallel()
	stands := readerFunc(func([]byte) (int, error) {
		t.Error("the body of a request that was cut is read")
		return 0, io.EOF
	})
	r := httptest.NewRequest(http.MethodPost, "/", stands)
	r.ContentLength = 9000
	_, err := newBodies().read(httptest.NewRecorder(), r, 1<<20, cutAccount{}, time.Now().Add(time.Minute))
	require.ErrorIs(t, err, errOverloaded)
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
