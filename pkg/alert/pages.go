package alert

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/throughline-dev/throughline/pkg/scrape"
)

// ratePeriod is what increases are told as.
const ratePeriod = 15 * time.Minute

// pages reads the services' metrics pages, and remembers their counters.
type pages struct {
	addresses []*url.URL
	scraper   *scrape.Scraper

	at       time.Time
	counters map[string]float64 // by page and series, of the last look
	deleted  deletions
}

func newPages(addresses []string) *pages {
	p := &pages{scraper: scrape.New(), deleted: deletions{counted: map[string]amount{}, lost: map[[2]string]amount{}}}
	for _, address := range addresses {
		if u, err := scrape.Parse(address); err == nil { // Config.Validate has said so
			p.addresses = append(p.addresses, u)
		}
	}
	return p
}

// look reads all pages; nil where there is none to read.
func (p *pages) look(ctx context.Context, now time.Time) *Metrics {
	if len(p.addresses) == 0 {
		return nil
	}
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
	for _, one := range p.scraper.Read(ctx, p.addresses) {
		if one.Err != nil {
			m.Unreachable = append(m.Unreachable, one.Name)
			continue
		}
		for _, s := range one.Families["throughline_build_info"].GetMetric() {
			m.Services[scrape.Label(s, "service")]++
		}
		p.deleted.take(one.Address, one.Families, now)
		m.Held += sum(one.Families["throughline_sink_held_partitions"])
		m.Keepers += sum(one.Families["throughline_sink_gin_keeper"])
		for _, s := range one.Families["throughline_receiver_spool_deliveries"].GetMetric() {
			m.Spooled[scrape.Label(s, "source")] += s.GetGauge().GetValue()
		}
		for _, s := range one.Families["throughline_receiver_rejected_total"].GetMetric() {
			if scrape.Label(s, "reason") == "unauthenticated" {
				source := scrape.Label(s, "source")
				m.Unauthenticated[source] += grown(one.Address+" unauthenticated "+source, s.GetCounter().GetValue())
			}
		}
		for _, s := range one.Families["throughline_sink_visible_age_seconds"].GetMetric() {
			source := scrape.Label(s, "source")
			ages += grown(one.Address+" age "+source, s.GetHistogram().GetSampleSum())
			aged += grown(one.Address+" aged "+source, float64(s.GetHistogram().GetSampleCount()))
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
	p.at, p.counters, m.Deleted = now, counters, p.deleted.recent(now)
	slices.Sort(m.Unreachable)
	m.Unreachable = slices.Compact(m.Unreachable)
	return m
}

func sum(family *dto.MetricFamily) (total float64) {
	for _, m := range family.GetMetric() {
		total += m.GetGauge().GetValue()
	}
	return total
}

// AddressProblem says what is wrong with an admin address; "" when nothing is.
func AddressProblem(address string) string {
	if _, err := scrape.Parse(address); err != nil {
		return fmt.Sprintf("--metrics is %q: it should be addresses like http://sink:9090", plain(address))
	}
	return ""
}
