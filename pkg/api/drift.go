package api

import (
	"time"

	"github.com/throughline-dev/throughline/pkg/postgres"
)

// Finding is an odd thing about the payloads of one event type. It holds no values of
// events: a sample is the event itself, by its source_event_id.
type Finding struct {
	ID            int64     `json:"id"`
	State         string    `json:"state"`
	StateBy       string    `json:"state_by"`
	StateAt       time.Time `json:"state_at"`
	Source        string    `json:"source"`
	EventType     string    `json:"event_type"`
	Pulled        bool      `json:"pulled"`
	Path          string    `json:"path"`
	Change        string    `json:"change"`
	Was           string    `json:"was"`
	Is            string    `json:"is"`
	SourceEventID string    `json:"source_event_id,omitempty"`
	RawTopic      string    `json:"raw_topic,omitempty"`
	RawPartition  int32     `json:"raw_partition,omitempty"`
	RawOffset     int64     `json:"raw_offset,omitempty"`
	Times         int64     `json:"times"`
	FoundAt       time.Time `json:"found_at"`
	LastAt        time.Time `json:"last_at"`
	Readers       []Reader  `json:"readers"`
}

// Reader is who reads a path.
type Reader struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
	Path string `json:"path"`
}

// NewFinding gives a finding.
func NewFinding(f postgres.Finding) Finding {
	view := Finding{
		ID: f.ID, State: string(f.State), StateBy: f.StateBy, StateAt: f.StateAt, Source: f.Source, EventType: f.EventType, Pulled: f.Pulled, Path: f.Path,
		Change: string(f.Change), Was: f.Was, Is: f.Is, SourceEventID: f.EventID, Times: f.Times, FoundAt: f.Created, LastAt: f.Last, Readers: []Reader{},
	}
	if f.At.Topic != "" {
		view.RawTopic, view.RawPartition, view.RawOffset = f.At.Topic, f.At.Partition, f.At.Offset
	}
	for _, r := range f.Readers {
		view.Readers = append(view.Readers, Reader{string(r.Kind), r.Name, r.Path})
	}
	return view
}

// Unmet is an expectation that events do not meet.
type Unmet struct {
	Source    string   `json:"source"`
	EventType string   `json:"event_type"`
	Path      string   `json:"path"`
	Why       string   `json:"why"`
	Finding   int64    `json:"finding,omitempty"`
	Readers   []string `json:"readers"`
}

// NewUnmet gives an unmet expectation.
func NewUnmet(u postgres.Unmet) Unmet {
	return Unmet{Source: u.Source, EventType: u.EventType, Path: u.Path, Why: u.Why, Finding: u.FindingID, Readers: u.Readers}
}

// ShapePath is one path of an event type.
type ShapePath struct {
	Path          string    `json:"path"`
	Types         []string  `json:"types"`
	Form          string    `json:"form"`
	Present       int64     `json:"present"`
	Nulls         int64     `json:"nulls"`
	FirstSeen     time.Time `json:"first_seen"`
	LastSeen      time.Time `json:"last_seen"`
	SourceEventID string    `json:"source_event_id"`
}

// NewShapePath gives a path.
func NewShapePath(p postgres.ShapePath) ShapePath {
	return ShapePath{
		Path: p.Path.Path, Types: p.Types(), Form: p.Form, Present: p.Present, Nulls: p.Null, FirstSeen: p.FirstSeen, LastSeen: p.LastSeen, SourceEventID: p.EventID,
	}
}
