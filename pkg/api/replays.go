package api

import (
	"time"

	"github.com/throughline-dev/throughline/pkg/replay"
)

// Replay is one replay of a raw topic.
type Replay struct {
	ID         int64     `json:"id,omitempty"` // none on a dry run
	Source     string    `json:"source"`
	Topic      string    `json:"topic"`
	Since      time.Time `json:"since"`
	Until      time.Time `json:"until"`
	Types      []string  `json:"types,omitempty"`
	Left       int64     `json:"left"` // offsets that are to be read
	Read       int64     `json:"read"`
	Published  int64     `json:"published"`
	StartedBy  string    `json:"started_by"`
	Reason     string    `json:"reason,omitempty"`
	CreatedAt  time.Time `json:"created_at,omitzero"`
	FinishedAt time.Time `json:"finished_at,omitzero"`
}

// NewReplay makes the JSON form.
func NewReplay(r replay.Replay) Replay {
	return Replay{ID: r.ID, Source: r.Source, Topic: r.Topic, Since: r.Since, Until: r.Until, Types: r.Types, Left: r.Left(), Read: r.Read, Published: r.Published,
		StartedBy: r.StartedBy, Reason: r.Reason, CreatedAt: r.CreatedAt, FinishedAt: r.FinishedAt}
}
