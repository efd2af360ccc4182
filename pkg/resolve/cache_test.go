package resolve_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// cached is a resolver with a cache on a pool of its own that counts statements.
func cached(t *testing.T, pool *pgxpool.Pool) (*resolve.Resolver, *atomic.Int64) {
	t.Helper()
	count := new(counter)
	config := pool.Config().Copy()
	config.ConnConfig.Tracer = count
	own, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(own.Close)
	return resolve.Default(own).WithCache(), &count.queries
}

// accountOf is where one event leads; zero: nowhere.
func accountOf(ctx context.Context, t *testing.T, r *resolve.Resolver, keys ...string) uuid.UUID {
	t.Helper()
	got, err := r.Resolve(ctx, [][]source.Reference{refs(keys...)})
	require.NoError(t, err)
	return got[0].AccountID
}

// Every change of what a reference leads to counts for the next batch, whoever made it and whatever was asked before.
func TestCachesSeeEveryCommittedChange(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t, links)
	one, _ := cached(t, pool)
	two, _ := cached(t, pool)
	events := [][]string{
		{"stripe:customer:cus_1"}, {"stripe:customer:cus_new"}, {"stripe:email:kim@a.example"}, {"stripe:email:kim@new.example"},
		{"stripe:account_uuid:" + idB.String()}, {"stripe:invoice:in_1", "hubspot:domain:b.example"}, {"zendesk:fresh:1"},
	}
	link := func(key string, account uuid.UUID) string {
		ref := refs(key)[0]
		return fmt.Sprintf(`INSERT INTO account_links (source, tenant, kind, external_id, account_id, learned, created_by) VALUES ('%s', '%s', '%s', '%s', '%s', 'operator', 'test')`,
			ref.Source, ref.Tenant, ref.Kind, ref.ID, account)
	}
	for _, change := range []string{
		"SELECT 1",
		link("stripe:customer:cus_new", idA),
		link("zendesk:fresh:1", idB), // the first of its kind
		"UPDATE account_links SET account_id = '" + idC.String() + "' WHERE external_id = 'cus_1'",
		"DELETE FROM account_links WHERE external_id = 'cus_1'",
		"UPDATE accounts SET domain = 'new.example' WHERE id = '" + idA.String() + "'",
		"UPDATE accounts SET merged_into = '" + idC.String() + "' WHERE id = '" + idB.String() + "'",
		`WITH d AS (INSERT INTO link_decisions (verb, learned, author) VALUES ('not_this_account', 'operator', 'test') RETURNING id)
			INSERT INTO account_link_denials (source, kind, external_id, account_id, decision_id) SELECT 'stripe', 'customer', 'cus_new', '` + idA.String() + `', id FROM d`,
		"DELETE FROM account_link_denials",
		"INSERT INTO accounts (id, name, domain) VALUES (gen_random_uuid(), 'Another', 'new.example')",
		"TRUNCATE account_links, account_link_denials",
		"DELETE FROM accounts WHERE name = 'Another'",
	} {
		_, err := pool.Exec(t.Context(), change)
		require.NoError(t, err, change)
		want := make([]resolve.Resolution, len(events))
		for i, keys := range events {
			got, err := resolve.Default(pool).Resolve(t.Context(), [][]source.Reference{refs(keys...)})
			require.NoError(t, err)
			want[i] = got[0]
		}
		for _, r := range []*resolve.Resolver{one, two, one} {
			for i, keys := range events {
				got, err := r.Resolve(t.Context(), [][]source.Reference{refs(keys...)})
				require.NoError(t, err)
				require.Equal(t, want[i], got[0], "%v after %s", keys, change)
			}
		}
	}
}

// What is not committed does not count, and what is rolled back, to a savepoint or whole, never did.
func TestCachesSeeOnlyWhatIsCommitted(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t, links)
	r, queries := cached(t, pool)
	const relink = "UPDATE account_links SET account_id = $1 WHERE external_id = 'cus_1'"
	ask := func() uuid.UUID { return accountOf(t.Context(), t, r, "stripe:customer:cus_1") }
	require.Equal(t, idA, ask())

	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), relink, idB)
		require.NoError(t, err)
		require.Equal(t, idA, ask())
		require.ErrorIs(t, pgx.BeginFunc(t.Context(), tx, func(inner pgx.Tx) error {
			_, err := inner.Exec(t.Context(), relink, idC)
			require.NoError(t, err)
			return pgx.ErrTxClosed
		}), pgx.ErrTxClosed)
		require.Equal(t, idA, ask())
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, idB, ask())

	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), relink, idC)
	require.NoError(t, err)
	require.NoError(t, tx.Rollback(t.Context()))
	queries.Store(0)
	require.Equal(t, idB, ask())
	require.EqualValues(t, 1, queries.Load(), "what was rolled back costs nothing")

	// A savepoint's change alone.
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		require.NoError(t, pgx.BeginFunc(t.Context(), tx, func(inner pgx.Tx) error {
			_, err := inner.Exec(t.Context(), relink, idC)
			return err
		}))
		return nil
	}))
	require.Equal(t, idC, ask())
}

// A writer that has not committed holds nobody up: the epoch's row is locked while a transaction commits.
func TestWritersOfLinksDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t, links)
	slow, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = slow.Exec(t.Context(), "UPDATE accounts SET domain = 'slow.example' WHERE id = $1", idA)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), "UPDATE accounts SET domain = 'quick.example' WHERE id = $1", idB)
	require.NoError(t, err)
	require.NoError(t, slow.Commit(t.Context()))
	var left int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM link_changes").Scan(&left))
	require.Zero(t, left)
}

// Concurrent writers, each with links of its own: what one has committed is what the next batch finds, whichever
// resolver it asks and whatever the others do.
func TestCachesUnderConcurrentWriters(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t, links)
	one, _ := cached(t, pool)
	two, _ := cached(t, pool)
	resolvers := []*resolve.Resolver{one, two}
	targets := []uuid.UUID{idA, idB, idC}
	group, ctx := errgroup.WithContext(t.Context())
	for writer := range 4 {
		group.Go(func() error {
			random := rand.New(rand.NewPCG(uint64(writer), 1))
			now := map[int]uuid.UUID{}
			for step := range 60 {
				n := random.IntN(3)
				id, target := fmt.Sprintf("w%d_%d", writer, n), targets[random.IntN(3)]
				abort := random.IntN(4) == 0
				err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
					sql, args := `INSERT INTO account_links (source, kind, external_id, account_id, learned, created_by) VALUES ('stripe', 'customer', $1, $2, 'operator', 'test')
						ON CONFLICT (source, kind, external_id, tenant) DO UPDATE SET account_id = excluded.account_id`, []any{id, target}
					if random.IntN(3) == 0 {
						sql, args, target = "DELETE FROM account_links WHERE external_id = $1", []any{id}, uuid.Nil
					}
					if _, err := tx.Exec(ctx, sql, args...); err != nil {
						return err
					}
					if abort {
						return pgx.ErrTxCommitRollback
					}
					return nil
				})
				switch {
				case err == nil:
					now[n] = target
				case !abort:
					return err
				}
				for m := range 3 {
					got, err := resolvers[random.IntN(2)].Resolve(ctx, [][]source.Reference{refs(fmt.Sprintf("stripe:customer:w%d_%d", writer, m))})
					if err != nil {
						return err
					}
					if got[0].AccountID != now[m] {
						return fmt.Errorf("writer %d, step %d: link %d leads to %s, it was committed for %s", writer, step, m, got[0].AccountID, now[m])
					}
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
}

// What is known costs a look at the epoch; what is not, a query for each event's most telling reference, and one for
// the others of events that it did not decide; a change costs one for all.
func TestQueriesOfACache(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t, links)
	r, queries := cached(t, pool)
	asked := func(batch ...[]source.Reference) int64 {
		queries.Store(0)
		got, err := r.Resolve(t.Context(), batch)
		require.NoError(t, err)
		for i, want := range batch {
			fresh, err := resolve.Default(pool).Resolve(t.Context(), [][]source.Reference{want})
			require.NoError(t, err)
			require.Equal(t, fresh[0], got[i])
		}
		return queries.Load()
	}
	linked := refs("stripe:customer:cus_1", "stripe:email:kim@far.example")
	require.EqualValues(t, 2, asked(linked), "its customer decides")
	require.EqualValues(t, 1, asked(linked))
	require.EqualValues(t, 2, asked(refs("stripe:customer:cus_2")))
	unlinked := refs("stripe:customer:cus_3", "stripe:email:lee@far.example")
	require.EqualValues(t, 3, asked(linked, unlinked, nil))
	require.EqualValues(t, 1, asked(linked, unlinked, nil))
	require.EqualValues(t, 2, asked(refs("stripe:customer:cus_3", "stripe:email:ann@far.example")), "its customer is known")

	_, err := pool.Exec(t.Context(), "UPDATE accounts SET domain = 'moved.example' WHERE id = $1", idC)
	require.NoError(t, err)
	require.EqualValues(t, 3, asked(linked, unlinked))
	require.EqualValues(t, 1, asked(linked, unlinked))
	require.Zero(t, asked(nil, nil, nil))

	_, err = pool.Exec(t.Context(), "DELETE FROM link_epoch")
	require.NoError(t, err)
	for range 2 {
		require.EqualValues(t, 2, asked(linked, unlinked), "without an epoch nothing is known")
	}
}

// A batch without references needs no database, not even one that is away.
func TestNoReferencesNeedNoDatabase(t *testing.T) {
	t.Parallel()
	r, _ := cached(t, newDatabase(t, links))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := r.Ahead(ended).Resolve(ended, make([][]source.Reference, 2))
	require.NoError(t, err)
	require.Len(t, got, 2)
	require.False(t, got[0].Found)
	_, err = r.Ahead(ended).Resolve(ended, [][]source.Reference{refs("stripe:customer:cus_1")})
	require.Error(t, err)
}
