package alert

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

const (
	maxSummary = 400 // characters of a summary
	maxName    = 120 // of one name in it
)

// plain makes a name that may come from an event harmless, whoever shows it: one line, without control and direction
// characters and backticks, without what a program would make a link of, and bounded.
func plain(text string) string { return Harmless(text, maxName) }

// Harmless makes text of at most so many characters of it (plain).
func Harmless(text string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range text {
		switch {
		case n == most:
			return defanged(b.String()) + "…"
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == unicode.ReplacementChar, r == '`', r == '\u2028', r == '\u2029':
			continue
		default:
			b.WriteRune(r)
		}
		n++
	}
	return defanged(b.String())
}

// defanged takes from a text what mail programs and chats make links and mentions of.
func defanged(text string) string {
	return strings.NewReplacer("://", ":/ /", "www.", "www .", "@", "(at)").Replace(text)
}

// summary gives one line of at most maxSummary characters.
func summary(format string, args ...any) string {
	return Harmless(fmt.Sprintf(format, args...), maxSummary)
}

// Long gives a duration as people say it: 3d4h, 2h5m, 20m, 45s.
func Long(d time.Duration) string {
	d = max(d, 0)
	day := 24 * time.Hour
	trim := func(a int64, unit string, b int64, less string) string {
		if b == 0 {
			return fmt.Sprintf("%d%s", a, unit)
		}
		return fmt.Sprintf("%d%s%d%s", a, unit, b, less)
	}
	switch {
	case d >= day:
		return trim(int64(d/day), "d", int64(d%day/time.Hour), "h")
	case d >= time.Hour:
		return trim(int64(d/time.Hour), "h", int64(d%time.Hour/time.Minute), "m")
	case d >= time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// plural gives "1 record", "2 records".
func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
