// Package scrape reads the metrics pages of services, as Prometheus does, for what has to know a few of them without it.
package scrape

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
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const (
	// timeout bounds a look-up of a name, and the reading of a page.
	timeout = 5 * time.Second
	// mostBytes bounds a page.
	mostBytes = 8 << 20
	// mostPages bounds the addresses that all names together lead to.
	mostPages = 100
)

// Page is what one address says of its service.
type Page struct {
	Name     string // its host and port as they are set, for people
	Address  string // its own; "" where the name leads to none
	Families map[string]*dto.MetricFamily
	Err      error // why there are none
}

// Scraper reads pages. It is safe for concurrent use.
type Scraper struct {
	// Lookup gives the addresses of a name; it is the system's.
	Lookup func(ctx context.Context, host string) ([]string, error)
	client *http.Client
}

// New makes one. It goes through no proxy and follows no redirect.
func New() *Scraper {
	return &Scraper{Lookup: net.DefaultResolver.LookupHost, client: &http.Client{
		Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Parse reads the address of a page, or of the service, to whose path /metrics is added. The error does not hold the text.
func Parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("it should be an address like http://receiver:9090")
	}
	if u.Path = strings.TrimRight(u.Path, "/"); !strings.HasSuffix(u.Path, "/metrics") {
		u.Path += "/metrics"
	}
	return u, nil
}

// Read reads the page at each address that each name has: of 100 at most, all at once, each within 5 seconds. A name or an
// address that does not answer is a Page with an error.
func (s *Scraper) Read(ctx context.Context, pages []*url.URL) []Page {
	var all []Page
	for _, u := range pages {
		all = append(all, s.resolve(ctx, u)...)
	}
	for i := mostPages; i < len(all); i++ {
		all[i].Err = fmt.Errorf("at most %d addresses are asked", mostPages)
	}
	var reading sync.WaitGroup
	for i := range all {
		if p := &all[i]; p.Err == nil {
			reading.Go(func() { p.Families, p.Err = s.read(ctx, p.Address) })
		}
	}
	reading.Wait()
	return all
}

// resolve gives a page for each address of a name.
func (s *Scraper) resolve(ctx context.Context, u *url.URL) (all []Page) {
	hosts := []string{u.Hostname()}
	if net.ParseIP(u.Hostname()) == nil {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		var err error
		if hosts, err = s.Lookup(ctx, u.Hostname()); err != nil || len(hosts) == 0 {
			return []Page{{Name: u.Host, Err: fmt.Errorf("looking up %s: %w", u.Hostname(), errors.Join(errors.New("no address"), err))}}
		}
	}
	for _, host := range hosts {
		at := *u
		switch port := u.Port(); {
		case port != "":
			at.Host = net.JoinHostPort(host, port)
		case strings.Contains(host, ":"):
			at.Host = "[" + host + "]"
		default:
			at.Host = host
		}
		all = append(all, Page{Name: u.Host, Address: at.String()})
	}
	return all
}

func (s *Scraper) read(ctx context.Context, address string) (map[string]*dto.MetricFamily, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	answer, err := s.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", address, answer.Status)
	}
	body := &io.LimitedReader{R: answer.Body, N: mostBytes + 1}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(body)
	switch {
	case body.N <= 0:
		return nil, fmt.Errorf("%s has more than %d bytes", address, mostBytes)
	case err != nil:
		return nil, fmt.Errorf("reading the metrics of %s: %w", address, err)
	}
	return families, nil
}

// Label gives a metric's label; "" where it has none of the name.
func Label(m *dto.Metric, name string) string {
	for _, pair := range m.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}
