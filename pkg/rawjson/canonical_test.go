package rawjson_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// Stored identities rest on these forms: they must never change.
func TestCanonical(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ body, want string }{
		"order and white space": {`{ "b" : 1 , "a" : [ 3 , 2 ] , "B":{ } }`, `{"B":{},"a":[3,2],"b":1}`},
		"nested":                {`{"z":{"y":{"d":1,"c":[{"b":1,"a":2}]}},"a":[]}`, `{"a":[],"z":{"y":{"c":[{"a":2,"b":1}],"d":1}}}`},
		"literals":              {`[null,true,false,""]`, `[null,true,false,""]`},
		"equal numbers":         {`[72,72.0,7.2e1,720E-1,0.72e+2,-72.000]`, `[72,72,72,72,72,-72]`},
		"zeros":                 {`[0,-0,0.0,0e5,-0.00e-3]`, `[0,0,0,0,0]`},
		"fractions":             {`[1.5,15e-1,0.001,1e-3,-12.340]`, `[15e-1,15e-1,1e-3,1e-3,-1234e-2]`},
		"large integers":        {`[100000000000000000000,1e20,1e21,1000000000000000000000,123456789012345678901234]`, `[100000000000000000000,100000000000000000000,1e21,1e21,123456789012345678901234e0]`},
		"beyond bounds":         {`[1e99999999999]`, `[1e99999999999]`},
		"texts":                 {`["\u0061\/\"\\","é\u00e9\n\u001f\u007f","\ud83d\ude00<>&"]`, `["a/\"\\","éé\u000a\u001f` + "\x7f" + `","😀<>&"]`},
		"names":                 {`{"\u0061":1,"é":2,"":3}`, `{"":3,"a":1,"é":2}`},
		"repeated names":        {`{"b":1,"a":2,"a":1}`, `{"a":2,"a":1,"b":1}`},
		"not Unicode":           {"[\"\xff\\ud800\"]", "[\"\uFFFD\uFFFD\"]"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			read(t, tt.body, func(t *testing.T, v rawjson.Value) {
				require.Equal(t, tt.want, string(rawjson.Canonical(v)))
			})
			read(t, tt.want, func(t *testing.T, v rawjson.Value) {
				require.Equal(t, tt.want, string(rawjson.Canonical(v)), "it is its own form")
			})
		})
	}
}

func TestCanonicalWithout(t *testing.T) {
	t.Parallel()
	read(t, `{"attempt":3,"data":{"x":1,"at":{"n":1}},"list":[{"v":1},{"v":2}]}`, func(t *testing.T, v rawjson.Value) {
		require.Equal(t, `{"data":{"x":1},"list":[{},{"v":2}]}`, string(rawjson.Canonical(v, "/attempt", "/data/at", "/list/0/v", "/none", "odd")))
		require.Equal(t, `{"attempt":3,"data":{"at":{"n":1},"x":1},"list":[{"v":2}]}`, string(rawjson.Canonical(v, "/list/0")))
		require.Equal(t, `{"x":1}`, string(rawjson.Canonical(v.Get("data"), "/at")))
		require.Empty(t, rawjson.Canonical(v, ""))
	})
}
