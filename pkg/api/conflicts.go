package api

import (
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/quarantine"
)

// Conflict is a quarantined event, and the event that the timeline has under its identity.
type Conflict struct {
	QuarantineRecord
	Stored StoredEvent `json:"stored"`
}

// StoredEvent is the event that came first.
type StoredEvent struct {
	ID         int64     `json:"id"`
	AccountID  uuid.UUID `json:"account_id"`
	EventType  string    `json:"event_type"`
	OccurredAt time.Time `json:"occurred_at"`
	IngestedAt time.Time `json:"ingested_at"`
}

// NewConflicts gives the form of conflicts.
func NewConflicts(conflicts []quarantine.Conflict) []Conflict {
	list := make([]Conflict, len(conflicts))
	for i, c := range conflicts {
		list[i] = Conflict{NewQuarantineRecords([]quarantine.Record{c.Record})[0], StoredEvent(c.Stored)}
	}
	return list
}
