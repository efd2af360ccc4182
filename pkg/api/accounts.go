package api

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Account is a customer.
type Account struct {
	ID     uuid.UUID `json:"id"`
	Name   string    `json:"name"`
	Domain string    `json:"domain,omitempty"`
	Owner  string    `json:"owner,omitempty"` // who looks after the customer; left out: nobody
	// Links is how many links lead to the account; left out where that was not asked.
	Links *int `json:"links,omitempty"`
	// ParentID is the account that it is a part of.
	ParentID uuid.UUID `json:"parent_id,omitzero"`
	// MergedInto is the account that has taken its place.
	MergedInto uuid.UUID `json:"merged_into,omitzero"`
	CreatedBy  string    `json:"created_by,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

// NewAccount gives an account without the number of its links.
func NewAccount(a accounts.Account) Account {
	return Account{ID: a.ID, Name: a.Name, Domain: a.Domain, Owner: a.Owner, ParentID: a.ParentID, MergedInto: a.MergedInto,
		CreatedBy: a.CreatedBy, CreatedAt: a.CreatedAt.UTC(), UpdatedAt: a.UpdatedAt.UTC()}
}

// NewAccounts gives accounts as accounts.Store.Accounts lists them, with the numbers of their links.
func NewAccounts(list []accounts.Account) []Account {
	out := make([]Account, len(list))
	for i, a := range list {
		out[i] = NewAccount(a)
		out[i].Links = &list[i].Links
	}
	return out
}

// Link says which account a reference stands for.
type Link struct {
	Reference   string          `json:"reference"`
	AccountID   uuid.UUID       `json:"account_id"`
	AccountName string          `json:"account_name"`
	Learned     string          `json:"learned"` // operator, import, or a program's name
	Evidence    json.RawMessage `json:"evidence,omitempty"`
	CreatedBy   string          `json:"created_by"`
	CreatedAt   time.Time       `json:"created_at"`
	// DecisionID is the entry of the ledger that the link stands by.
	DecisionID int64 `json:"decision_id"`
}

// NewLinks gives links as accounts.Store.Links lists them.
func NewLinks(list []accounts.Link) []Link {
	out := make([]Link, len(list))
	for i, l := range list {
		out[i] = Link{Reference: l.Reference.String(), AccountID: l.AccountID, AccountName: l.AccountName, Learned: l.Learned,
			Evidence: l.Evidence, CreatedBy: l.CreatedBy, CreatedAt: l.CreatedAt.UTC(), DecisionID: l.DecisionID}
	}
	return out
}

// Decision is an entry of the ledger.
type Decision struct {
	ID   int64  `json:"id"`
	Verb string `json:"verb"` // link, unlink, relink, merge, not_this_account, remove, split, rename
	// Reference is left out where the decision is about accounts alone.
	Reference   string          `json:"reference,omitempty"`
	FromAccount uuid.UUID       `json:"from_account,omitzero"`
	ToAccount   uuid.UUID       `json:"to_account,omitzero"`
	Level       string          `json:"level"` // decided, declared, vendor, strong, medium, weak
	Learned     string          `json:"learned"`
	Author      string          `json:"author"`
	Reason      string          `json:"reason,omitempty"`
	Evidence    json.RawMessage `json:"evidence,omitempty"`
	// RestsOn are the entries without which an automatic one would not have been made.
	RestsOn []int64 `json:"rests_on,omitempty"`
	// UndoneBy is the entry that took this one back.
	UndoneBy int64     `json:"undone_by,omitempty"`
	At       time.Time `json:"at"`
}

// NewDecisions gives entries as accounts.Store.Entries lists them.
func NewDecisions(list []accounts.Entry) []Decision {
	out := make([]Decision, len(list))
	for i, e := range list {
		out[i] = Decision{ID: e.ID, Verb: string(e.Verb), Reference: reference(e.Reference), FromAccount: e.From, ToAccount: e.To,
			Level: string(e.Level), Learned: e.Learned, Author: e.Author, Reason: e.Reason, Evidence: e.Evidence, RestsOn: e.RestsOn,
			UndoneBy: e.UndoneBy, At: e.At.UTC()}
	}
	return out
}

// Effect is what a decision did, or on a dry run would do.
type Effect struct {
	Verb      string `json:"verb"`
	Reference string `json:"reference,omitempty"`
	// DecisionID is the entry of the ledger; left out on a dry run and where nothing changed.
	DecisionID  int64     `json:"decision_id,omitempty"`
	Changed     bool      `json:"changed"`
	DryRun      bool      `json:"dry_run"`
	FromAccount uuid.UUID `json:"from_account,omitzero"`
	ToAccount   uuid.UUID `json:"to_account,omitzero"`
	// Undone are the automatic links that went with it.
	Undone []UndoneLink `json:"undone,omitempty"`
	// Moves says how many events go from which account to which.
	Moves []MoveCount `json:"moves"`
	// Untraced events may rest on the reference although nothing says so; they stay.
	Untraced int64 `json:"untraced,omitempty"`
	// PendingMoves is how many earlier moves were not finished.
	PendingMoves int `json:"pending_moves,omitempty"`
}

// UndoneLink is an automatic link that was taken back with the one it rested on.
type UndoneLink struct {
	Reference string    `json:"reference"`
	AccountID uuid.UUID `json:"account_id"`
}

// MoveCount is a number of events that go to another account. Without ToAccount they go back through their raw topic,
// and may stay in quarantine.
type MoveCount struct {
	FromAccount uuid.UUID `json:"from_account"`
	ToAccount   uuid.UUID `json:"to_account,omitzero"`
	Events      int64     `json:"events"`
}

// NewEffect gives the effect of a decision.
func NewEffect(d accounts.Decision, e accounts.Effect) Effect {
	out := Effect{Verb: string(d.Verb), Reference: reference(d.Reference), DecisionID: e.DecisionID, Changed: e.Changed, DryRun: d.DryRun,
		FromAccount: e.From, ToAccount: e.To, Moves: NewMoveCounts(e.Moves), Untraced: e.Untraced, PendingMoves: e.Pending}
	for _, u := range e.Undone {
		out.Undone = append(out.Undone, UndoneLink{Reference: u.Reference.String(), AccountID: u.AccountID})
	}
	return out
}

// NewMoveCounts gives the counts of an effect; none is an empty list.
func NewMoveCounts(list []accounts.MoveCount) []MoveCount {
	out := make([]MoveCount, len(list))
	for i, m := range list {
		out[i] = MoveCount{FromAccount: m.From, ToAccount: m.To, Events: m.Events}
	}
	return out
}

// Linked is what `throughline link` did.
type Linked struct {
	Reference   string    `json:"reference"`
	AccountID   uuid.UUID `json:"account_id"`
	AccountName string    `json:"account_name"`
	Added       bool      `json:"added"`
	DryRun      bool      `json:"dry_run"`
	DecisionID  int64     `json:"decision_id,omitempty"`
	// Quarantined is how many quarantined events the link may release.
	Quarantined int64 `json:"quarantined"`
	// Waiting, with --wait, is how many of them are not resolved yet.
	Waiting *int64 `json:"waiting,omitempty"`
	// Moves are events that found another account by a weaker rule and follow the link.
	Moves []MoveCount `json:"moves,omitempty"`
}

// Move is the history of one decision and one account on its way.
type Move struct {
	ID          int64     `json:"id"`
	DecisionID  int64     `json:"decision_id"`
	Verb        string    `json:"verb"`
	Reference   string    `json:"reference,omitempty"` // left out: all events of the account
	FromAccount uuid.UUID `json:"from_account"`
	ToAccount   uuid.UUID `json:"to_account,omitzero"`
	Events      int64     `json:"events"`   // how many were to leave
	Moved       int64     `json:"moved"`    // to another account, so far
	Returned    int64     `json:"returned"` // to their raw topic, so far
	Author      string    `json:"author"`
	CreatedAt   time.Time `json:"created_at"`
	FinishedAt  time.Time `json:"finished_at,omitzero"`
}

// NewMove gives a move.
func NewMove(m accounts.Move) Move {
	out := Move{ID: m.ID, DecisionID: m.DecisionID, Verb: string(m.Verb), Reference: reference(m.Reference), FromAccount: m.From, ToAccount: m.To,
		Events: m.Events, Moved: m.Moved, Returned: m.Returned, Author: m.Author, CreatedAt: m.CreatedAt.UTC()}
	if !m.FinishedAt.IsZero() {
		out.FinishedAt = m.FinishedAt.UTC()
	}
	return out
}

// Imported counts what an import of accounts did.
type Imported struct {
	Lines           int `json:"lines"`
	AccountsAdded   int `json:"accounts_added"`
	AccountsChanged int `json:"accounts_changed"`
	LinksAdded      int `json:"links_added"`
	LinksPresent    int `json:"links_present"`
}

// NewImported gives the counts of an import.
func NewImported(r accounts.ImportResult) Imported {
	return Imported{Lines: r.Lines, AccountsAdded: r.AccountsAdded, AccountsChanged: r.AccountsChanged, LinksAdded: r.LinksAdded, LinksPresent: r.LinksPresent}
}

// reference gives the text of one, or "".
func reference(r source.Reference) string {
	if r == (source.Reference{}) {
		return ""
	}
	return r.String()
}
