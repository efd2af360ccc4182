package sink

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// erased gives the work that takes those of the batch's new rows off again which nobody may keep: what they refer to was
// erased while they were on their way, or they come again from a topic that remembers. It comes first of all work after
// the rows are written, so that an erasure which this transaction does not see waits for it.
//
// passed has how many there are by source, when the work is done.
func (s *Sink) erased(part []entry, passed map[string]int64) postgres.After {
	return func(ctx context.Context, tx pgx.Tx, inserted postgres.Inserted) error {
		clear(passed)
		var places []int
		by, err := resolve.Suppressed(ctx, tx, func() (carried []resolve.Carried) {
			for i := range part {
				if inserted[i] {
					places = append(places, i)
					carried = append(carried, s.carried(&part[i]))
				}
			}
			return carried
		})
		if err != nil {
			return err
		}
		var sources, ids []string
		var decisions []int64
		for n, decision := range by {
			if row := &part[places[n]].row; decision != 0 {
				sources, ids, decisions = append(sources, row.Source), append(ids, row.SourceEventID), append(decisions, decision)
				passed[row.Source]++
			}
		}
		if len(decisions) == 0 {
			return nil
		}
		if _, err := tx.Exec(ctx, accounts.EraseEvents, sources, ids, decisions); err != nil {
			return postgres.Classify(fmt.Errorf("taking off events of what was erased: %w", err))
		}
		return nil
	}
}

// countErased gives the last work of the transaction: the erasures' count, which is of what is committed.
func countErased(passed map[string]int64) postgres.After {
	return func(ctx context.Context, tx pgx.Tx, _ postgres.Inserted) error {
		return resolve.CountSuppressed(ctx, tx, passed)
	}
}

// carried is what an event refers to: what its origin says, its account's id, and what its source finds in it.
func (s *Sink) carried(e *entry) resolve.Carried {
	c := resolve.Carried{Deciding: source.ParseKey(e.event.Reference)}
	for _, ref := range c.Deciding {
		if domain := resolve.DomainOf(ref); domain != "" && e.event.Rule != resolve.RuleLinks {
			c.Deciding = append(c.Deciding, source.Reference{Source: source.KindDomain, Kind: source.KindDomain, ID: domain})
			break
		}
	}
	c.Deciding = append(c.Deciding, source.Reference{Source: source.KindAccountUUID, Kind: source.KindAccountUUID, ID: e.event.AccountID.String()})
	if src, ok := s.deps.Sources.Find(e.event.Source); ok {
		_, described, err := source.Keyed(src, source.Record{Value: e.event.Payload, Mode: e.event.Delivery, Tenant: e.event.Tenant, ReceivedAt: e.event.IngestedAt})
		if err == nil {
			c.All = described.References
		}
	}
	// An erased person's, in somebody's text, or in what whoever publishes account-events wrote beside it.
	c.All = append(c.All, resolve.Addresses(e.event.Payload)...)
	for _, text := range []string{e.event.Tenant, e.event.SourceEventID, e.event.Type, e.event.Reference} {
		c.All = append(c.All, resolve.Addresses([]byte(text))...)
	}
	return c
}
