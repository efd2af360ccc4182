package vendors

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 10

// Delivery is what a vendor posts.
type Delivery struct {
	Source string
	Tenant string // the vendor account, which some vendors' headers name
	Body   []byte
	Header http.Header // beside the usual ones, and instead of them; may be nil
}

// Sender signs and posts deliveries. Its fields are not changed while it is in
// use, which may be concurrent.
type Sender struct {
	// Sources are those that it can send for.
	Sources source.Set
	// URL is the receiver's: http://127.0.0.1:8080. /webhooks/<source> is added
	// unless it ends so.
	URL string
	// PublicURL is what the vendors believe it is, and HubSpot signs; "" is URL.
	PublicURL string
	// Secrets by source; each signs with its own.
	Secrets map[string]string
	// Tenants by source, of events that do not say theirs, as the services that
	// receive them are told (settings.SourceSetting); Identify reads them.
	Tenants map[string]string
	// Client posts; nil is one without a time limit that follows no redirect, as
	// vendors do.
	Client *http.Client
	// Now is the signatures' clock; nil is time.Now.
	Now func() time.Time
}

// Answer is what a receiver answered.
type Answer struct {
	Status int
	Body   []byte // at most 64 KiB of it
	Took   time.Duration
}

// Sign gives a delivery as the vendor would send it now.
func (s *Sender) Sign(d Delivery) (*source.Delivery, error) {
	src, ok := s.Sources.Find(d.Source)
	if !ok {
		return nil, fmt.Errorf("%q is not a source", d.Source)
	}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	at := now()
	called, err := settings.CalledURL(s.PublicURL, d.Source)
	if err != nil {
		return nil, err
	}
	signed := &source.Delivery{
		Method: http.MethodPost, URL: orText(called, webhookURL(s.URL, d.Source)), Header: usualHeaders(d), Body: d.Body, ReceivedAt: at,
	}
	for name, values := range d.Header {
		signed.Header[http.CanonicalHeaderKey(name)] = values
	}
	if err := source.Sign(src, signed, s.Secrets[d.Source], at); err != nil {
		return nil, fmt.Errorf("signing a delivery of %s: %w", d.Source, err)
	}
	return signed, nil
}

// Tamper gives a delivery that must be refused: its body was changed after it was
// signed, to other bytes of the same JSON. Where the vendor sends a bare token,
// which covers no body, the token is wrong too.
func (s *Sender) Tamper(d Delivery) (*source.Delivery, error) {
	fixed := *s
	if s.Now == nil {
		at := time.Now()
		fixed.Now = func() time.Time { return at }
	}
	original, err := fixed.Sign(d)
	if err != nil {
		return nil, err
	}
	d.Body = append(bytes.Clone(d.Body), ' ')
	changed, err := fixed.Sign(d)
	if err != nil {
		return nil, err
	}
	unsigned := usualHeaders(d)
	for name := range changed.Header {
		if _, usual := unsigned[name]; !usual && changed.Header.Get(name) != original.Header.Get(name) {
			changed.Header = original.Header
			return changed, nil
		}
	}
	fixed.Secrets = map[string]string{d.Source: "not-" + s.Secrets[d.Source]}
	return fixed.Sign(d)
}

// Request gives the request that posts a delivery.
func (s *Sender) Request(ctx context.Context, d Delivery) (*http.Request, error) {
	signed, err := s.Sign(d)
	if err != nil {
		return nil, err
	}
	return s.request(ctx, d.Source, signed)
}

func (s *Sender) request(ctx context.Context, name string, signed *source.Delivery) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, signed.Method, webhookURL(s.URL, name), bytes.NewReader(signed.Body))
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header = signed.Header
	return req, nil
}

// Post posts a delivery once and reads the whole answer, whatever its status.
func (s *Sender) Post(ctx context.Context, d Delivery) (Answer, error) {
	signed, err := s.Sign(d)
	if err != nil {
		return Answer{}, err
	}
	return s.PostSigned(ctx, d.Source, signed)
}

// PostSigned is Post of what Sign gave, changed or not.
func (s *Sender) PostSigned(ctx context.Context, name string, signed *source.Delivery) (Answer, error) {
	req, err := s.request(ctx, name, signed)
	if err != nil {
		return Answer{}, err
	}
	client := s.Client
	if client == nil {
		client = &http.Client{CheckRedirect: NoRedirect}
	}
	begun := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return Answer{}, ctx.Err()
		}
		return Answer{}, fmt.Errorf("posting to the receiver: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return Answer{}, fmt.Errorf("reading the receiver's answer: %w", err)
	}
	return Answer{Status: resp.StatusCode, Body: bytes.TrimSpace(body), Took: time.Since(begun)}, nil
}

// NoRedirect is for http.Client.CheckRedirect: vendors do not follow redirects,
// so what answers is what is at the address.
func NoRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func webhookURL(base, name string) string {
	path := "/webhooks/" + name
	base = strings.TrimRight(base, "/")
	if strings.HasSuffix(base, path) {
		return base
	}
	return base + path
}

// usualHeaders are those of a delivery that its source's Signer cannot know, and
// the vendor's usual ones that it leaves out. Nothing trusts them; they let a
// proxy's rule or a log meet what it will meet.
func usualHeaders(d Delivery) http.Header {
	h := http.Header{}
	switch d.Source {
	case "hubspot": // captured requests
		h.Set("User-Agent", "HubSpot Connect 2.0 (http://dev.hubspot.com/) (namespace: webhooks-nio-http-client) - WebhooksExecutorDaemon-executor")
		h.Set("X-HubSpot-Timeout-Millis", "10000")
	case "zendesk": // developer.zendesk.com/documentation/webhooks/anatomy-of-a-webhook-request/
		h.Set("X-Zendesk-Account-Id", d.Tenant)
		h.Set("X-Zendesk-Webhook-Id", "01J00000000000000000000000")
		h.Set("X-Zendesk-Webhook-Invocation-Id", uuid.NewString())
	case "looker": // looker-open-source/actions, src/hub/action_request.ts
		h.Set("User-Agent", "LookerOutgoingWebhook/1.0")
		h.Set("X-Looker-Webhook-Id", "42")
		if d.Tenant != "" {
			h.Set("X-Looker-Instance", d.Tenant)
		}
	}
	return h
}
