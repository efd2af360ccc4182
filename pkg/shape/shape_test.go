package shape_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/shape"
)

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// stream is a shape with a clock: events come once a minute.
type stream struct {
	*shape.Shape
	doc rawjson.Doc
	at  time.Time
	ref int32
}

func newStream(l shape.Limits) *stream { return &stream{Shape: shape.New(l), at: start} }

func (s *stream) observe(t testing.TB, events ...string) {
	t.Helper()
	for _, e := range events {
		v, err := s.doc.Parse([]byte(e))
		require.NoError(t, err)
		s.Observe(v, s.at, s.ref)
		s.at, s.ref = s.at.Add(time.Minute), s.ref+1
	}
}

// settle observes and settles, and gives the changes as "path change: was -> is".
func (s *stream) settle(t testing.TB, events ...string) (odd []string) {
	t.Helper()
	s.ref = 0
	s.observe(t, events...)
	for _, o := range s.Settle(shape.Rules{}).Odd {
		over := ""
		if o.Over {
			over = " over"
		}
		odd = append(odd, strings.TrimSpace(fmt.Sprintf("%s %s%s: %s -> %s @%d", o.Path, o.Change, over, o.Was, o.Is, o.Event)))
	}
	return odd
}

func times(n int, event string) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = event
	}
	return all
}

const invoice = `{"id":"in_1","customer_email":"a@b.example","amount":1200,"lines":[{"price":5},{"price":6,"tax":null}],"metadata":{"12345":1},"note":"x"}`

func TestWhatEventsLookLike(t *testing.T) {
	t.Parallel()
	s := newStream(shape.Limits{})
	s.observe(t, invoice, `{"id":"in_2","amount":"1200","lines":[],"odd name":{"a.b":true}}`)
	got := map[string]shape.Path{}
	for _, p := range s.Settle(shape.Rules{}).Changed {
		got[p.Path] = p
	}
	require.Equal(t, int64(2), got[""].Present)
	require.Equal(t, []string{"string", "number"}, got["amount"].Types())
	require.Equal(t, int64(1), got["lines[].price"].Present, "counted once an event")
	require.Equal(t, shape.Counts{Null: 1}, got["lines[].tax"].Counts)
	require.Contains(t, got, "metadata.*", "a number is no name")
	require.Contains(t, got, `"odd name"."a.b"`)
	require.Equal(t, "text like an address", got["customer_email"].Form)
	require.Equal(t, start, got["amount"].FirstSeen)
	require.Equal(t, start.Add(time.Minute), got["amount"].LastSeen)
	for path := range got {
		segments, err := shape.Parse(path)
		require.NoError(t, err)
		require.Equal(t, path, shape.Join(segments...))
	}
}

func TestWhatIsOdd(t *testing.T) {
	t.Parallel()
	without := func(member string) string { return strings.Replace(invoice, member, "", 1) }
	for name, c := range map[string]struct {
		known int
		odd   []string
		want  []string
	}{
		"nothing":                      {1000, times(50, invoice), nil},
		"new":                          {1000, []string{invoice, `{"new":{"a":1},` + invoice[1:]}, []string{"new new:  -> object (object) @1"}},
		"new, while still learning":    {100, []string{`{"new":1,` + invoice[1:]}, nil},
		"new in an array":              {300, []string{strings.Replace(invoice, `"price":5`, `"price":5,"sku":"x"`, 1)}, []string{"lines[].sku new:  -> string (text of at most 8 bytes) @0"}},
		"a map has no new names":       {1000, []string{strings.Replace(invoice, `12345`, `67890`, 1)}, nil},
		"always there, missing once":   {1000, []string{without(`"amount":1200,`), invoice}, []string{"amount vanished: in each of 1000 events -> missing in 1 @0"}},
		"always there, missing in one": {1000, []string{invoice, invoice, without(`"amount":1200,`), invoice}, []string{"amount vanished: in each of 1000 events -> missing in 1 @2"}},
		"gone at the end of a batch":   {1000, []string{invoice, without(`"amount":1200,`)}, []string{"amount vanished: in each of 1000 events -> missing in 1 @1"}},
		"few events, missing once":     {100, []string{without(`"amount":1200,`)}, nil},
		"few events, missing twice":    {100, times(2, without(`"amount":1200,`)), []string{"amount vanished: in each of 100 events -> missing in 2 @1"}},
		"all of an object":             {1000, []string{without(`"metadata":{"12345":1},`)}, []string{"metadata vanished: in each of 1000 events -> missing in 1 @0"}},
		"another type":                 {1000, []string{strings.Replace(invoice, "1200", `"1200"`, 1)}, []string{"amount type_changed: number (whole number) -> string (text like a number) @0"}},
		"never null":                   {1000, []string{strings.Replace(invoice, "1200", "null", 1)}, []string{"amount null_rate: never null -> null @0"}},
		"never anything but null":      {1000, []string{strings.Replace(invoice, `"tax":null`, `"tax":5`, 1)}, nil},
		"of an object that is text now": {1000, []string{strings.Replace(invoice, `{"12345":1}`, `"x"`, 1)},
			[]string{"metadata type_changed: object (object) -> string (text of at most 8 bytes) @0"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStream(shape.Limits{})
			require.Empty(t, s.settle(t, times(c.known, invoice)...))
			require.Equal(t, c.want, s.settle(t, c.odd...))
		})
	}
}

// What went is told once, and that it is back.
func TestVanishedAndBack(t *testing.T) {
	t.Parallel()
	s := newStream(shape.Limits{})
	mostly := append(times(9, invoice), strings.Replace(invoice, `,"note":"x"`, "", 1))
	for range 50 {
		require.Empty(t, s.settle(t, mostly...))
	}
	gone := strings.Replace(invoice, `,"note":"x"`, "", 1)
	require.Empty(t, s.settle(t, times(10, gone)...))
	require.Equal(t, []string{"note vanished: in 90 % of 499 events -> missing in 21 @9"}, s.settle(t, times(10, gone)...))
	require.Empty(t, s.settle(t, times(30, gone)...))
	require.Equal(t, []string{"note vanished over:  ->  @-1"}, s.settle(t, invoice))
	require.Empty(t, s.settle(t, mostly...))
}

func TestTheRateOfNulls(t *testing.T) {
	t.Parallel()
	s := newStream(shape.Limits{})
	null := strings.Replace(invoice, "1200", "null", 1)
	for range 100 {
		require.Empty(t, s.settle(t, append(times(9, invoice), null)...))
	}
	var odd []string
	for range 20 {
		odd = append(odd, s.settle(t, append(times(5, invoice), times(5, null)...)...)...)
	}
	require.Equal(t, []string{"amount null_rate: null in 10 % of the events -> null in 50 % @9"}, odd)
}

func TestSilence(t *testing.T) {
	t.Parallel()
	hourly := shape.Path{Present: 24 * 30, FirstSeen: start, LastSeen: start.Add(30 * 24 * time.Hour), LongestGap: 3 * time.Hour}
	require.Equal(t, 10*time.Hour, hourly.SilentAt().Sub(hourly.LastSeen).Round(time.Hour))
	require.Equal(t, "hourly or more often", hourly.Interval())
	hourly.LongestGap = 60 * time.Hour
	require.Equal(t, 90*time.Hour, hourly.SilentAt().Sub(hourly.LastSeen), "a weekend is no news")
	young := hourly
	young.LastSeen, young.LongestGap = start.Add(3*24*time.Hour), time.Hour
	require.Equal(t, 72*time.Hour, young.SilentAt().Sub(young.LastSeen))
	young.Present = 19
	require.True(t, young.SilentAt().IsZero())

	s := newStream(shape.Limits{})
	s.settle(t, times(3000, invoice)...)
	s.at = s.at.Add(100 * time.Hour)
	require.Contains(t, s.settle(t, invoice), "customer_email silent over:  ->  @-1")
	require.Empty(t, s.settle(t, invoice))
}

// Totals that are stored and loaded again give what one that never stopped gives, and
// a batch that could not be stored counts once.
func TestLoad(t *testing.T) {
	t.Parallel()
	whole, parts := newStream(shape.Limits{}), newStream(shape.Limits{})
	stored := map[string]shape.Path{}
	for i := range 40 {
		events := times(10, invoice)
		if i > 20 {
			events[3] = `{"id":1,"other":[[{"a":null}]],"metadata":{"plan":1}}`
		}
		whole.observe(t, events...)
		whole.Settle(shape.Rules{})
		at := parts.at
		parts.observe(t, events[:5]...)
		parts.Reset() // it could not be stored
		parts.at = at
		if i%3 == 0 {
			parts.Shape = shape.New(shape.Limits{})
		}
		parts.observe(t, events...)
		require.NoError(t, parts.Load(values(stored)))
		for _, p := range parts.Settle(shape.Rules{}).Changed {
			stored[p.Path] = p
		}
	}
	all := map[string]shape.Path{}
	last := shape.New(shape.Limits{})
	require.NoError(t, last.Load(values(stored)))
	require.Equal(t, whole.Paths(), last.Paths())
	whole.observe(t, invoice, `{"id":1,"other":[[{"a":null}]],"metadata":{"plan":1}}`)
	for _, p := range whole.Settle(shape.Rules{}).Changed {
		all[p.Path] = p
	}
	parts.observe(t, invoice, `{"id":1,"other":[[{"a":null}]],"metadata":{"plan":1}}`)
	for _, p := range parts.Settle(shape.Rules{}).Changed {
		require.Equal(t, all[p.Path], p)
		delete(all, p.Path)
	}
	require.Empty(t, all)
}

func values(m map[string]shape.Path) (all []shape.Path) {
	for _, p := range m {
		all = append(all, p)
	}
	return all
}

// An object with more names than the bound is a map from then on, also after a restart.
func TestAMapIsFolded(t *testing.T) {
	t.Parallel()
	s := newStream(shape.Limits{Children: 10})
	var gone []string
	stored := map[string]shape.Path{}
	for i := range 30 {
		s.observe(t, fmt.Sprintf(`{"fixed":1,"by_name":{"name-%c%c":{"n":1}}}`, 'a'+i%26, 'a'+i/26))
		settled := s.Settle(shape.Rules{})
		gone = append(gone, settled.Gone...)
		for _, path := range settled.Gone {
			delete(stored, path)
		}
		for _, p := range settled.Changed {
			stored[p.Path] = p
		}
	}
	require.Len(t, gone, 20)
	require.Len(t, stored, 5)
	require.Equal(t, int64(30), stored["by_name.*.n"].Present)
	require.True(t, stored["by_name"].Folded)
	again := newStream(shape.Limits{Children: 10})
	require.NoError(t, again.Load(values(stored)))
	again.observe(t, `{"fixed":1,"by_name":{"another":{"n":1}}}`)
	require.Equal(t, 4, again.Paths())
}

// What a fold makes one of is newest in the event of this batch, whatever a batch before had in the map.
func TestAFoldIsOfItsBatch(t *testing.T) {
	t.Parallel()
	s := newStream(shape.Limits{Children: 3})
	s.settle(t, times(9, `{"m":{"123":1}}`)...)
	s.ref = 0
	s.observe(t, `{}`, `{"m":{"a":1,"b":1,"c":1,"d":1}}`)
	settled := s.Settle(shape.Rules{})
	for i, p := range settled.Changed {
		require.Equal(t, int32(1), settled.Newest[i], p.Path)
	}
}

// A very large event, whose values are not all noted, counts like any other.
func TestALargeEvent(t *testing.T) {
	t.Parallel()
	event := []byte(`{"a":[{"x":1},{"x":null,"y":[true]}],"b":{"c":{"d":"e"}},"f":[]}`)
	var whole, cut rawjson.Doc
	want, got := shape.New(shape.Limits{}), shape.New(shape.Limits{})
	v, err := whole.ParseBody(event, 0)
	require.NoError(t, err)
	want.Observe(v, start, 0)
	v, err = cut.ParseBody(event, 1)
	require.NoError(t, err)
	require.False(t, v.Noted())
	got.Observe(v, start, 0)
	require.Equal(t, want.Settle(shape.Rules{}), got.Settle(shape.Rules{}))
}

// Events that follow each other and look alike are counted together, with the result that they
// have one by one: of events that are not all noted nothing is known beforehand.
func TestRuns(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	forms := []string{
		`{"a":1,"b":{"c":"x","d":[1,2,{"e":null}]},"m":{"k1234567":1}}`, `{"a":2,"b":{"c":"y","d":[3,4,{"e":null}]},"m":{"k1234567":2}}`,
		`{"a":null,"b":{"c":"x","d":[1,2,{"e":null}]},"m":{"k1234567":1}}`, `{"a":1,"b":{"c":"x","d":[{"e":1},2,{"e":null}]}}`,
		`{"b":{"c":"x"},"a":1}`, `{"m":{"p":1,"q":2,"r":3,"s":4}}`, `{"x":[[[[[[1]]]]]],"a":7}`, `{"x":[[[[[[2]]]]]],"a":8}`, `[1,{"a":2}]`, `[[1],{"a":2}]`, `7`, `{}`,
	}
	limits := shape.Limits{Children: 6, Depth: 5, Paths: 25}
	together, single := shape.New(limits), shape.New(limits)
	var whole, cut rawjson.Doc
	var ref int32
	observe := func(at time.Time, event string) {
		v, err := whole.ParseBody([]byte(event), 0)
		require.NoError(t, err)
		together.Observe(v, at, ref)
		v, err = cut.ParseBody([]byte("["+event+"]"), 1)
		require.NoError(t, err)
		for _, v := range v.Elements() {
			require.Equal(t, len(event) < 3, v.Noted(), "what it holds is not noted")
			single.Observe(v, at, ref)
		}
		ref++
	}
	settle := func() []shape.Odd {
		got := together.Settle(shape.Rules{Learn: 20})
		require.Equal(t, single.Settle(shape.Rules{Learn: 20}), got)
		ref = 0
		return got.Odd
	}
	// The first event makes the paths that the others have.
	for _, event := range append([]string{`{"m":[1,2,3,4,5,6,7]}`}, times(4, `{"m":{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1}}`)...) {
		observe(start, event)
	}
	settle()
	together, single = shape.New(limits), shape.New(limits)
	at, odd := start, 0
	for range 400 {
		for range 1 + rnd.IntN(12) {
			form := forms[rnd.IntN(len(forms))]
			if rnd.IntN(8) == 0 {
				form = fmt.Sprintf(`{"a":1,"new%d":{"z":1}}`, rnd.IntN(40))
			}
			for range 1 + rnd.IntN(5)*rnd.IntN(5) {
				at = at.Add(time.Duration(rnd.IntN(100)-30) * time.Second)
				observe(at, form)
			}
		}
		switch rnd.IntN(10) {
		case 0:
			together.Reset()
			single.Reset()
		case 1:
			require.NoError(t, together.Load(nil))
			require.NoError(t, single.Load(nil))
		}
		odd += len(settle())
	}
	require.Positive(t, odd)
}

// A sender that makes names up gets no more memory than the limits give.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	limits := shape.Limits{Paths: 300, Children: 50}
	s := newStream(limits)
	rnd := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		b := make([]byte, 3+rnd.IntN(9))
		for i := range b {
			b[i] = byte('a' + rnd.IntN(26))
		}
		return string(b)
	}
	for range 3000 {
		var e strings.Builder
		depth := rnd.IntN(60)
		for range depth {
			fmt.Fprintf(&e, `{%q:1,%q:[`, word()+"1", word())
		}
		e.WriteString("1")
		for range depth {
			e.WriteString("]}")
		}
		event := e.String()
		if depth == 0 {
			event = `{}`
		}
		s.observe(t, event)
		if rnd.IntN(10) == 0 {
			settled := s.Settle(shape.Rules{})
			require.LessOrEqual(t, len(settled.Changed), limits.Paths+1)
			require.NotZero(t, settled.Cut)
		}
	}
	require.LessOrEqual(t, s.Paths(), limits.Paths)
}

func TestWithin(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		top, path string
		want      bool
	}{
		{"data.object", "data.object.amount", true}, {"data.object.amount", "data.object", false}, {"", "a", true}, {"a", "ab", false},
		{"metadata.*", "metadata.plan", true}, {"metadata.plan", "metadata.*.x", true}, {"a[]", "a.b", false}, {"a[].b", "a[0].b", true}, {"a", `$."a".b`, true},
	} {
		require.Equal(t, c.want, shape.Within(c.top, c.path), "%s in %s", c.path, c.top)
	}
	for _, bad := range []string{"a b", "a..b", `"a`, "a[x]", `"a"b`} {
		_, err := shape.Parse(bad)
		require.Error(t, err, bad)
	}
}

func BenchmarkObserve(b *testing.B) {
	s := newStream(shape.Limits{})
	v, err := s.doc.Parse([]byte(invoice))
	require.NoError(b, err)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Observe(v, start, 0)
		if i%5000 == 0 {
			s.Settle(shape.Rules{})
		}
	}
}

// What a map had in a batch before does not hide what the event has that folds it.
func TestAFoldCountsItsEvent(t *testing.T) {
	t.Parallel()
	s := newStream(shape.Limits{Children: 3})
	s.settle(t, times(9, `{"m":{"123":null}}`)...)
	s.observe(t, `{"m":{"a":1,"b":1,"c":1,"d":null}}`)
	for _, p := range s.Settle(shape.Rules{}).Changed {
		if p.Path == "m.*" {
			require.Equal(t, int64(10), p.Null)
		}
	}
}

// Members that another replica stored, of an object that is a map here since this batch, are part of the *, and gone.
func TestTotalsOfAMapOfThisBatch(t *testing.T) {
	t.Parallel()
	limits := shape.Limits{Children: 3}
	other := newStream(limits)
	other.observe(t, times(9, `{"m":{"a":{"x":1},"b b":1,"c":1}}`)...)
	other.observe(t, `{"m":{"123":1}}`)
	stored := other.Settle(shape.Rules{}).Changed
	slices.SortFunc(stored, func(a, b shape.Path) int { return strings.Compare(a.Path, b.Path) }) // as Postgres gives them
	s := newStream(limits)
	s.observe(t, `{"m":{"d":1,"e":1,"f":1}}`, `{"m":{"g":1}}`)
	require.NoError(t, s.Load(stored))
	settled := s.Settle(shape.Rules{})
	require.ElementsMatch(t, []string{"m.a", "m.a.x", `m."b b"`, "m.c"}, settled.Gone)
	paths := map[string]shape.Path{}
	for _, p := range settled.Changed {
		paths[p.Path] = p
	}
	require.True(t, paths["m"].Folded)
	require.Equal(t, int64(12), paths["m"].Present)
	require.Equal(t, int64(3*9+1+4), paths["m.*"].Present)
}
