package source

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"
)

func TestDomain(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		want  string
		texts []string
	}{
		"one name": {"acme.example", []string{
			"acme.example", "ACME.example", " acme.example\n", "acme.example.", "www.acme.example", "WWW.Acme.Example.",
			"http://acme.example", "https://www.acme.example/", "HTTPS://acme.example/about?x#y", "//acme.example", "acme.example/about",
			"http://acme.example?x=1", "acme.example#top", "acme.example:443", "ACME.example:443/x", "https://acme.example:8443/", "acme.example.:443",
			"https://kim:secret@acme.example/x", "kim@acme.example", "Kim <kim@acme.example"[5:], "mailto:kim@acme.example?subject=a.b", "user@acme.example.",
			"ａｃｍｅ.example", "acme。example", "https://acme.example/?to=kim@other.example",
		}},
		"another alphabet": {"xn--bcher-kva.example", []string{
			"bücher.example", "BÜCHER.example", norm.NFD.String("bücher.example"), "xn--bcher-kva.example", "XN--BCHER-KVA.example", "https://www.bücher.example/x",
		}},
		"a host below it":   {"mail.acme.example", []string{"mail.acme.example", "kim@mail.acme.example", "https://mail.acme.example."}},
		"www is the name":   {"www.example", []string{"www.example", "https://www.example/"}},
		"www is in it":      {"wwwacme.example", []string{"wwwacme.example"}},
		"hyphens":           {"r3---sn-apo.example", []string{"r3---sn-apo.example", "R3---sn-apo.example"}},
		"an underscore":     {"my_shop.example", []string{"my_shop.example"}},
		"the longest label": {strings.Repeat("a", 63) + ".example", []string{strings.Repeat("a", 63) + ".example"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, text := range tt.texts {
				got, ok := Domain(text)
				require.True(t, ok, "%q", text)
				require.Equal(t, tt.want, got, "%q", text)
				again, ok := Domain(got)
				require.True(t, ok, "%q", got)
				require.Equal(t, got, again, "%q", text)
			}
		})
	}
	for _, none := range []string{
		"", " ", ".", "www.", "acme", "localhost", "kim@localhost", "https://", "a b.example", "a..example", ".example", "acme.example..",
		"x@evil.example, y@acme.example", "x@evil.example;y@acme.example", "x@evil.example y@acme.example", "x@evil.example\ty@acme.example",
		"x@evil.example，y@acme.example", "x@y@acme.example", "Kim <kim@acme.example", `"x"@evil.example,"y"@acme.example`, "https://x@evil.example,y@acme.example/",
		"-acme.example", "acme-.example", "acme.-example", "a\x00.example", "acme.exam\xffple", "acme.example:http", "acme.example:1:2", "a,b.example",
		`"acme.example"`, "192.168.1.10", "http://192.168.1.10:80/", "[::1]", "https://[2001:db8::1]/", "xn--zz--a.example", "xn--a.example",
		strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 130) + "example", strings.Repeat("ü", 10_000) + ".example", "acme.ex\u202eample",
	} {
		got, ok := Domain(none)
		require.False(t, ok, "%q gave %q", none, got)
		require.Empty(t, got)
	}
}

func FuzzDomain(f *testing.F) {
	for _, seed := range []string{"https://kim@www.Bücher.example.:443/x?y", "xn--bcher-kva.example", "acme.example..", "a@b@c.d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		domain, ok := Domain(text)
		if !ok {
			require.Empty(t, domain)
			return
		}
		require.LessOrEqual(t, len(domain), maxDomainBytes)
		require.True(t, isASCIIName(domain), "%q", domain)
		again, ok := Domain(domain)
		require.True(t, ok, "%q gave %q, which is none", text, domain)
		if !strings.HasPrefix(domain, "www.") {
			require.Equal(t, domain, again)
		}
	})
}

func TestEmail(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Kim@Acme.Example": "kim@acme.example", " kim@acme.example ": "kim@acme.example", "kim@bücher.example": "kim@xn--bcher-kva.example",
		"kim@www.acme.example": "kim@www.acme.example", "kim@localhost": "kim@localhost", `"a@b"@acme.example`: `"a@b"@acme.example`,
		`"x@evil.example, y"@acme.example`: `"x@evil.example, y"@acme.example`, `"a\"b"@acme.example`: `"a\"b"@acme.example`,
		"kim@acme.example.": "kim@acme.example", "kim@not a host": "kim@not a host",
	} {
		got, ok := Email(text)
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	for _, none := range []string{
		"acme.example", "x@evil.example, y@acme.example", "x@evil.example;y@acme.example", "x@evil.example y@acme.example", "x@evil.example，y@acme.example",
		"x@y@acme.example", "Kim <kim@acme.example>", `"x"@evil.example,"y"@acme.example`, `"x\\"@evil.example,"@acme.example`, "kim(x@y)@acme.example",
	} {
		address, ok := Email(none)
		require.False(t, ok, "%q gave %q", none, address)
	}
}

func TestUUID(t *testing.T) {
	t.Parallel()
	const want = "7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01"
	for _, text := range []string{want, strings.ToUpper(want)} {
		id, ok := UUID(text)
		require.True(t, ok)
		require.Equal(t, want, id.String())
	}
	for _, none := range []string{
		"", strings.ReplaceAll(want, "-", ""), "{" + want + "}", "urn:uuid:" + want, want + " ", strings.ReplaceAll(want, "-", "_"),
		"7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a0g",
	} {
		_, ok := UUID(none)
		require.False(t, ok, none)
	}
}

func TestIsText(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "a b", "é", "日本", "a\u00a0b"} {
		require.True(t, IsText(text), "%q", text)
	}
	for _, none := range []string{"\x00", "a\n", "\x1f", "\x7f", "é\u0085", "\xff", "é\xff", "a\xc3"} {
		require.False(t, IsText(none), "%q", none)
	}
}
