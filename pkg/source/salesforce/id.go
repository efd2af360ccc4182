package salesforce

import "strings"

// The lengths of an id: the short one tells upper from lower case, the long one has
// three characters more that say which are upper case.
const (
	shortID = 15
	longID  = 18
)

const checkLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"

// ID gives the one form of a record's id, of 18 characters. One of 18 whose case is
// lost (a spreadsheet's) gets it back. ok is false for what is no id.
// Source: Salesforce help 000383751 (15 to 18 characters).
func ID(text string) (id string, ok bool) {
	if len(text) != shortID && len(text) != longID {
		return "", false
	}
	var out [longID]byte
	copy(out[:], text)
	for _, c := range out[:len(text)] {
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return "", false
		}
	}
	const group = 5
	for g := range longID - shortID {
		part := out[g*group : (g+1)*group]
		if len(text) == longID {
			bits := strings.IndexByte(checkLetters, strings.ToUpper(text[shortID+g : shortID+g+1])[0])
			if bits < 0 || !setCase(part, bits) {
				return "", false
			}
		}
		bits := 0
		for i, c := range part {
			if c >= 'A' && c <= 'Z' {
				bits |= 1 << i
			}
		}
		out[shortID+g] = checkLetters[bits]
	}
	return string(out[:]), true
}

// idForm is ID as a source.IDForm.
type idForm struct{}

// One gives the id of 18 characters.
func (idForm) One(text string) (id string, ok bool) { return ID(text) }

// setCase gives letters the case that the bits say; false: one that is upper case is
// no letter.
func setCase(part []byte, bits int) bool {
	for i, c := range part {
		upper, letter := bits>>i&1 == 1, c > '9'
		switch {
		case upper && !letter:
			return false
		case upper:
			part[i] = c &^ ('a' - 'A')
		case letter:
			part[i] = c | ('a' - 'A')
		}
	}
	return true
}
