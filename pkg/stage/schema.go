package stage

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
)

// schemaWatch compares the database's schema with the program's whenever Postgres is pinged, so that a readiness report
// waits for no query.
type schemaWatch struct {
	pool *pgxpool.Pool
	seen atomic.Pointer[postgres.Versions] // nil: not yet, or this role may not see it
}

// ping is a pinger's. What it cannot read says nothing about whether Postgres answers.
func (s *schemaWatch) ping(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return err
	}
	if v, err := postgres.SchemaVersion(ctx, s.pool); err == nil {
		s.seen.Store(&v)
	}
	return nil
}

// check is not ready on a schema that is behind. On a newer one a service works on, and says so.
func (s *schemaWatch) check(context.Context) (note string, err error) {
	switch v := s.seen.Load(); {
	case v == nil:
		return "", nil
	case v.Have < v.Want:
		return "", fault.Advise(errors.New(v.String()), "run `throughline migrate`")
	case v.Have > v.Want:
		return v.String(), nil
	default:
		return "", nil
	}
}
