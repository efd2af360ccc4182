package api

import (
	"encoding/json"
	"time"

	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source"
)

// QuarantineRecord is a quarantined record as a list shows it.
type QuarantineRecord struct {
	ID            int64       `json:"id"`
	Reason        string      `json:"reason"` // unresolved_account, malformed, unsupported, oversized, unstorable
	Error         string      `json:"error"`  // of the newest attempt
	Source        string      `json:"source,omitempty"`
	Tenant        string      `json:"tenant,omitempty"`
	EventType     string      `json:"event_type,omitempty"`
	SourceEventID string      `json:"source_event_id,omitempty"`
	Topic         string      `json:"topic"` // where the newest attempt failed
	Partition     int32       `json:"partition"`
	Offset        int64       `json:"offset"`
	RawIndex      int32       `json:"raw_index"` // its place in a page that is one record; -1: it is a whole record
	References    []Reference `json:"references"`
	Status        string      `json:"status"`            // open, replaying, resolved, discarded
	Outcome       string      `json:"outcome,omitempty"` // when resolved: inserted or already_present
	Attempts      int32       `json:"attempts"`
	FirstSeen     time.Time   `json:"first_seen"`
	LastSeen      time.Time   `json:"last_seen"`
	StatusBy      string      `json:"status_by"`
	StatusAt      time.Time   `json:"status_at"`
	PublishedAt   time.Time   `json:"published_at,omitzero"` // of the newest release
	HeldUntil     time.Time   `json:"held_until,omitzero"`   // before that no link's sweep releases it again
}

// Reference is what an event refers to, in its parts.
type Reference struct {
	Source string `json:"source"`
	Tenant string `json:"tenant,omitempty"`
	Kind   string `json:"kind"`
	ID     string `json:"id"`
}

// QuarantineDetail is everything about one record. Key, Raw and the headers' values are base64.
type QuarantineDetail struct {
	QuarantineRecord
	Key       []byte           `json:"key,omitempty"`
	Headers   []Header         `json:"headers"`
	Raw       []byte           `json:"raw"`               // the original value, byte for byte
	Payload   json.RawMessage  `json:"payload,omitempty"` // Raw as JSONB has it, where JSONB takes it
	Decisions []StatusDecision `json:"decisions"`         // the oldest first
}

// Header is one header of the original record.
type Header struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// StatusDecision is one change of a record's status.
type StatusDecision struct {
	From string    `json:"from"`
	To   string    `json:"to"`
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	Note string    `json:"note,omitempty"`
}

// QuarantineChange counts what a release or a discard did to the records that were meant.
type QuarantineChange struct {
	Matched    int  `json:"matched"`    // records that were meant
	Changed    int  `json:"changed"`    // released or discarded
	Skipped    int  `json:"skipped"`    // there already, or in a status that is left alone
	Impossible int  `json:"impossible"` // nothing to publish
	DryRun     bool `json:"dry_run"`
}

// NewQuarantineRecord gives a record as a list shows it.
func NewQuarantineRecord(r quarantine.Record) QuarantineRecord {
	out := QuarantineRecord{ID: r.ID, Reason: r.Reason, Error: r.Error, Source: r.Source, Tenant: r.Tenant, EventType: r.EventType,
		SourceEventID: r.SourceEventID, Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, RawIndex: r.RawIndex, References: references(r.References),
		Status: string(r.Status), Outcome: r.Outcome, Attempts: r.Attempts, FirstSeen: r.FirstSeen.UTC(), LastSeen: r.LastSeen.UTC(),
		StatusBy: r.StatusBy, StatusAt: r.StatusAt.UTC()}
	if r.PublishedAt != nil {
		out.PublishedAt = r.PublishedAt.UTC()
	}
	if r.HeldUntil != nil {
		out.HeldUntil = r.HeldUntil.UTC()
	}
	return out
}

// NewQuarantineRecords gives records as quarantine.Store.List lists them.
func NewQuarantineRecords(list []quarantine.Record) []QuarantineRecord {
	out := make([]QuarantineRecord, len(list))
	for i, r := range list {
		out[i] = NewQuarantineRecord(r)
	}
	return out
}

// NewQuarantineDetail gives everything about one record. It aliases the record's bytes.
func NewQuarantineDetail(d quarantine.Detail) QuarantineDetail {
	out := QuarantineDetail{QuarantineRecord: NewQuarantineRecord(d.Record), Key: d.Key, Headers: make([]Header, len(d.Headers)), Raw: d.Raw,
		Payload: d.Payload, Decisions: make([]StatusDecision, len(d.Decisions))}
	for i, h := range d.Headers {
		out.Headers[i] = Header{Key: h.Key, Value: h.Value}
	}
	for i, x := range d.Decisions {
		out.Decisions[i] = StatusDecision{From: string(x.From), To: string(x.To), By: x.By, At: x.At.UTC(), Note: x.Note}
	}
	return out
}

// NewQuarantineChange gives the counts of a release or a discard.
func NewQuarantineChange(c quarantine.Counts, dryRun bool) QuarantineChange {
	return QuarantineChange{Matched: c.Matched, Changed: c.Changed, Skipped: c.Skipped, Impossible: c.Impossible, DryRun: dryRun}
}

func references(list []source.Reference) []Reference {
	out := make([]Reference, len(list))
	for i, r := range list {
		out[i] = Reference(r)
	}
	return out
}
