package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

const (
	maxBody   = 64 << 20 // beyond every source's limit, so that the refusal can be tried too
	maxAnswer = 64 << 10
)

type sendCommand struct {
	Source      sourceName      `arg:"" help:"The source whose vendor to play: ${sources}."`
	File        string          `arg:"" help:"The body, sent byte for byte; - reads it from standard input."`
	URL         string          `name:"url" default:"${receiver}" help:"The receiver; /webhooks/<source> is added unless it ends so."`
	PublicURL   string          `name:"public-url" placeholder:"URL" help:"The address that the vendor believes it calls, which HubSpot signs; else THROUGHLINE_<SOURCE>_PUBLIC_URL, else the URL posted to."`
	Secret      settings.Secret `name:"secret" placeholder:"SECRET" help:"Secret to sign with. Other users see a command line: rather set THROUGHLINE_<SOURCE>_SECRETS (the first is used)."`
	SecretsFile string          `name:"secrets-file" default:".throughline/secrets.json" placeholder:"FILE" help:"Local secrets by source, used when no other is set (${default}, which make run writes)."`
	Header      []string        `name:"header" short:"H" sep:"none" placeholder:"NAME: VALUE" help:"A header more, or instead of a usual one. Can be given again."`
	Repeat      int             `name:"repeat" default:"1" placeholder:"N" help:"Send it so many times, signed anew each time, one after the other (${default})."`
	Tamper      bool            `name:"tamper" help:"Change the body after signing it. Then a refusal is the success."`
	Timeout     time.Duration   `name:"timeout" default:"30s" help:"Longest wait for one answer."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*sendCommand) Help() string {
	return "Exits 0 when every answer was 2xx (with --tamper: when every answer was 4xx), else 1. Example: throughline send stripe invoice.json"
}

// Validate is kong's.
func (c *sendCommand) Validate() error {
	var problems []error
	if c.Repeat < 1 {
		problems = append(problems, fmt.Errorf("--repeat should be 1 or more, but is %d", c.Repeat))
	}
	for _, h := range c.Header {
		if name, _, ok := strings.Cut(h, ":"); !ok || strings.TrimSpace(name) == "" {
			problems = append(problems, errors.New("--header should be like \"X-Name: value\""))
		}
	}
	problems = append(problems, checkURL("--url", c.URL), checkURL("--public-url", c.PublicURL))
	return errors.Join(problems...)
}

func checkURL(flag, value string) error {
	if u, err := url.Parse(value); value != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return fmt.Errorf("%s should be a whole address like %s", flag, localReceiver)
	}
	return nil
}

// answerView is one answer of the receiver.
type answerView struct {
	N      int    `json:"n"`
	Status int    `json:"status"`
	Millis int64  `json:"millis"`
	Body   string `json:"body"`
}

// Run is kong's.
func (c *sendCommand) Run(ctx context.Context, s *session) error {
	sender, err := c.sender(s)
	if err != nil {
		return err
	}
	progress := s.newProgress("sending to "+sender.url, int64(c.Repeat))
	refused := 0
	for n := 1; n <= c.Repeat; n++ {
		answer, err := sender.send(ctx)
		if err != nil {
			progress.end()
			return err
		}
		answer.N = n
		if answer.Status/100 != c.wanted() {
			refused++
		}
		if err := c.show(s, progress, answer); err != nil {
			return err
		}
		progress.at(int64(n), fmt.Sprintf("%d of %d", n, c.Repeat))
	}
	progress.end()
	return c.verdict(refused)
}

// wanted is the class of status that makes this command succeed.
func (c *sendCommand) wanted() int {
	if c.Tamper {
		return 4
	}
	return 2
}

func (c *sendCommand) verdict(failed int) error {
	switch {
	case failed == 0:
		return nil
	case c.Tamper:
		return fmt.Errorf("%d of %d tampered deliveries were not refused", failed, c.Repeat)
	default:
		return fmt.Errorf("%d of %d deliveries were refused: the answer says why", failed, c.Repeat)
	}
}

func (c *sendCommand) show(s *session, progress *progress, a answerView) error {
	if c.JSON {
		return writeJSON(s, a)
	}
	progress.end()
	_, err := fmt.Fprintf(s.Out, "%d %s  %s\n", a.Status, http.StatusText(a.Status), clean(a.Body))
	return err
}

func (c *sendCommand) sender(s *session) (*sender, error) {
	found, _ := catalog.Find(string(c.Source)) // sourceName was validated
	src, ok := found.(source.Webhook)
	if !ok {
		return nil, usage("%s has no webhook", c.Source)
	}
	body, err := c.body(s)
	if err != nil {
		return nil, err
	}
	secret, err := c.secret(s)
	if err != nil {
		return nil, err
	}
	out := &sender{src: src, secret: secret, body: body, url: webhookURL(c.URL, src.Name()), header: usualHeaders(src.Name(), uuid.New()),
		tamper: c.Tamper, now: s.now, client: &http.Client{
			Timeout: c.Timeout,
			// A vendor does not follow a redirect either: what answers is what is at this address.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}}
	out.publicURL = out.url
	if public, _ := s.Env(settings.SourceVariable(src.Name(), "PUBLIC_URL")); public != "" {
		out.publicURL = public
	}
	if c.PublicURL != "" {
		out.publicURL = webhookURL(c.PublicURL, src.Name())
	}
	for _, h := range c.Header {
		name, value, _ := strings.Cut(h, ":")
		out.header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	return out, nil
}

func (c *sendCommand) body(s *session) ([]byte, error) {
	from := s.In
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return nil, fmt.Errorf("opening the body: %w", err)
		}
		defer file.Close()
		from = file
	}
	body, err := io.ReadAll(io.LimitReader(from, maxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading the body: %w", err)
	case len(body) > maxBody:
		return nil, fmt.Errorf("the body is larger than %d MiB, more than any source takes", maxBody>>20)
	}
	return body, nil
}

// sender plays one vendor.
type sender struct {
	src            source.Webhook
	secret         string
	body           []byte
	url, publicURL string
	header         http.Header
	tamper         bool
	now            func() time.Time
	client         *http.Client
}

func (p *sender) send(ctx context.Context) (answerView, error) {
	d, err := p.sign()
	if err != nil {
		return answerView{}, err
	}
	req, err := http.NewRequestWithContext(ctx, d.Method, p.url, bytes.NewReader(d.Body))
	if err != nil {
		return answerView{}, fmt.Errorf("making the request: %w", err)
	}
	req.Header = d.Header
	begun := time.Now()
	resp, err := p.client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return answerView{}, ctx.Err()
		}
		return answerView{}, fmt.Errorf("posting: %w: does a receiver listen there? `make run` starts one at %s; --url names another", err, localReceiver)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answerView{}, fmt.Errorf("reading the answer: %w", err)
	}
	return answerView{Status: resp.StatusCode, Millis: time.Since(begun).Milliseconds(), Body: strings.TrimSpace(string(body))}, nil
}

// sign makes a delivery of this moment.
func (p *sender) sign() (*source.Delivery, error) {
	now := p.now()
	d := &source.Delivery{Method: http.MethodPost, URL: p.publicURL, Header: p.header.Clone(), Body: p.body, ReceivedAt: now}
	if err := source.Sign(p.src, d, p.secret, now); err != nil || !p.tamper {
		return d, err
	}
	d.Body = append(bytes.Clone(p.body), ' ') // still the same JSON: only the signature can tell
	verifier, err := p.src.Open([]string{p.secret})
	if err != nil {
		return nil, fmt.Errorf("reading the secret: %w", err)
	}
	if _, err := verifier.Verify(d, now); err == nil {
		// The vendor sends a bare token, which covers no body: spoil the token.
		return d, source.Sign(p.src, d, "not-"+p.secret, now)
	}
	return d, nil
}

func webhookURL(base, source string) string {
	path := "/webhooks/" + source
	base = strings.TrimRight(base, "/")
	if strings.HasSuffix(base, path) {
		return base
	}
	return base + path
}
