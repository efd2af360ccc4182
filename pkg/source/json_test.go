package source

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
)

func TestCheckJSON(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		raw    string
		reason fault.Reason // "" = accepted
		says   string
	}{
		"an object":                  {raw: `{"a":[1,{"b":null}],"c":"\ud83d\ude00 é"}`},
		"white space around":         {raw: " \n{\"a\":1}\r\n "},
		"a backslash before u0000":   {raw: `{"a":"\\u0000"}`},
		"a large but storable id":    {raw: `{"a":1180591620717411303424}`},
		"empty":                      {raw: ``, reason: fault.Malformed, says: "not valid JSON"},
		"an array":                   {raw: `[]`, reason: fault.Malformed, says: "array"},
		"cut off":                    {raw: `{"a":`, reason: fault.Malformed, says: "not valid JSON"},
		"trailing data":              {raw: `{} {}`, reason: fault.Malformed, says: "more data"},
		"duplicate names":            {raw: `{"a":1,"a":2}`, reason: fault.Malformed, says: "duplicate"},
		"NUL":                        {raw: `{"a":"x\u0000y"}`, reason: fault.Unstorable, says: "NUL"},
		"NUL in a name":              {raw: `{"a\u0000":1}`, reason: fault.Unstorable, says: "NUL"},
		"a lone surrogate":           {raw: `{"a":"\ud83d"}`, reason: fault.Unstorable, says: "surrogate"},
		"invalid UTF-8":              {raw: "{\"a\":\"\xff\"}", reason: fault.Unstorable, says: "UTF-8"},
		"a byte order mark":          {raw: "\xef\xbb\xbf{}", reason: fault.Malformed, says: "not valid JSON"},
		"an exponent beyond numeric": {raw: `{"a":1e400000}`, reason: fault.Unstorable, says: "/a"},
		"a small exponent":           {raw: `{"a":1e-400000}`, reason: fault.Unstorable, says: "number"},
		"an endless number":          {raw: `{"a":` + strings.Repeat("9", 140_000) + `}`, reason: fault.Unstorable},
		"too deep":                   {raw: strings.Repeat(`{"a":`, MaxDepth+1) + "1" + strings.Repeat("}", MaxDepth+1), reason: fault.Malformed, says: "deep"},
		"as deep as allowed":         {raw: strings.Repeat(`{"a":`, MaxDepth) + "1" + strings.Repeat("}", MaxDepth)},
		"too large":                  {raw: `{"a":"` + strings.Repeat("x", MaxRecordBytes) + `"}`, reason: fault.Oversized},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := CheckJSON([]byte(tt.raw))
			if tt.reason == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tt.says)
			require.True(t, fault.IsPermanent(err))
			require.Equal(t, tt.reason, fault.ReasonOf(err))
		})
	}
}

func TestValidateBodyLeavesStringsAlone(t *testing.T) {
	t.Parallel()
	for _, ok := range []string{`[{"a":"\u0000"},{"a":"\ud83d"},{"b":1,"b":2}]`, `"text"`, `1`} {
		require.NoError(t, ValidateBody([]byte(ok)), ok)
	}
	for _, bad := range []string{``, `{`, "\xef\xbb\xbf{}", `{}{}`, strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)} {
		err := ValidateBody([]byte(bad))
		require.Error(t, err, bad)
		require.Equal(t, fault.Malformed, fault.ReasonOf(err))
	}
}

func TestElementsKeepExactBytes(t *testing.T) {
	t.Parallel()
	body := []byte(" [ {\"a\" : 1.0} ,\n{\"b\":\"\\u00e9\"},7, null ] ")
	var got []string
	for element, err := range Elements(body, 10) {
		require.NoError(t, err)
		got = append(got, string(element))
	}
	require.Equal(t, []string{`{"a" : 1.0}`, `{"b":"\u00e9"}`, `7`, `null`}, got)
}

func TestElementsRefuses(t *testing.T) {
	t.Parallel()
	for body, reason := range map[string]fault.Reason{
		`[1,2,3]`: fault.Oversized, `"x"`: fault.Malformed, `[1,`: fault.Malformed, ``: fault.Malformed,
	} {
		var last error
		for _, err := range Elements([]byte(body), 2) {
			last = err
		}
		require.Error(t, last, body)
		require.Equal(t, reason, fault.ReasonOf(last), body)
	}
}

// A number beyond the bounds is found wherever it stands.
func TestCheckJSONFindsLargeNumbersAnywhere(t *testing.T) {
	t.Parallel()
	for _, number := range []string{"1e20000", "1E+20000", "2.5e-20000", "1e99999", strings.Repeat("9", 16_001), "0." + strings.Repeat("1", 16_001)} {
		for shift := range 9 {
			raw := `{"` + strings.Repeat("x", shift) + `":` + number + `}`
			require.Equal(t, fault.Unstorable, fault.ReasonOf(CheckJSON([]byte(raw))), "%.60s", raw)
		}
	}
	for _, number := range []string{"1e999", "1e-123", "1E+307", strings.Repeat("9", 4000)} {
		for shift := range 9 {
			raw := `{"` + strings.Repeat("x", shift) + `":` + number + `}`
			require.NoError(t, CheckJSON([]byte(raw)), "%.60s", raw)
		}
	}
}

func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `[{},{}]`, `{"a":"\u0000"}`, `{"a":1e999999}`, "\xef\xbb\xbf{}", `{"a":"\ud800"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if (CheckJSON(raw) == nil) != (walk(raw, true) == nil) {
			t.Errorf("the quick way and the thorough one disagree: %v, %v", CheckJSON(raw), walk(raw, true))
		}
		if CheckJSON(raw) == nil {
			require.NoError(t, ValidateBody(raw), "what the timeline takes, the door takes")
		}
		if ValidateBody(raw) != nil {
			return
		}
		var elements [][]byte
		for element, err := range Elements(raw, 1000) {
			if err != nil {
				return
			}
			elements = append(elements, element)
		}
		require.False(t, slices.ContainsFunc(elements, func(e []byte) bool { return len(e) == 0 }))
	})
}

func BenchmarkCheckJSON(b *testing.B) {
	raw, err := os.ReadFile("testdata/bench.json")
	require.NoError(b, err)
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if err := CheckJSON(raw); err != nil {
			b.Fatal(err)
		}
	}
}
