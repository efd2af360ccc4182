package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// A link that was wrong is put right while its events keep coming: each of them is on one timeline or in quarantine
// at the end, where the ledger says, and a consumer of account-events and account-changes knows it too.
func TestAWrongLinkIsCorrected(t *testing.T) {
	t.Parallel()
	p := newPlace(t, streamtest.Embedded(t))
	startEmbedded(t, p)
	acme, beta := p.account("Acme", "acme.example"), p.account("Beta", "beta.example")
	copied := newCopy(t, p)
	p.throughline("link", "stripe:cus_1", acme.String())

	// Half of the events name an address at Beta too.
	coming, stop := context.WithCancel(t.Context())
	var sent int
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for coming.Err() == nil {
			email := ""
			if sent%2 == 1 {
				email = "kim@beta.example"
			}
			p.publish("stripe", stripeCharge(sent, "cus_1", email))
			sent++
		}
	})
	arrived := func(n int) {
		t.Helper()
		await(t, patience, fmt.Sprintf("%d events", n), func() (bool, string) { return p.onTimelines() >= n, "" })
	}
	arrived(60)
	p.throughline("unlink", "stripe:cus_1", "--reason", "Beta's card")
	await(t, patience, "the events to leave Acme", func() (bool, string) {
		return p.on(beta) >= 60 && p.open() >= 60, fmt.Sprintf("%d on Acme, %d on Beta, %d open", p.on(acme), p.on(beta), p.open())
	})
	p.throughline("links", "deny", "email:kim@beta.example", beta.String())
	p.throughline("unlink", "email:kim@beta.example")
	stop()
	publishing.Wait()
	settled := func(onAcme, onBeta, open int) {
		t.Helper()
		await(t, patience, "every event to be where the ledger says", func() (bool, string) {
			got := []int{p.on(acme), p.on(beta), p.open(), p.count("SELECT count(*) FROM quarantine WHERE status = 'replaying'")}
			return got[0] == onAcme && got[1] == onBeta && got[2] == open && got[3] == 0,
				fmt.Sprintf("%d of %d, %d, %d; in quarantine: %s", got, onAcme, onBeta, open, p.strings("SELECT concat_ws(' ', count(*), status, outcome, reason) FROM quarantine GROUP BY status, outcome, reason ORDER BY 1"))
		})
		copied.agrees(t, p)
	}
	odd := sent / 2
	t.Logf("%d events", sent)
	settled(0, odd, sent-odd)

	p.throughline("link", "stripe:cus_1", acme.String())
	settled(sent-odd, odd, 0)
	p.throughline("relink", "stripe:cus_1", "Beta")
	settled(0, sent, 0)
	p.throughline("accounts", "merge", "Beta", "Acme", "--yes")
	settled(sent, 0, 0)
	require.Zero(t, p.count("SELECT count(*) FROM history_moves WHERE finished_at IS NULL"))
}

func stripeCharge(n int, customer, email string) []byte {
	return fmt.Appendf(nil, `{"id": "evt_%d", "object": "event", "type": "charge.succeeded", "livemode": true, "created": %d, "data": {"object": {"id": "ch_%d",
		"object": "charge", "customer": %q, "amount": 100, "currency": "eur", "billing_details": {"email": %q}}}}`, n, time.Now().Unix()-1, n, customer, email)
}

// on is how many events an account has.
func (p *place) on(account uuid.UUID) int {
	return p.count("SELECT count(*) FROM account_events WHERE account_id = $1", account)
}

// copyOf is what a consumer makes of account-events and account-changes.
type copyOf struct {
	mu     sync.Mutex
	events map[string]copied // by source_event_id
}

type copied struct {
	account uuid.UUID // Nil: none
	since   time.Time
}

func newCopy(t *testing.T, p *place) *copyOf {
	t.Helper()
	registry, err := event.NewRegistry(event.RegistryConfig{URL: settings.URL(p.registry)})
	require.NoError(t, err)
	events, err := event.NewDecoder(registry)
	require.NoError(t, err)
	changes, err := event.NewChangeDecoder(registry)
	require.NoError(t, err)
	client, err := stream.NewClient(stream.Config{Brokers: p.brokers}, stream.Deps{Name: "copy"}, kgo.ConsumeTopics(stream.AccountEvents, stream.AccountChanges),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	require.NoError(t, err)
	c := &copyOf{events: map[string]copied{}}
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(func(rec *kgo.Record) { c.take(ctx, events, changes, rec) })
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		client.Close()
	})
	return c
}

// take follows the two topics, between which there is no order: a change holds for what came before it.
func (c *copyOf) take(ctx context.Context, events *event.Decoder, changes *event.ChangeDecoder, rec *kgo.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if rec.Topic == stream.AccountEvents {
		var e event.AccountEvent
		if events.AccountEvent(ctx, rec.Value, &e) == nil && !rec.Timestamp.Before(c.events[e.SourceEventID].since) {
			c.events[e.SourceEventID] = copied{e.AccountID, rec.Timestamp}
		}
		return
	}
	var change event.AccountChange
	if changes.Decode(ctx, rec.Value, &change) == nil && change.At.After(c.events[change.SourceEventID].since) {
		c.events[change.SourceEventID] = copied{change.ToAccount, change.At}
	}
}

// agrees waits until the copy is what the timelines are.
func (c *copyOf) agrees(t *testing.T, p *place) {
	t.Helper()
	want := map[string]int{}
	for _, event := range p.strings("SELECT source_event_id || ' on ' || account_id FROM account_events") {
		want[event]++
	}
	await(t, patience, "the consumer's copy to agree", func() (bool, string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		got := map[string]int{}
		for id, e := range c.events {
			if e.account != uuid.Nil {
				got[id+" on "+e.account.String()]++
			}
		}
		differs := difference(want, got)
		return differs == "", differs
	})
}
