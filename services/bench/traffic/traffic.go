// Package traffic is the events that are measured: of four vendors in their own
// shapes, of about 1.2 KB, each a fact of its own, about one of a number of
// accounts. The n-th event is the same in every process and every run.
package traffic

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/vendors"
)

// Accounts is how many accounts events are about, each with four links.
type Accounts int

// kind is one quarter of the events, and how they point at an account.
type kind struct {
	source, event, reference string
	words                    int // of the event's text, where the vendor's own is short
}

func kinds() []kind {
	return []kind{
		{"stripe", "invoice.paid", "customer", 0},
		{"hubspot", "contact.propertyChange", "contact", 92},
		{"zendesk", "ticket.replied", "organization", 6},
		{"intercom", "conversation.user.replied", "contact", 3},
	}
}

// Names gives the sources that events come from.
func Names() (names []string) {
	for _, k := range kinds() {
		names = append(names, k.source)
	}
	return names
}

// Traffic makes the events about some accounts. It is safe for concurrent use.
type Traffic struct {
	accounts  uint64
	simulator *vendors.Simulator
	kinds     []kind
	sources   []source.Source
	began     time.Time // when the first event occurred; each later one a millisecond after
}

// Traffic gives the events about these accounts.
func (a Accounts) Traffic() (*Traffic, error) {
	sources := catalog.Set()
	simulator, err := vendors.New(sources, 0)
	if err != nil {
		return nil, err
	}
	t := &Traffic{accounts: uint64(max(a, 1)), simulator: simulator, kinds: kinds(), began: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	for _, k := range t.kinds {
		src, ok := sources.Find(k.source)
		if !ok {
			return nil, fmt.Errorf("there is no source %s", k.source)
		}
		t.sources = append(t.sources, src)
	}
	return t, nil
}

// id is the n-th account's.
func (*Traffic) id(n uint64) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:8], mix(n))
	binary.BigEndian.PutUint64(id[8:], mix(^n))
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // a version 4 uuid to whoever looks
	return id
}

// of is the account that event i is about.
func (t *Traffic) of(i int) uint64 { return mix(uint64(i)) % t.accounts }

// mix spreads consecutive numbers over all others (the finalizer of splitmix64).
func mix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// Insert puts the accounts and their links into a migrated, empty database.
func (a Accounts) Insert(ctx context.Context, pool *pgxpool.Pool) error {
	t, err := a.Traffic()
	if err != nil {
		return err
	}
	_, err = pool.CopyFrom(ctx, pgx.Identifier{"accounts"}, []string{"id", "name", "domain"},
		pgx.CopyFromSlice(int(a), func(n int) ([]any, error) {
			return []any{t.id(uint64(n)), fmt.Sprintf("Account %d", n), domainOf(uint64(n))}, nil
		}))
	if err != nil {
		return fmt.Errorf("inserting accounts: %w", err)
	}
	_, err = pool.CopyFrom(ctx, pgx.Identifier{"account_links"}, []string{"source", "kind", "external_id", "account_id", "learned", "created_by"},
		pgx.CopyFromSlice(int(a)*len(t.kinds), func(i int) ([]any, error) {
			n := uint64(i / len(t.kinds))
			ref := t.link(i%len(t.kinds), n)
			return []any{ref.Source, ref.Kind, ref.ID, t.id(n), "manual", "bench"}, nil
		}))
	if err != nil {
		return fmt.Errorf("inserting links: %w", err)
	}
	if _, err := pool.Exec(ctx, "ANALYZE accounts, account_links"); err != nil {
		return fmt.Errorf("analyzing: %w", err)
	}
	return nil
}

// link is how events of a kind point at an account.
func (t *Traffic) link(at int, account uint64) source.Reference {
	k := t.kinds[at]
	return source.Reference{Source: k.source, Kind: k.reference, ID: t.simulator.ID(k.source, k.reference, vendors.Customer{Key: account})}
}

// delivery is event i, as one of a kind.
func (t *Traffic) delivery(at, i int) (vendors.Delivery, error) {
	k := t.kinds[at]
	e := vendors.Event{
		Type: k.event, At: t.began.Add(time.Duration(i) * time.Millisecond), About: vendors.Customer{Key: t.of(i)}, Serial: uint64(i) + 1,
	}
	if k.words > 0 {
		e.Text = prose(i, k.words)
	}
	return t.simulator.Delivery(k.source, e)
}

// Stripe gives event i as one of Stripe's, whatever i is.
func (t *Traffic) Stripe(i int) (vendors.Delivery, error) { return t.delivery(0, i) }

// Batch gives n events of a source from event from on, as one delivery, about accounts that their domain leads to.
func (t *Traffic) Batch(source string, from, n int) (vendors.Delivery, error) {
	types := t.simulator.Types(source)
	if len(types) == 0 {
		return vendors.Delivery{}, fmt.Errorf("there is no source %s", source)
	}
	events := make([]vendors.Event, n)
	for i := range events {
		at := from + i
		domain := domainOf(t.of(at))
		events[i] = vendors.Event{
			Type: types[0].Vendor, At: t.began.Add(time.Duration(at) * time.Millisecond), Serial: uint64(at) + 1,
			About: vendors.Customer{Key: t.of(at), Domain: domain, Email: "kim@" + domain},
		}
	}
	return t.simulator.Delivery(source, events...)
}

func domainOf(account uint64) string { return fmt.Sprintf("account-%d.example", account) }

// StripeNumber gives i back from the source_event_id of Stripe's event i; ok is
// false for any other id.
func (t *Traffic) StripeNumber(id string) (i int, ok bool) {
	serial, ok := t.simulator.Serial(id)
	return int(serial) - 1, ok
}

// Unlinked is an account that events are about, and the reference that waits for a link to it: no other reference of
// these events leads anywhere.
type Unlinked struct {
	ID        uuid.UUID
	Reference source.Reference

	key uint64
}

// Unlinked gives the one beyond those that Insert makes.
func (t *Traffic) Unlinked() Unlinked {
	return Unlinked{ID: t.id(t.accounts), Reference: t.link(0, t.accounts), key: t.accounts}
}

// RawOf gives Stripe's event i about an account without links as it lies in its raw topic.
func (t *Traffic) RawOf(u Unlinked, i int) (source.Source, source.Record, source.Event, error) {
	d, err := t.simulator.Delivery(t.kinds[0].source, vendors.Event{
		Type: t.kinds[0].event, At: t.began.Add(time.Duration(i) * time.Millisecond), About: vendors.Customer{Key: u.key}, Serial: uint64(i) + 1,
	})
	if err != nil {
		return nil, source.Record{}, source.Event{}, err
	}
	return t.raw(0, d)
}

// EventOf gives the same event as the normalizer makes it once the link is there.
func (t *Traffic) EventOf(u Unlinked, i int) (event.AccountEvent, error) {
	src, rec, described, err := t.RawOf(u, i)
	if err != nil {
		return event.AccountEvent{}, err
	}
	return accountEvent(src, rec, described, i, u.ID, u.Reference), nil
}

// Raw gives event i as it lies in a raw topic, and the source that it came from.
func (t *Traffic) Raw(i int) (source.Source, source.Record, source.Event, error) {
	at := i % len(t.kinds)
	d, err := t.delivery(at, i)
	if err != nil {
		return nil, source.Record{}, source.Event{}, err
	}
	return t.raw(at, d)
}

func (t *Traffic) raw(at int, d vendors.Delivery) (source.Source, source.Record, source.Event, error) {
	src := t.sources[at]
	// HubSpot's array of one is the only envelope here. Splitting would describe
	// each event a second time.
	value := bytes.TrimSuffix(bytes.TrimPrefix(d.Body, []byte("[")), []byte("]"))
	rec, described, err := source.Keyed(src, source.Record{Value: value, Mode: source.ModeWebhook, ReceivedAt: time.Now()})
	if err != nil {
		return nil, rec, described, fmt.Errorf("describing an event of %s: %w", d.Source, err)
	}
	return src, rec, described, nil
}

// Event gives event i as the normalizer makes it.
func (t *Traffic) Event(i int) (event.AccountEvent, error) {
	src, rec, described, err := t.Raw(i)
	if err != nil {
		return event.AccountEvent{}, err
	}
	account := t.of(i)
	return accountEvent(src, rec, described, i, t.id(account), t.link(i%len(t.kinds), account)), nil
}

func accountEvent(src source.Source, rec source.Record, described source.Event, i int, account uuid.UUID, by source.Reference) event.AccountEvent {
	return event.AccountEvent{
		AccountID: account, Type: described.Type, Source: src.Name(), SourceEventID: described.ID,
		Payload: rec.Value, Subject: rawjson.SubjectLine(described.Subject),
		Rule: resolve.RuleLinks, Reference: by.Key(),
		RawTopic: "raw." + src.Name(), RawPartition: 0, RawOffset: int64(i), RawIndex: -1, Livemode: true,
		OccurredAt: described.OccurredAt, IngestedAt: rec.ReceivedAt, Tenant: described.Tenant, Delivery: rec.Mode,
	}
}

// prose is n words; which ones depends on i.
func prose(i, n int) string {
	words := [...]string{
		"renewal", "invoice", "seat", "login", "export", "pricing", "upgrade", "contract", "webhook", "outage", "refund", "trial",
		"onboarding", "quota", "dashboard", "training", "discount", "migration", "security", "latency", "report", "license",
	}
	text := make([]byte, 0, n*9)
	for w := range n {
		text = append(append(text, words[mix(uint64(i*64+w))%uint64(len(words))]...), ' ')
	}
	return string(text)
}
