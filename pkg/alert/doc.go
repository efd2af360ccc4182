// Package alert tells people what is wrong, once: rules over the state of an installation, what is alerted on kept in
// Postgres, and messages to receivers (e-mail, Slack, Teams, PagerDuty, a webhook).
//
// An evaluation (Engine.Evaluate) looks how everything is (Looker), finds what the rules are about (Rules.Evaluate), brings
// what is alerted on up to date (Step), and tells each receiver what it has not been told (due). One process evaluates at a
// time, by a lease. A transition is kept before it is told, and what a receiver was told after it has taken it: who dies
// between the two is followed by one that tells it once more, never by silence.
//
// Summaries name rules, sources, streams, event types and paths, and count; no value of an event is in them. Names that come
// from events are made harmless (plain).
package alert
