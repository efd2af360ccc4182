package receivers

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/alert"
	"github.com/throughline-dev/throughline/pkg/settings"
)

// Config is what an operator sets.
type Config struct {
	RulesFile    string          `name:"rules" env:"THROUGHLINE_ALERTS_RULES" placeholder:"FILE" help:"YAML file that says what is alerted on, where that differs from the defaults (throughline alerts rules prints them)."`
	ConsoleURL   settings.URL    `name:"alerts-console-url" env:"THROUGHLINE_ALERTS_CONSOLE_URL" placeholder:"URL" help:"Address of the console, like https://throughline.example.com, for links in messages; empty: there are none."`
	Metrics      []string        `name:"metrics" env:"THROUGHLINE_ALERTS_METRICS" placeholder:"URL,..." help:"Admin addresses of the services, like http://sink:9090,http://receiver:9090, for the rules about what only metrics know: lag, held partitions, keeper, spool, signatures. A name is read at each of its addresses. Empty: those rules are Prometheus' alone."`
	SendTimeout  time.Duration   `name:"send-timeout" env:"THROUGHLINE_ALERTS_SEND_TIMEOUT" default:"20s" help:"Longest time for one message to one receiver (${default}); it is tried again with the next evaluation."`
	SlackURL     settings.URL    `name:"slack-url" env:"THROUGHLINE_ALERTS_SLACK_URL" file:"" placeholder:"URL" help:"Slack: an incoming webhook's address."`
	TeamsURL     settings.URL    `name:"teams-url" env:"THROUGHLINE_ALERTS_TEAMS_URL" file:"" placeholder:"URL" help:"Microsoft Teams: the address of a workflow that posts to a channel when a webhook request is received."`
	PagerDutyKey settings.Secret `name:"pagerduty-key" env:"THROUGHLINE_ALERTS_PAGERDUTY_KEY" placeholder:"KEY" help:"PagerDuty: the integration key of an Events API v2 integration."`
	PagerDutyURL settings.URL    `name:"pagerduty-url" env:"THROUGHLINE_ALERTS_PAGERDUTY_URL" default:"https://events.pagerduty.com/v2/enqueue" placeholder:"URL" help:"PagerDuty: address of the Events API (${default}); https://events.eu.pagerduty.com/v2/enqueue in the EU service region."`
	WebhookURL   settings.URL    `name:"webhook-url" env:"THROUGHLINE_ALERTS_WEBHOOK_URL" file:"" placeholder:"URL" help:"Webhook: where Alertmanager's webhook message (version 4) is posted to."`
	WebhookToken settings.Secret `name:"webhook-token" env:"THROUGHLINE_ALERTS_WEBHOOK_TOKEN" placeholder:"TOKEN" help:"Webhook: sent as Authorization: Bearer."`
	EmailTo      []string        `name:"email-to" env:"THROUGHLINE_ALERTS_EMAIL_TO" placeholder:"ADDRESS,..." help:"E-mail: addresses to write to."`
	EmailFrom    string          `name:"email-from" env:"THROUGHLINE_ALERTS_EMAIL_FROM" placeholder:"ADDRESS" help:"E-mail: address of the sender."`
	SMTP         string          `name:"smtp" env:"THROUGHLINE_ALERTS_SMTP" placeholder:"HOST:PORT" help:"E-mail: the mail server, like smtp.example.com:587."`
	SMTPTLS      string          `name:"smtp-tls" env:"THROUGHLINE_ALERTS_SMTP_TLS" enum:"starttls,tls,none" default:"starttls" help:"E-mail: ${enum}; tls is from the first byte on, as on port 465, none sends in the clear, and no password."`
	SMTPUser     string          `name:"smtp-user" env:"THROUGHLINE_ALERTS_SMTP_USER" placeholder:"USER" help:"E-mail: user of the mail server; empty: none."`
	SMTPPassword settings.Secret `name:"smtp-password" env:"THROUGHLINE_ALERTS_SMTP_PASSWORD" placeholder:"PASSWORD" help:"E-mail: the user's password."`
}

// Validate reports every problem. No text of it has a secret.
func (c Config) Validate() error {
	var problems []error
	add := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for flag, u := range map[string]settings.URL{"slack-url": c.SlackURL, "teams-url": c.TeamsURL, "webhook-url": c.WebhookURL} {
		if u == "" {
			continue
		}
		if problem := u.HTTPProblem("https://hooks.example.com/abc"); problem != "" {
			add("--%s %s", flag, problem)
		}
		if strings.Contains(string(u), "{{") {
			add("--%s has {{ in it", flag)
		}
	}
	for flag, text := range map[string]settings.URL{"pagerduty-url": c.PagerDutyURL, "alerts-console-url": c.ConsoleURL} {
		if u, err := url.Parse(string(text)); text != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil) {
			add("--%s should be an absolute URL without a password, like https://throughline.example.com", flag)
		}
	}
	for _, address := range c.Metrics {
		if problem := alert.AddressProblem(address); problem != "" {
			add("%s", problem)
		}
	}
	if c.SendTimeout < time.Second || c.SendTimeout > time.Minute {
		add("--send-timeout is %v: it should be 1s to 1m", c.SendTimeout)
	}
	if len(c.EmailTo) > 0 || c.EmailFrom != "" || c.SMTP != "" {
		c.checkEmail(add)
	}
	if c.WebhookToken != "" && c.WebhookURL == "" {
		add("--webhook-token is set, and --webhook-url is not")
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(problems...)
}

func (c Config) checkEmail(add func(format string, args ...any)) {
	for _, need := range []struct {
		flag  string
		given bool
	}{{"email-to", len(c.EmailTo) > 0}, {"email-from", c.EmailFrom != ""}, {"smtp", c.SMTP != ""}} {
		if !need.given {
			add("--%s is needed for e-mail", need.flag)
		}
	}
	for _, address := range append(slices.Clone(c.EmailTo), c.EmailFrom) {
		if address == "" {
			continue
		}
		if _, err := mail.ParseAddress(address); err != nil {
			add("--email-to or --email-from is no address: it should be like ops@example.com")
		}
	}
	if _, port, err := net.SplitHostPort(c.SMTP); c.SMTP != "" && (err != nil || port == "") {
		add("--smtp should be like smtp.example.com:587")
	}
	if (c.SMTPUser == "") != (c.SMTPPassword == "") {
		add("--smtp-user and --smtp-password go together")
	}
	if c.SMTPPassword != "" && c.SMTPTLS == "none" {
		add("--smtp-tls is none, so the password would be sent in the clear: take starttls or tls")
	}
}

// Configured gives the receivers that are, in the order of alert.ReceiverNames.
func (c Config) Configured() (names []string) {
	for _, name := range alert.ReceiverNames() {
		if map[string]bool{alert.Email: c.SMTP != "", alert.Slack: c.SlackURL != "", alert.Teams: c.TeamsURL != "", alert.PagerDuty: c.PagerDutyKey != "", alert.Webhook: c.WebhookURL != ""}[name] {
			names = append(names, name)
		}
	}
	return names
}

// secrets are texts that no error may have.
func (c Config) secrets() (all []string) {
	for _, u := range []settings.URL{c.SlackURL, c.TeamsURL, c.WebhookURL} {
		if parsed, err := url.Parse(string(u)); err == nil && u != "" {
			all = append(all, string(u), parsed.RequestURI(), parsed.Path, parsed.RawQuery)
			all = append(all, strings.Split(parsed.Path, "/")...)
			if password, ok := parsed.User.Password(); ok {
				all = append(all, password)
			}
		}
	}
	all = append(all, string(c.PagerDutyKey), string(c.WebhookToken), string(c.SMTPPassword))
	return slices.DeleteFunc(all, func(s string) bool { return len(s) < 4 })
}
