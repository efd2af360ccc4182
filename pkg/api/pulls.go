package api

import (
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/pull/history"
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
	Status     string    `json:"status"`   // of the run: running, done, failed, interrupted or cancelled
	Pages      int64     `json:"pages"`
	Events     int64     `json:"events"`
	Unread     int64     `json:"unread"` // of the events: what is no event of the source, and becomes a dead letter
	Rate       float64   `json:"events_per_second"`
	Oldest     time.Time `json:"oldest,omitzero"` // of the events
	Newest     time.Time `json:"newest,omitzero"`
	KeptSince  time.Time `json:"kept_since,omitzero"` // the vendor promises none from before it
	// WaitsUntil is until when nobody asks the source's API, because it said so, and
	// WaitsFor how: of each run that is not at the end of its period.
	WaitsUntil time.Time `json:"waits_until,omitzero"`
	WaitsFor   string    `json:"waits_for,omitempty"`
	Error      string    `json:"error,omitempty"`
	StartedBy  string    `json:"started_by"`
	Request    int64     `json:"request_id,omitempty"` // that it serves; left out: none
	StartedAt  time.Time `json:"started_at"`
	UpdatedAt  time.Time `json:"updated_at"`
	FinishedAt time.Time `json:"finished_at,omitzero"` // of the run
}

// NewPull gives a run; paused are the pauses of vendors that have not ended.
func NewPull(p pull.Pull, paused []pull.Paused) Pull {
	view := Pull{
		ID: p.ID, Checkpoint: p.Checkpoint, Source: p.Source, Tenant: p.Tenant, Stream: p.Stream, Mode: string(p.Mode), Types: p.Types,
		From: p.From, To: p.To, Through: p.Through, Finished: p.Finished, Status: p.Status,
		Pages: p.Pages, Events: p.Events, Unread: p.Unread, Rate: p.Rate(), Oldest: p.Oldest, Newest: p.Newest, KeptSince: p.KeptSince,
		Error: p.Error, StartedBy: p.StartedBy, Request: p.Request, StartedAt: p.StartedAt, UpdatedAt: p.UpdatedAt, FinishedAt: p.EndedAt,
	}
	for _, pause := range paused {
		if pause.Source == p.Source && pause.Tenant == p.Tenant && !p.Finished && !strings.HasPrefix(p.Stream, history.StreamPrefix) {
			view.WaitsUntil, view.WaitsFor = pause.Until, pause.Why
		}
	}
	return view
}

// PullRequest is a backfill that the puller was asked for. What it brings in is under pulls.
type PullRequest struct {
	ID         int64     `json:"id"`
	Source     string    `json:"source"`
	Tenant     string    `json:"tenant,omitempty"`
	Stream     string    `json:"stream,omitempty"` // left out: all of the source's
	Types      []string  `json:"types,omitempty"`  // left out: all
	Since      time.Time `json:"since"`
	Until      time.Time `json:"until"`
	DryRun     bool      `json:"dry_run"`          // read and count only
	State      string    `json:"state"`            // requested, claimed, done, cancelled or failed
	Reason     string    `json:"reason,omitempty"` // why it failed, who cancelled it, or what to know of what was brought in
	Pages      int64     `json:"pages"`
	Events     int64     `json:"events"`
	AskedBy    string    `json:"asked_by"`
	AskedAt    time.Time `json:"asked_at"`
	ClaimedAt  time.Time `json:"claimed_at,omitzero"` // when the puller began
	FinishedAt time.Time `json:"finished_at,omitzero"`
}

// NewPullRequest gives a request.
func NewPullRequest(r pull.Request) PullRequest { return PullRequest(r) }

// Paused is a vendor account whose API nobody asks before Until, because it said so.
type Paused struct {
	Source string    `json:"source"`
	Tenant string    `json:"tenant,omitempty"`
	Until  time.Time `json:"until"`
	Why    string    `json:"why"`
}

// NewPaused gives a pause.
func NewPaused(p pull.Paused) Paused { return Paused(p) }

// Backfilled is what a backfill has done.
type Backfilled struct {
	Run        int64     `json:"run_id,omitempty"` // left out on a dry run
	Checkpoint int64     `json:"checkpoint_id,omitempty"`
	Source     string    `json:"source"`
	Stream     string    `json:"stream"`
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
func NewBackfilled(source, stream string, dryRun bool, r pull.Report) Backfilled {
	return Backfilled{
		Run: r.Run, Checkpoint: r.Checkpoint, Source: source, Stream: stream, From: r.From, To: r.To, Through: r.Through, Resumed: r.Resumed, DryRun: dryRun,
		Pages: r.Pages, Events: r.Events, Unread: r.Unread, Rate: r.Rate(), Oldest: r.Oldest, Newest: r.Newest, KeptSince: r.KeptSince,
	}
}

// BackfilledFile is what a backfill from a file has done.
type BackfilledFile struct {
	Run        int64            `json:"run_id,omitempty"` // left out on a dry run, and where the file cannot be read again
	Checkpoint int64            `json:"checkpoint_id,omitempty"`
	Source     string           `json:"source"`
	File       string           `json:"file"`
	Resumed    bool             `json:"resumed"`
	DryRun     bool             `json:"dry_run"`
	Events     int64            `json:"events"`
	Unread     int64            `json:"unread"`
	Skipped    int64            `json:"skipped"`         // lines that were no events
	Types      map[string]int64 `json:"types,omitempty"` // on a dry run: how many of which event_type
	Rate       float64          `json:"events_per_second"`
	Oldest     time.Time        `json:"oldest,omitzero"`
	Newest     time.Time        `json:"newest,omitzero"`
}

// NewBackfilledFile gives the report of a run.
func NewBackfilledFile(source, file string, dryRun bool, skipped int64, types map[string]int64, r pull.Report) BackfilledFile {
	return BackfilledFile{
		Run: r.Run, Checkpoint: r.Checkpoint, Source: source, File: file, Resumed: r.Resumed, DryRun: dryRun, Events: r.Events, Unread: r.Unread,
		Skipped: skipped, Types: types, Rate: r.Rate(), Oldest: r.Oldest, Newest: r.Newest,
	}
}

// Gap is what is known of the completeness of one stream of a source: its newest
// comparison with the vendor's API, and periods that are not brought in.
type Gap struct {
	Source string `json:"source"`
	Tenant string `json:"tenant,omitempty"`
	Stream string `json:"stream"`
	// Report is left out where there was no comparison.
	Report *Reconciled `json:"report,omitempty"`
	// Unfinished are pulls that have not come to the end of their period.
	Unfinished []Unfinished `json:"unfinished,omitempty"`
}

// Unfinished is a pull that has not come to its end: what lies between Through and To
// is not brought in by it.
type Unfinished struct {
	Checkpoint int64     `json:"checkpoint_id"`
	Mode       string    `json:"mode"`
	Through    time.Time `json:"through"`
	To         time.Time `json:"to"`
	Status     string    `json:"status"` // of its newest run
	Error      string    `json:"error,omitempty"`
}

// Reconciled is what a comparison with a vendor's API has found.
type Reconciled struct {
	ID           int64            `json:"id"`
	Source       string           `json:"source"`
	Tenant       string           `json:"tenant,omitempty"`
	Stream       string           `json:"stream"`
	From         time.Time        `json:"from"`
	To           time.Time        `json:"to"`
	Through      time.Time        `json:"through"` // all before is compared
	Status       string           `json:"status"`  // running, done, failed or interrupted
	Heals        bool             `json:"heals"`   // what is missing was published
	Said         int64            `json:"said"`    // the vendor's events
	Unread       int64            `json:"unread"`  // of them: without an identity
	OnTimeline   int64            `json:"on_timeline"`
	InQuarantine int64            `json:"in_quarantine"`
	Missing      int64            `json:"missing"`
	Healed       int64            `json:"healed"`
	Beyond       int64            `json:"beyond_retention"` // older than what the timeline keeps: neither here nor missing
	StillMissing int64            `json:"still_missing"`
	Reasons      map[string]int64 `json:"reasons,omitempty"` // of what is missing still: not_healed, not_arrived, not_given, oversized
	KeptSince    time.Time        `json:"kept_since,omitzero"`
	Retained     time.Time        `json:"retained_since,omitzero"` // the timeline keeps nothing from before it, and nobody asked for it
	Error        string           `json:"error,omitempty"`
	StartedBy    string           `json:"started_by"`
	StartedAt    time.Time        `json:"started_at"`
	LookedAt     time.Time        `json:"looked_at"`
	FinishedAt   time.Time        `json:"finished_at,omitzero"`
}

// NewReconciled gives a report.
func NewReconciled(r pull.ReconcileReport) Reconciled {
	return Reconciled{
		ID: r.ID, Source: r.Source, Tenant: r.Tenant, Stream: r.Stream, From: r.From, To: r.To, Through: r.Through, Status: r.Status, Heals: r.Heals,
		Said: r.Said, Unread: r.Unread, OnTimeline: r.OnTimeline, InQuarantine: r.InQuarantine, Missing: r.Missing, Healed: r.Healed, Beyond: r.Beyond,
		StillMissing: r.StillMissing(), Reasons: r.Reasons, KeptSince: r.KeptSince, Retained: r.RetainedSince, Error: r.Error, StartedBy: r.StartedBy,
		StartedAt: r.StartedAt, LookedAt: r.LookedAt, FinishedAt: r.Finished,
	}
}
