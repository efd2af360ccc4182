package resolve

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source"
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
		// What programs write for letters in JSON.
		`{"d":"Kim \u003ckim@acme.example\u003e"}`:                  "kim@acme.example",
		`{"d":"\u00abkim@acme.example\u00bb"}`:                      "kim@acme.example",
		`{"d":"\u00a0kim@acme.example, \ud83d\ude00joe@a.example"}`: "kim@acme.example joe@a.example",
		`{"d":"\u8054\u7cfbkim@acme.example"}`:                      "kim@acme.example",
		`{"d":"\u006bim@acme.example"}`:                             "kim@acme.example",
		`{"d":"联系kim@acme.example — kim@b.example"}`:                "kim@acme.example kim@b.example",
		`{"d":"{\"from\":\"\\u003ckim@acme.example\\u003e\"}"}`:     "kim@acme.example",
		`{"d":"\ud83d\u00zz kim@acme.example \u00"}`:                "kim@acme.example",
		// Local parts with more than letters.
		`{"d":"o'hara@acme.example 'kim@acme.example'"}`:                                                                           "o'hara@acme.example kim@acme.example",
		`{"d":"r&d@acme.example a=b@acme.example"}`:                                                                                "r&d@acme.example a=b@acme.example",
		`{"d":"dep/kim@acme.example #1@acme.example *kim*@acme.example"}`:                                                          "dep/kim@acme.example #1@acme.example *kim*@acme.example",
		`{"d":"zoë@acme.example zo\u00eb@b.example"}`:                                                                              "zoë@acme.example zoë@b.example",
		`{"d":"o%27hara%40acme.example o&#39;neill@acme.example r&amp;d@acme.example o&#x27;dea@a.example o&apos;shea@a.example"}`: "o'hara@acme.example o'neill@acme.example r&d@acme.example o'dea@a.example o'shea@a.example",
		`{"d":"https://x.test/?a=1&amp;e=kim%40acme.example https%3A%2F%2Fy.test%3Fe%3Djoe%40acme.example"}`:                       "kim@acme.example joe@acme.example",
		// Hosts in letters beyond ASCII.
		`{"d":"lea@köln.example, LEA@KÖLN.example."}`:                   "lea@xn--kln-sna.example",
		`{"d":"lea@köln.example zoë@a.example"}`:                      "lea@xn--kln-sna.example zoë@a.example",
		`{"d":"lea%40k%C3%B6ln.example joe%2540k%25C3%25B6ln.example"}`: "lea@xn--kln-sna.example joe@xn--kln-sna.example",
		`{"d":"lea@k&#246;ln.example joe@k&#xf6;ln.example"}`:           "lea@xn--kln-sna.example joe@xn--kln-sna.example",
		`{"d":"{\"e\":\"\\u003clea@k\\u00f6ln.example\\u003e\"}"}`:      "lea@xn--kln-sna.example",
		`{"d":"lea@acme.example谢谢 joe@acme。example kim@acme.exampleß"}`: "lea@acme.example joe@acme.example kim@acme.example",
		"\"lea@k\xffln.example, %FF%40%FFkim@acme.example\"":            "kim@acme.example",
	} {
		got := map[string]bool{}
		for _, ref := range Addresses([]byte(text)) {
			require.Equal(t, "email", ref.Kind)
			got[ref.ID] = true
		}
		for one := range strings.FieldsSeq(want) {
			require.Contains(t, got, one, text)
		}
		require.NotContains(t, got, "hn@acme.example", text)
		require.Equal(t, want == "", len(got) == 0, text)
	}
	// Others' addresses that can be read in many ways, in front of it, do not hide one.
	junk := strings.Repeat("https://a.test/?x='o'hara'&y=''@b.example ", 400)
	require.Contains(t, Addresses([]byte(junk+"kim@acme.example")), source.Reference{Source: "email", Kind: "email", ID: "kim@acme.example"})
	require.Len(t, Addresses([]byte(strings.Repeat("a@b.example ", 3)+strings.Repeat("x", 10)+"@c.example")), 2)
}
