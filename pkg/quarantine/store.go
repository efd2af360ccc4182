package quarantine

import (
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
)

// Store is the quarantine in Postgres. It is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	hold HoldOff
}

// NewStore makes a Store on a migrated database, with DefaultHoldOff.
func NewStore(pool *pgxpool.Pool) *Store { return &Store{pool: pool, hold: DefaultHoldOff()} }

// WithHoldOff gives a Store that is the same but for its hold-off.
func (s *Store) WithHoldOff(h HoldOff) *Store { return &Store{pool: s.pool, hold: h} }

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
