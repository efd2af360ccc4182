package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Sender sends messages as their vendors would.
type Sender struct {
	// URL is the receiver's: http://127.0.0.1:8080.
	URL string
	// PublicURL is what the vendors believe the receiver's address to be; "" is URL.
	PublicURL string
	// Secrets by source name; each signs with the first.
	Secrets map[string]string
	// Kafka publishes what is Backfill.
	Kafka *kgo.Client
}

// Send posts or publishes m, and returns when it was acknowledged.
func (s *Sender) Send(ctx context.Context, m Message) error {
	if m.Backfill {
		return s.publish(ctx, m)
	}
	path := "/webhooks/" + m.Source.Name()
	public := s.PublicURL
	if public == "" {
		public = s.URL
	}
	d := source.Delivery{Method: http.MethodPost, URL: public + path, Header: http.Header{}, Body: m.Body}
	d.Header.Set("Content-Type", "application/json")
	if err := source.Sign(m.Source, &d, s.Secrets[m.Source.Name()], time.Now()); err != nil {
		return fmt.Errorf("signing for %s: %w", m.Source.Name(), err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+path, bytes.NewReader(m.Body))
	if err != nil {
		return fmt.Errorf("making the request: %w", err)
	}
	req.Header = d.Header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("posting to the receiver: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1000))
	if err != nil {
		return fmt.Errorf("reading the receiver's answer: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s: the receiver answered %d: %s", m.Source.Name(), resp.StatusCode, answer)
	}
	return nil
}

// publish does what a third party's backfill job does: one value a record,
// without key or headers.
func (s *Sender) publish(ctx context.Context, m Message) error {
	var records []*kgo.Record
	for r, err := range m.Source.Split(&source.Delivery{Body: m.Body, ReceivedAt: time.Now()}) {
		if err != nil {
			return fmt.Errorf("splitting a page of %s: %w", m.Source.Name(), err)
		}
		records = append(records, &kgo.Record{Topic: stream.RawTopic(m.Source.Name()), Value: r.Value})
	}
	return stream.NewPublisher(s.Kafka).Publish(ctx, records...)
}
