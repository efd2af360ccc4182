package source

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Left is what a vendor's headers say of the requests that it allows.
type Left struct {
	// Requests are left, until Resets from now; 0: the vendor does not say when.
	Requests int64
	Resets   time.Duration
}

// ReadLeft reads the headers that many vendors have: RateLimit-Remaining and
// RateLimit-Reset in seconds (draft-ietf-httpapi-ratelimit-headers, before its eighth
// version), X-RateLimit-Remaining and X-RateLimit-Reset in seconds or as a Unix time,
// with or without the dash in Rate-Limit. A time is held against the answer's own
// Date. ok is false where there are none, or what they say is no number.
func ReadLeft(h http.Header) (left Left, ok bool) {
	for _, prefix := range []string{"Ratelimit-", "X-Ratelimit-", "X-Rate-Limit-"} {
		n, err := strconv.ParseInt(strings.TrimSpace(h.Get(prefix+"Remaining")), 10, 64)
		if err != nil || n < 0 {
			continue
		}
		left.Requests = n
		if reset, err := strconv.ParseInt(strings.TrimSpace(h.Get(prefix+"Reset")), 10, 64); err == nil {
			left.Resets = resets(reset, h.Get("Date"))
		}
		return left, true
	}
	return Left{}, false
}

// resets reads seconds, or a Unix time.
func resets(n int64, date string) time.Duration {
	const aTime = 1_000_000_000 // seconds: no vendor counts anew after 31 years
	if n < 0 {
		return 0
	}
	if n < aTime {
		return time.Duration(n) * time.Second
	}
	now, err := http.ParseTime(date)
	if err != nil || n >= 10*aTime {
		return 0
	}
	return max(0, time.Unix(n, 0).Sub(now))
}
