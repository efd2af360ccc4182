package api

import (
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/retention"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// RetentionDue is what a table or a topic keeps, and what is too old.
type RetentionDue struct {
	Table   string     `json:"table,omitempty"`
	Topic   string     `json:"topic,omitempty"`
	What    string     `json:"what"`
	Oldest  *time.Time `json:"oldest,omitempty"`
	Keep    string     `json:"keep"`              // a duration, or forever
	Setting string     `json:"setting,omitempty"` // that says so; none: it is fixed
	Does    string     `json:"does"`              // apply, or `throughline topics apply`, in words

	// Of a table.
	Before *time.Time `json:"before,omitempty"` // rows from before are deleted
	Rows   int64      `json:"rows,omitempty"`   // from before
	More   bool       `json:"more,omitempty"`   // there may be more: no further was counted
	Bytes  *int64     `json:"bytes,omitempty"`  // of these rows, about

	// Of a topic.
	KeepBytes *int64 `json:"keep_bytes,omitempty"` // retention.bytes; none: no bound
	Wanted    string `json:"wanted,omitempty"`     // what `throughline topics apply` would set
}

// RetentionDone is what was deleted from a table.
type RetentionDone struct {
	Table  string    `json:"table"`
	Rows   int64     `json:"rows"`
	Before time.Time `json:"before"`
	Vacuum bool      `json:"vacuum,omitempty"` // worth one by hand
}

// forever is how JSON says that there is no end.
const forever = "forever"

// NewRetentionDue makes the JSON form of a table.
func NewRetentionDue(d retention.Due) RetentionDue {
	v := RetentionDue{Table: d.Table, What: d.What, Setting: d.Setting, Keep: forever, Does: "keeps all", Rows: d.Rows, More: d.More, Oldest: moment(d.Oldest), Before: moment(d.Before)}
	if d.Deletes() {
		v.Keep, v.Does = span(d.Keep), "nothing is too old"
		if d.Rows > 0 {
			v.Does = "deletes them"
			if d.Bytes >= 0 {
				v.Bytes = &d.Bytes
			}
		}
	}
	return v
}

// span is a duration as people type it: 26280h.
func span(d time.Duration) string {
	text := d.String()
	for _, rest := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, rest) {
			text = text[:len(text)-2]
		}
	}
	return text
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Second)
	return &t
}

// NewRetentionTopic makes the JSON form of a topic: what it keeps, and what `throughline topics apply` with these options would set.
func NewRetentionTopic(r stream.TopicRetention, oldest time.Time, o stream.TopicOptions) RetentionDue {
	wanted := o.RetentionOf(r.Topic)
	v := RetentionDue{Topic: r.Topic, What: "records", Keep: forever, Setting: "retention.ms", Wanted: span(wanted), Oldest: moment(oldest), Does: "Kafka deletes by itself"}
	if r.Setting >= 0 {
		v.Keep = span(r.Setting)
	}
	if r.Bytes >= 0 {
		v.KeepBytes = &r.Bytes
	}
	switch {
	case r.Compacted:
		v.Does = "compacted: `" + applying(o) + "` repairs it"
	case r.Setting != wanted || r.Bytes >= 0:
		v.Does = "differs: `" + applying(o) + "` sets it"
	}
	return v
}

// applying is the command line that sets what topics keep to what these options say: without a flag it sets the defaults.
func applying(o stream.TopicOptions) string {
	var usual stream.TopicOptions
	settings.Defaults(&usual)
	line := "throughline topics apply"
	if o.RawRetention != usual.RawRetention {
		line += " --raw-retention " + span(o.RawRetention)
	}
	if o.EventRetention != usual.EventRetention {
		line += " --event-retention " + span(o.EventRetention)
	}
	return line
}

// NewRetentionDone makes the JSON form.
func NewRetentionDone(done []retention.Done) []RetentionDone {
	views := make([]RetentionDone, len(done))
	for i, d := range done {
		views[i] = RetentionDone{Table: d.Table, Rows: d.Rows, Before: d.Before.UTC().Truncate(time.Second), Vacuum: d.Vacuum}
	}
	return views
}
