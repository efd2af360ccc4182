package resolve

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddresses(t *testing.T) {
	for text, want := range map[string]string{
		`{"d":"Hi, this is Kim <Kim@Acme.example>, or kim@acme.example."}`: "kim@acme.example",
		`{"d":"line\nkim@acme.example\n"}`:                                 "nkim@acme.example kim@acme.example",
		`{"d":"https://x.test/?e=kim%40acme.example&x=1"}`:                 "kim@acme.example",
		`{"d":"kim&#64;acme.example"}`:                                     "kim@acme.example",
		`{"d":"kim\u0040acme.example"}`:                                    "kim@acme.example",
		`{"d":"_kim@acme.example_"}`:                                       "_kim@acme.example kim@acme.example",
		`{"d":"joekim@acme.example.org, kim+news@acme.example"}`:           "joekim@acme.example.org kim+news@acme.example",
		`{"d":"nobody at example"}`:                                        "",
	} {
		var got []string
		for _, ref := range Addresses([]byte(text)) {
			require.Equal(t, "email", ref.Kind)
			got = append(got, ref.ID)
		}
		require.Equal(t, want, strings.Join(got, " "), text)
	}
	require.Len(t, Addresses([]byte(strings.Repeat("a@b.example ", 3)+strings.Repeat("x", 10)+"@c.example")), 2)
}
