package service

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// NewRegistry makes a registry with the Go and process metrics and
// throughline_build_info, whose value is 1 and whose labels are the service, its
// version and Go's.
func NewRegistry(service string) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "throughline_build_info",
		Help: "What is running; always 1.",
		ConstLabels: prometheus.Labels{
			"service": service, "version": settings.Version(), "goversion": runtime.Version(),
		},
	})
	info.Set(1)
	registry.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}
