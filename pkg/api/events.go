package api

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Event is one event of a timeline.
type Event struct {
	OccurredAt    time.Time `json:"occurred_at"`
	Source        string    `json:"source"`
	EventType     string    `json:"event_type"`
	Subject       string    `json:"subject,omitempty"`
	ID            int64     `json:"id"`
	AccountID     uuid.UUID `json:"account_id"`
	SourceEventID string    `json:"source_event_id"`
	IngestedAt    time.Time `json:"ingested_at"`
	// Payload is the vendor's event as JSONB has it; null where it was not asked.
	Payload json.RawMessage `json:"payload"`
}

// NewEvent gives an event of a timeline. It aliases the event's payload.
func NewEvent(e postgres.TimelineEvent) Event {
	return Event{OccurredAt: e.OccurredAt.UTC(), Source: e.Source, EventType: e.EventType, Subject: e.Subject, ID: e.ID,
		AccountID: e.AccountID, SourceEventID: e.SourceEventID, IngestedAt: e.IngestedAt.UTC(), Payload: e.Payload}
}

// TopicChange says what was done to one Kafka topic.
type TopicChange struct {
	Topic  string `json:"topic"`
	Change string `json:"change"` // created, configured, unchanged
	// Warning says what was asked for and not done, and what does it.
	Warning string `json:"warning,omitempty"`
}

// NewTopicChanges gives what stream.ApplyTopics did.
func NewTopicChanges(list []stream.TopicChange) []TopicChange {
	out := make([]TopicChange, len(list))
	for i, c := range list {
		out[i] = TopicChange{Topic: c.Topic, Change: c.Change, Warning: c.Warning}
	}
	return out
}
