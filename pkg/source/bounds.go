package source

import (
	"fmt"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// The bounds of an event, stated once. They are checked where data enters a
// stage: the receiver (bytes, events) and Keyed (all else); those of JSON are
// rawjson's.
const (
	// MaxRecordBytes bounds one event's bytes; it is rawjson's.
	MaxRecordBytes = rawjson.MaxRecordBytes
	// MaxIDBytes bounds source_event_id: a btree row holds 2,704 bytes, and the
	// unique index also holds the source.
	MaxIDBytes = 1024
	// MaxTypeBytes bounds event_type.
	MaxTypeBytes = 200
	// MaxTenantBytes bounds the tenant.
	MaxTenantBytes = 200
)

// OldestOccurredAt is the earliest plausible time of an event: before it no
// vendor here existed, so a smaller number is a wrong unit.
var OldestOccurredAt = time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)

// MaxClockAhead is how far after its receipt an event may claim to have happened.
const MaxClockAhead = 48 * time.Hour

// CheckEvent holds a described event against the bounds. A failure is
// Permanent: Oversized for a length, Malformed for anything else.
func CheckEvent(e Event, receivedAt time.Time) error {
	texts := []struct {
		name string
		text string
		max  int
		need bool
	}{
		{"source_event_id", e.ID, MaxIDBytes, true},
		{"event_type", e.Type, MaxTypeBytes, true},
		{"tenant", e.Tenant, MaxTenantBytes, false},
	}
	for _, t := range texts {
		switch {
		case t.need && t.text == "":
			return fault.Permanent(fault.Malformed, fmt.Errorf("the event has no %s", t.name))
		case len(t.text) > t.max:
			return fault.Permanent(fault.Oversized, fmt.Errorf("%s has %d bytes, the bound is %d", t.name, len(t.text), t.max))
		case !IsText(t.text):
			return fault.Permanent(fault.Malformed, fmt.Errorf("%s is not UTF-8 text without control characters", t.name))
		}
	}
	if e.OccurredAt.Before(OldestOccurredAt) || e.OccurredAt.After(receivedAt.Add(MaxClockAhead)) {
		return fault.Permanent(fault.Malformed, fmt.Errorf("occurred_at %s is not plausible for an event received at %s",
			e.OccurredAt.UTC().Format(time.RFC3339), receivedAt.UTC().Format(time.RFC3339)))
	}
	return nil
}
