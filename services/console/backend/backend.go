// Package backend is what the console does, once for the HTTP API (package rest) and the pages (package web): reading,
// deciding, who may, and the audit log. It speaks the types of pkg/api.
//
// Every method takes who acts from its context (access.WithActor), asks for the role that the method says, and for
// changes writes an entry to the audit log, refused ones too. Errors are Permanent (NotFound, Conflict, Forbidden,
// Malformed with problem.Field) or Transient.
package backend

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
)

// Page is a part of a list. Items is never nil; Next is "" on the last page.
type Page[T any] struct {
	Items []T
	Next  string
}

// Paging says which part of a list is wanted. Limit is 1 to 1,000; 0: 100.
type Paging struct {
	Cursor string // the Next of the page before; "" for the first
	Limit  int
}

// TimelineQuery says which events of an account are wanted.
type TimelineQuery struct {
	Account       uuid.UUID
	Newest        bool // the newest first
	Source, Type  string
	Since, Until  time.Time // from Since on, before Until; zero: no bound
	WithoutBodies bool      // Payload is null
	Paging
}

// SearchQuery says which events of all accounts are wanted. One of Contains, Path and Words at least, or an Account.
type SearchQuery struct {
	Contains     string // JSON, for @>
	Path         string // a JSON path, for @?
	Words        string // of the subject
	Source, Type string
	Account      string // id, name or domain, as the command line takes it
	Since        time.Time
	Paging
}

// QuarantineQuery says which quarantined records are wanted.
type QuarantineQuery struct {
	Reason, Source, Reference string
	Status                    string // open, replaying, resolved, discarded, all; "": open
	Since                     time.Time
	Paging
}

// Selection says which quarantined records are meant: by IDs, or by what they have in common.
type Selection struct {
	IDs                       []int64
	Reason, Source, Reference string
	Since                     time.Time
	Note                      string
	DryRun                    bool
}

// NewAccount is an account to make.
type NewAccount struct {
	Name, Domain, Owner string
	Parent              uuid.UUID // Nil: none
	Anyway              bool      // although another account has the name or the domain
}

// AccountChange says what is to change of an account; nil is left alone.
type AccountChange struct {
	Name, Owner *string
	Anyway      bool // although another account has the name
	Reason      string
}

// NewSilence says which alerts are not to be told: of a rule, of a source, or of both.
type NewSilence struct {
	Rule, Source string
	For          time.Duration // 1 minute to alert.MaxSilence
	Comment      string        // why
}

// NewPull asks the puller for a backfill.
type NewPull struct {
	Source, Stream string    // Stream "": all of the source's
	Since, Until   time.Time // a zero Until is now
	Types          []string  // the vendor's own; none: all
	Anyway         bool      // also types that the vendor did not have when this version was made
	DryRun         bool      // read and count only
	// Key of at most pull.MaxIdempotencyKey characters: who asks again with the same gets the same request; "": none.
	Key string
}

// TailQuery says what a live tail is of; "" and uuid.Nil: of all.
type TailQuery struct {
	Source, Type string
	Account      uuid.UUID
	// After is the ID of the last event told that the reader had; "": from now on.
	After string
}

// TailEvent is one event of a live tail, or, with Skipped above 0, how many the reader was too slow for.
type TailEvent struct {
	ID          string // what After takes
	AccountID   uuid.UUID
	AccountName string
	Event       api.EventLine
	Skipped     int64
}

// Reader is what a viewer may: the role access.Viewer, for Tokens and Audit access.Admin, and for Export what is set.
type Reader interface {
	// Allowed refuses who has not the role for an action, and writes that to the audit log: for a request that is refused
	// before anything else looks at it.
	Allowed(ctx context.Context, role access.Role, action, target string) error
	Overview(ctx context.Context) (api.Overview, error)
	// KnownSource refuses, Malformed, a source that there is not; "" is any.
	KnownSource(ctx context.Context, name string) error
	Accounts(ctx context.Context, query, owner string, p Paging) (Page[api.AccountSummary], error)
	Account(ctx context.Context, id uuid.UUID) (api.AccountSummary, error)
	AccountLinks(ctx context.Context, id uuid.UUID, p Paging) (Page[api.Link], error)
	Timeline(ctx context.Context, q TimelineQuery) (Page[api.Event], error)
	Density(ctx context.Context, id uuid.UUID, source, eventType string, spans int) (api.Density, error)
	Event(ctx context.Context, id int64) (api.Event, error)
	Passport(ctx context.Context, id int64) (api.Passport, error)
	Payload(ctx context.Context, id int64) (api.Payload, error)
	Search(ctx context.Context, q SearchQuery) (api.SearchPage, error)
	Quarantine(ctx context.Context, q QuarantineQuery) (Page[api.QuarantineRecord], error)
	QuarantineGroups(ctx context.Context, reason, source string, p Paging) (Page[api.QuarantineGroup], error)
	QuarantineRecord(ctx context.Context, id int64) (api.QuarantineDetail, error)
	Links(ctx context.Context, source, account string, p Paging) (Page[api.Link], error)
	Reference(ctx context.Context, reference string) (api.Waits, error)
	Decisions(ctx context.Context, reference, account string, p Paging) (Page[api.Decision], error)
	Moves(ctx context.Context, p Paging) (Page[api.Move], error)
	Suggestions(ctx context.Context, status, source string, p Paging) (Page[api.Suggestion], error)
	Suggestion(ctx context.Context, id int64) (api.Explanation, error)
	Sources(ctx context.Context) ([]api.SourceState, error)
	Pulls(ctx context.Context, source string, p Paging) (Page[api.Pull], error)
	PullRequests(ctx context.Context, source string, open bool, p Paging) (Page[api.PullRequest], error)
	Gaps(ctx context.Context) ([]api.Gap, error)
	Drift(ctx context.Context, source, status string, p Paging) (Page[api.Finding], error)
	// Alerts gives what is alerted on: what fires or is pending, or what state says (firing, pending, resolved, all).
	Alerts(ctx context.Context, state string) (api.Alerts, error)
	// Silences gives those that are active, with ended also the others, the newest first, 100 at most.
	Silences(ctx context.Context, ended bool) ([]api.Silence, error)
	// Domains gives domains that behave like free mail, those that nobody decided about first, at most so many (1 to 1,000).
	Domains(ctx context.Context, limit int) ([]api.SuspectDomain, error)
	// Pattern looks for what package pattern describes, among events since then; limit is a Paging's. Malformed is about
	// the field pattern, and a *pattern.SyntaxError where it has a place.
	Pattern(ctx context.Context, text string, since time.Time, limit int) (api.PatternAnswer, error)
	// Feed gives events in the order in which they became visible, each once. Next is never "".
	Feed(ctx context.Context, source, eventType string, wait time.Duration, p Paging) (Page[api.Event], error)
	// Tail sends events to the channel until ctx ends; the channel is closed then. At most 100 run at a time in a
	// process, 8 of one actor: then Transient.
	Tail(ctx context.Context, q TailQuery) (<-chan TailEvent, error)
	// TailPlace gives the After of a Tail of which the first event is the first that becomes visible from now on.
	TailPlace(ctx context.Context) (string, error)
	// Export reads the first page of what is asked for, and gives the rest as a file. Who may is a setting (ExportPolicy);
	// beginExport and export are in the audit log. At most 4 run at a time in a process: then Transient.
	Export(ctx context.Context, q ExportQuery) (*Export, error)
	// MayExport says whether who acts may.
	MayExport(ctx context.Context) bool
	// SavedViews gives the actor's own views, and then those that others share, by their names; 300 at most.
	SavedViews(ctx context.Context) ([]api.SavedView, error)
	// SaveView gives an address of the console a name (ViewPath, ViewName), which is the actor's own, or with shared, for
	// operators, everybody's. Somebody has at most 100.
	SaveView(ctx context.Context, name, path string, shared bool) (api.SavedView, error)
	// ChangeView leaves alone what is nil. Views of others are changed and deleted where they are shared, by operators.
	ChangeView(ctx context.Context, id int64, name *string, shared *bool) (api.SavedView, error)
	DeleteView(ctx context.Context, id int64) error
	Tokens(ctx context.Context, p Paging) (Page[api.Token], error)
	Audit(ctx context.Context, who, action string, p Paging) (Page[api.AuditEntry], error)
}

// Decider is what an operator may, and with tokens an admin. Reasons are at most 500 characters.
type Decider interface {
	// CreateAccount refuses one that is similar to others, unless Anyway: Conflict, with problem.Similar.
	CreateAccount(ctx context.Context, n NewAccount) (api.Account, error)
	// ChangeAccount likewise for a new name.
	ChangeAccount(ctx context.Context, id uuid.UUID, c AccountChange) (api.Account, error)
	MergeAccount(ctx context.Context, from, into uuid.UUID, reason string, dryRun bool) (api.Effect, error)
	Link(ctx context.Context, l api.Linking) (api.Effect, error)
	// Unlink takes a link back; never says too that the reference is not the account's.
	Unlink(ctx context.Context, reference, reason string, never, dryRun bool) (api.Effect, error)
	AcceptSuggestion(ctx context.Context, id int64, reason string) (api.Effect, error)
	RejectSuggestion(ctx context.Context, id int64, reason string) (api.Effect, error)
	// DecideDomain says that a domain, found or not, is public (no account is found by it) or private (one company's).
	DecideDomain(ctx context.Context, domain, decision, reason string) (api.SuspectDomain, error)
	Release(ctx context.Context, s Selection) (api.QuarantineChange, error)
	Discard(ctx context.Context, s Selection) (api.QuarantineChange, error)
	// StartPull asks the puller, which begins within seconds.
	StartPull(ctx context.Context, n NewPull) (api.PullRequest, error)
	// CancelPull ends a request of StartPull; the puller stops within seconds.
	CancelPull(ctx context.Context, id int64) (api.PullRequest, error)
	// SilenceAlerts keeps alerts from being told for a while, and UnsilenceAlerts ends that.
	SilenceAlerts(ctx context.Context, n NewSilence) (api.Silence, error)
	UnsilenceAlerts(ctx context.Context, id int64) error
	AcknowledgeDrift(ctx context.Context, id int64, reason string) (api.Finding, error)
	CreateToken(ctx context.Context, name string, role access.Role, expires time.Time) (api.NewTokenMade, error)
	RevokeToken(ctx context.Context, id int64) error
}

// Backend is all of it.
type Backend interface {
	Reader
	Decider
}
