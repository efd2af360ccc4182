package sourcetest

import (
	"testing"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Bench measures, for each event of testdata that describes well, what it costs
// to describe it once it is scanned, and to scan, check, describe and key it.
// Call it from the source's own benchmark.
func Bench(b *testing.B, src source.Webhook) {
	s := newSuite(b, src, Config{Secret: "bench-secret-0123456789"})
	run := func(name string, r source.Record) {
		r = s.received(r)
		var doc rawjson.Doc
		object, err := doc.Parse(r.Value)
		if err != nil {
			return
		}
		if _, _, err := source.Keyed(src, r); err != nil {
			return
		}
		b.Run("describe/"+name, func(b *testing.B) {
			r := r
			r.Object = object
			b.ReportAllocs()
			for b.Loop() {
				if _, err := src.Describe(r); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("keyed/"+name, func(b *testing.B) {
			b.SetBytes(int64(len(r.Value)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := source.Keyed(src, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	for _, c := range s.deliveries {
		records, err := s.split(c.body)
		if err == nil && len(records) > 0 {
			run(c.name, source.Record{Value: records[0].Value, Tenant: records[0].Tenant})
		}
	}
	for _, c := range s.records {
		run("records/"+c.name, source.Record{Value: c.body})
	}
}
