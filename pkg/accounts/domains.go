package accounts

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/source"
)

// StoredDomain is the domain of an account that an earlier version stored in another form than source.Domain's,
// in which no event's domain meets it.
type StoredDomain struct {
	AccountID    uuid.UUID
	Name, Domain string // as stored
	Normal       string // source.Domain's; "" where it is no domain
	Taken        bool   // another account has Normal, so that it was not changed
}

// NormalizeDomains brings the stored domains into the form of source.Domain, in which events of them are resolved:
// earlier versions stored a name like bücher.example in Unicode. It gives those that it changed, and those that a
// person has to change: what is no domain, and what another account has. It can be run again at any time.
func (s *Store) NormalizeDomains(ctx context.Context) (changed, left []StoredDomain, err error) {
	rows, err := s.pool.Query(ctx, `SELECT id, name, domain FROM accounts
		WHERE merged_into IS NULL AND (domain ~ '[^a-z0-9.-]' OR domain LIKE 'www.%' OR domain LIKE '%.') ORDER BY id`)
	if err != nil {
		return nil, nil, broken("reading the accounts' domains", err)
	}
	found, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (d StoredDomain, err error) {
		return d, row.Scan(&d.AccountID, &d.Name, &d.Domain)
	})
	if err != nil {
		return nil, nil, broken("reading the accounts' domains", err)
	}
	for _, d := range found {
		normal, ok := source.Domain(d.Domain)
		if ok && normal == d.Domain {
			continue
		}
		if d.Normal = normal; ok {
			tag, err := s.pool.Exec(ctx, `UPDATE accounts SET domain = $2, updated_at = now() WHERE id = $1 AND domain = $3
				AND NOT EXISTS (SELECT FROM accounts o WHERE lower(o.domain) = $2 AND o.id <> $1 AND o.merged_into IS NULL)`, d.AccountID, normal, d.Domain)
			if err != nil && !postgres.IsErased(err) { // erased: nobody gets it
				return changed, left, broken("changing an account's domain", err)
			}
			if err == nil && tag.RowsAffected() == 1 {
				changed = append(changed, d)
				continue
			}
			d.Taken = true
		}
		left = append(left, d)
	}
	return changed, left, nil
}
