package receivers

import (
	"fmt"
	"slices"
	"strings"
	"time"

	amalert "github.com/prometheus/alertmanager/alert"
	"github.com/prometheus/common/model"

	"github.com/throughline-dev/throughline/pkg/alert"
)

// message is a Message as one receiver is told it: at most so many items, and a link.
type message struct {
	alert.Message
	items int
	link  string
}

// title is one line.
func (m message) title() string {
	if m.Subject != "" {
		return m.Subject
	}
	var parts []string
	if n := len(m.Firing); n > 0 {
		parts = append(parts, fmt.Sprintf("%d firing", n))
	}
	if n := len(m.Resolved); n > 0 {
		parts = append(parts, fmt.Sprintf("%d resolved", n))
	}
	if rule := m.rule(); rule != "" {
		parts = append(parts, rule)
	}
	return "Throughline: " + strings.Join(parts, ", ")
}

// alerts are all of it.
func (m message) alerts() []alert.State { return slices.Concat(m.Firing, m.Resolved) }

// rule is the rule of all of it where that is one; "" where it is of several, or of none.
func (m message) rule() (rule string) {
	for i, a := range m.alerts() {
		if i > 0 && a.Rule != rule {
			return ""
		}
		rule = a.Rule
	}
	return rule
}

// byRule makes a message of each rule, which has all of its alerts that fire: so long as there is one, the incident is open.
func (m message) byRule(all []alert.State) (parts []message) {
	var rules []string
	for _, a := range m.alerts() {
		if !slices.Contains(rules, a.Rule) {
			rules = append(rules, a.Rule)
		}
	}
	for _, rule := range rules {
		part, other := m, func(a alert.State) bool { return a.Rule != rule }
		part.Firing = slices.DeleteFunc(slices.Clone(all), other)
		part.Resolved = slices.DeleteFunc(slices.Clone(m.Resolved), other)
		parts = append(parts, part)
	}
	return parts
}

// severity is the worst of what fires; alert.Info where nothing does.
func (m message) severity() alert.Severity {
	for _, s := range alert.Severities() {
		if slices.ContainsFunc(m.Firing, func(a alert.State) bool { return a.Severity == s }) {
			return s
		}
	}
	return alert.Info
}

// lines are the first items, how many more there are, the note and the link; what is not ours is escaped.
func (m message) lines(escape func(string) string) (lines []string) {
	left := m.items
	tell := func(what string, all []alert.State, line func(alert.State) string) {
		n := min(left, len(all))
		left -= n
		for _, a := range all[:n] {
			lines = append(lines, escape(line(a)))
		}
		if more := len(all) - n; more > 0 {
			lines = append(lines, fmt.Sprintf("and %d more %s: throughline alerts", more, what))
		}
	}
	tell("firing", m.Firing, func(a alert.State) string {
		text := fmt.Sprintf("%s %s: %s", strings.ToUpper(string(a.Severity)), a.Rule, a.Summary)
		if age := m.At.Sub(a.Since); age >= time.Minute {
			text += fmt.Sprintf(" (for %s)", alert.Long(age))
		}
		return text
	})
	tell("resolved", m.Resolved, func(a alert.State) string {
		return fmt.Sprintf("resolved %s: %s (after %s)", a.Rule, a.Summary, alert.Long(a.Since.Sub(a.Began)))
	})
	if m.Note != "" {
		for line := range strings.SplitSeq(strings.TrimRight(m.Note, "\n"), "\n") {
			lines = append(lines, escape(line))
		}
	}
	if m.link != "" {
		lines = append(lines, m.link)
	}
	return lines
}

// forSlack escapes a text for Slack: https://docs.slack.dev/messaging/formatting-message-text#escaping. Mrkdwn is off there.
func forSlack(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

// forTeams escapes a text for the Markdown of an Adaptive Card's TextBlock:
// https://learn.microsoft.com/en-us/adaptive-cards/authoring-cards/text-features
func forTeams(text string) string {
	return strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, "*", `\*`, "_", `\_`, "#", `\#`, "<", "&lt;", ">", "&gt;", "{{", "{ {").Replace(text)
}

// one is the whole message as one alert of Alertmanager's: what it says stands in annotations, which no template runs.
func (m message) one() *amalert.Alert {
	join := func(escape func(string) string, by string) model.LabelValue {
		return model.LabelValue(strings.Join(m.lines(escape), by))
	}
	color := "good"
	if len(m.Firing) > 0 {
		color = map[alert.Severity]string{alert.Critical: "danger", alert.Warning: "warning", alert.Info: "#439fe0"}[m.severity()]
	}
	a := model.Alert{
		Labels: model.LabelSet{"alertname": model.LabelValue(m.rule()), "severity": model.LabelValue(m.severity())},
		Annotations: model.LabelSet{"title": model.LabelValue(m.title()), "text": join(plainly, "\n"), "slack": join(forSlack, "\n"), "teams": join(forTeams, "\n\n"),
			"link": model.LabelValue(m.link), "color": model.LabelValue(color)},
		StartsAt: m.At,
	}
	if len(m.Firing) == 0 && m.Subject == "" {
		a.StartsAt, a.EndsAt = m.At.Add(-time.Second), m.At
	}
	return amalert.New(a, m.At, false)
}

// each gives every alert of the message as one of Alertmanager's, for programs.
func (m message) each() (all []*amalert.Alert) {
	for _, a := range m.alerts() {
		one := model.Alert{
			Labels:      model.LabelSet{"alertname": model.LabelValue(a.Rule), "severity": model.LabelValue(a.Severity), "key": model.LabelValue(a.Key), "service": "throughline"},
			Annotations: model.LabelSet{"summary": model.LabelValue(a.Summary)},
			StartsAt:    a.Began, GeneratorURL: m.link,
		}
		if a.Source != "" {
			one.Labels["source"] = model.LabelValue(a.Source)
		}
		if a.State == alert.Resolved {
			one.EndsAt = a.Since
		}
		all = append(all, amalert.New(one, m.At, false))
	}
	return all
}

// plainly leaves a text as it is.
func plainly(text string) string { return text }
