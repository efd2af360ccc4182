package source

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// Former is implemented by sources whose vendor tells one event in more than one
// form: whole and thin, by API version, by webhook and by API.
type Former interface {
	// Form gives the form of an event, an object of any content.
	Form(event rawjson.Value) Form
}

// Form is one of the forms in which a vendor tells an event. Two events of one
// identity are compared only when their forms have one name.
type Form struct {
	Name string
	// Ignored are JSON pointers of what may differ beside Profile.Volatile: what
	// is in some events' identity, and where it is not tells nothing.
	Ignored []string
	// Partial: it says that something happened, and not what all others say.
	Partial bool
}

// form gives the form of a source's event, with all that may differ.
func (s Set) form(name string, event rawjson.Value) Form {
	src, ok := s.Find(name)
	if !ok {
		return Form{}
	}
	var form Form
	if former, ok := src.(Former); ok {
		form = former.Form(event)
	}
	form.Ignored = slices.Concat(form.Ignored, src.Profile().Volatile)
	return form
}

// Volatile gives the JSON pointers of what may differ between two deliveries of
// one event of this source (Profile.Volatile). Of a source that is not in the set
// nothing may.
func (s Set) Volatile(name string) []string {
	if src, ok := s.Find(name); ok {
		return src.Profile().Volatile
	}
	return nil
}

// Relation is what two events of one source and one identity are to each other.
type Relation int

// The relations.
const (
	// Same: they say the same. Neither white space, nor the order of members, nor
	// what is volatile counts.
	Same Relation = iota
	// Contradiction: they are of one form and say different things.
	Contradiction
	// OtherForm: they are of two forms, which cannot be compared.
	OtherForm
	// PartOf: they are of two forms, and the first says nothing that the second has
	// not (Form.Partial).
	PartOf
)

// Compare says what an event is to another one of the same source and identity,
// and of a Contradiction where the first is, as a JSON pointer without any value
// ("": they differ as a whole). without are more pointers to leave out.
func (s Set) Compare(name string, event, other rawjson.Value, without ...string) (r Relation, pointer string) {
	form, otherForm := s.form(name, event), s.form(name, other)
	switch {
	case form.Name == otherForm.Name:
		pointer, different := rawjson.Difference(event, other, append(without, form.Ignored...)...)
		if different {
			return Contradiction, pointer
		}
		return Same, ""
	case form.Partial && !otherForm.Partial:
		return PartOf, ""
	default:
		return OtherForm, ""
	}
}

// Digest is equal for two events of one source and one identity exactly when they
// are the Same by Compare.
func (s Set) Digest(name string, event rawjson.Value) [sha256.Size]byte {
	hash := sha256.New()
	form := s.form(name, event)
	hash.Write([]byte(form.Name + "\x00"))
	hash.Write(rawjson.Canonical(event, form.Ignored...))
	return [sha256.Size]byte(hash.Sum(nil))
}

// ConflictError is for an event whose identity is on the timeline with another
// event, which Compare says differs at this place; "" is not known. It is
// Permanent(Conflict).
func ConflictError(pointer string) error {
	if pointer == "" {
		return fault.Permanent(fault.Conflict, errors.New("the timeline has another event of this identity"))
	}
	return fault.Permanent(fault.Conflict, fmt.Errorf("the timeline has another event of this identity, which differs at %q", pointer))
}
