package postgrestest

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
)

// RolePrefix gives a prefix of roles that no other database's tests use, and removes the roles that begin with it when
// the test ends.
func RolePrefix(t testing.TB, databaseURL string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	prefix := "t" + strings.TrimPrefix(strings.TrimPrefix(u.Path, "/"), "throughline_test") + "_"
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
		defer cancel()
		require.NoError(t, admin(ctx, databaseURL, func(conn *pgx.Conn) error {
			rows, err := conn.Query(ctx, "SELECT format('%I', rolname) FROM pg_roles WHERE starts_with(rolname, $1) ORDER BY rolname", prefix)
			if err != nil {
				return err
			}
			roles, err := pgx.CollectRows(rows, pgx.RowTo[string])
			if err != nil {
				return err
			}
			for _, role := range roles {
				if _, err := conn.Exec(ctx, "REASSIGN OWNED BY "+role+" TO CURRENT_USER; DROP OWNED BY "+role+" CASCADE"); err != nil {
					return err
				}
			}
			for _, role := range roles {
				if _, err := conn.Exec(ctx, "DROP ROLE "+role); err != nil {
					return err
				}
			}
			return nil
		}))
	})
	return prefix
}

// Logins makes a login role for each role in the database at this address, with exactly that role's privileges
// (postgres.ApplyRoles), and gives the address by which each connects. They end with the test.
func Logins(t testing.TB, databaseURL string) map[postgres.Role]string {
	t.Helper()
	prefix := RolePrefix(t, databaseURL)
	pool, err := pgxpool.New(t.Context(), databaseURL)
	require.NoError(t, err)
	defer pool.Close()
	options, urls := postgres.RoleOptions{Prefix: prefix}, map[postgres.Role]string{}
	for _, role := range postgres.Roles() {
		login := prefix + string(role) + "_login"
		_, err := pool.Exec(t.Context(), "CREATE ROLE "+login+" LOGIN")
		require.NoError(t, err)
		options.Members = append(options.Members, postgres.RoleMember{Role: role, Login: login})
		urls[role] = WithUser(t, databaseURL, login)
	}
	result, err := postgres.ApplyRoles(t.Context(), pool, options)
	require.NoError(t, err)
	require.NoError(t, result.Err(), "%v", result.Changes)
	require.Empty(t, result.Warnings)
	return urls
}

// WithUser replaces the user of a connection URL.
func WithUser(t testing.TB, databaseURL, user string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	u.User = url.User(user)
	return u.String()
}
