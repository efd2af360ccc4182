package normalizer

import (
	"bytes"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// The bounds of raw records let no such event through today; if one gets here, its
// batch must not be tried again for ever.
func TestAnEventThatCannotBeEncodedIsDeadLetteredAlone(t *testing.T) {
	t.Parallel()
	registry, err := event.NewRegistry(event.RegistryConfig{URL: settings.URL(streamtest.Registry(t))})
	require.NoError(t, err)
	encoder, err := event.NewEncoder(t.Context(), registry, stream.AccountEvents, stream.DeadLetters)
	require.NoError(t, err)
	n := &Normalizer{encoder: encoder}
	it := item{
		rec: &kgo.Record{Topic: stream.RawTopic("stripe"), Value: []byte("{}")}, raw: &stream.Raw{Record: source.Record{}},
		value: bytes.Repeat([]byte(" "), 20<<20), index: -1, event: source.Event{ID: "evt_1", Type: "invoice.paid"},
	}
	var out kgo.Record
	var a arena
	require.NoError(t, n.finish(t.Context(), &a, &it, &resolve.Resolution{Found: true, AccountID: uuid.New(), Rule: resolve.RuleLinks}, nil, &out))
	require.Equal(t, stream.DeadLetters, out.Topic)
	require.ErrorContains(t, it.err, "the bound is")
}
