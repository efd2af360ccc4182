package alert

import (
	"net/http"
	"time"
)

// The receivers. There is one of each that is configured.
const (
	Email     = "email"
	Slack     = "slack"
	Teams     = "teams"
	PagerDuty = "pagerduty"
	Webhook   = "webhook"
)

// ReceiverNames gives all that can be configured.
func ReceiverNames() []string { return []string{Email, Slack, Teams, PagerDuty, Webhook} }

// Message is what a receiver is told at once.
type Message struct {
	At               time.Time
	Firing, Resolved []State
	// Subject and Note are a report's, in place of alerts: a title, and lines without any value of an event.
	Subject, Note string
}

// TestMessages are what a receiver is sent to see whether it takes messages: that something fires, and that it is over.
func TestMessages(now time.Time) []Message {
	test := State{Condition: Condition{Rule: "test", Severity: Info, Summary: "a test of this receiver; nothing is wrong"}, State: Firing, Since: now, Began: now, Seen: now}
	over := test
	over.State = Resolved
	return []Message{{At: now, Firing: []State{test}}, {At: now, Resolved: []State{over}}}
}

// Failure is why a message was not taken. Its text has no secret.
type Failure struct { //nolint:errname // it is what became of a message, and goes by its receiver
	Receiver   string
	Text       string
	RetryAfter time.Duration // the receiver asked to wait so long
	Status     int           // of HTTP; 0: there was none, or it is not known
}

// Error says what happened.
func (f *Failure) Error() string { return f.Receiver + ": " + f.Text }

// Advice says what to do about it.
func (f *Failure) Advice() string {
	setting := map[string]string{Slack: "THROUGHLINE_ALERTS_SLACK_URL", Teams: "THROUGHLINE_ALERTS_TEAMS_URL", PagerDuty: "THROUGHLINE_ALERTS_PAGERDUTY_KEY",
		Webhook: "THROUGHLINE_ALERTS_WEBHOOK_URL", Email: "THROUGHLINE_ALERTS_SMTP, _SMTP_USER and _SMTP_PASSWORD"}[f.Receiver]
	switch {
	case f.Status == http.StatusTooManyRequests:
		return "it asks to wait; it is tried again"
	case f.Status >= 500:
		return "the receiver is in trouble; it is tried again"
	case f.Status == http.StatusNotFound, f.Status == http.StatusGone, f.Status == http.StatusForbidden, f.Status == http.StatusUnauthorized:
		return "the address or key is not valid any more: make a new one there and set " + setting
	case f.Status >= 400, f.Status >= 300:
		return "the receiver does not take such messages: check " + setting
	case f.Receiver == Email:
		return "check " + setting + ", and that the mail server can be reached from here"
	}
	return "check that the receiver can be reached from here (proxy, network policy), and " + setting
}
