package rawjson_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

func TestDifference(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		a, b    string
		without []string
		pointer string
		same    bool
	}{
		"writing":             {a: `{"a":1.0,"b":[ "\u0061" ]}`, b: `{"b":["a"],"a":1}`, same: true},
		"a value":             {a: `{"a":{"b":[1,2]}}`, b: `{"a":{"b":[1,3]}}`, pointer: "/a/b/1"},
		"a kind":              {a: `{"a":{}}`, b: `{"a":[]}`, pointer: "/a"},
		"one more":            {a: `{"a":1}`, b: `{"a":1,"b":2}`, pointer: "/b"},
		"one less":            {a: `{"a":1,"b":2,"c":3}`, b: `{"a":1,"c":3}`, pointer: "/b"},
		"another":             {a: `{"b":1}`, b: `{"a":1}`, pointer: "/a"},
		"one more element":    {a: `{"a":[1]}`, b: `{"a":[1,1]}`, pointer: "/a/1"},
		"an empty name":       {a: `{"":1}`, b: `{"":2}`, pointer: "/"},
		"a name to escape":    {a: `{"a/b~":1}`, b: `{"a/b~":2}`, pointer: "/a~1b~0"},
		"what is left out":    {a: `{"a":1,"b":1}`, b: `{"a":2,"b":1}`, without: []string{"/a"}, same: true},
		"left out but there":  {a: `{"b":1}`, b: `{"a":2,"b":1}`, without: []string{"/a"}, same: true},
		"the values":          {a: `[]`, b: `{}`},
		"beside what is left": {a: `{"a":{"x":1,"y":1}}`, b: `{"a":{"x":2,"y":2}}`, without: []string{"/a/x"}, pointer: "/a/y"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c, d rawjson.Doc
			a, err := c.ParseBody([]byte(tt.a), 0)
			require.NoError(t, err)
			b, err := d.ParseBody([]byte(tt.b), 0)
			require.NoError(t, err)
			for _, pair := range [][2]rawjson.Value{{a, b}, {b, a}} {
				pointer, different := rawjson.Difference(pair[0], pair[1], tt.without...)
				require.Equal(t, !tt.same, different)
				require.Equal(t, tt.pointer, pointer)
			}
		})
	}
}
