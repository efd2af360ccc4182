package source

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"
)

// memberSeeds are objects, and text that is none.
var memberSeeds = []string{
	`{}`, ` { "a" : 1.5e3 , "b":"x\"y\\", "c":{"d":[1,"}",{"e":null}]} ,"a":true}` + "\n", `{"\u0061":"\\","":""}`,
	`{"a":[],"b":{}}`, ``, `[1]`, `"a"`, `7`, `{`, `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":"`, `{"a":"\`, `{a:1}`, `{"a":1]`, `{:}`,
}

func TestMembersAreThoseOfGJSON(t *testing.T) {
	t.Parallel()
	for _, text := range memberSeeds {
		requireMembers(t, text)
	}
}

func FuzzMembers(f *testing.F) {
	for _, seed := range memberSeeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) { requireMembers(t, text) })
}

// requireMembers: of valid JSON all members, of other text no panic.
func requireMembers(t *testing.T, text string) {
	t.Helper()
	var got, want [][2]string
	Members(text, func(name, value string) { got = append(got, [2]string{name, value}) })
	if ValidateBody([]byte(text)) != nil {
		return
	}
	if top := gjson.Parse(text); top.IsObject() {
		top.ForEach(func(name, value gjson.Result) bool {
			want = append(want, [2]string{name.Str, value.Raw})
			return true
		})
	}
	require.Equal(t, want, got, text)
}
