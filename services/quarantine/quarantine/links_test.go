package quarantine

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/resolve"
)

// What is too much to be looked at one by one is looked at all together, never
// forgotten until the next sweep.
func TestManyChangesAreASweep(t *testing.T) {
	t.Parallel()
	var many []string
	for i := range maxChanged + 1 {
		many = append(many, fmt.Sprintf("stripe:customer:cus_%d", i))
	}
	for name, tt := range map[string]struct {
		heard      [][]string
		everything bool
		keys       int
	}{
		"a few":            {[][]string{many[:2], many[1:3]}, false, 3},
		"as many as fit":   {[][]string{many[:maxChanged]}, false, maxChanged},
		"one more at once": {[][]string{many}, true, maxChanged},
		"one more later":   {[][]string{many[:maxChanged], many[maxChanged:]}, true, maxChanged},
		"everything":       {[][]string{{resolve.Everything}}, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newChanges()
			for _, keys := range tt.heard {
				c.add(keys)
			}
			require.Len(t, c.ready, 1)
			keys, everything := c.take()
			require.Len(t, keys, tt.keys)
			require.Equal(t, tt.everything, everything)
			keys, everything = c.take()
			require.Empty(t, keys)
			require.False(t, everything)
		})
	}
}
