package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/retry"
)

const (
	// rejectedEvery is how often the receivers are asked, all of them within rejectedTimeout.
	rejectedEvery   = 10 * time.Second
	rejectedTimeout = 5 * time.Second
	// mostReceivers bounds the addresses that one name leads to, and mostMetrics a receiver's answer, in bytes.
	mostReceivers = 64
	mostMetrics   = 8 << 20
	// rejectedMetric is the receiver's.
	rejectedMetric = "throughline_receiver_rejected_total"
)

// counts are requests by source and reason.
type counts map[string]map[string]int64

// rejections knows what the receivers have rejected since they were started, from their metrics. It is asked by pages, which
// never wait for a receiver: what is known is some seconds old, and nothing is known where one does not answer.
type rejections struct {
	pages  []*url.URL // as they are set; a name stands for all addresses that it has
	client *http.Client
	log    *zap.Logger
	last   atomic.Pointer[counts]
}

func newRejections(addresses []string, log *zap.Logger) (*rejections, error) {
	r := &rejections{log: log, client: &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: 2 * rejectedEvery, DisableCompression: true, Proxy: nil},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	for _, address := range addresses {
		u, err := parseMetricsURL(address)
		if err != nil {
			return nil, err
		}
		r.pages = append(r.pages, u)
	}
	return r, nil
}

func parseMetricsURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("--console-receiver-metrics should be addresses like http://receiver:9090/metrics")
	}
	return u, nil
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
	defer r.client.CloseIdleConnections()
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
	ctx, cancel := context.WithTimeout(ctx, rejectedTimeout)
	defer cancel()
	var all []string
	for _, page := range r.pages {
		found, err := addressesOf(ctx, page)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	var mu sync.Mutex
	var failed error
	sum := counts{}
	var asking sync.WaitGroup
	for _, address := range all {
		asking.Go(func() {
			one, err := r.askOne(ctx, address)
			mu.Lock()
			defer mu.Unlock()
			failed = errors.Join(failed, err)
			for source, reasons := range one {
				if sum[source] == nil {
					sum[source] = map[string]int64{}
				}
				for reason, n := range reasons {
					sum[source][reason] += n
				}
			}
		})
	}
	asking.Wait()
	return sum, failed
}

// addressesOf gives the URL of each address that the name of a page has.
func addressesOf(ctx context.Context, page *url.URL) ([]string, error) {
	found, err := net.DefaultResolver.LookupHost(ctx, page.Hostname())
	if err != nil {
		return nil, fmt.Errorf("looking up the receivers: %w", err)
	}
	if len(found) > mostReceivers {
		return nil, fmt.Errorf("%s has %d addresses: at most %d are asked", page.Hostname(), len(found), mostReceivers)
	}
	for i, host := range found {
		u := *page
		port := u.Port()
		if port == "" {
			port = "80"
		}
		u.Host = net.JoinHostPort(host, port)
		found[i] = u.String()
	}
	return found, nil
}

func (r *rejections) askOne(ctx context.Context, address string) (counts, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	answer, err := r.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("a receiver answered %s", answer.Status)
	}
	return readRejected(io.LimitReader(answer.Body, mostMetrics))
}

// readRejected reads what was rejected from a page of metrics. A receiver that has rejected nothing names its sources all the
// same.
func readRejected(page io.Reader) (counts, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(page)
	if err != nil {
		return nil, fmt.Errorf("reading a receiver's metrics: %w", err)
	}
	sum := counts{}
	for _, m := range families[rejectedMetric].GetMetric() {
		labels := map[string]string{}
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = l.GetValue()
		}
		source, reason := labels["source"], labels["reason"]
		if source == "" || strings.ContainsRune(source+reason, 0) {
			continue
		}
		if sum[source] == nil {
			sum[source] = map[string]int64{}
		}
		if n := int64(m.GetCounter().GetValue() + m.GetUntyped().GetValue()); n > 0 {
			sum[source][reason] += n
		}
	}
	return sum, nil
}
