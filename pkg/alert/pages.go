package alert

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	pageTimeout = 5 * time.Second
	// pageBytes bounds what a service says of itself.
	pageBytes = 8 << 20
	// mostPages bounds the addresses that the names lead to.
	mostPages = 100
	// ratePeriod is what increases are told as.
	ratePeriod = 15 * time.Minute
)

// pages reads the services' metrics pages, and remembers their counters.
type pages struct {
	addresses []string
	client    *http.Client
	lookup    func(ctx context.Context, host string) ([]string, error)

	at       time.Time
	counters map[string]float64 // by page and series, of the last look
}

func newPages(addresses []string) *pages {
	return &pages{addresses: addresses, lookup: net.DefaultResolver.LookupHost,
		client: &http.Client{Timeout: pageTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// page is what one address says.
type page struct {
	name     string // its host and port, for people
	address  string
	families map[string]*dto.MetricFamily // nil: it does not answer
}

// look reads all pages; nil where there is none to read.
func (p *pages) look(ctx context.Context, now time.Time) *Metrics {
	if len(p.addresses) == 0 {
		return nil
	}
	all := p.resolve(ctx)
	var wait sync.WaitGroup
	for i := range all {
		if all[i].address != "" {
			wait.Go(func() { all[i].families = p.read(ctx, all[i].address) })
		}
	}
	wait.Wait()
	p.client.CloseIdleConnections()
	m := &Metrics{Services: map[string]int{}, Spooled: map[string]float64{}, Unauthenticated: map[string]float64{}}
	counters := map[string]float64{}
	var ages, aged float64
	grown := func(key string, value float64) float64 {
		counters[key] = value
		before, known := p.counters[key]
		if !known || value < before { // it has started anew
			return 0
		}
		return value - before
	}
	for _, one := range all {
		if one.families == nil {
			m.Unreachable = append(m.Unreachable, one.name)
			continue
		}
		for _, s := range one.families["throughline_build_info"].GetMetric() {
			m.Services[label(s, "service")]++
		}
		m.Held += sum(one.families["throughline_sink_held_partitions"])
		m.Keepers += sum(one.families["throughline_sink_gin_keeper"])
		for _, s := range one.families["throughline_receiver_spool_deliveries"].GetMetric() {
			m.Spooled[label(s, "source")] += s.GetGauge().GetValue()
		}
		for _, s := range one.families["throughline_receiver_rejected_total"].GetMetric() {
			if label(s, "reason") == "unauthenticated" {
				source := label(s, "source")
				m.Unauthenticated[source] += grown(one.address+" unauthenticated "+source, s.GetCounter().GetValue())
			}
		}
		for _, s := range one.families["throughline_sink_visible_age_seconds"].GetMetric() {
			source := label(s, "source")
			ages += grown(one.address+" age "+source, s.GetHistogram().GetSampleSum())
			aged += grown(one.address+" aged "+source, float64(s.GetHistogram().GetSampleCount()))
		}
	}
	if passed := now.Sub(p.at); !p.at.IsZero() && passed > 0 {
		m.RatesKnown, m.LateKnown = true, true
		for source := range m.Unauthenticated {
			m.Unauthenticated[source] *= max(1, float64(ratePeriod)/float64(max(passed, time.Minute)))
		}
		if aged > 0 {
			m.Late = time.Duration(ages / aged * float64(time.Second))
		}
	}
	p.at, p.counters = now, counters
	slices.Sort(m.Unreachable)
	m.Unreachable = slices.Compact(m.Unreachable)
	return m
}

// resolve gives a page for each address that the names lead to.
func (p *pages) resolve(ctx context.Context) (all []page) {
	for _, address := range p.addresses {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" {
			continue // Config.Validate has said so
		}
		hosts := []string{u.Hostname()}
		if net.ParseIP(u.Hostname()) == nil {
			bounded, cancel := context.WithTimeout(ctx, pageTimeout)
			if hosts, err = p.lookup(bounded, u.Hostname()); err != nil || len(hosts) == 0 {
				all = append(all, page{name: u.Host})
			}
			cancel()
		}
		for _, host := range hosts {
			at := *u
			if at.Host = host; strings.Contains(host, ":") {
				at.Host = "[" + host + "]"
			}
			if port := u.Port(); port != "" {
				at.Host = net.JoinHostPort(host, port)
			}
			if len(all) < mostPages {
				all = append(all, page{name: u.Host, address: strings.TrimRight(at.String(), "/")})
			}
		}
	}
	return all
}

// read reads one page; nil: it does not answer, or not as a metrics page.
func (p *pages) read(ctx context.Context, address string) map[string]*dto.MetricFamily {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address+"/metrics", nil)
	if err != nil {
		return nil
	}
	answer, err := p.client.Do(request)
	if err != nil {
		return nil
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, pageBytes))
	if err != nil || answer.StatusCode != http.StatusOK {
		return nil
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(body)))
	if err != nil {
		return nil
	}
	return families
}

func label(m *dto.Metric, name string) string {
	for _, pair := range m.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}

func sum(family *dto.MetricFamily) (total float64) {
	for _, m := range family.GetMetric() {
		total += m.GetGauge().GetValue()
	}
	return total
}

// AddressProblem says what is wrong with an admin address; "" when nothing is.
func AddressProblem(address string) string {
	if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil {
		return fmt.Sprintf("--metrics is %q: it should be addresses like http://sink:9090", plain(address))
	}
	return ""
}
