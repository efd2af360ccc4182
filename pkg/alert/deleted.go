package alert

import (
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/throughline-dev/throughline/pkg/scrape"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// deletedFor is how long a loss is alerted on: a counter tells of it once, and nothing says that it is over.
const deletedFor = time.Hour

// deletedStages are the stages whose loss leaves events on no timeline.
func deletedStages() []string { return []string{stream.Normalizer, stream.Sink, stream.Quarantine} }

// Deleted are records of a topic that the brokers deleted before a stage had read them.
type Deleted struct {
	Stage, Topic string
	Records      float64
}

// source gives the source whose raw topic it is; "": another topic.
func (d Deleted) source() string {
	name, _ := stream.SourceOfTopic(d.Topic)
	return name
}

// deletions remembers what the services have counted.
type deletions struct {
	counted map[string]amount // by page, stage and topic
	lost    map[[2]string]amount
}

// amount is how much there was when.
type amount struct {
	records float64
	at      time.Time
}

// take takes in a page. A service whose page was not seen before has counted from 0, as one that began anew has: what it had
// not read is often what was deleted while it was down.
func (d *deletions) take(address string, families map[string]*dto.MetricFamily, now time.Time) {
	for _, stage := range deletedStages() {
		for _, s := range families["throughline_"+stage+"_deleted_unread_total"].GetMetric() {
			topic, value := scrape.Label(s, "topic"), s.GetCounter().GetValue()
			key := strings.Join([]string{address, stage, topic}, " ")
			before := d.counted[key].records
			if value < before {
				before = 0
			}
			d.counted[key] = amount{value, now}
			if value > before {
				of := [2]string{stage, topic}
				d.lost[of] = amount{d.lost[of].records + value - before, now}
			}
		}
	}
}

// recent gives what was lost not long ago, and forgets the rest.
func (d *deletions) recent(now time.Time) (all []Deleted) {
	for key, c := range d.counted {
		if now.Sub(c.at) > deletedFor {
			delete(d.counted, key)
		}
	}
	for of, l := range d.lost {
		if now.Sub(l.at) > deletedFor {
			delete(d.lost, of)
			continue
		}
		all = append(all, Deleted{of[0], of[1], l.records})
	}
	return all
}
