package sourcetest

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// spaced gives raw with other white space: none, or an indentation.
func spaced(raw []byte, indent bool) []byte {
	var out bytes.Buffer
	err := json.Compact(&out, raw)
	if indent {
		out.Reset()
		err = json.Indent(&out, raw, " ", "\t")
	}
	if err != nil {
		return nil
	}
	return out.Bytes()
}

// reversed gives raw with the members of its objects in the opposite order.
func reversed(raw []byte) []byte {
	var doc rawjson.Doc
	top, err := doc.Parse(raw)
	if err != nil {
		return nil
	}
	return appendReversed(nil, top)
}

func appendReversed(out []byte, v rawjson.Value) []byte {
	var parts [][]byte
	switch v.Kind() {
	case rawjson.Object:
		for name, member := range v.Members() {
			quoted, _ := json.Marshal(name) // every string has a JSON form
			parts = append(parts, appendReversed(append(quoted, ':'), member))
		}
		slices.Reverse(parts)
		return append(append(append(out, '{'), bytes.Join(parts, []byte(","))...), '}')
	case rawjson.Array:
		for _, element := range v.Elements() {
			parts = append(parts, appendReversed(nil, element))
		}
		return append(append(append(out, '['), bytes.Join(parts, []byte(","))...), ']')
	default:
		return append(out, v.Bytes()...)
	}
}

// texts gives the JSON pointers of an object's texts, in lists too.
func texts(t require.TestingT, raw []byte) []string {
	return pointers(t, raw, func(kind rawjson.Kind) bool { return kind == rawjson.String })
}

// pointers gives the JSON pointers of those values in an object that are of such a kind, in lists too.
func pointers(t require.TestingT, raw []byte, of func(rawjson.Kind) bool) (pointers []string) {
	var doc rawjson.Doc
	top, err := doc.Parse(raw)
	require.NoError(t, err)
	var walk func(at string, v rawjson.Value)
	walk = func(at string, v rawjson.Value) {
		if of(v.Kind()) {
			pointers = append(pointers, at)
		}
		for name, member := range v.Members() {
			walk(at+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name), member)
		}
		for i, element := range v.Elements() {
			walk(at+"/"+strconv.Itoa(i), element)
		}
	}
	walk("", top)
	return pointers
}

// replaced gives raw with another value where the JSON pointer leads; nil when
// it leads nowhere.
func replaced(raw []byte, pointer string, value []byte) []byte {
	var doc rawjson.Doc
	top, err := doc.ParseBody(raw, 0)
	if err != nil {
		return nil
	}
	at := rawjson.Pointer(top, pointer)
	if !at.Exists() {
		return nil
	}
	start, end := place(raw, at.Bytes())
	return slices.Concat(raw[:start], value, raw[end:])
}

// place gives where part, which aliases whole, lies in it.
func place(whole, part []byte) (start, end int) {
	for start = range whole {
		if &whole[start] == &part[0] {
			return start, start + len(part)
		}
	}
	return 0, 0
}
