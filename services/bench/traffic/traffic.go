// Package traffic makes the events that are measured: bodies of about 1 KB in
// the vendors' own shapes, each a fact of its own, about one of a number of
// accounts. The n-th event is the same in every process and every run.
package traffic

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// Accounts is how many accounts events are about, each with four links.
type Accounts int

// Names gives the sources that events come from.
func Names() []string { return []string{"stripe", "hubspot", "zendesk", "intercom"} }

// began is when the first event occurred; each later one a millisecond after.
var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// id is the n-th account's.
func (Accounts) id(n uint64) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[:8], mix(n))
	binary.BigEndian.PutUint64(id[8:], mix(^n))
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80 // a version 4 uuid to whoever looks
	return id
}

// of is the account that event i is about.
func (a Accounts) of(i int) uint64 { return mix(uint64(i)) % uint64(a) }

// mix spreads consecutive numbers over all others (the finalizer of splitmix64).
func mix(n uint64) uint64 {
	n += 0x9e3779b97f4a7c15
	n = (n ^ n>>30) * 0xbf58476d1ce4e5b9
	n = (n ^ n>>27) * 0x94d049bb133111eb
	return n ^ n>>31
}

// Insert puts the accounts and their links into a migrated, empty database.
func (a Accounts) Insert(ctx context.Context, pool *pgxpool.Pool) error {
	_, err := pool.CopyFrom(ctx, pgx.Identifier{"accounts"}, []string{"id", "name", "domain"},
		pgx.CopyFromSlice(int(a), func(n int) ([]any, error) {
			return []any{a.id(uint64(n)), fmt.Sprintf("Account %d", n), fmt.Sprintf("account-%d.example", n)}, nil
		}))
	if err != nil {
		return fmt.Errorf("inserting accounts: %w", err)
	}
	kinds := links()
	_, err = pool.CopyFrom(ctx, pgx.Identifier{"account_links"}, []string{"source", "kind", "external_id", "account_id", "learned", "created_by"},
		pgx.CopyFromSlice(int(a)*len(kinds), func(i int) ([]any, error) {
			n := uint64(i / len(kinds))
			ref := kinds[i%len(kinds)].reference(n)
			return []any{ref.Source, ref.Kind, ref.ID, a.id(n), "manual", "bench"}, nil
		}))
	if err != nil {
		return fmt.Errorf("inserting links: %w", err)
	}
	if _, err := pool.Exec(ctx, "ANALYZE accounts, account_links"); err != nil {
		return fmt.Errorf("analyzing: %w", err)
	}
	return nil
}

// link is how a source's events point at an account.
type link struct{ source, kind, format string }

func links() []link {
	return []link{
		{"stripe", "customer", customerID}, {"hubspot", "contact", contactID},
		{"zendesk", "organization", organizationID}, {"intercom", "contact", intercomID},
	}
}

func (l link) reference(account uint64) source.Reference {
	return source.Reference{Source: l.source, Kind: l.kind, ID: fmt.Sprintf(l.format, account)}
}

// Raw gives event i as it lies in a raw topic, and the source that it came from.
func (a Accounts) Raw(i int) (source.Source, source.Record, source.Event, error) {
	name := Names()[i%len(Names())]
	src, ok := catalog.Find(name)
	if !ok {
		return nil, source.Record{}, source.Event{}, fmt.Errorf("there is no source %s", name)
	}
	rec := source.Record{Value: a.body(name, i), Mode: source.ModeWebhook, ReceivedAt: time.Now()}
	rec, described, err := source.Keyed(src, rec)
	if err != nil {
		return nil, rec, described, fmt.Errorf("describing an event of %s: %w", name, err)
	}
	return src, rec, described, nil
}

// Event gives event i as the normalizer makes it.
func (a Accounts) Event(i int) (event.AccountEvent, error) {
	src, rec, described, err := a.Raw(i)
	if err != nil {
		return event.AccountEvent{}, err
	}
	return event.AccountEvent{
		AccountID: a.id(a.of(i)), Type: described.Type, Source: src.Name(), SourceEventID: described.ID,
		Payload: rec.Value, Subject: rawjson.SubjectLine(described.Subject),
		RawTopic: "raw." + src.Name(), RawPartition: 0, RawOffset: int64(i), RawIndex: -1, Livemode: true,
		OccurredAt: described.OccurredAt, IngestedAt: rec.ReceivedAt, Tenant: described.Tenant, Delivery: rec.Mode,
	}, nil
}
