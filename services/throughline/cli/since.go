package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// since is the beginning of a period: "90d", "12h", "2026-01-31", a time in
// RFC 3339, or "all".
type since string

const day = 24 * time.Hour

// spans are the units that a period may have; Go's own durations end at hours.
var spans = map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': day, 'w': 7 * day, 'y': 365 * day}

// Validate implements kong's check of a value.
func (v since) Validate() error {
	_, err := v.time(time.Now())
	return err
}

// time gives the beginning as seen from now; the zero time for all and "".
func (v since) time(now time.Time) (time.Time, error) {
	value := strings.TrimSpace(string(v))
	if value == "" || value == "all" {
		return time.Time{}, nil
	}
	if unit, ok := spans[value[len(value)-1]]; ok {
		count, err := strconv.ParseUint(value[:len(value)-1], 10, 32)
		if err == nil && count <= uint64(100*spans['y']/unit) {
			return now.Add(-time.Duration(count) * unit), nil
		}
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339Nano, "2006-01-02T15:04", time.DateTime} {
		if at, err := time.Parse(layout, value); err == nil {
			return at, nil
		}
	}
	return time.Time{}, errors.New("should be a period (30m, 12h, 90d, 4w, 1y), a date (2026-01-31), a time (2026-01-31T15:04:05Z) or all, but is " +
		strconv.Quote(value))
}

// past is time, but no time of the future.
func (v since) past(now time.Time) (time.Time, error) {
	at, err := v.time(now)
	if err == nil && at.After(now.Add(time.Minute)) {
		err = fmt.Errorf("%s lies in the future: leave it out for what there is until now", v)
	}
	return at, err
}

// words gives the period for a sentence: " since 2026-01-31T00:00:00Z", or "".
func (v since) words(now time.Time) string {
	at, err := v.time(now)
	if err != nil || at.IsZero() {
		return ""
	}
	return fmt.Sprintf(" since %s", stamp(at))
}
