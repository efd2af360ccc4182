package backend

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/services/console/problem"
)

// TestHarmless: what strangers wrote is no formula in a spreadsheet, and is quoted as RFC 4180 says.
func TestHarmless(t *testing.T) {
	t.Parallel()
	for cell, want := range map[string]string{
		"": "", "paid": "paid", "a=b": "a=b", "'quoted": "'quoted", "12": "12",
		`=HYPERLINK("http://evil.example","x")`: `'=HYPERLINK("http://evil.example","x")`, "+1": "'+1", "-1+cmd|' /C calc'!A0": "'-1+cmd|' /C calc'!A0", "@SUM(1)": "'@SUM(1)", "\tx": "'\tx", "\rx": "'\rx", "\nx": "'\nx",
		"  =1": "'  =1", "\u00a0=1": "'\u00a0=1", "\u200b=1": "'\u200b=1", "\ufeff=1": "'\ufeff=1", "\x00=1": "'\x00=1", "＝1": "'＝1",
	} {
		require.Equal(t, want, harmless(cell), "%q", cell)
	}
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	require.NoError(t, writeRecord(w, []string{"=1", `say "hi", you`, "two\nlines", ""}))
	require.NoError(t, w.Flush())
	require.Equal(t, "'=1,\"say \"\"hi\"\", you\",\"two\r\nlines\",\r\n", out.String())
	back, err := csv.NewReader(&out).Read()
	require.NoError(t, err)
	require.Equal(t, []string{"'=1", `say "hi", you`, "two\nlines", ""}, back)
}

func TestViewPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/": "/", "/quarantine?reason=malformed&cursor=x": "/quarantine?reason=malformed", "/search?q=kim%40acme.example": "/search?q=kim@acme.example", "/references?ref=stripe%3Acustomer%3Acus_1": "/references?ref=stripe:customer:cus_1",
		"/accounts/0badc0de-0000-4000-8000-000000000001?type=invoice.paid": "/accounts/0badc0de-0000-4000-8000-000000000001?type=invoice.paid", "/patterns?pattern=a+then+b": "/patterns?pattern=a+then+b", "/sources/stripe": "/sources/stripe",
	} {
		got, err := ViewPath(path)
		require.NoError(t, err, path)
		require.Equal(t, want, got)
		again, err := ViewPath(got)
		require.NoError(t, err, got)
		require.Equal(t, got, again)
	}
	for _, path := range []string{"", "x", "//evil.example", "///evil.example", "/\\evil.example", "https://evil.example/", "javascript:alert(1)", "/search#x", "/search?q=a#b", "/..//evil.example", "/%2f/evil.example", "/search/../signout",
		"/signout", "/decide/link", "/api/v1/me", "/search/export", "/events/1/payload", "/tokens", "/search?q=%zz", "/search?q=%00", "/search?q=%ff", "/search?q=a;b", "/\t", "/search?q=" + string(bytes.Repeat([]byte("x"), maxViewPath)), "user@/search", "mailto:a@b"} {
		_, err := ViewPath(path)
		require.Equal(t, "path", problem.From(err).Field, path)
		require.Equal(t, 400, problem.From(err).Status, path)
	}
}
