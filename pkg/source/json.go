package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// lenient takes what has JSON's grammar, whatever its strings hold: a receiver
// must not refuse what its vendor signed and would only send again.
var lenient = []jsontext.Options{jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)}

// CheckJSON holds one record against what the timeline can store: JSON without
// duplicate names, at most MaxDepth deep, whose top is an object, and which
// JSONB takes. A failure is Permanent: Malformed for the JSON, Unstorable for
// JSON that Postgres refuses (NUL, lone surrogates, numbers beyond numeric).
// The normalizer calls it before Describe.
func CheckJSON(raw []byte) error {
	if len(raw) > MaxRecordBytes {
		return fault.Permanent(fault.Oversized, fmt.Errorf("the event has %d bytes, the bound is %d", len(raw), MaxRecordBytes))
	}
	if ordinary(raw) && isObject(raw) {
		return nil
	}
	err := walk(raw, true)
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		// What is grammatical otherwise fails only for its strings: that is
		// JSON, but not text that Postgres holds.
		if walk(raw, true, jsontext.AllowInvalidUTF8(true)) == nil {
			return fault.Permanent(fault.Unstorable, describeSyntax(syntax))
		}
		return fault.Permanent(fault.Malformed, describeSyntax(syntax))
	}
	return err
}

// ValidateBody holds a delivery's body against JSON's grammar and MaxDepth. The
// receiver calls it before Split; a failure is Permanent(Malformed).
func ValidateBody(body []byte) error {
	switch {
	case len(body) == 0:
		return fault.Permanent(fault.Malformed, errors.New("the body is empty"))
	case bytes.HasPrefix(body, []byte("\xef\xbb\xbf")):
		return fault.Permanent(fault.Malformed, errors.New("the body starts with a byte order mark, which JSON does not have"))
	}
	if shallow(body) && isValue(body, lenient...) {
		return nil
	}
	err := walk(body, false, lenient...)
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		return fault.Permanent(fault.Malformed, describeSyntax(syntax))
	}
	return err
}

// Elements yields the exact bytes of each element of a JSON array, aliasing
// body. A body that starts as an object is yielded whole and not read: the
// receiver has validated it, and CheckJSON holds every record to it again. More
// than limit elements end the sequence with Permanent(Oversized), any other top
// with Permanent(Malformed).
func Elements(body []byte, limit int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if object := Object(body); object != nil {
			yield(object, nil)
			return
		}
		dec := jsontext.NewDecoder(bytes.NewBuffer(body), lenient...)
		if dec.PeekKind() != '[' {
			yield(nil, fault.Permanent(fault.Malformed, errors.New("the body is neither a JSON object nor an array of them")))
			return
		}
		_, err := dec.ReadToken()
		for n := 1; err == nil && dec.PeekKind() != ']'; n++ {
			if n > limit {
				yield(nil, fault.Permanent(fault.Oversized, fmt.Errorf("the delivery has more than %d events", limit)))
				return
			}
			var value jsontext.Value
			if value, err = dec.ReadValue(); err == nil && !yield(at(body, dec, value), nil) {
				return
			}
		}
		if err != nil {
			yield(nil, fault.Permanent(fault.Malformed, err))
		}
	}
}

// Object gives a body that starts as a JSON object without the white space
// around it, and nil for any other. Like Elements it does not read the object.
func Object(body []byte) []byte {
	body = bytes.Trim(body, whiteSpace)
	if len(body) == 0 || body[0] != '{' {
		return nil
	}
	return body[:len(body):len(body)]
}

// whiteSpace is JSON's.
const whiteSpace = " \t\r\n"

// at gives the place in body of the value that dec has just read.
func at(body []byte, dec *jsontext.Decoder, value jsontext.Value) []byte {
	end := dec.InputOffset()
	return body[end-int64(len(value)) : end : end]
}

// decoders are kept because one costs more to make than a small event to read.
var decoders = sync.Pool{New: func() any { return new(reader) }}

type reader struct {
	buf bytes.Buffer
	dec jsontext.Decoder
}

// ordinary reports that raw, if it is JSON, has nothing that only walk can
// judge: no NUL, no nesting or number that could be over its bound. It errs
// towards false, and looks at bytes without knowing what is text: that is some
// ten times faster than walking.
func ordinary(raw []byte) bool {
	if !shallow(raw) || bytes.Contains(raw, []byte(`\u0000`)) {
		return false
	}
	const stride = 2048 // a number of twice that covers two places in a row
	for i, before := stride, false; i < len(raw); i += stride {
		here := isDigit(raw[i]) || raw[i] == '.'
		if here && before {
			return false
		}
		before = here
	}
	for i := 4; i < len(raw); i += 4 { // one of an exponent's first four digits is here
		if isDigit(raw[i]) && inLargeExponent(raw, i) {
			return false
		}
	}
	return true
}

// inLargeExponent looks from the digit at i back to the e that it may belong to.
func inLargeExponent(raw []byte, i int) bool {
	for at := i - 1; at > 0 && at >= i-5; at-- {
		switch c := raw[at]; {
		case c|' ' == 'e':
			return isDigit(raw[at-1]) && largeExponent(raw[at+1:])
		case !isDigit(c) && c != '+' && c != '-':
			return false
		}
	}
	return false
}

// shallow reports that raw has too few brackets to be nested beyond MaxDepth.
func shallow(raw []byte) bool {
	return bytes.Count(raw, []byte("{"))+bytes.Count(raw, []byte("[")) <= MaxDepth
}

// largeExponent reports four digits or more, as far as a look at the first
// bytes can tell.
func largeExponent(text []byte) bool {
	return len(text) > 3 && isDigit(text[1]) && isDigit(text[2]) && isDigit(text[3])
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// isObject reports whether raw is one valid JSON object without duplicate
// names, at whatever depth, and nothing else.
func isObject(raw []byte) bool {
	return Object(raw) != nil && isValue(raw)
}

// isValue reports whether raw is one JSON value and nothing else.
func isValue(raw []byte, opts ...jsontext.Options) bool {
	r := decoders.Get().(*reader)
	defer decoders.Put(r)
	r.buf = *bytes.NewBuffer(raw)
	r.dec.Reset(&r.buf, opts...)
	if _, err := r.dec.ReadValue(); err != nil {
		return false
	}
	return len(bytes.TrimLeft(raw[r.dec.InputOffset():], whiteSpace)) == 0
}

// walk reads every token of one JSON document. With storable it also demands
// an object at the top and refuses what JSONB cannot hold.
func walk(raw []byte, storable bool, opts ...jsontext.Options) error {
	r := decoders.Get().(*reader)
	defer decoders.Put(r)
	r.buf = *bytes.NewBuffer(raw)
	dec := &r.dec
	dec.Reset(&r.buf, opts...)
	if kind := dec.PeekKind(); storable && kind != '{' && kind != 0 {
		return fault.Permanent(fault.Malformed, fmt.Errorf("the event is a JSON %s, not an object", kindName(kind)))
	}
	for {
		token, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return fault.Permanent(fault.Malformed, errors.New("not valid JSON: the event is empty"))
		}
		if err != nil {
			return err
		}
		switch token.Kind() {
		case '{', '[':
			if dec.StackDepth() > MaxDepth {
				return fault.Permanent(fault.Malformed, fmt.Errorf("the JSON is nested more than %d deep", MaxDepth))
			}
		case '"', '0':
			if storable {
				if err := checkScalar(token, dec); err != nil {
					return err
				}
			}
		}
		if dec.StackDepth() == 0 {
			break
		}
	}
	if rest := bytes.TrimLeft(raw[dec.InputOffset():], whiteSpace); len(rest) > 0 {
		return fault.Permanent(fault.Malformed, fmt.Errorf("more data follows the JSON value at byte %d", dec.InputOffset()))
	}
	return nil
}

// checkScalar refuses the strings and numbers that JSONB refuses.
// Source: PostgreSQL 15 documentation, 8.14 "JSON Types" (\u0000, surrogates)
// and 8.1.2 (numeric: 131,072 digits before the point, 16,383 after).
func checkScalar(token jsontext.Token, dec *jsontext.Decoder) error {
	if token.Kind() == '"' {
		// A NUL can only be written as an escape; the token's text has it resolved.
		if s := token.String(); bytes.IndexByte([]byte(s), 0) >= 0 {
			return fault.Permanent(fault.Unstorable, fmt.Errorf("a text at %s holds NUL, which Postgres refuses", place(dec)))
		}
		return nil
	}
	return checkNumber(token.String(), dec)
}

func checkNumber(text string, dec *jsontext.Decoder) error {
	const digits = 16_000 // below both of numeric's bounds, whatever the exponent adds
	mantissa, exponent := len(text), 0
	for i := range len(text) {
		if text[i] == 'e' || text[i] == 'E' {
			n, err := strconv.Atoi(text[i+1:])
			if err != nil || n > digits || n < -digits {
				mantissa = digits + 1
				break
			}
			mantissa, exponent = i, n
			break
		}
	}
	if mantissa > digits || mantissa+max(exponent, -exponent) > digits {
		return fault.Permanent(fault.Unstorable, fmt.Errorf("the number at %s is beyond what Postgres stores", place(dec)))
	}
	return nil
}

// place names where dec stands, cut so that a hostile name cannot fill a log.
func place(dec *jsontext.Decoder) string { return clip(string(dec.StackPointer()), 120) }

func describeSyntax(err *jsontext.SyntacticError) error {
	if err.ByteOffset > 0 {
		return fmt.Errorf("not valid JSON at byte %d: %w", err.ByteOffset, err.Err)
	}
	return fmt.Errorf("not valid JSON: %w", err.Err)
}

func kindName(k jsontext.Kind) string {
	switch k {
	case '[':
		return "array"
	case '"':
		return "string"
	case '0':
		return "number"
	case 'n':
		return "null"
	default:
		return "boolean"
	}
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}
