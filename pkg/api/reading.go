package api

import (
	"time"

	"github.com/google/uuid"
)

// AccountSummary is an account as a list of customers shows it.
type AccountSummary struct {
	Account
	// LastEvent is the newest event of its timeline; left out where there is none.
	LastEvent *EventLine `json:"last_event,omitempty"`
	// Events7Days is how many events occurred in the last 7 days, at most 1,000: then there may be more.
	Events7Days int64 `json:"events_7_days"`
	// OpenQuarantine is how many quarantined records wait whose reference is linked to the account, at most 1,000.
	OpenQuarantine int64 `json:"open_quarantine"`
	// Matched says by what a search found it: name, domain, id or a reference.
	Matched string `json:"matched,omitempty"`
}

// EventLine is an event without its payload.
type EventLine struct {
	ID         int64     `json:"id"`
	OccurredAt time.Time `json:"occurred_at"`
	IngestedAt time.Time `json:"ingested_at"`
	Source     string    `json:"source"`
	EventType  string    `json:"event_type"`
	Subject    string    `json:"subject,omitempty"`
}

// Density is how the events of a timeline lie in time: equal spans from From to To.
type Density struct {
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Spans []int64   `json:"spans"`          // events in each, the oldest first
	More  bool      `json:"more,omitempty"` // only the newest 100,000 events were looked at
}

// RawPosition is where the record lies that an event was read from.
type RawPosition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Index     int32  `json:"index"` // its place in a page that is one record; -1: it is a whole record
}

// Passport is all that is known of how an event came onto its timeline.
type Passport struct {
	Event       Event  `json:"event"`
	AccountName string `json:"account_name"`
	// Rule is how the account was found: link, domain, …; Reference by what.
	Rule      string      `json:"rule"`
	Reference string      `json:"reference,omitempty"`
	Delivery  string      `json:"delivery,omitempty"` // the id of the delivery that brought it
	Raw       RawPosition `json:"raw"`
	// Decision is the entry of the ledger by which the reference stands for the account now.
	Decision *Decision `json:"decision,omitempty"`
	// Quarantine are the records of the same identity that are or were in quarantine.
	Quarantine []QuarantineRecord `json:"quarantine"`
	// Conflicts are events of the same identity with other bytes.
	Conflicts []QuarantineRecord `json:"conflicts"`
	// Moves are what brought it from one account to another, the newest first.
	Moves []Move `json:"moves"`
	// Steps are all of it in the order of time.
	Steps []PassportStep `json:"steps"`
}

// PassportStep is one thing that happened to an event.
type PassportStep struct {
	At   time.Time `json:"at"`
	Step string    `json:"step"` // occurred, received, quarantined, released, resolved, stored, moved, conflicted
	Text string    `json:"text"`
	By   string    `json:"by,omitempty"`
}

// Payload is an event's payload as the vendor sent it, where the raw record is still there.
type Payload struct {
	// Original says that Body is the vendor's bytes; else it is JSON as Postgres has it.
	Original bool   `json:"original"`
	Why      string `json:"why,omitempty"` // why it is not original
	Body     []byte `json:"body"`          // base64
}

// Found is an event that a search found.
type Found struct {
	Event
	AccountName string `json:"account_name"`
}

// SearchPage is what a search has found so far. A search looks at a bounded number of events at a time: with no
// event found and a Next it has not come to the end.
type SearchPage struct {
	Items []Found `json:"items"`
	Next  string  `json:"next,omitempty"`
	// SearchedTo is how far back it has looked.
	SearchedTo time.Time `json:"searched_to,omitzero"`
}

// QuarantineGroup is what waits in quarantine for one reason and one reference.
type QuarantineGroup struct {
	Reason    string    `json:"reason"`
	Source    string    `json:"source,omitempty"`
	Reference string    `json:"reference,omitempty"`
	Records   int64     `json:"records"`            // at most 10,000
	AtLeast   bool      `json:"at_least,omitempty"` // there may be more
	Oldest    time.Time `json:"oldest"`             // first seen
	Newest    time.Time `json:"newest"`             // last seen
	// Suggestions are links that are likely for the reference.
	Suggestions []Suggestion `json:"suggestions,omitempty"`
}

// SourceState is how a source is doing.
type SourceState struct {
	Source    string     `json:"source"`
	LastEvent *EventLine `json:"last_event,omitempty"`
	// NormalSeconds is how long it is silent at most on a normal day, of its last 7 days; 0: not known.
	NormalSeconds int64 `json:"normal_seconds,omitempty"`
	// Stale says that it has been silent for longer.
	Stale          bool  `json:"stale"`
	OpenQuarantine int64 `json:"open_quarantine"` // at most 10,000
	// Rejected is how many requests were rejected, by reason, since the receivers were started; left out where the metrics of
	// one cannot be read.
	Rejected map[string]int64 `json:"rejected,omitzero"`
	// Gap is the newest comparison with the vendor's API.
	Gap      *Reconciled `json:"gap,omitempty"`
	Learning *Learning   `json:"learning,omitempty"`
	// Spark are events in each of the last 24 hours, the oldest first.
	Spark []int64 `json:"spark"`
}

// Overview is the state of the whole, for the first page.
type Overview struct {
	At               time.Time     `json:"at"`
	Sources          []SourceState `json:"sources"`
	OpenQuarantine   int64         `json:"open_quarantine"` // at most 10,000
	OldestQuarantine time.Time     `json:"oldest_quarantine,omitzero"`
	OpenFindings     int64         `json:"open_findings"` // of drift
	FiringAlerts     int64         `json:"firing_alerts"` // that are not silenced
	OpenSuggestions  int64         `json:"open_suggestions"`
	FailedPulls      []Pull        `json:"failed_pulls"`
	PendingMoves     []Move        `json:"pending_moves"`
}

// AuditEntry is one thing that somebody did, or tried to do.
type AuditEntry struct {
	ID     int64     `json:"id"`
	At     time.Time `json:"at"`
	Who    string    `json:"who"`     // user:EMAIL, token:NAME or cli:LOGIN
	Role   string    `json:"role"`    // viewer, operator, admin
	Action string    `json:"action"`  // the operation's id in the API, like linkReference
	Target string    `json:"target"`  // what it was done to
	Result string    `json:"result"`  // done, refused, failed
	Why    string    `json:"why"`     // the reason that was given, or why it was refused
	Via    string    `json:"via"`     // api, console, cli
	DryRun bool      `json:"dry_run"` // nothing was changed
}

// SavedView is a page of the console that somebody gave a name.
type SavedView struct {
	ID        int64     `json:"id"`
	Name      string    `json:"name"`
	Path      string    `json:"path"` // with its query, without a host
	Shared    bool      `json:"shared"`
	Own       bool      `json:"own"` // of who asks
	Owner     string    `json:"owner"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Token is an API token without the token.
type Token struct {
	ID         int64     `json:"id"`
	Name       string    `json:"name"`
	Role       string    `json:"role"`
	CreatedBy  string    `json:"created_by"`
	CreatedAt  time.Time `json:"created_at"`
	ExpiresAt  time.Time `json:"expires_at,omitzero"`
	LastUsedAt time.Time `json:"last_used_at,omitzero"` // to the hour
	RevokedAt  time.Time `json:"revoked_at,omitzero"`
}

// NewTokenMade is a token that was made just now: the only time that it is shown.
type NewTokenMade struct {
	Token
	Secret string `json:"secret"`
}

// Me is who asks.
type Me struct {
	Who  string `json:"who"`
	Role string `json:"role"`
}

// Waits is where a reference stands: its link, or how many events wait for one.
type Waits struct {
	Reference string `json:"reference"`
	// Link is left out where it is nobody's.
	Link        *Link        `json:"link,omitempty"`
	Account     *Account     `json:"account,omitempty"`
	Waiting     int64        `json:"waiting"` // open records in quarantine, at most 10,000
	Suggestions []Suggestion `json:"suggestions"`
	Decisions   []Decision   `json:"decisions"` // the newest first, at most 100
}

// Linking asks for a link, or for the end of one.
type Linking struct {
	Reference string    `json:"reference"`
	AccountID uuid.UUID `json:"account_id,omitzero"`
	Reason    string    `json:"reason,omitempty"` // at most 500 characters
	DryRun    bool      `json:"dry_run,omitempty"`
}
