package api

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/learn"
)

// Suggestion is a link that is likely, for a person to decide about.
type Suggestion struct {
	ID         int64           `json:"id"`
	Reference  string          `json:"reference"`
	AccountID  uuid.UUID       `json:"account_id"`
	Account    string          `json:"account"`
	Rule       int             `json:"rule"`
	Level      string          `json:"level"`
	Why        string          `json:"why"`
	Evidence   json.RawMessage `json:"evidence"`
	Status     string          `json:"status"`
	DecidedBy  string          `json:"decided_by,omitempty"`
	DecisionID int64           `json:"decision_id,omitempty"`
	CreatedAt  time.Time       `json:"created_at"`
	UpdatedAt  time.Time       `json:"updated_at"`
}

// NewSuggestion gives a suggestion.
func NewSuggestion(s learn.Suggestion) Suggestion {
	return Suggestion{
		ID: s.ID, Reference: s.Reference.String(), AccountID: s.AccountID, Account: s.AccountName, Rule: int(s.Rule), Level: string(s.Level), Why: s.Why,
		Evidence: s.Evidence, Status: s.Status, DecidedBy: s.DecidedBy, DecisionID: s.DecisionID, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	}
}

// NewSuggestions gives a list of them, never nil.
func NewSuggestions(list []learn.Suggestion) []Suggestion {
	views := make([]Suggestion, len(list))
	for i, s := range list {
		views[i] = NewSuggestion(s)
	}
	return views
}

// Explanation is what speaks for a suggestion.
type Explanation struct {
	Suggestion
	RuleTitle string       `json:"rule_title"`
	Learned   []string     `json:"learned"` // in words
	Others    []Suggestion `json:"other_accounts"`
	Waiting   int          `json:"waiting_events"` // at most learn.MostWaiting
}

// NewExplanation gives an explanation.
func NewExplanation(e learn.Explanation) Explanation {
	return Explanation{Suggestion: NewSuggestion(e.Suggestion), RuleTitle: e.Title, Learned: append([]string{}, e.Leads...), Others: NewSuggestions(e.Others), Waiting: e.Waiting}
}

// Learning is how learning from one source goes.
type Learning struct {
	Source       string                `json:"source"`
	References   map[learn.State]int64 `json:"references"` // by state
	Calls        int64                 `json:"calls"`
	Answers      int64                 `json:"answers"`
	AskedAt      time.Time             `json:"asked_at,omitzero"`
	FailingSince time.Time             `json:"failing_since,omitzero"`
	Error        string                `json:"error,omitempty"`
	RetryAt      time.Time             `json:"retry_at,omitzero"`
}

// NewLearning gives the progress of each source, never nil.
func NewLearning(list []learn.Progress) []Learning {
	views := make([]Learning, len(list))
	for i, p := range list {
		views[i] = Learning{Source: p.Source, References: p.References, Calls: p.Calls, Answers: p.Answers, AskedAt: p.AskedAt, FailingSince: p.FailingSince, Error: p.Error, RetryAt: p.RetryAt}
	}
	return views
}

// SuspectDomain is a domain that behaves like a public one, or that was decided about.
type SuspectDomain struct {
	Domain    string    `json:"domain"`
	Accounts  int       `json:"accounts"` // of its people; 0: only a person named it
	Examples  []string  `json:"examples"` // names of some of them
	FoundAt   time.Time `json:"found_at"`
	Decision  string    `json:"decision,omitempty"` // public or private; else it counts as public
	DecidedBy string    `json:"decided_by,omitempty"`
	Reason    string    `json:"reason,omitempty"`
}

// NewSuspectDomain gives a domain.
func NewSuspectDomain(d learn.SuspectDomain) SuspectDomain {
	return SuspectDomain{Domain: d.Domain, Accounts: d.Accounts, Examples: append([]string{}, d.Examples...), FoundAt: d.FoundAt, Decision: d.Decision, DecidedBy: d.DecidedBy, Reason: d.Reason}
}

// NewSuspectDomains gives a list of them, never nil.
func NewSuspectDomains(list []learn.SuspectDomain) []SuspectDomain {
	views := make([]SuspectDomain, len(list))
	for i, d := range list {
		views[i] = NewSuspectDomain(d)
	}
	return views
}
