package alert

import (
	_ "embed"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Severity is how bad it is.
type Severity string

// The severities.
const (
	Critical Severity = "critical" // somebody gets up for it
	Warning  Severity = "warning"
	Info     Severity = "info"
)

// Severities gives all, the worst first.
func Severities() []Severity { return []Severity{Critical, Warning, Info} }

// The rules.
const (
	QuarantineCount    = "quarantine_count"
	QuarantineAge      = "quarantine_age"
	SourceSilent       = "source_silent"
	EventsMissing      = "events_missing"
	Drift              = "drift"
	BackfillFailed     = "backfill_failed"
	PollFailed         = "poll_failed"
	PullPaused         = "pull_paused"
	TimelineLate       = "timeline_late"
	DeletedUnread      = "deleted_unread"
	SinkHeld           = "sink_held"
	Keeper             = "keeper"
	Spool              = "spool"
	Signatures         = "signatures"
	MetricsUnreachable = "metrics_unreachable"
)

// kind says which settings a rule has beside those that all have, and where it is seen.
type kind struct {
	count, age, silence bool   // above is a number, or a duration; the settings of silence
	metrics             bool   // seen on the services' metrics pages
	whole               bool   // it is about the installation: no alert of it has a source
	meaning             string // with names of settings between backquotes
}

// Names gives the rules in their order.
func Names() []string {
	return []string{QuarantineCount, QuarantineAge, SourceSilent, EventsMissing, Drift, BackfillFailed, PollFailed, PullPaused,
		TimelineLate, DeletedUnread, SinkHeld, Keeper, Spool, Signatures, MetricsUnreachable}
}

func kinds() map[string]kind {
	return map[string]kind{
		QuarantineCount:    {count: true, whole: true, meaning: "more than `above` records wait in quarantine"},
		QuarantineAge:      {age: true, whole: true, meaning: "a record has waited in quarantine for longer than `above`"},
		SourceSilent:       {silence: true, meaning: "no event of a source for longer than `factor` times what is normal of its last 7 days, and `least`"},
		EventsMissing:      {count: true, meaning: "more than `above` events that a vendor has are not here, or the comparison failed"},
		Drift:              {meaning: "a field that somebody reads is missing or changed, and nobody has acknowledged it"},
		BackfillFailed:     {meaning: "a backfill failed or was interrupted"},
		PollFailed:         {meaning: "a poll of a vendor's API failed and stays so"},
		PullPaused:         {age: true, meaning: "a vendor has asked to be left alone for longer than `above`"},
		TimelineLate:       {age: true, metrics: true, whole: true, meaning: "events reach the timeline later than `above` after their receipt"},
		DeletedUnread:      {metrics: true, meaning: "the brokers deleted records before a stage had read them"},
		SinkHeld:           {metrics: true, whole: true, meaning: "the sink holds partitions, because Postgres refuses row after row"},
		Keeper:             {metrics: true, whole: true, meaning: "no sink, or more than one, merges the payload index's pending list"},
		Spool:              {metrics: true, meaning: "deliveries wait on the receiver's disk"},
		Signatures:         {count: true, metrics: true, meaning: "more than `above` deliveries in 15 minutes have a wrong signature"},
		MetricsUnreachable: {metrics: true, whole: true, meaning: "a service's admin address does not answer"},
	}
}

// Rule is when one thing is alerted on.
type Rule struct {
	Name      string
	Meaning   string // with names of settings between backquotes: Says has their values
	Metrics   bool   // it is seen on the services' metrics pages only
	Enabled   bool
	Severity  Severity
	For       time.Duration // how long it must hold first
	Receivers []string      // only these; none: all
	Count     int64         // above, of a rule that counts
	Age       time.Duration // above, of a rule that measures time
	// Factor, Least and Sources are SourceSilent's.
	Factor  float64
	Least   time.Duration
	Sources map[string]time.Duration
}

// Rules are all rules, and what is common to them. ReadRules makes them.
type Rules struct {
	Repeat       time.Duration // 0: never
	ResolveAfter time.Duration
	Items        int // in one message
	// Severities are which of them a receiver is told; those of a receiver that is not here: all.
	Severities map[string][]Severity
	Rules      []Rule // in the order of the defaults
}

//go:embed rules.yaml
var defaults []byte

// DefaultFile gives the rules' file that counts where there is no other.
func DefaultFile() []byte { return slices.Clone(defaults) }

// Default gives the rules of DefaultFile.
func Default() Rules {
	rules, err := ReadRules(nil)
	if err != nil {
		panic("alert: rules.yaml: " + err.Error()) // a test reads it
	}
	return rules
}

// Find gives a rule by its name; nil: there is none.
func (r Rules) Find(name string) *Rule {
	for i := range r.Rules {
		if r.Rules[i].Name == name {
			return &r.Rules[i]
		}
	}
	return nil
}

// Tells reports whether a receiver is told of a rule's alerts of this severity.
func (r Rules) Tells(receiver, rule string, severity Severity) bool {
	if own := r.Find(rule); own != nil && len(own.Receivers) > 0 && !slices.Contains(own.Receivers, receiver) {
		return false
	}
	severities, ok := r.Severities[receiver]
	return !ok || slices.Contains(severities, severity)
}

// Says is Meaning with the rule's own settings.
func (r Rule) Says() string {
	above := short(r.Age)
	if r.Counts() {
		above = strconv.FormatInt(r.Count, 10)
	}
	return strings.NewReplacer("`above`", above, "`factor`", strconv.FormatFloat(r.Factor, 'g', -1, 64), "`least`", short(r.Least)).Replace(r.Meaning)
}

// Counts reports whether the rule's bound is a number.
func (r Rule) Counts() bool { return kinds()[r.Name].count }
