package drift_test

import (
	"context"
	"slices"
	"testing"
)

func contextWithout(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}

func sorted(lines []string) []string {
	slices.Reverse(lines)
	slices.SortStableFunc(lines, func(a, b string) int { return len(a) - len(b) })
	return lines
}

// letters writes a number as a name without digits.
func letters(n int) string {
	text := ""
	for n += 26; n > 0; n /= 26 {
		text += string(rune('a' + n%26))
	}
	return text
}
