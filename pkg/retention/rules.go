package retention

import (
	"errors"
	"fmt"
	"time"
)

// Settings is what an operator decides. The zero Settings delete sessions that are over, and nothing else.
type Settings struct {
	Timeline   time.Duration `name:"timeline-retention" env:"THROUGHLINE_TIMELINE_RETENTION" default:"0" help:"How long account_events keeps events, by when they occurred; 0: for ever. Give the puller and reconcile the same, so that comparisons bring nothing back."`
	Quarantine time.Duration `name:"quarantine-retention" env:"THROUGHLINE_QUARANTINE_RETENTION" default:"0" help:"How long quarantine keeps records that are resolved or discarded, since they were last seen and decided about; 0: for ever. 2160h at least. Open ones are never deleted."`
	Findings   time.Duration `name:"findings-retention" env:"THROUGHLINE_FINDINGS_RETENTION" default:"0" help:"How long shape_findings keeps findings of drift that are closed; 0: for ever. 24h at least."`
	AuditLog   time.Duration `name:"audit-retention" env:"THROUGHLINE_AUDIT_RETENTION" default:"0" help:"How long audit_log keeps who did what; 0: for ever. 2160h at least."`
}

// The least that the settings may be.
const (
	leastDay = 24 * time.Hour
	// A record that is gone is not known when its dead letter is read again: it would open anew. Topics keep 30 days.
	leastQuarantine = 90 * 24 * time.Hour
	leastAudit      = 90 * 24 * time.Hour // expire_audit_log refuses less
	longest         = 100 * 365 * 24 * time.Hour
)

// Validate refuses settings that delete what is in use still. Its problems name the flags.
func (s Settings) Validate() error {
	var problems []error
	for _, r := range s.rules() {
		if r.flag != "" && r.Keep != 0 && (r.Keep < r.least || r.Keep > longest) {
			problems = append(problems, fmt.Errorf("--%s is %s: it should be %s or more, or 0 to keep %s for ever", r.flag, r.Keep, hours(r.least), r.What))
		}
	}
	return errors.Join(problems...)
}

func hours(d time.Duration) string { return fmt.Sprintf("%dh", int(d.Hours())) }

// Rule is one table that rows are deleted from by their age.
type Rule struct {
	Table   string
	What    string        // rows of which kind
	Setting string        // the variable that decides; "": it is not decided
	Keep    time.Duration // 0: for ever
	Also    []string      // tables whose rows go with it, or by the same setting

	flag    string
	least   time.Duration
	always  bool // Keep 0 means at once
	look    look
	expires []expire // one after the other
}

// Rules gives the rules under these settings, in the order in which they are worked off.
func (s Settings) Rules() []Rule { return s.rules() }

func (s Settings) rules() []Rule {
	return []Rule{
		{Table: "account_events", What: "events", Setting: "THROUGHLINE_TIMELINE_RETENTION", flag: "timeline-retention", Keep: s.Timeline, least: leastDay,
			Also: []string{"account_event_origins"}, look: lookAtEvents, expires: []expire{expireEvents}},
		{Table: "quarantine", What: "resolved and discarded records", Setting: "THROUGHLINE_QUARANTINE_RETENTION", flag: "quarantine-retention", Keep: s.Quarantine, least: leastQuarantine,
			Also: []string{"quarantine_states", "quarantine_decisions"}, look: lookAtRecords, expires: []expire{expireRecords, expireDecisions}},
		{Table: "shape_findings", What: "closed findings", Setting: "THROUGHLINE_FINDINGS_RETENTION", flag: "findings-retention", Keep: s.Findings, least: leastDay,
			Also: []string{"drift_decisions"}, look: lookAtFindings, expires: []expire{expireFindings}},
		{Table: "audit_log", What: "entries", Setting: "THROUGHLINE_AUDIT_RETENTION", flag: "audit-retention", Keep: s.AuditLog, least: leastAudit,
			look: lookAtAudit, expires: []expire{expireAudit}},
		{Table: "console_sessions", What: "sessions that are over", always: true, look: lookAtSessions, expires: []expire{expireSessions}},
	}
}

// Deletes says whether the rule deletes anything.
func (r Rule) Deletes() bool { return r.always || r.Keep > 0 }

// before is the time before which rows are deleted.
func (r Rule) before(now time.Time) time.Time { return now.Add(-r.Keep) }

// Kept says for every table that no rule is about who ends its rows, or why they stay.
func Kept() map[string]string {
	const state = "one row for each thing that it is about: it does not grow with time"
	const ledger = "stays: what an account's history is depends on it"
	const few = "stays: one row for each command or decision of a person"
	return map[string]string{
		"link_decisions": ledger, "account_links": ledger, "account_link_denials": ledger, "accounts": ledger,
		"history_moves":    "stays: the sink knows by it that an account did exist",
		"link_suggestions": "stays: what was rejected is not suggested again",
		"suspect_domains":  few, "alert_silences": few, "drift_expectations": few, "erasures": "stays: it proves that something was erased", "replays": few,
		"pull_requests": few, "api_tokens": few, "saved_views": few,
		"suppressions": "stays: what was erased comes back without it", "suppression_key": "stays, as suppressions", "suppressed_events": state,
		"account_changes":    "the quarantine service deletes a change 7 days after it was published",
		"reconcile_reports":  "the puller keeps the newest of each stream",
		"reconcile_missing":  "goes with its report",
		"pull_checkpoints":   "stays: what was brought in is not asked for again",
		"pull_runs":          "the puller keeps the newest of each poll; a backfill's stay",
		"learned_references": "the learner forgets what nothing waits for", "learned_leads": "goes with its reference",
		"quarantine_outbox": "goes when the record has arrived",
		"payload_types":     state, "payload_shapes": state, "drift_offsets": state,
		"alert_states": "goes a while after it is over", "alert_told": "goes with its state", "alert_receivers": state, "alert_evaluation": state,
		"learning_progress": state, "learning_sources": state, "api_budgets": state, "pull_leases": state, "link_epoch": state,
		"account_changes_lease": state, "quarantine_outbox_lease": state, "link_changes": "goes with its transaction", "goose_db_version": state,
	}
}
