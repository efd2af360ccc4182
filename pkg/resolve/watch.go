package resolve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/retry"
)

const (
	// channel is what the triggers on accounts and account_links notify.
	channel = "throughline_links"
	// Everything is the key that says: look at all.
	Everything = ""
	// gatherFor is how long a first notification waits for its companions (an import makes many).
	gatherFor = 20 * time.Millisecond
	// quiet is after how long without a notification the connection is asked whether it lives: one that a
	// firewall dropped says nothing.
	quiet = 30 * time.Second
	// goodbye bounds the closing of a connection.
	goodbye = 2 * time.Second
)

// Watch tells, with the keys of Keys, what may have become resolvable: the new and changed links and accounts, as
// their transactions commit. The key Everything stands for more than can be listed, and comes alone; it comes
// first and after each lost connection, because what happened meanwhile is unknown. changed is called by one
// goroutine and should not keep it long.
//
// Watch works on a connection of its own, which must not go through a pooler in transaction mode (pool is of
// postgres.Config.Direct), until ctx ends, and then gives nil. It reconnects by itself, for ever;
// t hears of each loss, and may be nil.
func Watch(ctx context.Context, pool *pgxpool.Pool, t *retry.Told, changed func(keys []string)) error {
	// The error is ctx's end: a stop, no failure.
	_ = retry.Sessions(ctx, retry.Policy{First: 50 * time.Millisecond, Most: 5 * time.Second}, "listening for new links", t,
		func(ctx context.Context, up func()) error {
			return listen(ctx, pool, func(keys []string) {
				up() // the connection works
				changed(keys)
			})
		})
	return nil
}

// listen works on one connection until that fails or ctx ends.
func listen(ctx context.Context, pool *pgxpool.Pool, changed func([]string)) error {
	pooled, err := pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	conn := pooled.Hijack() // it waits for ever, so it must not count as one of the pool's
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		defer cancel()
		_ = conn.Close(closing) // a lost goodbye; the server notices the closed socket
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	changed([]string{Everything})
	for {
		keys, err := gather(ctx, conn)
		if err != nil {
			return err
		}
		if len(keys) > 0 {
			changed(keys)
		}
	}
}

// gather waits for a notification and takes what follows at once with it. After a quiet time it proves the
// connection and gives nothing.
func gather(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	key, ok, err := wait(ctx, conn, quiet)
	if err != nil {
		return nil, err
	}
	if !ok {
		proving, cancel := context.WithTimeout(ctx, goodbye)
		defer cancel()
		if err := conn.Ping(proving); err != nil {
			return nil, fmt.Errorf("proving the connection: %w", err)
		}
		return nil, nil
	}
	keys := []string{key}
	for until := time.Now().Add(gatherFor); ; {
		key, ok, err := wait(ctx, conn, time.Until(until))
		if err != nil {
			// What was heard counts; the error comes again with the next wait.
			return unique(keys), nil
		}
		if !ok {
			return unique(keys), nil
		}
		keys = append(keys, key)
	}
}

// wait gives one notification, or ok false after the time. A time that runs out leaves the connection usable.
func wait(ctx context.Context, conn *pgx.Conn, most time.Duration) (key string, ok bool, err error) {
	waiting, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	n, err := conn.WaitForNotification(waiting)
	switch {
	case err == nil:
		return n.Payload, true, nil
	case ctx.Err() == nil && errors.Is(waiting.Err(), context.DeadlineExceeded) && !conn.IsClosed():
		return "", false, nil
	default:
		return "", false, fmt.Errorf("waiting: %w", err)
	}
}

func unique(keys []string) []string {
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if keys[0] == Everything {
		return keys[:1]
	}
	return keys
}
