package source

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

func TestPayload(t *testing.T) {
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
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := Payload([]byte(tt.raw), tt.subject)
			require.Equal(t, tt.want, string(got))
			if !strings.Contains(tt.raw, `\u00`) { // that name comes back unescaped
				require.Equal(t, tt.raw, string(Original(got)))
			}
		})
	}
}

func FuzzPayloadIsReversible(f *testing.F) {
	f.Add([]byte(`{"subject":"a","subject_ref":[1]}`), "x")
	f.Add([]byte(`{}`), "")
	f.Fuzz(func(t *testing.T, raw []byte, subject string) {
		if CheckJSON(raw) != nil || strings.Contains(string(raw), `\u00`) {
			return
		}
		payload := Payload(raw, subject)
		require.Equal(t, string(raw), string(Original(payload)))
		require.NoError(t, rawjson.Grammar(payload))
	})
}
