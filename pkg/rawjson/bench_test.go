package rawjson_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/rawjson"
)

// benchmarks are records of 1, 10 and 100 KB: a Stripe invoice, and one with lines.
func benchmarks(b *testing.B) map[string][]byte {
	b.Helper()
	invoice, err := os.ReadFile("testdata/invoice.json")
	require.NoError(b, err)
	invoice = bytes.TrimSpace(invoice)
	lines := func(n int) []byte {
		all := make([]string, n)
		for i := range all {
			all[i] = string(invoice)
		}
		return fmt.Appendf(nil, `{"object":"list","data":[%s],"has_more":false}`, strings.Join(all, ","))
	}
	return map[string][]byte{"1KB": invoice, "10KB": lines(10), "100KB": lines(100)}
}

func BenchmarkParse(b *testing.B) {
	for size, raw := range benchmarks(b) {
		run := func(name string, read func() error) {
			b.Run(size+"/"+name, func(b *testing.B) {
				b.SetBytes(int64(len(raw)))
				b.ReportAllocs()
				for b.Loop() {
					if err := read(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		var doc rawjson.Doc
		run("Parse", func() error { _, err := doc.Parse(raw); return err })
		run("ParseBody", func() error { _, err := doc.ParseBody(raw, 0); return err })
		run("Grammar", func() error { return rawjson.Grammar(raw) })
		run("jsontext", func() error { return jsontext.NewDecoder(bytes.NewBuffer(raw)).SkipValue() })
	}
}

var sink string

func BenchmarkGet(b *testing.B) {
	raw := benchmarks(b)["1KB"]
	var doc rawjson.Doc
	v, err := doc.Parse(raw)
	require.NoError(b, err)
	object := v.At("data", "object")
	b.Run("Get", func(b *testing.B) {
		for b.Loop() {
			_ = object.Get("customer")
		}
	})
	b.Run("Text", func(b *testing.B) {
		for b.Loop() {
			sink = object.Get("customer").Text()
		}
	})
	b.Run("Each", func(b *testing.B) {
		for b.Loop() {
			object.Each(func(name []byte, m rawjson.Value) bool { return len(name) > 0 })
		}
	})
}
