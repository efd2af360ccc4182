package source

import (
	"context"
	"encoding/json"
)

// Learner is implemented by sources whose vendor's API says whose an object is,
// where the vendor's events do not. Like a Pager it is pure: which references are
// asked about, when, and what becomes of the answers is the caller's business
// (pkg/learn).
type Learner interface {
	Source

	// API says how the vendor's API is called.
	API() API

	// Learns gives the kinds of reference that can be asked about.
	Learns() []Learnable

	// Learn makes one request about ids of one kind, of which there are 1 to
	// Learnable.Most, all different and all of one tenant. It answers for each id
	// at most once, in any order; an id without an answer was not told about and
	// may be asked about again. Errors are those of Pager.Page; after one nothing
	// is learned.
	Learn(ctx context.Context, api Doer, kind string, ids []string) ([]Learned, error)
}

// Learnable is a kind of reference that a Learner asks about.
type Learnable struct {
	// Kind is one of the source's (Profile.Kinds), or KindEmail.
	Kind string
	// Most is how many ids one request asks about.
	Most int
}

// Learned is what the vendor says of one object.
type Learned struct {
	// ID is the one that was asked about.
	ID string
	// Leads are what the object points at, the most telling first; none: the
	// vendor knows the object and says nothing of whose it is.
	Leads []Lead
	// Gone: the vendor has no such object, or no more.
	Gone bool
	// MergedInto is the object of the same kind that this one became a part of, or "".
	MergedInto string
	// Name is the object's own, where it stands for a customer, or "". Accounts of
	// similar names are suggested to a person; no link is ever made by it.
	Name string
	// Evidence is what the answer said, for a person who asks why: a small JSON
	// object of ids and names of fields. It holds no text that a customer wrote.
	Evidence json.RawMessage
}

// Lead is something that an object points at, and that may have an account.
type Lead struct {
	// Reference is in the form of References, of the same source and tenant or of
	// another source: a HubSpot company's field may name a Stripe customer. KindEmail
	// and KindDomain have no tenant.
	Reference Reference
	// By says who made the connection.
	By LeadLevel
	// Field is where the vendor has it: "customer", "associations.company",
	// "properties.stripe_customer_id".
	Field string
}

// LeadLevel says how much a Lead is worth.
type LeadLevel string

// The levels of a Lead. Text that a stranger may have written is no Lead at all.
const (
	// LeadDeclared: a field that the vendor's customer alone writes, or an id that
	// is part of the object itself.
	LeadDeclared LeadLevel = "declared"
	// LeadVendor: an association of the vendor's, which it may have guessed.
	LeadVendor LeadLevel = "vendor"
	// LeadPerson: the object's person, by address. Whose that person is, others know.
	LeadPerson LeadLevel = "person"
)
