package shape

import (
	"fmt"
	"math/bits"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// form says what a value is like without saying what it is. It is for people.
func form(v rawjson.Value) string {
	switch kind := v.Kind(); kind {
	case rawjson.Number:
		if strings.ContainsAny(string(v.Bytes()), ".eE") {
			return "number with decimals"
		}
		return "whole number"
	case rawjson.String:
		return textForm(v.Bytes())
	case rawjson.Array:
		if v.Len() == 0 {
			return "empty array"
		}
		return "array"
	case rawjson.Object:
		if v.Len() == 0 {
			return "empty object"
		}
		return "object"
	default:
		return kind.String()
	}
}

// textForm takes the string with its quotes. Lengths are rounded up: an exact one
// says more of a short text than a form should.
func textForm(quoted []byte) string {
	text := string(quoted[1 : len(quoted)-1])
	switch {
	case text == "":
		return "empty text"
	case len(text) > 256:
	case isDate(text):
		return "text like a date"
	case isTime(text):
		return "text like a time"
	case isNumber(text):
		return "text like a number"
	case text == "true" || text == "false":
		return "text like a boolean"
	case isUUID(text):
		return "text like a UUID"
	case strings.HasPrefix(text, "http://"), strings.HasPrefix(text, "https://"):
		return "text like a URL"
	case strings.Count(text, "@") == 1 && !strings.ContainsAny(text, " \t"):
		return "text like an address"
	}
	return fmt.Sprintf("text of at most %d bytes", 1<<bits.Len(uint(max(len(text)-1, 7))))
}

func isDate(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

func isTime(s string) bool {
	_, err := time.Parse(time.RFC3339Nano, s)
	return err == nil
}

func isNumber(s string) bool {
	digits := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' || c == ',' || c == '-' && i == 0:
		default:
			return false
		}
	}
	return digits > 0
}

func isUUID(s string) bool {
	const length = 36
	if len(s) != length {
		return false
	}
	for i := range length {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return false
			}
		} else if !isHex(s[i]) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// maxNameBytes is more than a field's name has.
const maxNameBytes = 64

// isID: the name of a member that is data, so that its object is a map: a number, a
// date, a UUID, an address, a vendor's id (cus_NffrFeUfNV2Hib), and what is longer
// than a name. It must not take a field's name for one: line1, address2, oauth2,
// sha256_hash, custom_field_360012345678 is one.
func isID(name []byte) bool {
	if len(name) == 0 || len(name) > maxNameBytes {
		return true
	}
	digits, upper, lower := 0, 0, 0
	for _, c := range name {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c >= 'A' && c <= 'Z':
			upper++
		case c >= 'a' && c <= 'z':
			lower++
		case c == '@':
			return true
		}
	}
	switch {
	case digits == 0:
		return false
	case upper+lower == 0: // a number, a date, a time
		return true
	case digits >= 6:
		return true
	default: // letters of both cases among digits, and long, as vendors' ids are
		const longName = 14
		return digits >= 2 && upper >= 2 && lower >= 2 && len(name) >= longName
	}
}
