package console

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/retry"
	"github.com/throughline-dev/throughline/pkg/scrape"
)

const (
	// rejectedEvery is how often the receivers are asked.
	rejectedEvery = 10 * time.Second
	// rejectedMetric is the receiver's.
	rejectedMetric = "throughline_receiver_rejected_total"
)

// counts are requests by source and reason.
type counts map[string]map[string]int64

// rejections knows what the receivers have rejected since they were started, from their metrics. It is asked by pages, which
// never wait for a receiver: what is known is some seconds old, and nothing is known where one does not answer.
type rejections struct {
	pages   []*url.URL // as they are set; a name stands for all addresses that it has
	scraper *scrape.Scraper
	log     *zap.Logger
	last    atomic.Pointer[counts]
}

func newRejections(addresses []string, log *zap.Logger) (*rejections, error) {
	r := &rejections{log: log, scraper: scrape.New()}
	for _, address := range addresses {
		u, err := scrape.Parse(address)
		if err != nil {
			return nil, fmt.Errorf("--console-receiver-metrics: %w", err)
		}
		r.pages = append(r.pages, u)
	}
	return r, nil
}

// Rejected is backend.Options.Rejected.
func (r *rejections) Rejected(context.Context) (map[string]map[string]int64, error) {
	if known := r.last.Load(); known != nil {
		return *known, nil
	}
	return nil, errors.New("not every receiver tells what it has rejected")
}

// run asks again and again until ctx ends.
func (r *rejections) run(ctx context.Context) error {
	told := &retry.Told{Log: r.log}
	const doing = "asking the receivers for their metrics"
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		sum, err := r.ask(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			r.last.Store(nil)
			told.Failed(doing, err, rejectedEvery)
		default:
			r.last.Store(&sum)
			told.Succeeded(doing)
		}
		timer.Reset(rejectedEvery)
	}
}

// ask gives the sum of all receivers. One that does not answer is an error: a sum without it would be wrong.
func (r *rejections) ask(ctx context.Context) (counts, error) {
	sum := counts{}
	for _, page := range r.scraper.Read(ctx, r.pages) {
		if page.Err != nil {
			return nil, page.Err
		}
		sum.add(page.Families[rejectedMetric])
	}
	return sum, nil
}

// add adds what a receiver has rejected. One that has rejected nothing names its sources all the same.
func (c counts) add(family *dto.MetricFamily) {
	for _, m := range family.GetMetric() {
		source, reason := scrape.Label(m, "source"), scrape.Label(m, "reason")
		if source == "" || strings.ContainsRune(source+reason, 0) {
			continue
		}
		if c[source] == nil {
			c[source] = map[string]int64{}
		}
		if n := int64(m.GetCounter().GetValue() + m.GetUntyped().GetValue()); n > 0 {
			c[source][reason] += n
		}
	}
}
