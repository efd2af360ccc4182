package quarantine

import (
	"encoding/json"
	"time"

	"github.com/throughline-dev/throughline/pkg/source"
)

// Status is where a record stands.
type Status string

// The statuses.
const (
	Open      Status = "open"
	Replaying Status = "replaying"
	Resolved  Status = "resolved"
	Discarded Status = "discarded"
)

// Statuses gives every status, in the order of a record's life.
func Statuses() []Status { return []Status{Open, Replaying, Resolved, Discarded} }

// Who changes a status without being a person.
const (
	ByFeed = "quarantine" // a dead letter opened it, again
	ByLink = "link"       // it became resolvable
	BySink = "sink"       // it is on the timeline
)

// Record is a quarantined record as a list shows it.
type Record struct {
	ID            int64              `json:"id"`
	Reason        string             `json:"reason"` // a fault.Reason
	Error         string             `json:"error"`  // of the newest attempt
	Source        string             `json:"source,omitempty"`
	Tenant        string             `json:"tenant,omitempty"`
	EventType     string             `json:"event_type,omitempty"`
	SourceEventID string             `json:"source_event_id,omitempty"`
	Topic         string             `json:"topic"` // where the newest attempt failed
	Partition     int32              `json:"partition"`
	Offset        int64              `json:"offset"`
	RawIndex      int32              `json:"raw_index"` // its place in a page that is one record; -1: it is a whole record
	References    []source.Reference `json:"references"`
	Status        Status             `json:"status"`
	Outcome       string             `json:"outcome,omitempty"` // when resolved: inserted or already_present; "": a page
	Attempts      int32              `json:"attempts"`
	FirstSeen     time.Time          `json:"first_seen"`
	LastSeen      time.Time          `json:"last_seen"`
	StatusBy      string             `json:"status_by"`
	StatusAt      time.Time          `json:"status_at"`
	PublishedAt   *time.Time         `json:"published_at,omitempty"` // of the newest release
	// HeldUntil is when a link may release it again as it did last time, without
	// use; nil: it is not held off.
	HeldUntil *time.Time `json:"held_until,omitempty"`
}

// Detail is everything about one record.
type Detail struct {
	Record
	Key       []byte          `json:"key,omitempty"`
	Headers   []Header        `json:"headers"`
	Raw       []byte          `json:"raw"`               // the original value, byte for byte
	Payload   json.RawMessage `json:"payload,omitempty"` // Raw as JSONB has it, where JSONB takes it
	Decisions []Decision      `json:"decisions"`         // oldest first
}

// Header is one header of the original record, in the form of the column headers.
type Header struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// Decision is one change of a record's status.
type Decision struct {
	From Status    `json:"from"`
	To   Status    `json:"to"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	Note string    `json:"note,omitempty"`
}

// Waiting is an open record without an account, as the resolver needs it.
type Waiting struct {
	ID         int64
	References []source.Reference
	// Held is the ruling that is held off (Ruling.Note); "": none is.
	Held string
}
