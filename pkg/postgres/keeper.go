package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/throughline-dev/throughline/pkg/retry"
)

const (
	// cleanEvery is the pause between merges. It bounds how much a search of the payload reads unmerged.
	cleanEvery = 200 * time.Millisecond
	// candidateEvery is how often a keeper that is not the one asks to become it.
	candidateEvery = time.Second
	// keeperMinBackoff and keeperMaxBackoff bound the pause after an error.
	keeperMinBackoff = 500 * time.Millisecond
	keeperMaxBackoff = 15 * time.Second
	// cancelGrace is how long a cancelled merge may take to answer before its connection is cut.
	cancelGrace = 3 * time.Second
)

// Keeper merges the GIN index's pending list, so that writers need not stop for it. Run one beside every sink: an
// advisory lock lets one of them work, and when that one ends, however it ends, another takes over within a
// second. It needs a session of its own (Config.Direct): behind a pooler it says so once and does nothing.
type Keeper struct {
	config *pgx.ConnConfig
	before func(context.Context, *pgx.ConnConfig) error // of the pool; may be nil
	log    *zap.Logger

	mu    sync.Mutex
	stats KeeperStats
}

// KeeperStats is what a keeper has done since it was made.
type KeeperStats struct {
	Holds       bool          // this keeper is the one that works
	Cleans      int64         // merges that found something
	Pages       int64         // 8 KB pages merged
	LastPages   int64         // pages of the last merge that found something
	LongestTook time.Duration // the longest merge
}

// NewKeeper makes a keeper that connects as the pool does, on a connection outside it. log may be nil.
func NewKeeper(pool *pgxpool.Pool, log *zap.Logger) *Keeper {
	if log == nil {
		log = zap.NewNop()
	}
	from := pool.Config()
	config := from.ConnConfig
	// Cancelling a merge keeps the connection, by which we give back the lock in good order.
	config.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: cancelGrace}
	}
	return &Keeper{config: config, before: from.BeforeConnect, log: log}
}

// Stats is a snapshot for metrics.
func (k *Keeper) Stats() KeeperStats {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.stats
}

// Run works until ctx ends and then returns nil. It survives every database error: it logs it, lets go of the lock
// (so that writers merge for themselves again, or another keeper does it) and tries again.
func (k *Keeper) Run(ctx context.Context) error {
	// The error is ctx's end: a stop, no failure.
	_ = retry.Sessions(ctx, retry.Policy{First: keeperMinBackoff, Most: keeperMaxBackoff}, "keeping the GIN index", &retry.Told{Log: k.log}, k.session)
	return nil
}

// session is one connection's life: become the keeper, then clean until ctx ends or an error.
func (k *Keeper) session(ctx context.Context, worked func()) error {
	config := k.config.Copy()
	if k.before != nil {
		if err := k.before(ctx, config); err != nil {
			return Classify(fmt.Errorf("connecting the keeper: %w", err))
		}
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return Classify(fmt.Errorf("connecting the keeper: %w", err))
	}
	// Closing the connection is what gives back the lock.
	defer func() {
		k.hold(false)
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelGrace)
		defer cancel()
		_ = conn.Close(closing)
	}()
	if err := requireOwnSession(ctx, conn); errors.Is(err, errPooled) {
		k.log.Warn("this process does not keep the GIN index: writers merge its pending list", zap.Error(err))
		<-ctx.Done()
		return ctx.Err()
	} else if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, keepAlive); err != nil {
		return Classify(fmt.Errorf("setting up the keeper's session: %w", err))
	}
	if err := k.awaitLock(ctx, conn, worked); err != nil {
		return Classify(err)
	}
	k.hold(true)
	k.log.Info("this process keeps the GIN index now")
	for {
		if err := k.clean(ctx, conn); err != nil {
			return Classify(err)
		}
		worked()
		if !sleep(ctx, cleanEvery) {
			return ctx.Err()
		}
	}
}

// errPooled says that a keeper's connection has no session of its own.
var errPooled = errors.New("the keeper needs a session of its own, and there is a pooler between it and Postgres")

// requireOwnSession refuses a pooler: in transaction mode it would keep the lock for a session that is somebody
// else's by then, and writers would believe in a keeper for ever. A pooler makes up the process id of its greeting.
func requireOwnSession(ctx context.Context, conn *pgx.Conn) error {
	var pid uint32
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return fmt.Errorf("asking for the keeper's session: %w", err)
	}
	if pid != conn.PgConn().PID() {
		return errPooled
	}
	return nil
}

func (k *Keeper) awaitLock(ctx context.Context, conn *pgx.Conn, asked func()) error {
	for told := 0; ; {
		var got bool
		if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock("+keeperLock+")").Scan(&got); err != nil {
			return fmt.Errorf("asking for the keeper's lock: %w", err)
		}
		asked()
		if got {
			return nil
		}
		now, err := KeeperNow(ctx, conn)
		if err != nil {
			return err
		}
		if now.Foreign && now.PID != told {
			told = now.PID
			k.log.Warn("nobody keeps the GIN index, so writers merge its pending list: a session that may not holds the keeper's lock; end it with pg_terminate_backend",
				zap.Int("pid", now.PID), zap.String("role", now.Role), zap.String("program", now.Program))
		}
		if !sleep(ctx, candidateEvery) {
			return ctx.Err()
		}
	}
}

// clean merges what is pending. With nothing pending it reads one page.
func (k *Keeper) clean(ctx context.Context, conn *pgx.Conn) error {
	start := time.Now()
	var pages int64
	err := conn.QueryRow(ctx, "SELECT clean_payload_index()").Scan(&pages)
	if err != nil {
		return fmt.Errorf("merging the pending list: %w", err)
	}
	if pages == 0 {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stats.Cleans++
	k.stats.Pages += pages
	k.stats.LastPages = pages
	k.stats.LongestTook = max(k.stats.LongestTook, time.Since(start))
	return nil
}

func (k *Keeper) hold(holds bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.stats.Holds = holds
}

// sleep reports whether the pause ended before ctx did.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
