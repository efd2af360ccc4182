package rawjson_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
)

const (
	maxDepth  = rawjson.MaxDepth
	maxDigits = rawjson.MaxNumberDigits
)

func nested(open, inside, end string, n int) string {
	return strings.Repeat(open, n) + inside + strings.Repeat(end, n)
}

func TestParse(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		raw    string
		reason fault.Reason // "" = accepted
		says   string
	}{
		"an object":                  {raw: `{"a":[1,{"b":null}],"c":"\ud83d\ude00 é"}`},
		"white space everywhere":     {raw: " \n{ \"a\" : [ 1 , { } , [ ] ] , \"b\"\t:\t{ \"c\" : true } }\r\n "},
		"a backslash before u0000":   {raw: `{"a":"\\u0000"}`},
		"every escape":               {raw: `{"a":"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00"}`},
		"a large but storable id":    {raw: `{"a":1180591620717411303424}`},
		"names that differ":          {raw: `{"a":1,"A":2,"":3,"\u00e9":4}`},
		"one name in two objects":    {raw: `{"a":{"a":1,"b":{"a":1}},"b":{"a":1}}`},
		"empty":                      {raw: ``, reason: fault.Malformed, says: "not valid JSON: it is empty"},
		"only white space":           {raw: " \n", reason: fault.Malformed, says: "not valid JSON: it is empty"},
		"an array":                   {raw: `[]`, reason: fault.Malformed, says: "the event is a JSON array, not an object"},
		"a text":                     {raw: ` "a"`, reason: fault.Malformed, says: "the event is a JSON string"},
		"null":                       {raw: `null`, reason: fault.Malformed, says: "the event is a JSON null"},
		"no JSON at all":             {raw: `hello`, reason: fault.Malformed, says: "at byte 0: character \"h\" where a value"},
		"cut off":                    {raw: `{"a":`, reason: fault.Malformed, says: "not valid JSON: it ends at byte 5, where a value should be"},
		"cut off in a text":          {raw: `{"a":"b`, reason: fault.Malformed, says: "the end of a string"},
		"cut off in an escape":       {raw: `{"a":"\`, reason: fault.Malformed, says: "an escape"},
		"a trailing comma":           {raw: `{"a":1,}`, reason: fault.Malformed, says: `at byte 7: character "}" where a member's name`},
		"a trailing comma in array":  {raw: `{"a":[1,]}`, reason: fault.Malformed, says: `at byte 8: character "]" where a value`},
		"the other bracket":          {raw: `{"a":[1}}`, reason: fault.Malformed, says: `where ',' or ']' should be`},
		"no colon":                   {raw: `{"a" 1}`, reason: fault.Malformed, says: `where ':' should be`},
		"a control character":        {raw: "{\"a\":\"\x00\"}", reason: fault.Malformed, says: "control character"},
		"an unknown escape":          {raw: `{"a":"\x"}`, reason: fault.Malformed, says: "an escape"},
		"too few hexadecimal digits": {raw: `{"a":"\u12g4"}`, reason: fault.Malformed, says: "hexadecimal"},
		"a leading zero":             {raw: `{"a":01}`, reason: fault.Malformed, says: "byte 6"},
		"a bare point":               {raw: `{"a":1.}`, reason: fault.Malformed, says: "a digit"},
		"a bare exponent":            {raw: `{"a":1e+}`, reason: fault.Malformed, says: "a digit"},
		"a bare minus":               {raw: `{"a":-}`, reason: fault.Malformed, says: "a digit"},
		"a literal misspelt":         {raw: `{"a":tru}`, reason: fault.Malformed, says: "a value"},
		"a literal in capitals":      {raw: `{"a":NULL}`, reason: fault.Malformed, says: "a value"},
		"trailing data":              {raw: `{} {}`, reason: fault.Malformed, says: "more data follows the JSON value at byte 2"},
		"duplicate names":            {raw: `{"b":{"a":1,"a":2}}`, reason: fault.Malformed, says: `duplicate name at byte 12 (/b/a)`},
		"duplicate behind escapes":   {raw: `{"ab":1,"\u0061b":2}`, reason: fault.Malformed, says: "duplicate"},
		"duplicate after escapes":    {raw: `{"\u0061b":1,"ab":2}`, reason: fault.Malformed, says: "duplicate"},
		"duplicate once it is text":  {raw: "{\"\xff\":1,\"\xfe\":2}", reason: fault.Malformed, says: "duplicate"},
		"a duplicate before NUL":     {raw: `{"a":1,"a":"\u0000"}`, reason: fault.Malformed, says: "duplicate"},
		"a duplicate after NUL":      {raw: `{"a":"\u0000","a":1}`, reason: fault.Malformed, says: "duplicate"},
		"a duplicate after many":     {raw: `{"a":"` + strings.Repeat(`\u0000`, 300) + `","b":1,"b":1}`, reason: fault.Malformed, says: "duplicate"},
		"NUL and then no JSON":       {raw: `{"a":"\u0000"`, reason: fault.Malformed, says: "not valid JSON"},
		"NUL":                        {raw: `{"a":["","x\u0000y"]}`, reason: fault.Unstorable, says: "NUL, which Postgres refuses, at byte 11 (/a/1)"},
		"NUL in a name":              {raw: `{"a\u0000":1}`, reason: fault.Unstorable, says: "(/a\uFFFD)"},
		"a lone high surrogate":      {raw: `{"a":"\ud83d"}`, reason: fault.Unstorable, says: "surrogate"},
		"a lone low surrogate":       {raw: `{"a":"\ude00"}`, reason: fault.Unstorable, says: "surrogate"},
		"two high surrogates":        {raw: `{"a":"\ud83d\ud83d\ude00"}`, reason: fault.Unstorable, says: "surrogate"},
		"invalid UTF-8":              {raw: "{\"a\":\"\xff\"}", reason: fault.Unstorable, says: "UTF-8 at byte 6 (/a)"},
		"a surrogate in UTF-8":       {raw: "{\"a\":\"\xed\xa0\x80\"}", reason: fault.Unstorable, says: "UTF-8"},
		"a byte order mark":          {raw: "\xef\xbb\xbf{}", reason: fault.Malformed, says: "byte order mark"},
		"every float64":              {raw: `{"a":[1.7976931348623157e308,-4.9406564584124654e-324]}`},
		"digits at the bound":        {raw: `{"a":` + strings.Repeat("9", maxDigits) + `}`},
		"digits over the bound":      {raw: `{"a":` + strings.Repeat("9", maxDigits+1) + `}`, reason: fault.Unstorable, says: "a number of more than 400 digits, written out, at byte 5 (/a)"},
		"a fraction at the bound":    {raw: `{"a":0.` + strings.Repeat("9", maxDigits-1) + `}`},
		"a fraction over the bound":  {raw: `{"a":0.` + strings.Repeat("9", maxDigits) + `}`, reason: fault.Unstorable},
		"an exponent at the bound":   {raw: fmt.Sprintf(`{"a":1e%d}`, maxDigits-1)},
		"an exponent over the bound": {raw: fmt.Sprintf(`{"a":1e%d}`, maxDigits), reason: fault.Unstorable},
		"a small one at the bound":   {raw: fmt.Sprintf(`{"a":1e-%d}`, maxDigits-1)},
		"a small one over the bound": {raw: fmt.Sprintf(`{"a":1E-%d}`, maxDigits), reason: fault.Unstorable},
		"an exponent beyond int":     {raw: `{"a":1e-99999999999999999999999}`, reason: fault.Unstorable},
		"exponents within the sum":   {raw: `{"a":[` + strings.Repeat("1e300,", 3400) + `1]}`},
		"exponents over the sum":     {raw: `{"a":[` + strings.Repeat("1e300,", 3600) + `1]}`, reason: fault.Unstorable, says: "numbers that grow"},
		"too deep":                   {raw: nested(`{"a":`, "1", "}", maxDepth+1), reason: fault.Malformed, says: "the JSON is nested more than 128 deep"},
		"too deep and empty":         {raw: nested(`{"a":`, "[[]]", "}", maxDepth-1), reason: fault.Malformed, says: "deep"},
		"as deep as allowed":         {raw: nested(`{"a":`, "1", "}", maxDepth)},
		"empty at the last level":    {raw: nested(`{"a":`, "[]", "}", maxDepth-1)},
		"as large as allowed":        {raw: `{"a":"` + strings.Repeat("x", rawjson.MaxRecordBytes-8) + `"}`},
		"too large":                  {raw: `{"a":"` + strings.Repeat("x", rawjson.MaxRecordBytes) + `"}`, reason: fault.Oversized, says: "the bound is 1048576"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var doc rawjson.Doc
			v, err := doc.Parse([]byte(tt.raw))
			if tt.reason == "" {
				require.NoError(t, err)
				require.Equal(t, strings.TrimSpace(tt.raw), string(v.Bytes()))
				return
			}
			require.ErrorContains(t, err, tt.says)
			require.True(t, fault.IsPermanent(err))
			require.Equal(t, tt.reason, fault.ReasonOf(err))
			require.False(t, v.Exists())
		})
	}
}

func TestParseBody(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`[{"a":"\u0000"},{"a":"\ud83d"},{"b":1,"b":2},"` + "\xff" + `",1e999999]`, `"text"`, ` 1 `, `null`, `[]`, nested("[", "", "]", maxDepth)} {
		for depth := range 3 {
			var doc rawjson.Doc
			v, err := doc.ParseBody([]byte(body), depth)
			require.NoError(t, err, body)
			require.Equal(t, strings.TrimSpace(body), string(v.Bytes()))
		}
		require.NoError(t, rawjson.Grammar([]byte(body)), body)
	}
	for _, body := range []string{``, `{`, "\xef\xbb\xbf{}", `{}{}`, `[1,2`, nested("[", "", "]", maxDepth+1), strings.Repeat("[", 1<<20), strings.Repeat(`{"a":`, 1<<18)} {
		var doc rawjson.Doc
		_, err := doc.ParseBody([]byte(body), 0)
		require.Error(t, err, "%.60s", body)
		require.Equal(t, fault.Malformed, fault.ReasonOf(err))
		require.EqualError(t, rawjson.Grammar([]byte(body)), err.Error())
	}
	_, err := new(rawjson.Doc).ParseBody(make([]byte, rawjson.MaxPageBytes+1), 0)
	require.Equal(t, fault.Oversized, fault.ReasonOf(err))
}

// A bad element spoils nothing: each says what Parse says of it.
func TestCheckOfElements(t *testing.T) {
	t.Parallel()
	elements := []string{
		`{"a":1}`, `{"a":"\u0000"}`, `{"a":1,"b":{"c":1,"c":2}}`, "{\"a\":\"\xff\"}", `{"a":"\ud800"}`, `{"a":1e500}`,
		`7`, `null`, `[]`, `"x"`, `{}`, `{"a\u0000":"\u0000","b":1,"b":2}`,
		`{"a":"` + strings.Repeat("x", rawjson.MaxRecordBytes) + `"}`, `{"last":{"d":[[{"e":"\u0000"}]]}}`,
	}
	long := append([]string{`{"a":[` + strings.Repeat("1e300,", 2000) + `1]}`}, elements...)
	long = append(long, long[0], `{"a":[`+strings.Repeat("1e300,", 3600)+`1]}`)               // more than may grow
	many := append([]string{`{"b":["` + strings.Repeat(`\u0000`, 1000) + `"]}`}, elements...) // more than is noted
	for _, elements := range [][]string{elements, long, many} {
		body := []byte(`{"list":[` + strings.Join(elements, " , ") + `]}`)
		for depth := range 6 {
			var doc, single rawjson.Doc
			v, err := doc.ParseBody(body, depth)
			require.NoError(t, err)
			n := 0
			for i, e := range v.Get("list").Elements() {
				require.Equal(t, elements[i], string(e.Bytes()))
				_, want := single.Parse([]byte(elements[i]))
				if want == nil {
					require.NoError(t, e.Check(), elements[i])
				} else {
					require.EqualError(t, e.Check(), want.Error(), "depth %d", depth)
					require.Equal(t, fault.ReasonOf(want), fault.ReasonOf(e.Check()))
				}
				n++
			}
			require.Equal(t, len(elements), n)
		}
	}
	require.Error(t, rawjson.Value{}.Check())
}

// A number beyond the bounds is found wherever it stands.
func TestParseFindsLargeNumbersAnywhere(t *testing.T) {
	t.Parallel()
	for _, number := range []string{"1e20000", "1E+20000", "2.5e-20000", "1e15980", strings.Repeat("9", 401), "0." + strings.Repeat("1", 401)} {
		for _, raw := range []string{`{"x":%s}`, `{"x":[1,-%s]}`, `{"y":{"x":%s },"z":1}`} {
			_, err := new(rawjson.Doc).Parse(fmt.Appendf(nil, raw, number))
			require.Equal(t, fault.Unstorable, fault.ReasonOf(err), "%.60s", raw)
		}
	}
}

// An error's text shows little of a hostile name, and nothing that breaks a log
// or that Postgres refuses.
func TestPlacesAreCutAndClean(t *testing.T) {
	t.Parallel()
	_, err := new(rawjson.Doc).Parse([]byte(`{"` + strings.Repeat(`\u0000\n"`[:8]+"é", 1000) + `":1e9999}`))
	require.Equal(t, fault.Unstorable, fault.ReasonOf(err))
	require.NotContains(t, err.Error(), "\x00")
	require.NotContains(t, err.Error(), "\n")
	require.Less(t, len(err.Error()), 300)
	_, err = new(rawjson.Doc).Parse([]byte(`{"a/b":{"c~":{"d":1,"d":2}}}`))
	require.ErrorContains(t, err, "(/a~1b/c~0/d)")
}
