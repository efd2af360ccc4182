package accounts_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/resolve"
)

// heard collects what Watch tells.
type heard struct {
	mu   sync.Mutex
	keys []string
}

func (h *heard) add(keys []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keys = append(h.keys, keys...)
}

func (h *heard) take() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	keys := h.keys
	h.keys = nil
	return keys
}

// until waits until all keys were told, and forgets them.
func (h *heard) until(t *testing.T, keys ...string) {
	t.Helper()
	var all []string
	require.Eventually(t, func() bool {
		all = append(all, h.take()...)
		for _, key := range keys {
			if !slices.Contains(all, key) {
				return false
			}
		}
		return true
	}, 10*time.Second, 5*time.Millisecond, "heard %q", all)
}

func watch(t *testing.T, pool *pgxpool.Pool) *heard {
	t.Helper()
	h := &heard{}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- resolve.Watch(ctx, pool, nil, h.add) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	h.until(t, resolve.Everything)
	return h
}

func TestWatch(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	s := accounts.NewStore(pool, kinds)
	h := watch(t, pool)

	acme := add(t, s, "Acme", "acme.example")
	h.until(t, "uuid:"+acme.ID.String(), "domain:acme.example")
	_, err := s.AddLink(t.Context(), accounts.Link{Reference: ref("hubspot/62515:contact:901"), AccountID: acme.ID, CreatedBy: "ada"})
	require.NoError(t, err)
	h.until(t, "hubspot/62515:contact:901")

	// The keys are those that an event which would now resolve is kept with.
	require.Contains(t, resolve.Keys(refs("hubspot/62515:contact:901")), "hubspot/62515:contact:901")
	require.Contains(t, resolve.Keys(refs("stripe:email:kim@acme.example")), "domain:acme.example")
	require.Contains(t, resolve.Keys(refs("stripe:account_uuid:"+acme.ID.String())), "uuid:"+acme.ID.String())

	_, err = s.Import(t.Context(), strings.NewReader("name\n"+strings.Join(slices.Repeat([]string{"A"}, 1), "\n")), accounts.ImportOptions{By: "ada"})
	require.NoError(t, err)
	fill(t, pool, 200)
	h.until(t, resolve.Everything)
}

func TestWatchAfterALostConnection(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	s := accounts.NewStore(pool, kinds)
	h := watch(t, pool)
	_, err := pool.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()")
	require.NoError(t, err)
	h.until(t, resolve.Everything)
	acme := add(t, s, "Acme", "")
	h.until(t, "uuid:"+acme.ID.String())
}

// fill makes n accounts with a domain each.
func fill(tb testing.TB, pool *pgxpool.Pool, n int) {
	tb.Helper()
	_, err := pool.Exec(tb.Context(), `INSERT INTO accounts (id, name, domain)
		SELECT gen_random_uuid(), 'Account ' || i, 'company' || i || '.example' FROM generate_series(1, $1::int) AS i`, n)
	require.NoError(tb, err)
}
