package rawjson

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func (d *Doc) indexBytes() int { return cap(d.nodes)*nodeBytes + cap(d.slots)*8 }

// fill repeats part until size is near.
func fill(open, part, end string, size int) []byte {
	return []byte(open + strings.Repeat(part, (size-len(open)-len(end))/len(part)) + end)
}

// names makes an object of many distinct names.
func names(size int) []byte {
	var b strings.Builder
	b.WriteString(`{"":0`)
	for i := 0; b.Len() < size-16; i++ {
		fmt.Fprintf(&b, `,"%x":1`, i)
	}
	b.WriteString("}")
	return []byte(b.String())
}

// hostile are the documents that make the largest index, or the most work.
func hostile(size int) map[string][]byte {
	return map[string][]byte{
		"elements":        fill(`{"a":[1`, `,1`, `]}`, size),
		"empty arrays":    fill(`{"a":[1`, `,[]`, `]}`, size),
		"small objects":   fill(`{"a":[1`, `,{"":1}`, `]}`, size),
		"names":           names(size),
		"duplicate names": fill(`{"a":1`, `,"a":1`, `}`, size),
		"escaped names":   fill(`{"a":1`, `,"\u0061":1`, `}`, size),
		"long names":      fill(`{"a":1`, `,"`+strings.Repeat("x", 5000)+`":1`, `}`, size),
		"escapes":         fill(`{"a":"`, `\n`, `"}`, size),
		"surrogates":      fill(`{"a":"`, `\ud800`, `"}`, size),
		"NULs":            fill(`{"a":"`, `\u0000`, `"}`, size),
		"no UTF-8":        fill(`{"a":"`, "\xff", `"}`, size),
		"digits":          fill(`{"a":1`, `9`, `}`, size),
		"exponents":       fill(`{"a":[1`, `,1e308`, `]}`, size),
		"deep":            fill(`{"a":[1`, `,`+strings.Repeat("[", 100)+strings.Repeat("]", 100), `]}`, size),
		"deep objects":    fill(`{"a":[1`, `,`+strings.Repeat(`{"":`, 100)+"1"+strings.Repeat("}", 100), `]}`, size),
		"white space":     fill(`{"a":1`, ` `, `}`, size),
	}
}

// What the package comment says of memory holds, and a large index is let go of.
func TestIndexIsBounded(t *testing.T) {
	t.Parallel()
	for _, size := range []int{MaxRecordBytes, MaxPageBytes} {
		bound := MaxIndexBytes
		if size == MaxRecordBytes {
			bound = 15 << 20
		}
		for name, raw := range hostile(size) {
			if size == MaxPageBytes && name != "elements" && name != "names" {
				continue // its index is no larger than a record's
			}
			var d Doc
			v, err := d.ParseBody(raw, 0)
			require.NoError(t, err, name)
			require.LessOrEqual(t, d.indexBytes(), bound, name)
			require.LessOrEqual(t, len(d.notes), maxNotes, name)
			require.True(t, v.Get("a").Exists() || name == "names", name)
			_, err = d.Parse([]byte(`{}`))
			require.NoError(t, err)
			require.LessOrEqual(t, d.indexBytes(), keepNodes*nodeBytes+keepSlots*8, name)
		}
	}
	require.LessOrEqual(t, MaxIndexBytes, 21<<20, "as the package comment says")
}

// Where the index is full, members are read by their bytes.
func TestFullIndex(t *testing.T) {
	t.Parallel()
	raw := fill(`{"first":{"b":1},"a":[1`, `,1`, `],"last":{"b":2,"c":"\u0000"}}`, 4*MaxRecordBytes)
	var d Doc
	v, err := d.ParseBody(raw, 0)
	require.NoError(t, err)
	require.Len(t, d.nodes, maxNodes)
	require.Equal(t, 3, v.Len())
	require.Equal(t, "1", v.At("first", "b").Literal())
	require.Equal(t, "2", v.At("last", "b").Literal())
	require.NoError(t, v.Get("first").Check())
	require.ErrorContains(t, v.Get("last").Check(), "NUL")
	require.Equal(t, strings.Count(string(raw), ",1")+1, v.Get("a").Len())
}

// Quadratic work on a record of 1 MiB would take ten seconds and more; linear
// work takes a hundredth of one.
func TestWorkIsLinear(t *testing.T) {
	t.Parallel()
	for name, raw := range hostile(MaxRecordBytes) {
		var d Doc
		best := time.Hour
		for try := 0; try < 20 && best > 2*time.Second; try++ { // others may have the processor
			start := time.Now()
			v, err := d.ParseBody(raw, 0)
			require.NoError(t, err)
			_ = v.Check()
			best = min(best, time.Since(start))
		}
		require.Less(t, best, 2*time.Second, name)
	}
}

func TestReuseAllocatesNothing(t *testing.T) {
	var d Doc
	for _, file := range vendorFiles(t) {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Zero(t, testing.AllocsPerRun(20, func() {
			v, _ := d.ParseBody(raw, 0)
			_ = v.At("data", "object", "customer").TextBytes()
			v.Each(func([]byte, Value) bool { return true })
			if v.Kind() == Object && len(d.notes) == 0 {
				_ = v.Check()
			}
		}), file)
	}
}

// Stamps of earlier documents stay empty when their counter starts again.
func TestStampsStartAgain(t *testing.T) {
	t.Parallel()
	for _, base := range []uint32{0, 1<<32 - maxNodes - 5, 1<<32 - maxNodes - 3, 1<<32 - 2} {
		var d Doc
		_, err := d.Parse([]byte(`{"a":1,"b":2}`))
		require.NoError(t, err)
		d.base = max(d.base, base)
		v, err := d.Parse([]byte(`{"o":{"b":1}}`))
		require.NoError(t, err)
		require.False(t, v.Get("b").Exists(), "b was the top's in the first document")
		for range 5 {
			v, err := d.Parse([]byte(`{"c":1,"a":2}`))
			require.NoError(t, err)
			require.Equal(t, "2", v.Get("a").Literal())
			require.False(t, v.Get("b").Exists())
			_, err = d.Parse([]byte(`{"c":1,"a":2,"c":3}`))
			require.ErrorContains(t, err, "duplicate")
			_, err = d.Parse([]byte(`{"":x}`)) // its name is entered, its value is not noted
			require.Error(t, err)
			_, err = d.Parse([]byte(`{"":1}`))
			require.NoError(t, err)
		}
	}
}

func vendorFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../source/*/testdata/*.json")
	require.NoError(t, err)
	more, err := filepath.Glob("../source/*/testdata/*/*.json")
	require.NoError(t, err)
	files = append(files, more...)
	require.NotEmpty(t, files)
	return files
}
