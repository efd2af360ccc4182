package alert

import "time"

// Snapshot is how everything is at one time: what rules are evaluated over. A Looker makes it.
type Snapshot struct {
	At time.Time
	// Open is how many records wait in quarantine, at most quarantine.MostCounted; Oldest is when the one was first seen that
	// has waited for longest. Zero: none waits.
	Open   int64
	Oldest time.Time
	// Sources are those of which there is an event.
	Sources  map[string]Seen
	Gaps     []Gap
	Findings []Finding // that break who reads their paths, and are open
	Pulls    []Pull    // that have not come to their end, and nobody works on
	Pauses   []Pause
	// Metrics is nil where no address was given.
	Metrics *Metrics
}

// Seen is when an event of a source was stored last.
type Seen struct {
	Last time.Time
	// Normal is how long it is silent at most on a normal day; 0: not known.
	Normal time.Duration
}

// Gap is the newest comparison of a stream with the vendor.
type Gap struct {
	Source, Stream string
	Missing        int64
	Failed         bool
}

// Finding is a finding of drift.
type Finding struct {
	ID                             int64
	Source, EventType, Path, Found string
	Readers                        []string
}

// Pull is a pull that failed or was interrupted.
type Pull struct {
	ID             int64
	Source, Stream string
	Backfill       bool // else it is a poll
	Status         string
	Updated        time.Time
}

// Pause is a vendor's account that must not be asked before Until.
type Pause struct {
	Source string
	Until  time.Time
}

// Metrics is what the services' metrics pages say, all pages together.
type Metrics struct {
	// Unreachable are the addresses that did not answer; then what they would say is not known.
	Unreachable []string
	// Services are those that answered, by throughline_build_info.
	Services map[string]int
	Held     float64 // partitions
	Deleted  []Deleted
	Keepers  float64
	// Spooled are deliveries on receivers' disks, by source.
	Spooled map[string]float64
	// Late is the age of events, on average, when they became visible since the last look; Known without a first one is false.
	Late      time.Duration
	LateKnown bool
	// Unauthenticated are deliveries with a wrong signature since the last look, as many as it would be in 15 minutes, by source.
	Unauthenticated map[string]float64
	RatesKnown      bool
}
