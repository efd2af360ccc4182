package shape

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// A run needs little memory beside its events, of which a batch may have those of a thousand types.
func TestARunIsSmall(t *testing.T) {
	t.Parallel()
	var doc rawjson.Doc
	for event, counted := range map[string]bool{
		`{"type":"invoice.paid","amount":[1,2]}`:               true,
		`{"a":[1` + strings.Repeat(`,"12345678"`, 1000) + `]}`: true,
		`{"a":[1` + strings.Repeat(",1", 1000) + `]}`:          false,
		`{"a":"` + strings.Repeat("x", maxRunBytes) + `"}`:     false,
	} {
		s := New(Limits{})
		for range 3 {
			v, err := doc.Parse([]byte(event))
			require.NoError(t, err)
			s.Observe(v, time.Unix(1_760_000_000, 0), 0)
		}
		require.Equal(t, counted, s.run.skeleton.Size() > 0, "%.40s", event)
	}
}
