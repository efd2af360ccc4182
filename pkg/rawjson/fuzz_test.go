package rawjson_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
)

var seeds = []string{
	`{"a":1}`, `[{},{}]`, `{"a":"\u0000"}`, `{"a":1e999999}`, "\xef\xbb\xbf{}", `{"a":"\ud800"}`, `{"a":"\ud83d\ude00"}`, `{"a":"\ud83d\u0061"}`,
	` { "a" : 1.5e3 , "b":"x\"y\\", "c":{"d":[1,"}",{"e":null}]} ,"a":true}` + "\n", `{"\u0061":"\\","":""}`, `{"a":1,"\u0061":2}`,
	`{"a":[],"b":{}}`, ``, `[1]`, `"a"`, `7`, `-0.0E+10`, `{`, `{"`, `{"a`, `{"a"`, `{"a":`, `{"a":"`, `{"a":"\`, `{a:1}`, `{"a":1]`, `{:}`, `[1,]`, `01`,
	"{\"\xff\":1,\"\xfe\":2}", "{\"a\":\"\xed\xa0\x80\xc3\xa9\"}", `{"subject":"a","subject_ref":[1]}`, `{"o":{"a":{"a":{"a":0}}},"p":{"a":{"a":1}}}`,
	`{"abcdefghijklmnopqrstuvwxyz":1,"abcdefghijklmnopqrstuvwxyy":"0123456789abcdef\n0123456789"}`, `{"a":{"b":1,"b":2},"c":"\u0000"}`, `[[[1],2],[[1,2]],{"a":1},{"b":1}]`,
}

func seed(f *testing.F) {
	f.Helper()
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(f, err)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(raw)
	}
}

// Grammar, reasons and members are those of jsontext.
func FuzzParse(f *testing.F) {
	seed(f)
	f.Fuzz(requireReference)
}

func requireReference(t *testing.T, raw []byte) {
	var strict, lenient rawjson.Doc
	grammar := walk(raw, nil, anyText, anyName)
	got := rawjson.Grammar(raw)
	require.Equal(t, grammar == nil, got == nil, "the grammar of %q: %v, not %v", raw, got, grammar)
	whole, err := lenient.ParseBody(raw, 0)
	require.Equal(t, got == nil, err == nil, "with an index: %v", err)

	v, err := strict.Parse(raw)
	want := reasonOf(raw)
	require.Equal(t, want, fault.ReasonOf(err), "%q: %v", raw, err)
	require.Equal(t, err == nil, v.Exists())
	if grammar != nil {
		return
	}
	require.Equal(t, want, fault.ReasonOf(whole.Check()), "%q", raw)
	wanted, err := generic(raw)
	require.NoError(t, err)
	require.Equal(t, wanted, genericOf(whole))
	requireCursor(t, whole)
	requireSkeleton(t, whole)
	for depth := 1; depth < 4; depth++ {
		cut, err := lenient.ParseBody(raw, depth)
		require.NoError(t, err)
		require.Equal(t, wanted, genericOf(cut), "depth %d", depth)
		requireParts(t, cut)
	}
}

// requireCursor: a cursor finds what the functions find that are called for each.
func requireCursor(t *testing.T, v rawjson.Value) {
	if !v.Noted() {
		return
	}
	c := v.Cursor()
	next := func(name []byte, value rawjson.Value) bool {
		require.True(t, c.More())
		require.Equal(t, string(name), string(c.Name()))
		require.Equal(t, value, c.Value())
		require.Equal(t, value.Kind(), c.Kind())
		requireCursor(t, value)
		c.Next()
		return true
	}
	v.Each(next)
	for _, e := range v.Elements() {
		next(nil, e)
	}
	require.False(t, c.More())
}

// requireSkeleton: a value and each part of it is of its own skeleton, and of that of another part only where their
// members are the same.
func requireSkeleton(t *testing.T, v rawjson.Value) {
	if !v.Noted() {
		return
	}
	parts := []rawjson.Value{v}
	for i := 0; i < len(parts) && len(parts) < 12; i++ {
		for c := parts[i].Cursor(); c.More(); c.Next() {
			parts = append(parts, c.Value())
		}
	}
	plain := !bytes.ContainsFunc(v.Bytes(), func(r rune) bool { return r == '\\' || r >= utf8.RuneSelf })
	var s rawjson.Skeleton
	for _, a := range parts {
		s.Take(a)
		require.Equal(t, a.Size(), s.Size())
		require.True(t, s.Of(a))
		for _, b := range parts {
			if alike := boneless(a) == boneless(b); plain || !alike { // a name can be written in two ways
				require.Equal(t, alike, s.Of(b), "%s and %s", a.Bytes(), b.Bytes())
			}
		}
	}
}

// boneless writes names, as they are written, and kinds.
func boneless(v rawjson.Value) string {
	text := v.Kind().String() + "("
	for c := v.Cursor(); c.More(); c.Next() {
		text += strconv.Quote(string(c.Name())) + boneless(c.Value())
	}
	return text + ")"
}

// requireParts: each member or element says of itself what Parse says of it.
func requireParts(t *testing.T, v rawjson.Value) {
	check := func(part rawjson.Value) {
		_, want := new(rawjson.Doc).Parse(part.Bytes())
		got := part.Check()
		require.Equal(t, want == nil, got == nil, "%q: %v, not %v", part.Bytes(), got, want)
		if want != nil {
			require.EqualError(t, got, want.Error())
		}
	}
	for _, e := range v.Elements() {
		check(e)
	}
	seen := map[string]bool{}
	for name, m := range v.Members() {
		check(m)
		if !seen[name] {
			require.Equal(t, m.Bytes(), v.Get(name).Bytes(), "the first of a name")
			seen[name] = true
		}
	}
}

// A canonical form is JSON that says the same, and is its own canonical form.
func FuzzCanonical(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var doc, again rawjson.Doc
		v, err := doc.ParseBody(raw, 0)
		if err != nil {
			return
		}
		form := rawjson.Canonical(v)
		w, err := again.ParseBody(form, 2)
		require.NoError(t, err, "%q", form)
		require.Equal(t, string(form), string(rawjson.Canonical(w)))
		var before, after any
		if v.Check() == nil && json.Unmarshal(raw, &before) == nil {
			require.NoError(t, json.Unmarshal(form, &after))
			require.Equal(t, before, after)
			var spread bytes.Buffer
			require.NoError(t, json.Indent(&spread, raw, " ", "\t"))
			w, err = again.Parse(spread.Bytes())
			require.NoError(t, err)
			require.Equal(t, string(form), string(rawjson.Canonical(w)))
		}
	})
}

// A payload has the vendor's members under names of their own, and our subject.
func FuzzWithSubject(f *testing.F) {
	f.Add([]byte(`{"subject":"a","subject_ref":[1]}`), "x")
	f.Add([]byte(`{"\u0073ubject":1}`), "")
	f.Add([]byte(`{}`), "a\n\"b")
	f.Fuzz(func(t *testing.T, raw []byte, subject string) {
		var doc, made rawjson.Doc
		v, err := doc.Parse(raw)
		if err != nil {
			return
		}
		payload, err := rawjson.WithSubject(raw, subject)
		require.NoError(t, err)
		require.Equal(t, string(payload), string(v.WithSubject(subject)))
		if len(payload) > rawjson.MaxRecordBytes {
			return
		}
		got, err := made.Parse(payload)
		require.NoError(t, err, "%q", payload)
		line := rawjson.SubjectLine(subject)
		require.Equal(t, line, got.Get("subject").Text())
		for name, m := range v.Members() {
			if rest, ok := strings.CutPrefix(name, "subject"); ok && strings.ReplaceAll(rest, "_ref", "") == "" {
				name += "_ref"
			}
			require.Equal(t, m.Bytes(), got.Get(name).Bytes())
		}
	})
}

// A pointer leads nowhere or to a part, and never panics.
func FuzzPointer(f *testing.F) {
	f.Add([]byte(`{"a":[{"b":1}]}`), "/a/0/b")
	f.Add([]byte(`{"a~/":1}`), "/a~0~1")
	f.Fuzz(func(t *testing.T, raw []byte, pointer string) {
		var doc rawjson.Doc
		v, err := doc.ParseBody(raw, 1)
		if err != nil {
			return
		}
		found := rawjson.Pointer(v, pointer)
		require.True(t, bytes.Contains(raw, found.Bytes()))
		if found.Exists() {
			require.NoError(t, rawjson.ValidPointer(pointer))
		}
	})
}
