package pull

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// A lease is renewed three times before it ends, so that its holder keeps it over a
// slow database, and another has it within a minute of its holder's end.
const (
	leaseFor   = 45 * time.Second
	leaseRenew = leaseFor / 3
	leaseAsk   = 5 * time.Second
)

// Hold does work while this process alone may, by name: "poll looker history". It
// waits for its turn for as long as another process has it. The context of work ends
// when the lease could not be renewed in time. Hold returns what work does.
func (s *Store) Hold(ctx context.Context, name string, work func(context.Context) error) error {
	holder := uuid.New()
	for {
		mine, err := s.take(ctx, name, holder)
		if err != nil {
			return err
		}
		if mine {
			break
		}
		if err := pause(ctx, leaseAsk); err != nil {
			return err
		}
	}
	working, cancel := context.WithCancelCause(ctx)
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		s.keep(working, name, holder, cancel)
	}()
	err := work(working)
	cancel(nil)
	<-kept
	giving, done := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer done()
	// Another need not wait; where this fails it has to. When it ended says that somebody was here.
	_, _ = s.pool.Exec(giving, "UPDATE pull_leases SET until = clock_timestamp() WHERE name = $1 AND holder = $2", name, holder)
	return err
}

// take takes the lease, or renews it; false: another has it.
func (s *Store) take(ctx context.Context, name string, holder uuid.UUID) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, leaseRenew)
	defer cancel()
	err := s.pool.QueryRow(ctx, `INSERT INTO pull_leases AS l (name, holder, until) VALUES ($1, $2, clock_timestamp() + $3::interval)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until WHERE l.until < clock_timestamp() OR l.holder = excluded.holder
		RETURNING holder`, name, holder, leaseFor).Scan(&holder)
	if err == pgx.ErrNoRows { //nolint:errorlint // as pgx gives it
		return false, nil
	}
	return err == nil, broken("taking a lease", err)
}

// keep renews the lease until ctx ends, and ends the work where it could not.
func (s *Store) keep(ctx context.Context, name string, holder uuid.UUID, stop context.CancelCauseFunc) {
	renewed := time.Now()
	for pause(ctx, leaseRenew) == nil {
		mine, err := s.take(ctx, name, holder)
		switch {
		case err == nil && mine:
			renewed = time.Now()
		case err == nil, time.Since(renewed) > leaseFor-leaseRenew:
			stop(errTaken)
			return
		}
	}
}

// pause waits so long, or until ctx ends, and then gives why.
func pause(ctx context.Context, long time.Duration) error {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
