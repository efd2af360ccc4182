package rawjson_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

func TestWithSubject(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ raw, subject, want string }{
		"nothing to change":            {`{ "a" : 1.0}`, "", `{ "a" : 1.0}`},
		"a subject is added first":     {`{"a":1}`, "charged twice", `{"subject":"charged twice","a":1}`},
		"to an empty object":           {`{ }`, "x", `{"subject":"x" }`},
		"the vendor's own moves":       {`{"a":1, "subject" : "zen:ticket:1"}`, "", `{"a":1, "subject_ref" : "zen:ticket:1"}`},
		"both":                         {`{"subject":"zen:ticket:1"}`, "Login", `{"subject":"Login","subject_ref":"zen:ticket:1"}`},
		"not below the top":            {`{"d":{"subject":"in"}}`, "", `{"d":{"subject":"in"}}`},
		"the vendor has both names":    {`{"subject":1,"subject_ref":2}`, "", `{"subject_ref":1,"subject_ref_ref":2}`},
		"a name behind escapes":        {`{"\u0073ubject":1}`, "", `{"subject_ref":1}`},
		"only its end behind escapes":  {`{"subject":1,"subject\u005fref":2}`, "", `{"subject_ref":1,"subject_ref_ref":2}`},
		"brackets and quotes in texts": {`{"a":"}\\\"{","subject":["\\"],"b":{"c":1,"subject":2},"d":",\"subject\":1"}`, "", `{"a":"}\\\"{","subject_ref":["\\"],"b":{"c":1,"subject":2},"d":",\"subject\":1"}`},
		"a longer name is not ours":    {`{"subject_line":1,"subjects":2}`, "", `{"subject_line":1,"subjects":2}`},
		"a subject of several lines":   {`{}`, " a\n\tb\x00 ", `{"subject":"a b"}`},
		"a subject with quotes and <>": {`{}`, `say "hi" <b>`, `{"subject":"say \"hi\" \u003cb\u003e"}`},
		"a subject that is not ASCII":  {`{"a":1}`, `é` + "\u2028", `{"subject":"é","a":1}`},
		"white space around":           {" {\"a\":1}\n", "x", `{"subject":"x","a":1}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := rawjson.WithSubject([]byte(tt.raw), tt.subject)
			require.NoError(t, err)
			require.Equal(t, tt.want, string(got))
			read(t, tt.raw, func(t *testing.T, v rawjson.Value) {
				require.Equal(t, tt.want, string(v.WithSubject(tt.subject)))
				require.Equal(t, "_"+tt.want, string(v.AppendWithSubject([]byte("_"), tt.subject)))
			})
		})
	}
	for _, bad := range []string{``, `[]`, `["subject"]`, `"subject"`, `{"subject"`} {
		_, err := rawjson.WithSubject([]byte(bad), "x")
		require.Error(t, err, bad)
	}
}

func TestSubjectLineSteersNoTerminal(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"a\u009b31mb":                 "a 31mb",
		"\x1b]0;x\x07":                "]0;x",
		"pay \u202egnp.exe\u202c now": "pay gnp.exe now",
		"\u2066a\u2069\ufeff\u200bb":  "ab",
		"a\u2028b\u0085c":             "a b c",
		"👩\u200d💻 नमस्\u200cते":       "👩\u200d💻 नमस्\u200cते",
		"\U000E0041tag":               "tag",
	} {
		require.Equal(t, want, rawjson.SubjectLine(in))
	}
}

func TestSubjectLineIsCut(t *testing.T) {
	t.Parallel()
	require.Equal(t, strings.Repeat("é", rawjson.MaxSubjectRunes)+"…", rawjson.SubjectLine(strings.Repeat("é", 1000)))
}
