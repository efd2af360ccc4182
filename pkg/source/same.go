package source

import (
	"crypto/sha256"
	"slices"

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

// Difference says where two events of one source and one identity contradict each
// other, as a JSON pointer without any value. different is false when they tell
// the same: neither white space, nor the order of members, nor what is volatile
// counts, and events of two forms cannot be compared. without are more
// pointers to leave out.
func (s Set) Difference(name string, a, b rawjson.Value, without ...string) (pointer string, different bool) {
	form := s.form(name, a)
	if form.Name != s.form(name, b).Name {
		return "", false
	}
	return rawjson.Difference(a, b, append(without, form.Ignored...)...)
}

// Digest is equal for two events of one source and one identity exactly when they
// are of one form and have no Difference.
func (s Set) Digest(name string, event rawjson.Value) [sha256.Size]byte {
	hash := sha256.New()
	form := s.form(name, event)
	hash.Write([]byte(form.Name + "\x00"))
	hash.Write(rawjson.Canonical(event, form.Ignored...))
	return [sha256.Size]byte(hash.Sum(nil))
}
