package postgres

import (
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// poolMetrics tells of a pool whenever it is asked.
type poolMetrics struct {
	pool                      *pgxpool.Pool
	connections, most, waited *prometheus.Desc
}

// NewPoolMetrics gives the metrics of a pool, for a registry. kind tells a process's pools apart: "pool", or "direct" for
// the one past a pooler.
func NewPoolMetrics(pool *pgxpool.Pool, kind string) prometheus.Collector {
	labels := prometheus.Labels{"pool": kind}
	return &poolMetrics{
		pool:        pool,
		connections: prometheus.NewDesc("throughline_postgres_connections", "Connections to Postgres, by state: acquired, idle.", []string{"state"}, labels),
		most:        prometheus.NewDesc("throughline_postgres_connections_max", "Most connections of this pool (--postgres-max-conns).", nil, labels),
		waited:      prometheus.NewDesc("throughline_postgres_acquire_waits_total", "Times that work waited for a connection, because none was idle.", nil, labels),
	}
}

// Describe is prometheus.Collector's.
func (m *poolMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.connections
	ch <- m.most
	ch <- m.waited
}

// Collect is prometheus.Collector's.
func (m *poolMetrics) Collect(ch chan<- prometheus.Metric) {
	s := m.pool.Stat()
	ch <- prometheus.MustNewConstMetric(m.connections, prometheus.GaugeValue, float64(s.AcquiredConns()), "acquired")
	ch <- prometheus.MustNewConstMetric(m.connections, prometheus.GaugeValue, float64(s.IdleConns()), "idle")
	ch <- prometheus.MustNewConstMetric(m.most, prometheus.GaugeValue, float64(s.MaxConns()))
	ch <- prometheus.MustNewConstMetric(m.waited, prometheus.CounterValue, float64(s.EmptyAcquireCount()))
}
