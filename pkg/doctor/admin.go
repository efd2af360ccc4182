package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/throughline-dev/throughline/pkg/scrape"
	"github.com/throughline-dev/throughline/pkg/service"
)

const (
	adminName    = "service"
	adminTimeout = 8 * time.Second
	// adminBytes bounds what a service says of itself.
	adminBytes = 8 << 20
)

func adminCheck() Check {
	return Check{adminName, "a service says that it is ready, holds no partition, has nothing on its spool and lost nothing unread", (*examination).service}
}

// service asks a service's admin port for what only it knows.
func (e *examination) service(ctx context.Context, address string) Finding {
	if address == "" {
		return notChecked("give the services' admin ports: --admin http://HOST:9090, once for each", "held partitions and the spool are seen from the services only")
	}
	const do = "check the address (THROUGHLINE_ADMIN_ADDR of the service) and that the service runs"
	client := &http.Client{Timeout: adminTimeout}
	defer client.CloseIdleConnections()
	var report service.HealthReport
	body, err := get(ctx, client, address+"/readyz?verbose", http.StatusOK, http.StatusServiceUnavailable)
	if err == nil {
		err = json.Unmarshal(body, &report)
	}
	if err != nil {
		return failed(do, "it says nothing about its readiness: %v", err)
	}
	var wrong, advice, notes []string
	for _, c := range report.Components {
		switch {
		case !c.Ready:
			wrong = append(wrong, c.Name+": "+c.Error)
			if c.Advice != "" {
				advice = append(advice, c.Advice)
			}
		case c.Note != "":
			notes = append(notes, c.Note)
		}
	}
	body, err = get(ctx, client, address+"/metrics", http.StatusOK)
	if err != nil {
		return failed(do, "it gives no metrics: %v", err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	metrics, err := parser.TextToMetricFamilies(strings.NewReader(string(body)))
	if err != nil {
		return failed(do, "what it gives as metrics cannot be read: %v", err)
	}
	name := "a service"
	if info := metrics["throughline_build_info"]; info != nil && len(info.Metric) > 0 {
		if name = "the " + scrape.Label(info.Metric[0], "service"); name == "the dev" {
			name = "throughline dev" // all services in one process
		}
	}
	if n := sum(metrics["throughline_sink_held_partitions"]); n > 0 {
		return failed(strings.Join(append(advice, "docs/operations/runbooks/ThroughlineSinkHeld.md"), "; "), "%s holds %v partitions, because Postgres refuses row after row: %s", name, n, some(wrong))
	}
	if len(wrong) > 0 || !report.Ready {
		if len(advice) == 0 {
			advice = []string{"wait; if it stays so, look at the service's log"}
		}
		return failed(some(advice), "%s is not ready: %s", name, some(wrong))
	}
	if n, topics := deletedUnread(metrics); n > 0 {
		return warning("docs/operations/runbooks/ThroughlineDeletedUnread.md", "%s says: since it began the brokers deleted %v records before it had read them, of %s", name, n, some(topics))
	}
	if n := sum(metrics["throughline_receiver_spool_deliveries"]); n > 0 {
		return warning("see kafka.partitions; they are published when the brokers take them", "%s has %v deliveries on its spool", name, n)
	}
	if len(notes) > 0 {
		return warning("see docs/operations/upgrade.md for the schema, docs/operations/runbooks/ThroughlineCertificateExpires.md for a certificate", "%s is ready, and says: %s", name, some(notes))
	}
	return ok("%s is ready", name)
}

// deletedUnread gives how much the brokers deleted before the service had read it, and of which topics.
func deletedUnread(metrics map[string]*dto.MetricFamily) (records float64, topics []string) {
	for name, family := range metrics {
		if !strings.HasPrefix(name, "throughline_") || !strings.HasSuffix(name, "_deleted_unread_total") {
			continue
		}
		for _, m := range family.GetMetric() {
			if n := m.GetCounter().GetValue(); n > 0 {
				records, topics = records+n, append(topics, scrape.Label(m, "topic"))
			}
		}
	}
	return records, topics
}

func get(ctx context.Context, client *http.Client, url string, want ...int) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	for _, status := range want {
		if answer.StatusCode == status {
			return io.ReadAll(io.LimitReader(answer.Body, adminBytes))
		}
	}
	return nil, fmt.Errorf("it answers %d", answer.StatusCode)
}

func sum(family *dto.MetricFamily) (total float64) {
	for _, m := range family.GetMetric() {
		total += m.GetGauge().GetValue()
	}
	return total
}
