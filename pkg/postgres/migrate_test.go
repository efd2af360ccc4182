package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/settings"
)

func TestMigrate(t *testing.T) {
	t.Parallel()
	t.Run("EightAtOnce", func(t *testing.T) {
		t.Parallel()
		url := postgrestest.EmptyURL(t)
		var group errgroup.Group
		for range 8 {
			group.Go(func() error {
				pool, err := postgres.Open(t.Context(), postgres.Config{URL: settings.URL(url), MaxConns: 2}, "migrate")
				if err != nil {
					return err
				}
				defer pool.Close()
				return postgres.Migrate(t.Context(), pool, zaptest.NewLogger(t))
			})
		}
		require.NoError(t, group.Wait())
	})
	t.Run("TwiceIsOnce", func(t *testing.T) {
		t.Parallel()
		pool := postgrestest.New(t)
		require.NoError(t, postgres.Migrate(t.Context(), pool, nil))
		require.NoError(t, pool.Ping(t.Context()))
	})
	t.Run("ARoleThatIsNoSuperuser", func(t *testing.T) {
		t.Parallel()
		url := postgrestest.EmptyURL(t)
		pool, err := pgxpool.New(t.Context(), url)
		require.NoError(t, err)
		defer pool.Close()
		config := pool.Config()
		// Roles are the server's, not the database's.
		role := "plain_" + config.ConnConfig.Database
		_, err = pool.Exec(t.Context(), "CREATE ROLE "+role+"; ALTER DATABASE "+config.ConnConfig.Database+" OWNER TO "+role+"; ALTER SCHEMA public OWNER TO "+role)
		require.NoError(t, err)
		config.ConnConfig.RuntimeParams["role"] = role
		plain, err := pgxpool.NewWithConfig(t.Context(), config)
		require.NoError(t, err)
		defer plain.Close()
		require.NoError(t, postgres.Migrate(t.Context(), plain, nil))
		_, err = postgres.PendingPages(t.Context(), plain)
		require.ErrorIs(t, err, postgres.ErrNotMeasured)
		k, stop := runKeeper(t, plain)
		require.Eventually(t, holds(k), patience, tick)
		stop()
		_, err = pool.Exec(t.Context(), "REASSIGN OWNED BY "+role+" TO CURRENT_USER; DROP OWNED BY "+role+"; DROP ROLE "+role)
		require.NoError(t, err)
	})
	t.Run("TheIndexesOfTheContract", func(t *testing.T) {
		t.Parallel()
		rows, err := postgrestest.New(t).Query(t.Context(), "SELECT indexdef FROM pg_indexes WHERE tablename = 'account_events' ORDER BY 1")
		require.NoError(t, err)
		indexes, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Equal(t, []string{
			"CREATE INDEX account_events_account_id_occurred_at_idx ON public.account_events USING btree (account_id, occurred_at DESC)",
			"CREATE INDEX account_events_event_type_occurred_at_idx ON public.account_events USING btree (event_type, occurred_at DESC)",
			"CREATE INDEX account_events_payload_idx ON public.account_events USING gin (payload)",
			"CREATE UNIQUE INDEX account_events_pkey ON public.account_events USING btree (id)",
			"CREATE UNIQUE INDEX account_events_source_source_event_id_key ON public.account_events USING btree (source, source_event_id)",
		}, indexes)
	})
}

// What becomes resolvable is announced, once per statement's row, or as ” for many.
func TestAnnouncements(t *testing.T) {
	t.Parallel()
	const acme = "00000000-0000-4000-8000-000000000001"
	tests := map[string]struct {
		statement string
		want      []string
	}{
		"Account":           {"INSERT INTO accounts (id, name, domain) VALUES (gen_random_uuid(), 'B', 'B.example') RETURNING id", []string{"uuid:*", "domain:b.example"}},
		"AccountNoDomain":   {"INSERT INTO accounts (id, name) VALUES (gen_random_uuid(), 'B')", []string{"uuid:*"}},
		"AccountsDomain":    {"UPDATE accounts SET domain = 'new.example'", []string{"uuid:" + acme, "domain:new.example"}},
		"Link":              {link("'stripe', '', 'customer', 'cus_1'"), []string{"stripe:customer:cus_1"}},
		"LinkOfATenant":     {link("'hubspot', '62515', 'contact', '901'"), []string{"hubspot/62515:contact:901"}},
		"LinkMoved":         {link("'stripe', '', 'customer', 'cus_1'") + "; UPDATE account_links SET learned = 'import'", []string{"stripe:customer:cus_1", "stripe:customer:cus_1"}},
		"HundredLinks":      {manyLinks(100), make([]string, 100)},
		"ManyLinks":         {manyLinks(101), []string{""}},
		"ManyAccounts":      {"INSERT INTO accounts (id, name) SELECT gen_random_uuid(), 'B' FROM generate_series(1, 101)", []string{""}},
		"ALongIdentifier":   {link("'s', '', 'k', repeat('x', 7500)"), []string{""}},
		"NothingWasChanged": {"UPDATE accounts SET domain = 'x' WHERE false; NOTIFY throughline_links, 'end'", []string{"end"}},
	}
	for i := range 100 {
		tests["HundredLinks"].want[i] = "s:k:" + string(rune('a'+i/26)) + string(rune('a'+i%26))
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := postgrestest.New(t)
			_, err := pool.Exec(t.Context(), "INSERT INTO accounts (id, name) VALUES ($1, 'Acme')", acme)
			require.NoError(t, err)
			conn, err := pool.Acquire(t.Context())
			require.NoError(t, err)
			defer conn.Release()
			_, err = conn.Exec(t.Context(), "LISTEN throughline_links")
			require.NoError(t, err)
			// Two statements in one string are one transaction, where equal notifications become one.
			for _, statement := range strings.Split(tt.statement, "; ") {
				_, err = pool.Exec(t.Context(), statement)
				require.NoError(t, err)
			}
			_, err = pool.Exec(t.Context(), "NOTIFY throughline_links, 'last'")
			require.NoError(t, err)
			require.Equal(t, tt.want, notifications(t, conn.Conn()))
		})
	}
}

// notifications collects payloads up to "last"; a generated id reads "uuid:*".
func notifications(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	var got []string
	for {
		note, err := conn.WaitForNotification(t.Context())
		require.NoError(t, err)
		if note.Payload == "last" {
			return got
		}
		if len(note.Payload) == len("uuid:")+36 && note.Payload != "uuid:00000000-0000-4000-8000-000000000001" {
			note.Payload = "uuid:*"
		}
		got = append(got, note.Payload)
	}
}

func link(values string) string {
	return "INSERT INTO account_links (source, tenant, kind, external_id, account_id, learned, created_by) VALUES (" + values +
		", '00000000-0000-4000-8000-000000000001', 'manual', 'ada')"
}

func manyLinks(n int) string {
	return "INSERT INTO account_links (source, kind, external_id, account_id, learned, created_by) SELECT 's', 'k', chr(97 + i / 26) || chr(97 + i % 26)," +
		" '00000000-0000-4000-8000-000000000001', 'import', 'ada' FROM generate_series(0, " + fmt.Sprint(n-1) + ") AS i"
}
