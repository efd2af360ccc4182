package alert

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What `throughline alerts rules` prints reads as the rules that it was made of, the defaults too.
func TestRulesAreAFile(t *testing.T) {
	t.Parallel()
	rules := Default()
	again, err := ReadRules([]byte(rules.YAML()))
	require.NoError(t, err)
	require.Equal(t, rules, again)
	require.Len(t, rules.Rules, len(kinds()))

	changed, err := ReadRules([]byte(`
repeat: 0s
severities: {pagerduty: [critical]}
rules:
  source_silent: {sources: {zendesk: 3h, stripe: 0s}}
  quarantine_count: {above: 5, receivers: [slack, email]}
  keeper: {enabled: false}
`))
	require.NoError(t, err)
	require.Equal(t, map[string]time.Duration{"zendesk": 3 * time.Hour, "stripe": 0}, changed.Find(SourceSilent).Sources)
	require.InDelta(t, 3, changed.Find(SourceSilent).Factor, 0) // what is not named stays
	require.Equal(t, int64(5), changed.Find(QuarantineCount).Count)
	require.Equal(t, 5*time.Minute, changed.Find(QuarantineCount).For)
	require.False(t, changed.Find(Keeper).Enabled)
	again, err = ReadRules([]byte(changed.YAML()))
	require.NoError(t, err)
	require.Equal(t, changed, again)
}

// Whoever reads what a rule looks for reads its bounds, and no names of settings.
func TestRulesSayTheirBounds(t *testing.T) {
	t.Parallel()
	rules, err := ReadRules([]byte("rules: {quarantine_count: {above: 5}, quarantine_age: {above: 48h}, source_silent: {factor: 2.5, least: 1h}}"))
	require.NoError(t, err)
	require.Equal(t, "more than 5 records wait in quarantine", rules.Find(QuarantineCount).Says())
	require.Equal(t, "a record has waited in quarantine for longer than 48h", rules.Find(QuarantineAge).Says())
	require.Equal(t, "no event of a source for longer than 2.5 times what is normal of its last 7 days, and 1h", rules.Find(SourceSilent).Says())
	for _, r := range rules.Rules {
		require.NotContains(t, r.Says(), "`")
	}
}

// Every problem is told at once, each with its line and path.
func TestWrongRulesAreToldAtOnce(t *testing.T) {
	t.Parallel()
	_, err := ReadRules([]byte(`repeat: 1m
colour: red
severities: {slack: [loud], pager: [critical]}
rules:
  quarantine_count: {above: many, for: -1s}
  quarantine_age: {above: 3 days}
  drift: {above: 3}
  nobody: {}
  source_silent:
    factor: 0
    sources: {zendesk: soon}
  keeper: {enabled: yes please}
  keeper: {}
  spool: [1]
`))
	require.Error(t, err)
	for _, want := range []string{
		"line 1: repeat: is 1m0s", "line 2: colour: there is no such field: the fields are repeat", `line 3: severities.slack[0]: is "loud"`, "severities.pager: there is no such field",
		`line 5: rules.quarantine_count.above: is "many"`, `rules.quarantine_count.for: is "-1s"`, `line 6: rules.quarantine_age.above: is "3 days"`,
		"line 7: rules.drift.above: there is no such field", "line 8: rules.nobody", `line 10: rules.source_silent.factor: is "0"`, `rules.source_silent.sources.zendesk: is "soon"`,
		"line 12: rules.keeper.enabled: should be true or false", "line 13: rules.keeper: is there twice", "line 14: rules.spool: should be fields",
	} {
		require.ErrorContains(t, err, want)
	}
	for _, text := range []string{"a: [", "- 1", "rules: &a {keeper: *a}", "\x00"} {
		_, err := ReadRules([]byte(text))
		require.Error(t, err, text)
	}
	_, err = ReadFile("testdata/nowhere.yaml")
	require.Error(t, err)
}

// found gives rule, source and summary of what the rules find, one a line.
func found(rules Rules, s Snapshot) string {
	conditions, _ := rules.Evaluate(s)
	var lines []string
	for _, c := range conditions {
		lines = append(lines, string(c.Severity)+" "+c.Rule+" "+c.Key+": "+c.Summary)
	}
	return strings.Join(lines, "\n")
}

func TestEvaluate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	rules, err := ReadRules([]byte("rules: {source_silent: {sources: {zendesk: 3h, looker: 0s, segmnt: 1h}}}"))
	require.NoError(t, err)
	require.Empty(t, found(Default(), Snapshot{At: now}))
	require.Equal(t, strings.TrimSpace(`
warning quarantine_count : 312 records wait in quarantine; the bound is 100: throughline quarantine list
warning quarantine_age : a record has waited in quarantine for 4d; the bound is 3d: throughline alerts report
warning source_silent hubspot: no event of hubspot for 3h; normal: 20m at most: throughline connect hubspot
warning source_silent segmnt: no event of segmnt was ever stored, and alerts are set for it: throughline connect segmnt
warning source_silent zendesk: no event of zendesk for 4h; the bound is 3h: throughline connect zendesk
warning events_missing stripe events: 2 events of stripe events that the vendor has are not here: throughline gaps --source stripe
warning events_missing zendesk tickets: the comparison of zendesk tickets with the vendor failed: throughline gaps --source zendesk
warning drift finding 7: stripe invoice.paid: data.object.customer_email vanished, read by churn_risk, a, b and 1 more: throughline drift list --read
warning backfill_failed hubspot contacts: the backfill of hubspot contacts failed: throughline pulls list
warning poll_failed looker history: the poll of looker history failed: throughline pulls list
info pull_paused marketo: marketo has asked not to be called for another 5h: throughline pulls list
warning timeline_late : events reach the timeline 2m after their receipt; the bound is 1m: throughline doctor
critical sink_held : the sink holds 2 partitions, because Postgres refuses row after row: throughline doctor
warning keeper : no sink merges the payload index's pending list; it should be one: throughline doctor
critical spool marketo: 12 deliveries of marketo wait on the receiver's disk: throughline doctor
warning signatures stripe: 40 deliveries of stripe in 15 minutes have a wrong signature: throughline connect stripe`),
		found(rules, Snapshot{
			At: now, Open: 312, Oldest: now.Add(-96 * time.Hour),
			Sources: map[string]Seen{
				"zendesk": {Last: now.Add(-4 * time.Hour), Normal: 20 * time.Minute}, "hubspot": {Last: now.Add(-3 * time.Hour), Normal: 20 * time.Minute},
				"stripe": {Last: now.Add(-29 * time.Minute), Normal: time.Minute},    // below the least
				"looker": {Last: now.Add(-900 * time.Hour), Normal: 5 * time.Minute}, // switched off
				"new":    {Last: now.Add(-900 * time.Hour)},                          // what is normal is not known
			},
			Gaps:     []Gap{{Source: "stripe", Stream: "events", Missing: 2}, {Source: "zendesk", Stream: "tickets", Failed: true}, {Source: "hubspot", Stream: "contacts"}},
			Findings: []Finding{{ID: 7, Source: "stripe", EventType: "invoice.paid", Path: "data.object.customer_email", Found: "vanished", Readers: []string{"churn_risk", "a", "b", "c"}}},
			Pulls: []Pull{
				{Source: "hubspot", Stream: "contacts", Backfill: true, Status: "failed", Updated: now.Add(-time.Hour)},
				{Source: "stripe", Stream: "events", Backfill: true, Status: "interrupted", Updated: now.Add(-8 * 24 * time.Hour)}, // given up
				{Source: "looker", Stream: "history", Status: "failed", Updated: now.Add(-time.Hour)},
			},
			Pauses: []Pause{{Source: "marketo", Until: now.Add(5 * time.Hour)}, {Source: "zendesk", Until: now.Add(time.Minute)}},
			Metrics: &Metrics{Services: map[string]int{"sink": 1, "receiver": 1}, Held: 2, Late: 2 * time.Minute, LateKnown: true, RatesKnown: true,
				Spooled: map[string]float64{"marketo": 12, "looker": 0}, Unauthenticated: map[string]float64{"stripe": 40, "hubspot": 3}},
		}))
}

// What a service would say that does not answer is not known: that is no all-clear.
func TestUnreachableMetricsAreNotKnown(t *testing.T) {
	t.Parallel()
	conditions, known := Default().Evaluate(Snapshot{Metrics: &Metrics{Unreachable: []string{"sink:9090"}, Services: map[string]int{"receiver": 1}}})
	require.Len(t, conditions, 1)
	require.Equal(t, MetricsUnreachable, conditions[0].Rule)
	require.False(t, known[SinkHeld])
	require.False(t, known[DeletedUnread])
	require.False(t, known[Keeper])
	require.False(t, known[Spool]) // another receiver may have one
	require.True(t, known[QuarantineCount])
	_, known = Default().Evaluate(Snapshot{})
	require.False(t, known[SinkHeld])
}

// Names that strangers give to event types, paths and the like steer nothing, wherever they are shown.
func TestNamesAreMadeHarmless(t *testing.T) {
	t.Parallel()
	evil := "a\u202eb\x1b[31m`c`\r\nBcc: x@y.example <!channel> [here](https://evil.example) {{ .ExternalURL }} www.evil.example" + strings.Repeat("x", 10_000)
	c, _ := Default().Evaluate(Snapshot{Findings: []Finding{{ID: 1, Source: evil, EventType: evil, Path: evil, Found: "vanished", Readers: []string{evil, evil}}}})
	require.Len(t, c, 1)
	text := c[0].Summary
	require.LessOrEqual(t, len([]rune(text)), 2*maxSummary)
	for _, steering := range []string{"\u202e", "\x1b", "`", "\n", "\r", "@", "://", "www."} {
		require.NotContains(t, text, steering)
	}
	require.LessOrEqual(t, len([]rune(c[0].Source)), 2*maxName)
}
