package rawjson

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// Pointer gives what a JSON pointer (RFC 6901) leads to from v: "" is v itself,
// "/data/items/0/id" a member. Missing when there is nothing, or the pointer is
// not one.
func Pointer(v Value, pointer string) Value {
	if ValidPointer(pointer) != nil {
		return Value{}
	}
	for pointer != "" && v.Exists() {
		token, more, found := strings.Cut(pointer[1:], "/")
		if pointer = ""; found {
			pointer = "/" + more
		}
		if token = unescapeToken.Replace(token); v.Kind() == Array {
			v = v.element(token)
		} else {
			v = v.Get(token)
		}
	}
	return v
}

// ValidPointer reports, as Permanent(Malformed), a text that is no JSON pointer.
func ValidPointer(pointer string) error {
	if pointer != "" && pointer[0] != '/' {
		return fault.Permanent(fault.Malformed, fmt.Errorf("%q is not a JSON pointer: it does not start with /", clip(pointer, 120)))
	}
	for i := range len(pointer) {
		if pointer[i] == '~' && (i+1 == len(pointer) || pointer[i+1] != '0' && pointer[i+1] != '1') {
			return fault.Permanent(fault.Malformed, fmt.Errorf("%q is not a JSON pointer: ~ stands only in ~0 (for ~) and ~1 (for /)", clip(pointer, 120)))
		}
	}
	return nil
}

var (
	unescapeToken = strings.NewReplacer("~1", "/", "~0", "~")
	escapeToken   = strings.NewReplacer("~", "~0", "/", "~1")
)

// element gives the element whose index the token writes, without leading zeros.
func (v Value) element(token string) Value {
	index, err := strconv.ParseUint(token, 10, 32)
	if err != nil || token != strconv.FormatUint(index, 10) {
		return Value{}
	}
	for i, e := range v.Elements() {
		if uint64(i) == index {
			return e
		}
	}
	return Value{}
}

// token gives a member's or an element's part of a pointer.
func (m member) token(index int) string {
	if m.keyEnd == 0 {
		return strconv.Itoa(index)
	}
	return escapeToken.Replace(string(m.name()))
}
