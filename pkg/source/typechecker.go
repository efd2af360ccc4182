package source

import "fmt"

// TypeChecker is a Pager that knows for which types its API can be asked.
type TypeChecker interface {
	// CheckType says why a stream cannot be asked for a type: an *UnknownTypeError where the vendor may have it all the
	// same, any other error where it cannot.
	CheckType(stream, eventType string) error
}

// UnknownTypeError is about a type that the vendor did not have when its list here was made. It may have it by now.
type UnknownTypeError struct {
	Vendor, Type string
	// Near is what may be meant; "": nothing is like it.
	Near string
}

// Error names the type, and what may be meant.
func (e *UnknownTypeError) Error() string {
	text := fmt.Sprintf("types: %s had no event type %q when this version was made", e.Vendor, e.Type)
	if e.Near != "" {
		text += fmt.Sprintf(": did you mean %q?", e.Near)
	}
	return text
}
