package rawjson_test

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// read scans body in all depths, and runs check on each: what a Value gives does
// not depend on the index.
func read(t *testing.T, body string, check func(t *testing.T, v rawjson.Value)) {
	t.Helper()
	for depth := range 5 {
		var doc rawjson.Doc
		v, err := doc.ParseBody([]byte(body), depth)
		require.NoError(t, err)
		check(t, v)
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	body := ` {"n":null,"t":true,"f":false,"i":-7,"d":72.0,"e":7.2e1,"x":1.5,"big":9223372036854775808,"s":"plain","esc":"a\n\u00e9\ud83d\ude00\/","bad":"\ud800` + "\xff" + `",
		"o":{"in":{"deep":[10,[20],{"k":"v"}]},"e":{}},"a":[],"\u0061\u0062":"escaped name","dup":1,"dup":2} `
	read(t, body, func(t *testing.T, v rawjson.Value) {
		require.Equal(t, rawjson.Object, v.Kind())
		require.Equal(t, 16, v.Len())
		kinds := map[string]rawjson.Kind{
			"n": rawjson.Null, "t": rawjson.Bool, "i": rawjson.Number, "s": rawjson.String,
			"a": rawjson.Array, "o": rawjson.Object, "none": rawjson.Missing, "ab": rawjson.String,
		}
		for name, kind := range kinds {
			require.Equal(t, kind, v.Get(name).Kind(), name)
			require.Equal(t, kind != rawjson.Missing, v.Get(name).Exists(), name)
		}
		require.True(t, v.Get("t").Bool())
		require.False(t, v.Get("f").Bool())
		for name, want := range map[string]int64{"i": -7, "d": 72, "e": 72} {
			n, ok := v.Get(name).Int()
			require.True(t, ok, name)
			require.Equal(t, want, n)
		}
		for _, name := range []string{"x", "big", "s", "n", "o", "none"} {
			_, ok := v.Get(name).Int()
			require.False(t, ok, name)
		}
		require.Equal(t, "a\né😀/", v.Get("esc").Text())
		require.True(t, v.Get("esc").Is("a\né😀/"))
		require.True(t, v.Get("s").Is("plain"))
		require.False(t, v.Get("i").Is("-7"))
		require.Equal(t, "\uFFFD\uFFFD", v.Get("bad").Text())
		require.Empty(t, v.Get("i").Text())
		for name, want := range map[string]string{"i": "-7", "e": "7.2e1", "t": "true", "s": "plain", "n": "", "o": "", "a": "", "none": ""} {
			require.Equal(t, want, v.Get(name).Literal(), name)
		}
		require.Equal(t, "1", v.Get("dup").Literal())
		require.Equal(t, "v", v.At("o", "in", "deep").Text()+rawjson.Pointer(v, "/o/in/deep/2/k").Text())
		require.False(t, v.At("o", "none", "deep").Exists())
		require.False(t, v.At("s", "x").Exists())
		require.Equal(t, `{"in":{"deep":[10,[20],{"k":"v"}]},"e":{}}`, string(v.Get("o").Bytes()))
		require.Equal(t, len(v.Bytes()), cap(v.Bytes()))
		require.Equal(t, len(v.Get("s").TextBytes()), cap(v.Get("s").TextBytes()))
	})
}

func TestIteration(t *testing.T) {
	t.Parallel()
	read(t, ` { "a" : [ 1.0 , {"b":"}\\"} ,[ [] ],"x,\"]" ,null ] , "\u0062":{} ,"a":true}`, func(t *testing.T, v rawjson.Value) {
		var names, values []string
		for name, m := range v.Members() {
			names, values = append(names, name), append(values, string(m.Bytes()))
		}
		require.Equal(t, []string{"a", "b", "a"}, names)
		require.Equal(t, []string{`[ 1.0 , {"b":"}\\"} ,[ [] ],"x,\"]" ,null ]`, `{}`, `true`}, values)
		var elements []string
		for i, e := range v.Get("a").Elements() {
			require.Equal(t, len(elements), i)
			elements = append(elements, string(e.Bytes()))
		}
		require.Equal(t, []string{`1.0`, `{"b":"}\\"}`, `[ [] ]`, `"x,\"]"`, `null`}, elements)
		for range v.Members() {
			break
		}
		for range v.Get("a").Elements() {
			break
		}
		stopped := 0
		v.Each(func([]byte, rawjson.Value) bool { stopped++; return stopped < 2 })
		require.Equal(t, 2, stopped)
		for range v.Elements() {
			require.Fail(t, "an object has no elements")
		}
		for range v.Get("a").Members() {
			require.Fail(t, "an array has no members")
		}
	})
}

func TestMissing(t *testing.T) {
	t.Parallel()
	var v rawjson.Value
	require.Nil(t, v.Bytes())
	require.Nil(t, v.TextBytes())
	require.Empty(t, v.Text()+v.Literal()+v.At("a", "b").Text())
	require.Zero(t, v.Len())
	require.False(t, v.Bool() || v.Is("") || v.Exists() || v.Get("a").Exists())
	require.Nil(t, rawjson.Canonical(v))
	require.False(t, rawjson.Pointer(v, "/a").Exists())
	require.Empty(t, slices.Collect(func(yield func(string) bool) {
		for name := range v.Members() {
			yield(name)
		}
	}))
	require.Nil(t, v.WithSubject("x"))
	require.Equal(t, "missing value", v.Kind().String())
}

// What was read before is not changed by the next scan.
func TestTextsAreCopies(t *testing.T) {
	t.Parallel()
	var doc rawjson.Doc
	raw := []byte(`{"a":"first","b":"e\u0073c","c":1.50}`)
	v, err := doc.Parse(raw)
	require.NoError(t, err)
	got := []string{v.Get("a").Text(), v.Get("b").Text(), v.Get("c").Literal()}
	clear(raw)
	_, err = doc.Parse([]byte(`{"a":"other"}`))
	require.NoError(t, err)
	require.Equal(t, []string{"first", "esc", "1.50"}, got)
}

func TestPointer(t *testing.T) {
	t.Parallel()
	read(t, `{"a":{"b/c":[10,{"~d":1}],"":2},"01":3}`, func(t *testing.T, v rawjson.Value) {
		for pointer, want := range map[string]string{
			"": string(v.Bytes()), "/a/b~1c/0": "10", "/a/b~1c/1/~0d": "1", "/a/": "2", "/01": "3",
			"/a/b~1c/2": "", "/a/b~1c/00": "", "/a/b~1c/-": "", "/a/b~1c/0/x": "", "/": "", "a": "", "/a~2": "", "/~": "", "/a/b~1c/99999999999999": "",
		} {
			require.Equal(t, want, string(rawjson.Pointer(v, pointer).Bytes()), pointer)
		}
	})
	for _, good := range []string{"", "/", "/a/b", "/~0~1"} {
		require.NoError(t, rawjson.ValidPointer(good))
	}
	for _, bad := range []string{"a", "a/b", "/~", "/~2", "/a~"} {
		require.Error(t, rawjson.ValidPointer(bad), bad)
	}
}

func TestIntBounds(t *testing.T) {
	t.Parallel()
	read(t, `[9223372036854775807,-9223372036854775808,9223372036854775808,1e18,1e19,0e5,-0,1e-1,10e-1,1e400000000000]`, func(t *testing.T, v rawjson.Value) {
		want := []int64{math.MaxInt64, math.MinInt64, 0, 1e18, 0, 0, 0, 0, 1, 0}
		fits := []bool{true, true, false, true, false, true, true, false, true, false}
		for i, e := range v.Elements() {
			n, ok := e.Int()
			require.Equal(t, fits[i], ok, string(e.Bytes()))
			if ok {
				require.Equal(t, want[i], n, string(e.Bytes()))
			}
		}
	})
}

func TestUnescape(t *testing.T) {
	for text, want := range map[string]string{
		`{"a":"\u003ckim\n\"\/\\u003c"}`: "{\"a\":\"<kim\n\"/\\u003c\"}",
		`\ud83d\ude00 \ud83d x`:          "😀 \uFFFD x",
		`\u00zz \u00 \k \`:               `\u00zz \u00 k \`,
		"\xff\x00":                       "\uFFFD\x00",
		"":                               "",
	} {
		require.Equal(t, want, string(rawjson.Unescape([]byte(text))), text)
	}
}
