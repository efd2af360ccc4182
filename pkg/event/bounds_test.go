package event

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestBoundLeavesAnOrdinaryLetterAlone(t *testing.T) {
	t.Parallel()
	got, want := aLetter(), aLetter()
	require.Equal(t, want.Key, got.Bound())
	require.Equal(t, want, got)
}

func TestBoundLeavesOutWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	large := func(n int) []byte { return make([]byte, n) }
	tests := map[string]struct {
		change func(*DeadLetter)
		says   string
	}{
		"the value": {func(l *DeadLetter) { l.Value = large(maxLetterBytes + 1) }, "raw.stripe/3 offset 1099511627776 element 7: a value of 3145729 bytes"},
		"the key":   {func(l *DeadLetter) { l.Key = large(maxLetterKey + 1) }, "a key of 65537 bytes"},
		"headers":   {func(l *DeadLetter) { l.Headers[1].Value = large(maxLetterBytes) }, "headers of "},
		"all at once": {func(l *DeadLetter) {
			l.Value, l.Key, l.Headers[0].Value = large(10<<20), large(10<<20), large(10<<20)
			l.Error = strings.Repeat("é", 4000)
		}, "a value of 10485760 bytes"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := aLetter()
			tt.change(&l)
			key := l.Bound()
			require.Contains(t, l.Error, tt.says)
			require.LessOrEqual(t, len(l.Error), maxLetterError)
			enc, dec, _ := pair(t)
			value, err := enc.DeadLetter(&l)
			require.NoError(t, err)
			require.Less(t, len(value)+len(key), 4<<20-64<<10)
			require.NoError(t, dec.DeadLetter(t.Context(), value, new(DeadLetter)))
		})
	}
}

func TestBoundCleansTheSentence(t *testing.T) {
	t.Parallel()
	l := aLetter()
	l.Error = "a\x00b\xff" + strings.Repeat("é", 1000)
	l.Bound()
	require.True(t, utf8.ValidString(l.Error))
	require.True(t, strings.HasPrefix(l.Error, "a\uFFFDb\uFFFDé"), l.Error[:20])
	require.LessOrEqual(t, len(l.Error), maxLetterError)
}
