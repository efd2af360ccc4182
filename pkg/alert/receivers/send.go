package receivers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	amalert "github.com/prometheus/alertmanager/alert"
	amconfig "github.com/prometheus/alertmanager/config/common"
	"github.com/prometheus/alertmanager/notify"
	"github.com/prometheus/alertmanager/notify/msteamsv2"
	"github.com/prometheus/alertmanager/notify/pagerduty"
	"github.com/prometheus/alertmanager/notify/slack"
	"github.com/prometheus/alertmanager/notify/webhook"
	"github.com/prometheus/alertmanager/template"
	httpconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/wneessen/go-mail"

	"github.com/throughline-dev/throughline/pkg/alert"
	"github.com/throughline-dev/throughline/pkg/settings"
)

// Sender sends messages to the configured receivers: to alert.Slack, alert.Teams, alert.PagerDuty and webhooks with Alertmanager's
// notifiers, and by e-mail. It is safe for concurrent use.
type Sender struct {
	config    Config
	items     int
	notifiers map[string]notify.Notifier
	secrets   []string
}

const (
	dialTimeout = 10 * time.Second
	// mostAnswered bounds what is read of a receiver's answer: the notifiers read all of it.
	mostAnswered = 256 << 10
	// mostError bounds the text of a failure.
	mostError = 300
)

// NewSender makes a Sender. items is how many alerts a message has at most.
func NewSender(c Config, items int) (*Sender, error) {
	s := &Sender{config: c, items: items, notifiers: map[string]notify.Notifier{}, secrets: c.secrets()}
	external, err := url.Parse(string(c.ConsoleURL))
	if err != nil {
		return nil, errors.New("the console's address is none")
	}
	t, err := template.New()
	if err != nil {
		return nil, fmt.Errorf("making templates: %w", err)
	}
	t.ExternalURL = external
	log := slog.New(slog.DiscardHandler) // what it logs may be a receiver's answer
	web := httpconfig.DefaultHTTPClientConfig
	web.FollowRedirects = false // the address is the secret
	web.ProxyFromEnvironment = true
	options := []httpconfig.HTTPClientOption{httpconfig.WithDialContextFunc(dialBounded), httpconfig.WithKeepAlivesDisabled(), httpconfig.WithHTTP2Disabled(), httpconfig.WithUserAgent("Throughline")}
	both := amconfig.NotifierConfig{VSendResolved: true}
	annotation := func(name string) string { return "{{ .CommonAnnotations." + name + " }}" }
	for _, name := range c.Configured() {
		var n notify.Notifier
		var err error
		switch name {
		case alert.Slack:
			n, err = slack.New(&slack.SlackConfig{NotifierConfig: both, HTTPConfig: &web, APIURL: secretURL(c.SlackURL), Title: annotation("title"), TitleLink: annotation("link"),
				Text: annotation("slack"), Fallback: annotation("title"), Color: annotation("color"), MrkdwnIn: []string{"pretext"}}, t, log, options...)
		case alert.Teams:
			n, err = msteamsv2.New(&msteamsv2.MSTeamsV2Config{NotifierConfig: both, HTTPConfig: &web, WebhookURL: secretURL(c.TeamsURL), Title: annotation("title"), Text: annotation("teams")}, t, log, options...)
		case alert.PagerDuty:
			var address *url.URL
			if address, err = url.Parse(string(c.PagerDutyURL)); err == nil {
				n, err = pagerduty.New(&pagerduty.PagerdutyConfig{NotifierConfig: both, HTTPConfig: &web, URL: &amconfig.URL{URL: address}, RoutingKey: httpconfig.Secret(c.PagerDutyKey),
					Client: "Throughline", ClientURL: annotation("link"), Source: "throughline", Description: annotation("title"), Severity: "{{ .CommonLabels.severity }}",
					Class: "{{ .CommonLabels.alertname }}", Details: map[string]any{"alerts": "{{ .CommonAnnotations.text | toJson }}"}}, t, log, options...)
			}
		case alert.Webhook:
			own := web
			if c.WebhookToken != "" {
				own.Authorization = &httpconfig.Authorization{Type: "Bearer", Credentials: httpconfig.Secret(c.WebhookToken)}
			}
			n, err = webhook.New(&webhook.WebhookConfig{NotifierConfig: both, HTTPConfig: &own, URL: amconfig.SecretTemplateURL(c.WebhookURL), MaxAlerts: uint64(items)}, t, log, options...)
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("receiver %s: %s", name, s.scrub(err))
		}
		s.notifiers[name] = n
	}
	return s, nil
}

func secretURL(u settings.URL) *amconfig.SecretURL {
	parsed, err := url.Parse(string(u))
	if err != nil {
		parsed = &url.URL{} // Config.Validate has refused it
	}
	return &amconfig.SecretURL{URL: parsed}
}

var (
	addresses  = regexp.MustCompile(`[a-zA-Z][a-zA-Z0-9+.-]*://[^\s"']+`)
	statusCode = regexp.MustCompile(`unexpected status code (\d{3})`)
)

// scrub gives a failure's text without addresses and secrets, in one line.
func (s *Sender) scrub(err error) string {
	text := addresses.ReplaceAllStringFunc(err.Error(), func(found string) string {
		if u, parseErr := url.Parse(found); parseErr == nil && u.Host != "" {
			return u.Scheme + ":/ /" + u.Host
		}
		return "[hidden]"
	})
	for _, secret := range s.secrets {
		text = strings.ReplaceAll(text, secret, "[hidden]")
	}
	return alert.Harmless(strings.TrimSpace(text), mostError)
}

func (s *Sender) failure(receiver string, err error, retryAfter time.Duration) *alert.Failure {
	f := &alert.Failure{Receiver: receiver, Text: s.scrub(err), RetryAfter: min(retryAfter, time.Hour)}
	if found := statusCode.FindStringSubmatch(err.Error()); found != nil {
		f.Status, _ = strconv.Atoi(found[1])
	}
	return f
}

// Send sends a message to a receiver, within Config.SendTimeout (alert.Deliver). all are the alerts that fire now and that
// the receiver is told of, for PagerDuty, which keeps one incident of each rule. It gives those of the message that were
// taken; the error is an *alert.Failure.
func (s *Sender) Send(ctx context.Context, receiver string, what alert.Message, all []alert.State) (told []alert.State, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.SendTimeout)
	defer cancel()
	m := message{what, s.items, string(s.config.ConsoleURL)}
	switch {
	case receiver == alert.Email && s.config.SMTP != "":
		if err := s.mail(ctx, m); err != nil {
			return nil, s.failure(receiver, err, 0)
		}
		return m.alerts(), nil
	case s.notifiers[receiver] == nil:
		return nil, &alert.Failure{Receiver: receiver, Text: "it is not configured"}
	}
	parts := []message{m}
	if receiver == alert.PagerDuty && m.Subject == "" {
		parts = m.byRule(all)
	}
	for _, part := range parts {
		if failure := s.notify(ctx, receiver, part); failure != nil {
			return told, failure
		}
		for _, a := range m.alerts() {
			if receiver != alert.PagerDuty || a.Rule == part.rule() {
				told = append(told, a)
			}
		}
	}
	return told, nil
}

// notify sends one request. It gives an *alert.Failure, or nil.
func (s *Sender) notify(ctx context.Context, receiver string, m message) error {
	key := "throughline " + string(s.config.ConsoleURL) // PagerDuty's deduplication key is made of it
	alerts := []*amalert.Alert{m.one()}
	switch {
	case m.Subject != "":
	case receiver == alert.Webhook:
		alerts = m.each()
	case receiver == alert.PagerDuty:
		key += " " + m.rule()
	}
	ctx = notify.WithGroupLabels(notify.WithReceiverName(notify.WithGroupKey(ctx, key), receiver), model.LabelSet{})
	verdict := s.notifiers[receiver].Notify(notify.WithNotificationReason(ctx, notify.ReasonUnknown), alerts...)
	if err := verdict.Err(); err != nil {
		return s.failure(receiver, err, verdict.Delay())
	}
	return nil
}

// mail sends the message by e-mail.
func (s *Sender) mail(ctx context.Context, m message) error {
	host, portText, err := net.SplitHostPort(s.config.SMTP)
	if err != nil {
		return errors.New("--smtp should be like smtp.example.com:587")
	}
	port, err := net.DefaultResolver.LookupPort(ctx, "tcp", portText)
	if err != nil {
		return fmt.Errorf("the mail server's port: %w", err)
	}
	letter := mail.NewMsg()
	if err := letter.From(s.config.EmailFrom); err != nil {
		return errors.New("--email-from is no address")
	}
	if err := letter.To(s.config.EmailTo...); err != nil {
		return errors.New("--email-to is no address")
	}
	letter.Subject(m.title())
	letter.SetMessageID()
	letter.SetDateWithValue(m.At)
	letter.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834: no holiday notes
	letter.SetBodyString(mail.TypeTextPlain, strings.Join(m.lines(func(text string) string { return text }), "\n")+"\n")
	options := []mail.Option{mail.WithPort(port), mail.WithTimeout(s.config.SendTimeout), mail.WithDialContextFunc(dialBounded), mail.WithoutNoop()}
	switch s.config.SMTPTLS {
	case "tls":
		options = append(options, mail.WithSSL())
	case "none":
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if s.config.SMTPUser != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(s.config.SMTPUser), mail.WithPassword(string(s.config.SMTPPassword)))
	}
	client, err := mail.NewClient(host, options...)
	if err != nil {
		return err
	}
	return client.DialAndSendWithContext(ctx, letter)
}

// dialBounded dials a connection of which no more than mostAnswered is read, and that ends with ctx's deadline.
func dialBounded(ctx context.Context, network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	c, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := c.SetDeadline(deadline); err != nil {
			_ = c.Close()
			return nil, err
		}
	}
	return &boundedConn{Conn: c, left: mostAnswered}, nil
}

// boundedConn ends when too much was read.
type boundedConn struct {
	net.Conn
	left int
}

var errAnswerTooLong = errors.New("the receiver's answer is too long")

// Read is net.Conn's.
func (c *boundedConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, errAnswerTooLong
	}
	n, err := c.Conn.Read(b)
	c.left -= n
	return n, err
}
