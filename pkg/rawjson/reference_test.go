package rawjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// The reference judges with jsontext what Parse and ParseBody judge.

// walk reads every token, and says whether raw is one value within MaxDepth.
func walk(raw []byte, each func(jsontext.Token) error, opts ...jsontext.Options) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw), opts...)
	for {
		token, err := dec.ReadToken()
		if err != nil {
			return err
		}
		if dec.StackDepth() > rawjson.MaxDepth {
			return errors.New("too deep")
		}
		if each != nil {
			if err := each(token); err != nil {
				return err
			}
		}
		if dec.StackDepth() == 0 {
			break
		}
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("more data")
	}
	return nil
}

var (
	anyText = jsontext.AllowInvalidUTF8(true)
	anyName = jsontext.AllowDuplicateNames(true)
)

// reasonOf says what a strict reading gives; "" is that it takes raw.
func reasonOf(raw []byte) fault.Reason {
	switch {
	case len(raw) > rawjson.MaxRecordBytes:
		return fault.Oversized
	case walk(raw, nil, anyText) != nil:
		return fault.Malformed
	case !bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("{")):
		return fault.Malformed
	}
	growth := 0
	err := walk(raw, func(token jsontext.Token) error {
		switch token.Kind() {
		case '"':
			if strings.ContainsRune(token.String(), 0) {
				return errors.New("NUL")
			}
		case '0':
			grown, ok := writtenOut(token.String())
			if growth += max(grown, 0); !ok || growth > rawjson.MaxGrowth {
				return errors.New("number")
			}
		}
		return nil
	})
	if err != nil {
		return fault.Unstorable
	}
	return ""
}

// writtenOut says by how much a number grows without its exponent, and whether
// its digits are within the bound.
func writtenOut(literal string) (int, bool) {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(literal), "e")
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(mantissa, "-"), ".")
	if len(whole)+len(fraction) > rawjson.MaxNumberDigits {
		return 0, false
	}
	e := 0
	if exponent != "" {
		var err error
		if e, err = strconv.Atoi(exponent); err != nil || e > 100_000 || e < -100_000 {
			return 0, strings.Trim(exponent, "+-0") == ""
		}
	}
	digits := max(len(whole)+e, 1) + max(len(fraction)-e, 0)
	return digits - len(literal), digits <= rawjson.MaxNumberDigits
}

// generic gives what encoding/json makes of a value, but keeps numbers as
// written and names in their order: a list of names and values.
func generic(raw []byte) (any, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(raw), anyText, anyName)
	return genericNext(dec)
}

func genericNext(dec *jsontext.Decoder) (any, error) {
	token, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case '"':
		return token.String(), nil
	case '0':
		return json.Number(token.String()), nil
	case 't', 'f':
		return token.Bool(), nil
	case '{', '[':
		list := []any{rune(token.Kind())}
		for dec.PeekKind() != '}' && dec.PeekKind() != ']' {
			v, err := genericNext(dec)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := dec.ReadToken()
		return list, err
	}
	return nil, nil
}

// genericOf gives the same from a Value.
func genericOf(v rawjson.Value) any {
	switch v.Kind() {
	case rawjson.String:
		return v.Text()
	case rawjson.Number:
		return json.Number(v.Literal())
	case rawjson.Bool:
		return v.Bool()
	case rawjson.Array:
		list := []any{'['}
		for _, e := range v.Elements() {
			list = append(list, genericOf(e))
		}
		return list
	case rawjson.Object:
		list := []any{'{'}
		for name, m := range v.Members() {
			list = append(list, name, genericOf(m))
		}
		return list
	}
	return nil
}
