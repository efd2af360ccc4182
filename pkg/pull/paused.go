package pull

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Paused is a vendor account whose API nobody here asks for a while, because it has
// said so.
type Paused struct {
	Source, Tenant string
	Until          time.Time
	// Why is how the vendor said it, for a person.
	Why string
}

// Pauses gives the pauses that have not ended, of one source or with "" of all, ordered
// by source and tenant.
func (s *Store) Pauses(ctx context.Context, source string) ([]Paused, error) {
	rows, err := s.pool.Query(ctx, `SELECT source, tenant, paused_until, pause_reason FROM api_budgets
		WHERE paused_until > clock_timestamp() AND $1 IN ('', source) ORDER BY source, tenant`, source)
	if err != nil {
		return nil, broken("looking for pauses", err)
	}
	paused, err := pgx.CollectRows(rows, toPaused)
	return paused, broken("looking for pauses", err)
}

// Resume lifts the pauses of a source, and gives them. Whoever waits asks again within
// seconds. The vendor may refuse, and ask for a pause again.
func (s *Store) Resume(ctx context.Context, source string) ([]Paused, error) {
	rows, err := s.pool.Query(ctx, `WITH lifted AS (SELECT source, tenant, paused_until, pause_reason FROM api_budgets
			WHERE paused_until > clock_timestamp() AND source = $1 FOR UPDATE),
		lift AS (UPDATE api_budgets b SET paused_until = NULL, free_at = clock_timestamp(), updated_at = now() FROM lifted l WHERE b.source = l.source AND b.tenant = l.tenant)
		SELECT * FROM lifted ORDER BY tenant`, source)
	if err != nil {
		return nil, broken("lifting the pause", err)
	}
	lifted, err := pgx.CollectRows(rows, toPaused)
	return lifted, broken("lifting the pause", err)
}

func toPaused(row pgx.CollectableRow) (p Paused, err error) {
	err = row.Scan(&p.Source, &p.Tenant, &p.Until, &p.Why)
	p.Until = p.Until.UTC()
	return p, err
}
