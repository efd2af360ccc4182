package source

// Relater is implemented by sources whose events say what belongs together, so that
// an event on an account tells whose the objects are that it names besides.
type Relater interface {
	Source

	// Relates reads one record, as Describe does, which has described it as e. It
	// looks at fields that the vendor makes only: text that somebody may have written
	// says nothing of whose an object is.
	Relates(r Record, e Event) Relations
}

// Relations is what one event says of vendor objects.
type Relations struct {
	// Owned are those of the event's references that stand for objects of the event's
	// customer, with LeadDeclared where an object is one customer's for good, and
	// LeadVendor where the vendor has made the connection. Field is not filled.
	Owned []Lead
	// Merged are objects that became a part of another.
	Merged []Merge
}

// Merge is an object that became a part of another of its kind.
type Merge struct{ Lost, Into Reference }
