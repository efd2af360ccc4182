package learn_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/learn"
	"github.com/throughline-dev/throughline/pkg/source"
)

// BenchmarkLearning learns 100,000 references of a vendor that answers at once: each is
// a contact, of one of 1,000 companies that are linked. It runs as the service does.
func BenchmarkLearning(b *testing.B) {
	const n, companies = 100_000, 1000
	for b.Loop() {
		b.StopTimer()
		v := newVendor("hubspot", 100, "contact", "company")
		w := newWorld(b, v)
		for i := range companies {
			w.link(fmt.Sprint("hubspot/1:company:", 1_000_000+i), w.account(fmt.Sprint("Company ", i), ""))
		}
		for i := range n {
			v.says(fmt.Sprint("contact:", 10_000+i), lead(source.LeadVendor, "hubspot", "company", fmt.Sprint(1_000_000+i%companies)))
		}
		w.wait(n)
		w.queries.n = 0
		var linked atomic.Int64
		all := make(chan struct{})
		w.options.Observe = func(d learn.Done) {
			if linked.Add(int64(d.ByRule[learn.RuleAssociation])) == n && len(d.ByRule) > 0 {
				close(all)
			}
		}
		b.StartTimer()
		ctx, stop := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- w.learner().Run(ctx) }()
		<-all
		b.StopTimer()
		stop()
		require.NoError(b, <-done)
		b.ReportMetric(float64(v.calls), "calls")
		b.ReportMetric(float64(w.queries.n), "statements")
		b.StartTimer()
	}
}
