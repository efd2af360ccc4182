package normalizer_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/erase"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// An event with the address of an erased person in its text is published to nobody, be its account known or not, and is
// counted; one beside it on the same page is.
func TestTextsWithAnErasedAddress(t *testing.T) {
	t.Parallel()
	n := newNormalizer(t)
	n.link(t, "stripe", "customer", "cus_1", acme)
	invoice := func(id, customer, text string) string {
		return fmt.Sprintf(`{"id":"%s","object":"event","created":1760000000,"livemode":true,"type":"invoice.paid","data":{"object":{"object":"invoice","customer":"%s","description":"%s"}}}`, id, customer, text)
	}
	batch := func() []*kgo.Record {
		ofKim := newRecord("stripe", []byte(invoice("evt_6", "cus_1", "")))
		ofKim.Headers = append(ofKim.Headers, kgo.RecordHeader{Key: stream.HeaderTenant, Value: []byte("kim@far.example")})
		return []*kgo.Record{
			ofKim,
			newRecord("stripe", []byte(invoice("evt_1", "cus_1", "ask Kim@Far.example"))),
			newRecord("stripe", []byte(invoice("evt_2", "cus_1", "ask bob@far.example"))),
			newRecord("stripe", []byte(invoice("evt_3", "cus_unknown", "mailto:kim%40far.example"))),
			newRecord("stripe", []byte("["+invoice("evt_4", "cus_1", "kim@far.example")+","+invoice("evt_5", "cus_1", "")+"]")),
		}
	}
	published := func() (ids []string) {
		for _, r := range n.transform(t, batch()...) {
			if r.dead() {
				ids = append(ids, "dead "+r.letter.SourceEventID)
			} else {
				ids = append(ids, r.event.SourceEventID)
			}
		}
		return ids
	}
	require.Equal(t, []string{"evt_6", "evt_1", "evt_2", "dead evt_3", "evt_4", "evt_5"}, published())

	eraser := erase.New(n.pool, catalog.Set())
	_, err := eraser.Begin(t.Context(), erase.Target{References: []source.Reference{{Source: "email", Kind: "email", ID: "kim@far.example"}}}, "test", "")
	require.NoError(t, err)
	require.NoError(t, eraser.Run(t.Context(), nil))
	require.Equal(t, []string{"evt_2", "evt_5"}, published())
	require.Equal(t, 4.0, n.total(t, "throughline_normalizer_erased_events_total", "source=stripe"))
}
