package receivers

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/throughline-dev/throughline/pkg/alert"
	"github.com/throughline-dev/throughline/pkg/settings"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secretPath = "/services/T000SECRET/B000SECRET/xoxSECRETxox"

var now = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func firing(rule, key, summary string, severity alert.Severity) alert.State {
	return alert.State{Condition: alert.Condition{Rule: rule, Key: key, Source: key, Severity: severity, Summary: summary}, State: alert.Firing, Since: now.Add(-time.Hour), Began: now.Add(-time.Hour)}
}

func resolved(rule, key string) alert.State {
	s := firing(rule, key, "it was", alert.Warning)
	s.State, s.Since = alert.Resolved, now
	return s
}

// posted is what a receiver was sent.
type posted struct {
	path, authorization, body string
}

// receiver answers requests, and keeps them.
func receiver(t *testing.T, status int, answer string) (address string, got func() []posted) {
	t.Helper()
	var mu sync.Mutex
	var all []posted
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		all = append(all, posted{r.URL.Path, r.Header.Get("Authorization"), string(body)})
		mu.Unlock()
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []posted { mu.Lock(); defer mu.Unlock(); return all }
}

func sender(t *testing.T, change func(*Config)) *Sender {
	t.Helper()
	c := Config{SendTimeout: 10 * time.Second, ConsoleURL: "https://console.example.com", SMTPTLS: "none"}
	change(&c)
	require.NoError(t, c.Validate())
	s, err := NewSender(c, 2)
	require.NoError(t, err)
	return s
}

func read[T any](t *testing.T, body string) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(body), &v), body)
	return v
}

var message3 = alert.Message{At: now, Resolved: []alert.State{resolved(alert.Keeper, "")}, Firing: []alert.State{
	firing(alert.Spool, "marketo", "12 <!channel> & *deliveries*", alert.Critical), firing(alert.SourceSilent, "zendesk", "no [event](x) of zendesk", alert.Warning),
}}

// Slack's incoming webhooks take attachments (https://docs.slack.dev/messaging/formatting-message-text,
// https://docs.slack.dev/legacy/legacy-messaging/legacy-secondary-message-attachments) and answer "ok" in plain text.
func TestSlack(t *testing.T) {
	t.Parallel()
	address, got := receiver(t, http.StatusOK, "ok")
	s := sender(t, func(c *Config) { c.SlackURL = settings.URL(address + secretPath) })
	told, err := s.Send(t.Context(), alert.Slack, message3, nil)
	require.NoError(t, err)
	require.Len(t, told, 3)
	require.Len(t, got(), 1) // all of it is one message
	require.Equal(t, secretPath, got()[0].path)
	m := read[struct {
		Attachments []struct {
			Title, Text, Fallback, Color string
			TitleLink                    string   `json:"title_link"`
			MrkdwnIn                     []string `json:"mrkdwn_in"`
		}
	}](t, got()[0].body)
	require.Len(t, m.Attachments, 1)
	a := m.Attachments[0]
	require.Equal(t, "Throughline: 2 firing, 1 resolved", a.Title)
	require.Equal(t, a.Title, a.Fallback)
	require.Equal(t, "danger", a.Color)
	require.Equal(t, "https://console.example.com", a.TitleLink)
	require.Equal(t, []string{"pretext"}, a.MrkdwnIn) // no formatting of what is not ours
	require.Equal(t, "CRITICAL spool: 12 &lt;!channel&gt; &amp; *deliveries* (for 1h)\nWARNING source_silent: no [event](x) of zendesk (for 1h)\n"+
		"and 1 more resolved: throughline alerts\nhttps://console.example.com", a.Text)
}

// A workflow of Teams takes a message with an Adaptive Card
// (https://learn.microsoft.com/en-us/connectors/teams/?tabs=text1#adaptivecarditemschema).
func TestTeams(t *testing.T) {
	t.Parallel()
	address, got := receiver(t, http.StatusAccepted, "")
	s := sender(t, func(c *Config) { c.TeamsURL = settings.URL(address + "/workflows/abc?sig=SECRETSIG") })
	_, err := s.Send(t.Context(), alert.Teams, message3, nil)
	require.NoError(t, err)
	m := read[struct {
		Type        string
		Attachments []struct {
			ContentType string
			Content     struct {
				Type string
				Body []struct{ Type, Text string }
			}
		}
	}](t, got()[0].body)
	require.Equal(t, "message", m.Type)
	require.Equal(t, "application/vnd.microsoft.card.adaptive", m.Attachments[0].ContentType)
	require.Equal(t, "AdaptiveCard", m.Attachments[0].Content.Type)
	require.Equal(t, "Throughline: 2 firing, 1 resolved", m.Attachments[0].Content.Body[0].Text)
	require.Contains(t, m.Attachments[0].Content.Body[1].Text, `12 &lt;!channel&gt; & \*deliveries\* (for 1h)`)
	require.Contains(t, m.Attachments[0].Content.Body[1].Text, `no \[event\](x) of zendesk`)
}

// PagerDuty's Events API v2 (https://developer.pagerduty.com/docs/events-api-v2/trigger-events/): one incident of each rule,
// which is resolved when the last of its alerts is over.
func TestPagerDuty(t *testing.T) {
	t.Parallel()
	address, got := receiver(t, http.StatusAccepted, `{"status":"success"}`)
	s := sender(t, func(c *Config) {
		c.PagerDutyKey, c.PagerDutyURL = "0123456789abcdef0123456789SECRET", settings.URL(address+"/v2/enqueue")
	})
	other := firing(alert.Spool, "looker", "3 deliveries", alert.Critical)
	m := alert.Message{At: now, Firing: []alert.State{firing(alert.Spool, "marketo", "12: deliveries", alert.Critical)}, Resolved: []alert.State{resolved(alert.Keeper, ""), resolved(alert.SourceSilent, "zendesk")}}
	told, err := s.Send(t.Context(), alert.PagerDuty, m, append(m.Firing, other, firing(alert.SourceSilent, "stripe", "still", alert.Warning)))
	require.NoError(t, err)
	require.Len(t, told, 3)
	type event struct {
		RoutingKey  string `json:"routing_key"`
		EventAction string `json:"event_action"`
		DedupKey    string `json:"dedup_key"`
		Payload     struct {
			Summary, Source, Severity, Class string
			CustomDetails                    map[string]string `json:"custom_details"`
		}
	}
	var events []event
	for _, p := range got() {
		require.Equal(t, "/v2/enqueue", p.path)
		events = append(events, read[event](t, p.body))
	}
	require.Len(t, events, 3)
	require.Equal(t, []string{"trigger", "resolve", "trigger"}, []string{events[0].EventAction, events[1].EventAction, events[2].EventAction})
	require.Equal(t, "0123456789abcdef0123456789SECRET", events[0].RoutingKey)
	require.Equal(t, "critical", events[0].Payload.Severity)
	require.Equal(t, alert.Spool, events[0].Payload.Class)
	require.Equal(t, "Throughline: 2 firing, spool", events[0].Payload.Summary)
	require.Equal(t, "CRITICAL spool: 12: deliveries (for 1h)\nCRITICAL spool: 3 deliveries (for 1h)\nhttps://console.example.com", events[0].Payload.CustomDetails["alerts"])
	require.LessOrEqual(t, len(events[0].DedupKey), 255)

	_, err = s.Send(t.Context(), alert.PagerDuty, alert.Message{At: now, Resolved: []alert.State{resolved(alert.Spool, "marketo"), resolved(alert.Spool, "looker")}}, nil)
	require.NoError(t, err)
	last := read[event](t, got()[3].body)
	require.Equal(t, "resolve", last.EventAction)
	require.Equal(t, events[0].DedupKey, last.DedupKey)
}

// A webhook is Alertmanager's, so that what takes that one takes ours
// (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config).
func TestWebhook(t *testing.T) {
	t.Parallel()
	address, got := receiver(t, http.StatusOK, "")
	s := sender(t, func(c *Config) { c.WebhookURL, c.WebhookToken = settings.URL(address+"/hook"), "SECRETTOKEN" })
	_, err := s.Send(t.Context(), alert.Webhook, message3, nil)
	require.NoError(t, err)
	require.Equal(t, "Bearer SECRETTOKEN", got()[0].authorization)
	m := read[struct {
		Version, Status, Receiver string
		TruncatedAlerts           int
		Alerts                    []struct {
			Status              string
			Labels, Annotations map[string]string
			StartsAt            time.Time
		}
	}](t, got()[0].body)
	require.Equal(t, "4", m.Version)
	require.Equal(t, "firing", m.Status)
	require.Equal(t, "webhook", m.Receiver)
	require.Equal(t, 1, m.TruncatedAlerts)
	require.Len(t, m.Alerts, 2)
	require.Equal(t, map[string]string{"alertname": alert.Spool, "severity": "critical", "key": "marketo", "source": "marketo", "service": "throughline"}, m.Alerts[0].Labels)
	require.Equal(t, "12 <!channel> & *deliveries*", m.Alerts[0].Annotations["summary"])
}

// mailbox is a mail server's.
type mailbox struct {
	mu      sync.Mutex
	user    string
	to      []string
	letters []string
	refuse  error
}

func (b *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return &mailSession{b}, nil }

type mailSession struct{ b *mailbox }

func (s *mailSession) AuthMechanisms() []string { return []string{sasl.Plain} }
func (s *mailSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		s.b.user = user
		if password != "MAILSECRET" {
			return errors.New("no such user, password was " + password)
		}
		return nil
	}), nil
}
func (s *mailSession) Reset()                               {}
func (s *mailSession) Logout() error                        { return nil }
func (s *mailSession) Mail(string, *smtp.MailOptions) error { return s.b.refuse }
func (s *mailSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.b.to = append(s.b.to, to)
	return nil
}
func (s *mailSession) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.letters = append(s.b.letters, string(text))
	return err
}

func mailServer(t *testing.T, b *mailbox) string {
	t.Helper()
	server := smtp.NewServer(b)
	server.Domain, server.AllowInsecureAuth = "localhost", true
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); <-ended })
	return listener.Addr().String()
}

func TestEmail(t *testing.T) {
	t.Parallel()
	b := &mailbox{}
	address := mailServer(t, b)
	s := sender(t, func(c *Config) {
		c.SMTP, c.EmailFrom, c.EmailTo = address, "Throughline <alerts@example.com>", []string{"ops@example.com", "oncall@example.com"}
	})
	m := message3
	_, err := s.Send(t.Context(), alert.Email, m, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"ops@example.com", "oncall@example.com"}, b.to)
	letter, err := mail.ReadMessage(strings.NewReader(b.letters[0]))
	require.NoError(t, err)
	subject, err := new(mime.WordDecoder).DecodeHeader(letter.Header.Get("Subject"))
	require.NoError(t, err)
	require.Equal(t, "Throughline: 2 firing, 1 resolved", subject)
	require.Equal(t, "auto-generated", letter.Header.Get("Auto-Submitted"))
	require.Contains(t, letter.Header.Get("Content-Type"), "text/plain")
	body, err := io.ReadAll(letter.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), "CRITICAL spool: 12 <!channel>")

	b.refuse = &smtp.SMTPError{Code: 550, Message: "not you"}
	_, err = s.Send(t.Context(), alert.Email, m, nil)
	require.ErrorContains(t, err, "not you")
}

// Whatever a receiver answers or does, no text of the failure has an address, a key or a password.
func TestFailuresHaveNoSecrets(t *testing.T) {
	t.Parallel()
	address, _ := receiver(t, http.StatusTooManyRequests, "slow down, "+secretPath+" https://hooks.slack.com"+secretPath+" xoxSECRETxox \x1b[31m"+strings.Repeat("x", 4096))
	gone, _ := receiver(t, http.StatusNotFound, "no_service")
	moved := httptest.NewServer(http.RedirectHandler(address+"/else"+secretPath, http.StatusTemporaryRedirect))
	t.Cleanup(moved.Close)
	dead := "http://127.0.0.1:1" + secretPath
	box := mailServer(t, &mailbox{})
	secrets := []string{"SECRET", "T000", secretPath, "\x1b"}
	for name, c := range map[string]struct {
		receiver string
		set      func(*Config)
		retry    time.Duration
		advice   string
	}{
		"429":        {alert.Slack, func(c *Config) { c.SlackURL = settings.URL(address + secretPath) }, 2 * time.Minute, "asks to wait"},
		"404":        {alert.Slack, func(c *Config) { c.SlackURL = settings.URL(gone + secretPath) }, 0, "THROUGHLINE_ALERTS_SLACK_URL"},
		"redirected": {alert.Teams, func(c *Config) { c.TeamsURL = settings.URL(moved.URL + secretPath) }, 0, "THROUGHLINE_ALERTS_TEAMS_URL"},
		"refused":    {alert.Teams, func(c *Config) { c.TeamsURL = settings.URL(dead) }, 0, "network policy"},
		"pagerduty": {alert.PagerDuty, func(c *Config) {
			c.PagerDutyKey, c.PagerDutyURL = "0123456789abcdef0123456789SECRET", "http://127.0.0.1:1/v2"
		}, 0, "PAGERDUTY_KEY"},
		"webhook": {alert.Webhook, func(c *Config) {
			c.WebhookURL, c.WebhookToken = settings.URL("http://user:SECRETPASS@127.0.0.1:1/SECRETHOOK?token=SECRETQUERY"), "SECRETTOKEN"
		}, 0, "WEBHOOK_URL"},
		"no TLS": {alert.Email, func(c *Config) {
			c.SMTP, c.SMTPTLS, c.EmailFrom, c.EmailTo, c.SMTPUser, c.SMTPPassword = box, "starttls", "a@example.com", []string{"b@example.com"}, "u", "WRONGSECRET"
		}, 0, "SMTP"},
	} {
		s := sender(t, c.set)
		_, err := s.Send(t.Context(), c.receiver, message3, message3.Firing)
		require.Error(t, err, name)
		for _, secret := range secrets {
			require.NotContains(t, err.Error(), secret, name)
		}
		require.LessOrEqual(t, len([]rune(err.Error())), 2*mostError, name)
		var f *alert.Failure
		require.ErrorAs(t, err, &f, name)
		require.Equal(t, c.retry, f.RetryAfter, name)
		require.Contains(t, f.Advice(), c.advice, name)
	}
	// A secret is not shown by printing the settings either.
	text, err := json.Marshal(sender(t, func(c *Config) {
		c.SlackURL, c.WebhookURL = "https://h.example"+secretPath, "https://h.example/SECRETHOOK"
	}).config)
	require.NoError(t, err)
	require.NotContains(t, string(text), "SECRET")
}

// A receiver that says nothing, or never ends saying it, costs its time limit and little memory.
func TestSilentAndEndlessReceivers(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		part := strings.Repeat("x", 1<<16)
		for r.Context().Err() == nil {
			if _, err := io.WriteString(w, part); err != nil {
				return
			}
		}
	}))
	t.Cleanup(endless.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ended := make(chan struct{})
	go func() { // half-open: it takes connections, and says nothing
		defer close(ended)
		var open []net.Conn
		for {
			c, err := listener.Accept()
			if err != nil {
				break
			}
			open = append(open, c)
		}
		<-release
		for _, c := range open {
			c.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); close(release); <-ended })
	s := sender(t, func(c *Config) {
		c.SendTimeout = time.Second
		c.SlackURL, c.TeamsURL = settings.URL(endless.URL+"/x"), settings.URL("http://"+listener.Addr().String()+"/x")
		c.SMTP, c.EmailFrom, c.EmailTo = listener.Addr().String(), "a@example.com", []string{"b@example.com"}
	})
	for _, name := range []string{alert.Slack, alert.Teams, alert.Email} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		_, err := s.Send(ctx, name, message3, nil)
		require.Error(t, err, name)
		require.NoError(t, ctx.Err(), name)
		cancel()
	}
}

// All that is wrong with the settings is told at once, and no secret with it.
func TestConfigProblems(t *testing.T) {
	t.Parallel()
	err := Config{SlackURL: "SECRET", TeamsURL: "https://h.example/{{SECRET", PagerDutyURL: "ftp://x", ConsoleURL: "x", Metrics: []string{"sink:9090"}, SMTP: "smtp", SMTPUser: "u", SMTPTLS: "none",
		EmailTo: []string{"SECRET"}, WebhookToken: "SECRET"}.Validate()
	for _, want := range []string{"--slack-url", "--teams-url", "--pagerduty-url", "--alerts-console-url", "--metrics", "--smtp should", "--smtp-user and", "--email-from is needed", "--email-to or", "--webhook-token", "--send-timeout"} {
		require.ErrorContains(t, err, want)
	}
	require.NotContains(t, err.Error(), "SECRET")
}
