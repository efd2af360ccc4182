package accounts

import (
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Kinds gives the kinds of reference of a source (source.Profile.Kinds), or nil for a name that is no source.
type Kinds func(source string) []source.Kind

// Store keeps accounts and links. Whatever it commits is announced to Watch by the database itself.
//
// Its errors are Permanent when the request cannot be granted (the text says why, for the person who asked) and
// Transient when the database did not answer.
type Store struct {
	pool     postgres.DB
	kinds    Kinds
	resolver *resolve.Resolver
	wait     time.Duration // for other decisions
}

// NewStore makes a Store. kinds says which kinds of reference each source has. Where a reference leads is answered
// with all rules and the built-in free-mail list; see WithResolver.
func NewStore(pool *pgxpool.Pool, kinds Kinds) *Store {
	return &Store{pool: pool, kinds: kinds, resolver: resolve.Default(pool), wait: ledgerWait}
}

// WithResolver gives a Store that asks r where references lead. r should have the rules of the services.
func (s *Store) WithResolver(r *resolve.Resolver) *Store {
	with := *s
	with.resolver = r
	return &with
}

// In gives a Store that is the same and works within a transaction.
func (s *Store) In(tx pgx.Tx) *Store {
	with := *s
	with.pool = tx
	return &with
}

// refuse is an error for the person who asked.
func refuse(reason fault.Reason, format string, args ...any) error {
	return fault.Permanent(reason, fmt.Errorf(format, args...))
}

// broken is an error of the database. One that was refused before stays as it is.
func broken(doing string, err error) error {
	if err == nil || fault.IsPermanent(err) {
		return err
	}
	return postgres.Classify(fmt.Errorf("%s: %w", doing, err))
}

func notFound(err error) bool { return errors.Is(err, pgx.ErrNoRows) }
