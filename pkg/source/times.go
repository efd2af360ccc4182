package source

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// layouts are the ways in which the vendors here write a time. Go takes a
// fraction of seconds after any of them. A zoneless time is taken as UTC.
var layouts = []string{
	time.RFC3339,
	"2006-01-02T15:04:05-0700", // Marketo's +0000, not RFC 3339
	"2006-01-02T15:04:05",
	"2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05",
	time.DateOnly,
}

// ParseTime reads a vendor's time: RFC 3339 with up to nine digits of fraction,
// the same with +0000, zoneless (taken as UTC), a date, or a whole number of
// seconds or (from 1e11 on) milliseconds since 1970. An error is
// Permanent(Malformed).
func ParseTime(text string) (time.Time, error) {
	// A number first: a layout that does not fit costs three allocations.
	if n, ok := wholeNumber(text); ok {
		const fromMillis = 100_000_000_000 // in seconds that would be the year 5138
		if n >= fromMillis || n <= -fromMillis {
			return time.UnixMilli(n).UTC(), nil
		}
		return time.Unix(n, 0).UTC(), nil
	}
	for _, layout := range layouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fault.Permanent(fault.Malformed, fmt.Errorf("%q is not a time", clip(text, 60)))
}

// InWindow reports whether a signature's own time is within window of now,
// before or after; the bound itself is inside.
func InWindow(signed, now time.Time, window time.Duration) bool {
	skew := now.Sub(signed)
	return skew <= window && skew >= -window
}

// wholeNumber reads digits and a sign. Anything else costs no error's making.
func wholeNumber(text string) (int64, bool) {
	if strings.Trim(text, "+-0123456789") != "" || strings.LastIndexAny(text, "+-") > 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}
