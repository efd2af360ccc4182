package api

import (
	"encoding/hex"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/erase"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Erasure is one erasure.
type Erasure struct {
	ID          int64            `json:"id"`
	Kind        string           `json:"kind"`  // account or reference
	Label       string           `json:"label"` // what kind of thing, without its value
	Digest      string           `json:"digest"`
	DecisionID  int64            `json:"decision_id"`
	State       string           `json:"state"` // running, done or lifted
	Stage       string           `json:"stage,omitempty"`
	References  int64            `json:"references"` // that are kept from coming back
	Rows        map[string]int64 `json:"rows"`       // deleted or emptied, by table
	RequestedBy string           `json:"requested_by"`
	Reason      string           `json:"reason,omitempty"`
	CreatedAt   time.Time        `json:"created_at"`
	FinishedAt  time.Time        `json:"finished_at,omitzero"`
	LiftedBy    string           `json:"lifted_by,omitempty"`
	LiftedAt    time.Time        `json:"lifted_at,omitzero"`
}

// NewErasure makes the JSON form.
func NewErasure(e erase.Erasure) Erasure {
	return Erasure{ID: e.ID, Kind: e.Kind, Label: e.Label, Digest: hex.EncodeToString(e.Digest), DecisionID: e.DecisionID, State: e.State, Stage: e.Stage,
		References: e.References, Rows: e.Counts, RequestedBy: e.RequestedBy, Reason: e.Reason, CreatedAt: e.CreatedAt, FinishedAt: e.FinishedAt, LiftedBy: e.LiftedBy, LiftedAt: e.LiftedAt}
}

// ErasurePlan is what an erasure would do, or has done, and which topics still hold the data.
type ErasurePlan struct {
	DryRun      bool             `json:"dry_run"`
	AccountID   uuid.UUID        `json:"account_id,omitzero"` // that is erased, and its name
	AccountName string           `json:"account_name,omitempty"`
	Rows        map[string]int64 `json:"rows"`               // by table
	Accounts    int64            `json:"accounts,omitempty"` // on which there are such events; on a dry run
	Erasure     *Erasure         `json:"erasure,omitempty"`
	Topics      []TopicHolds     `json:"topics"`
}

// TopicHolds is until when a topic may still hold what was erased.
type TopicHolds struct {
	Topic string    `json:"topic"`
	Until time.Time `json:"until,omitzero"` // at the latest; none: there is no end
	Why   string    `json:"why,omitempty"`  // there is no end
}

// NewTopicHolds makes the JSON form, as seen from now.
func NewTopicHolds(retentions []stream.TopicRetention, now time.Time) []TopicHolds {
	holds := make([]TopicHolds, len(retentions))
	for i, r := range retentions {
		holds[i].Topic = r.Topic
		switch {
		case r.Longest > 0 && !r.Compacted:
			holds[i].Until = now.Add(r.Longest).UTC().Truncate(time.Second)
		case r.Compacted:
			holds[i].Why = "compacted: the newest record of each key stays for ever; run `throughline topics apply`"
		default:
			holds[i].Why = "retention.ms is for ever; run `throughline topics apply`"
		}
	}
	return holds
}
