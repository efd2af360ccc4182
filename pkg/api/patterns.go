package api

import (
	"time"

	"github.com/google/uuid"
)

// PatternMatches are accounts whose timelines a pattern matches.
type PatternMatches struct {
	Pattern  string         `json:"pattern"`  // as it was understood
	Accounts int64          `json:"accounts"` // that match, of which Items may be a part
	Items    []PatternMatch `json:"items"`    // the newest first
}

// PatternAnswer is what a pattern finds, complete and begun, and how often it did.
type PatternAnswer struct {
	Pattern string   `json:"pattern"` // as it was understood
	Words   []string `json:"words"`   // what each step means
	// Complete are the accounts that went this way; left out of a pattern with now.
	Complete *PatternMatches `json:"complete,omitempty"`
	// Months are those in which it was complete, the newest first.
	Months []PatternMonth `json:"months"`
	// Open are the accounts on which all but the last step has happened, and the last still may; left out of a pattern
	// of one step.
	Open *PatternMatches `json:"open,omitempty"`
}

// PatternMatch is an account, and how its newest match went.
type PatternMatch struct {
	AccountID   uuid.UUID `json:"account_id"`
	AccountName string    `json:"account_name"`
	Matches     int64     `json:"matches"` // of the account
	// ReachedAt is when the newest match was complete; of a match that is not, when all but its last step was.
	ReachedAt time.Time `json:"reached_at"`
	// OpenUntil is, of a match that is not complete, until when it can be; left out where it has no bound.
	OpenUntil time.Time     `json:"open_until,omitzero"`
	Steps     []PatternStep `json:"steps"`
}

// PatternStep is the event of one step.
type PatternStep struct {
	Step       int       `json:"step"` // from 1, as the pattern has it, periods without an event counted
	EventID    int64     `json:"event_id"`
	Source     string    `json:"source"`
	EventType  string    `json:"event_type"`
	OccurredAt time.Time `json:"occurred_at"`
}

// PatternMonth is how often a pattern was complete in a month of UTC.
type PatternMonth struct {
	Month    string `json:"month"` // 2026-01
	Matches  int64  `json:"matches"`
	Accounts int64  `json:"accounts"`
}

// PatternPlan is how a pattern is looked for.
type PatternPlan struct {
	Pattern    string   `json:"pattern"` // as it was understood
	SQL        string   `json:"sql"`
	Parameters []string `json:"parameters"` // $1 first
	Plan       []string `json:"plan"`       // Postgres' own, a line each
}
