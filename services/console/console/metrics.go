package console

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	closed   *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_console_requests_total",
			Help: "Requests, by what was asked for (api, page, asset, signin) and status."}, []string{"kind", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "throughline_console_request_seconds",
			Help: "How long answers took, streams aside, by what was asked for.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)}, []string{"kind"}),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "throughline_console_connections_closed_total",
			Help: "Connections closed to keep within a limit, by limit (address, all)."}, []string{"cause"}),
	}
	reg.MustRegister(m.requests, m.seconds, m.closed)
	return m
}

// connections shows how many are open.
func (m *metrics) connections(reg prometheus.Registerer, count func() int64) {
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "throughline_console_connections", Help: "Open connections."},
		func() float64 { return float64(count()) }))
}

func (m *metrics) answered(r *http.Request, status int, took time.Duration) {
	if status == 0 { // nothing was written: net/http answers 200
		status = http.StatusOK
	}
	kind := kindOf(r.URL.Path)
	m.requests.WithLabelValues(kind, strconv.Itoa(status)).Inc()
	if !isStream(r) {
		m.seconds.WithLabelValues(kind).Observe(took.Seconds())
	}
}

func kindOf(path string) string {
	switch {
	case strings.Contains(path, "/api/"):
		return "api"
	case strings.Contains(path, "/assets/"):
		return "asset"
	case strings.Contains(path, "/signin"), strings.HasSuffix(path, "/signout"):
		return "signin"
	}
	return "page"
}
