package source

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// ParseTime reads a vendor's time:
//
//   - RFC 3339, also with a blank for the T, in lower case, without seconds, with
//     any number of digits of fraction, and with second 60 (a leap second, which
//     is the next minute's first);
//   - its zone as Z, UTC, GMT, +00:00, +0000 or +00, after a blank or not; none
//     means UTC. Another zone's name is no time here: most are ambiguous;
//   - a date;
//   - a number since 1970, whole, with a fraction or with an exponent, in the unit
//     that its size tells: seconds, from 1e11 on milliseconds, from 1e14 on
//     microseconds, from 1e17 on nanoseconds.
//
// An error is Permanent(Malformed).
func ParseTime(text string) (time.Time, error) {
	t, _, err := ParseZonedTime(text)
	return t, err
}

// ParseZonedTime is ParseTime, and reports whether the text says which zone it is
// of: a number does, a date does not.
func ParseZonedTime(text string) (t time.Time, zoned bool, err error) {
	// A number first: a layout that does not fit costs three allocations.
	if t, ok := parseEpoch(text); ok {
		return t, true, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t.UTC(), true, nil
	}
	if t, zoned, ok := parseCalendar(text); ok {
		return t, zoned, nil
	}
	return time.Time{}, false, fault.Permanent(fault.Malformed, fmt.Errorf("%q is not a time", clip(text, 60)))
}

// clocks are the ways to write a time of day. Go takes a fraction after seconds.
var clocks = []string{"15:04:05", "15:04", "15"}

// parseCalendar reads a date, or a date and a time of day in the forms that
// ParseTime lists.
func parseCalendar(text string) (t time.Time, zoned, ok bool) {
	const dateLen = len(time.DateOnly)
	if len(text) < dateLen {
		return t, false, false
	}
	day, err := time.Parse(time.DateOnly, text[:dateLen])
	if err != nil {
		return t, false, false
	}
	if len(text) == dateLen {
		return day, false, true
	}
	if !strings.ContainsRune("Tt ", rune(text[dateLen])) {
		return t, false, false
	}
	clock, zone := text[dateLen+1:], ""
	if at := strings.IndexAny(clock, " +-ZzUuGg"); at >= 0 {
		clock, zone = clock[:at], strings.TrimPrefix(clock[at:], " ")
	}
	east, ok := parseZone(zone)
	if !ok {
		return t, false, false
	}
	leap := time.Duration(0)
	const seconds = len("15:04:")
	if len(clock) > seconds && strings.HasPrefix(clock[seconds:], "60") {
		clock, leap = clock[:seconds]+"59"+clock[seconds+len("60"):], time.Second
	}
	for _, layout := range clocks {
		if t, err := time.Parse(time.DateOnly+" "+layout, text[:dateLen]+" "+clock); err == nil {
			return t.Add(leap - east), zone != "", true
		}
	}
	return t, false, false
}

// parseZone reads how far east of UTC a zone is.
func parseZone(zone string) (east time.Duration, ok bool) {
	switch strings.ToUpper(zone) {
	case "", "Z", "UTC", "GMT":
		return 0, true
	}
	for _, layout := range [...]string{"-07:00", "-0700", "-07"} {
		if t, err := time.Parse(layout, zone); err == nil {
			_, offset := t.Zone()
			return time.Duration(offset) * time.Second, true
		}
	}
	return 0, false
}

// InWindow reports whether a signature's own time is within window of now,
// before or after; the bound itself is inside.
func InWindow(signed, now time.Time, window time.Duration) bool {
	skew := now.Sub(signed)
	return skew <= window && skew >= -window
}

// parseEpoch reads a number of seconds, milliseconds, microseconds or
// nanoseconds since 1970. Anything else costs no error's making.
func parseEpoch(text string) (time.Time, bool) {
	if strings.Trim(text, "+-.0123456789eE") != "" {
		return time.Time{}, false
	}
	if strings.ContainsAny(text, "eE") {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return time.Time{}, false
		}
		text = strconv.FormatFloat(f, 'f', -1, 64)
	}
	whole, fraction, dot := strings.Cut(text, ".")
	if strings.LastIndexAny(whole, "+-") > 0 || dot && (fraction == "" || strings.Trim(fraction, "0123456789") != "") {
		return time.Time{}, false
	}
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, false
	}
	t, unit := sinceEpoch(n)
	return t.Add(part(fraction, unit, strings.HasPrefix(whole, "-"))).UTC(), true
}

// sinceEpoch gives the time that a whole number since 1970 is, and its unit.
func sinceEpoch(n int64) (t time.Time, unit time.Duration) {
	// In the smaller unit each bound would be the year 5138, in the larger one 1973.
	const fromMillis, fromMicros, fromNanos = 1e11, 1e14, 1e17
	unit = time.Second
	switch size := max(n, -n); {
	case size < 0 || size >= fromNanos: // size < 0: the smallest number has no opposite
		unit = time.Nanosecond
	case size >= fromMicros:
		unit = time.Microsecond
	case size >= fromMillis:
		unit = time.Millisecond
	}
	perSecond := int64(time.Second / unit)
	return time.Unix(n/perSecond, n%perSecond*int64(unit)), unit
}

// part is the fraction of a unit that these digits are, cut to nanoseconds.
func part(digits string, unit time.Duration, negative bool) (d time.Duration) {
	for i := range len(digits) {
		unit /= 10
		d += time.Duration(digits[i]-'0') * unit
	}
	if negative {
		return -d
	}
	return d
}
