package api

import (
	"time"

	"github.com/throughline-dev/throughline/pkg/pull"
)

// Pull is one run of a pull, and the period that it worked on.
type Pull struct {
	ID         int64     `json:"id"`
	Checkpoint int64     `json:"checkpoint_id"` // the same for runs that went on with one pull
	Source     string    `json:"source"`
	Tenant     string    `json:"tenant,omitempty"`
	Stream     string    `json:"stream"`
	Mode       string    `json:"mode"`
	Types      []string  `json:"types,omitempty"` // left out: all
	From       time.Time `json:"from"`
	To         time.Time `json:"to"`
	Through    time.Time `json:"through"`  // all before is in the raw topic
	Finished   bool      `json:"finished"` // the whole period is
	Status     string    `json:"status"`   // of the run: running, done, failed or interrupted
	Pages      int64     `json:"pages"`
	Events     int64     `json:"events"`
	Unread     int64     `json:"unread"` // of the events: what is no event of the source, and becomes a dead letter
	Rate       float64   `json:"events_per_second"`
	Oldest     time.Time `json:"oldest,omitzero"` // of the events
	Newest     time.Time `json:"newest,omitzero"`
	KeptSince  time.Time `json:"kept_since,omitzero"` // the vendor promises none from before it
	Error      string    `json:"error,omitempty"`
	StartedBy  string    `json:"started_by"`
	StartedAt  time.Time `json:"started_at"`
	UpdatedAt  time.Time `json:"updated_at"`
	FinishedAt time.Time `json:"finished_at,omitzero"` // of the run
}

// NewPull gives a run.
func NewPull(p pull.Pull) Pull {
	return Pull{
		ID: p.ID, Checkpoint: p.Checkpoint, Source: p.Source, Tenant: p.Tenant, Stream: p.Stream, Mode: string(p.Mode), Types: p.Types,
		From: p.From, To: p.To, Through: p.Through, Finished: p.Finished, Status: p.Status,
		Pages: p.Pages, Events: p.Events, Unread: p.Unread, Rate: p.Rate(), Oldest: p.Oldest, Newest: p.Newest, KeptSince: p.KeptSince,
		Error: p.Error, StartedBy: p.StartedBy, StartedAt: p.StartedAt, UpdatedAt: p.UpdatedAt, FinishedAt: p.EndedAt,
	}
}

// Backfilled is what a backfill has done.
type Backfilled struct {
	Run        int64     `json:"run_id,omitempty"` // left out on a dry run
	Checkpoint int64     `json:"checkpoint_id,omitempty"`
	Source     string    `json:"source"`
	From       time.Time `json:"from"`
	To         time.Time `json:"to"`
	Through    time.Time `json:"through"`
	Resumed    bool      `json:"resumed"`
	DryRun     bool      `json:"dry_run"`
	Pages      int64     `json:"pages"`
	Events     int64     `json:"events"`
	Unread     int64     `json:"unread"`
	Rate       float64   `json:"events_per_second"`
	Oldest     time.Time `json:"oldest,omitzero"`
	Newest     time.Time `json:"newest,omitzero"`
	KeptSince  time.Time `json:"kept_since,omitzero"`
}

// NewBackfilled gives the report of a run.
func NewBackfilled(source string, dryRun bool, r pull.Report) Backfilled {
	return Backfilled{
		Run: r.Run, Checkpoint: r.Checkpoint, Source: source, From: r.From, To: r.To, Through: r.Through, Resumed: r.Resumed, DryRun: dryRun,
		Pages: r.Pages, Events: r.Events, Unread: r.Unread, Rate: r.Rate(), Oldest: r.Oldest, Newest: r.Newest, KeptSince: r.KeptSince,
	}
}
