package accounts

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/source"
)

// Verb is what a decision does.
type Verb string

// The verbs of the ledger.
const (
	// VerbLink says that a reference stands for account To.
	VerbLink Verb = "link"
	// VerbUnlink takes back what was decided about a reference: its link, else its denials.
	VerbUnlink Verb = "unlink"
	// VerbRelink moves a link to account To.
	VerbRelink Verb = "relink"
	// VerbMerge makes account From a part of account To: its links, its events and its name lead there from now on.
	VerbMerge Verb = "merge"
	// VerbNotThisAccount says that a reference does not stand for account From, whatever rule would lead there.
	VerbNotThisAccount Verb = "not_this_account"
	// VerbRemove removes account From, which has neither events nor links.
	VerbRemove Verb = "remove"
	// VerbSplit takes back that account To was merged: what was decided about it leads to it again.
	VerbSplit Verb = "split"
	// VerbRename gave account To another name. It is made by Rename alone.
	VerbRename Verb = "rename"
	// VerbErase erased account From, or a reference that is not named. It is made by pkg/erase alone.
	VerbErase Verb = "erase"
	// VerbLift let what was erased come again. It is made by pkg/erase alone.
	VerbLift Verb = "lift"
)

// Verbs gives every verb that Decide takes.
func Verbs() []Verb {
	return []Verb{VerbLink, VerbUnlink, VerbRelink, VerbMerge, VerbNotThisAccount, VerbRemove, VerbSplit}
}

// Level says how good the evidence of a decision is, the best first.
type Level string

// The levels.
const (
	LevelDecided  Level = "decided"  // a person said so
	LevelDeclared Level = "declared" // the merchant's own field names it
	LevelVendor   Level = "vendor"   // the vendor's association
	LevelStrong   Level = "strong"   // the same person in another tool
	LevelMedium   Level = "medium"   // the company's domain
	LevelWeak     Level = "weak"     // a hint
)

// Levels gives every level, the best first.
func Levels() []Level {
	return []Level{LevelDecided, LevelDeclared, LevelVendor, LevelStrong, LevelMedium, LevelWeak}
}

// How a decision was learned. Whatever else stands there is a program's name, and its decisions are automatic.
const (
	LearnedOperator = "operator" // somebody said so
	LearnedImport   = "import"   // it stood in an imported file
	// LearnedLedger marks the end of an automatic link that rested on an undone one.
	LearnedLedger = "ledger"
)

// byPerson: a person's decisions are only ever undone by a person.
func byPerson(learned string) bool { return learned == LearnedOperator || learned == LearnedImport }

// Decision is what Decide is asked for.
type Decision struct {
	Verb Verb
	// Reference is what is decided about; none for a merge, a split and a remove.
	Reference source.Reference
	// From is the account that loses. It is needed for a merge, a remove and "not this account"; an unlink or relink
	// that names it is refused when the reference is linked elsewhere.
	From uuid.UUID
	// To is the account of a link, relink or merge; of a split, the one that was merged.
	To       uuid.UUID
	Level    Level  // "": LevelDecided
	Learned  string // "": LearnedOperator
	Author   string // the person or program; needed
	Reason   string // a sentence, for the record; at most 1,000 bytes
	Evidence []byte // JSON object; empty: {}
	// RestsOn are the decisions without which this automatic link would not have been made: it goes with them.
	RestsOn []int64
	// EveryTenant: a link of a tenant-scoped kind without a tenant is meant to hold for every tenant.
	EveryTenant bool
	// DryRun changes nothing; the Effect says what would happen.
	DryRun bool
}

// Effect is what a decision did, or on a dry run would do.
type Effect struct {
	DecisionID int64 // 0 on a dry run, and where nothing changed
	Changed    bool  // false: all was so already
	// From and To are the accounts as decided; From is filled in for an unlink, a relink and a split. Nil: none.
	From, To uuid.UUID
	// Undone are the automatic links that rested on what was undone and went with it.
	Undone []UndoneLink
	// Moves says how many events leave which account. A Mover carries it out.
	Moves []MoveCount
	// MoveIDs are the moves that a Mover has to carry out, in order; none on a dry run.
	MoveIDs []int64
	// Untraced events stand on an account that loses some, and nothing says by which reference they found it: they
	// were stored before that was written down. They stay.
	Untraced int64
	// Pending is how many earlier moves are not finished yet; what they still have to move is not counted in Moves.
	Pending int
}

// UndoneLink is an automatic link that went with the one it rested on.
type UndoneLink struct {
	Reference source.Reference
	AccountID uuid.UUID
}

// MoveCount is how many events go from one account to another. To is Nil for events that go back through their raw
// topic: their reference leads nowhere now, and their other references are tried.
type MoveCount struct {
	From, To uuid.UUID
	Events   int64
}

// Entry is one decision as the ledger has it.
type Entry struct {
	ID        int64
	Verb      Verb
	Reference source.Reference // zero for what is about accounts alone
	From, To  uuid.UUID        // Nil: none
	Level     Level
	Learned   string
	Author    string
	Reason    string
	Evidence  json.RawMessage
	RestsOn   []int64
	UndoneBy  int64 // 0: it stands
	At        time.Time
}

// maxReasonBytes bounds a decision's reason and author: 500 characters, which is what the API takes, whatever their alphabet.
const maxReasonBytes = 2000

// maxRestsOn bounds how many decisions one may rest on.
const maxRestsOn = 100

// aboutReference: the verbs that are about accounts alone name no reference.
func (v Verb) aboutReference() bool { return v != VerbMerge && v != VerbRemove && v != VerbSplit }

func (v Verb) known() bool { return slices.Contains(Verbs(), v) }
