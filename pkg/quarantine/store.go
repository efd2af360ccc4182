package quarantine

import (
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Store is the quarantine in Postgres. It is safe for concurrent use.
type Store struct {
	pool    postgres.DB
	hold    HoldOff
	sources source.Set
	told    func(done, all int)
}

// NewStore makes a Store on a migrated database, with DefaultHoldOff.
func NewStore(pool *pgxpool.Pool) *Store { return &Store{pool: pool, hold: DefaultHoldOff()} }

// WithSources gives a Store that is the same and knows sources: they say what of an event may differ when it comes
// again. Whoever calls Put or SettleStored needs them.
func (s *Store) WithSources(sources source.Set) *Store {
	other := *s
	other.sources = sources
	return &other
}

// WithHoldOff gives a Store that is the same but for its hold-off.
func (s *Store) WithHoldOff(h HoldOff) *Store {
	other := *s
	other.hold = h
	return &other
}

// WithProgress gives a Store that is the same and tells, page by page, how many records of all that Release or DiscardAll
// means it is done with.
func (s *Store) WithProgress(told func(done, all int)) *Store {
	other := *s
	other.told = told
	return &other
}

// In gives a Store that is the same and works within a transaction.
func (s *Store) In(tx pgx.Tx) *Store {
	other := *s
	other.pool = tx
	return &other
}

// refuse is an error for the person who asked.
func refuse(reason fault.Reason, format string, args ...any) error {
	return fault.Permanent(reason, fmt.Errorf(format, args...))
}

// broken is an error of the database.
func broken(doing string, err error) error {
	if err == nil || fault.IsPermanent(err) {
		return err
	}
	return postgres.Classify(fmt.Errorf("%s: %w", doing, err))
}
