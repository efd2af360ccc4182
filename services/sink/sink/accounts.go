package sink

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
)

// maxKnownAccounts bounds the accounts that are remembered, at 16 bytes and the map's own.
const maxKnownAccounts = 100_000

// knownAccounts tells accounts from what somebody else wrote into account-events. It
// is safe for concurrent use.
type knownAccounts struct {
	pool  *pgxpool.Pool
	limit time.Duration // of one look-up

	mu    sync.Mutex
	known map[uuid.UUID]bool
}

// check takes those entries out whose account has never existed. One that did is the
// ledger's matter: its events are corrected as they are stored (accounts.Mover). An
// error is Transient.
func (k *knownAccounts) check(ctx context.Context, entries []entry) (kept []entry, dead []failed, err error) {
	strange, err := k.strange(ctx, k.unknown(entries))
	if err != nil || len(strange) == 0 {
		return entries, nil, err
	}
	kept = entries[:0]
	for _, e := range entries {
		if strange[e.event.AccountID] {
			dead = append(dead, failed{e, fault.Permanent(fault.Unresolved, fmt.Errorf("there is no account %s", e.event.AccountID))})
		} else {
			kept = append(kept, e)
		}
	}
	return kept, dead, nil
}

func (k *knownAccounts) unknown(entries []entry) (ids []uuid.UUID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	seen := map[uuid.UUID]bool{}
	for i := range entries {
		if id := entries[i].event.AccountID; !k.known[id] && !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

// strange gives those that are no accounts, and remembers the others.
func (k *knownAccounts) strange(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]bool, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	list, err := postgres.Bound(ctx, k.limit, func(ctx context.Context) ([]uuid.UUID, error) {
		rows, err := k.pool.Query(ctx, `SELECT id FROM unnest($1::uuid[]) AS asked (id)
			WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.id = asked.id) AND NOT EXISTS (SELECT FROM history_moves m WHERE m.from_account = asked.id)`, ids)
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	})
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("looking for accounts: %w", err))
	}
	strange := make(map[uuid.UUID]bool, len(list))
	for _, id := range list {
		strange[id] = true
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.known)+len(ids) > maxKnownAccounts {
		clear(k.known)
	}
	for _, id := range ids {
		if !strange[id] {
			k.known[id] = true
		}
	}
	return strange, nil
}
