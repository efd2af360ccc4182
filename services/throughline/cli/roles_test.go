package cli_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

func TestRoles(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	address := sh.env["THROUGHLINE_POSTGRES_URL"]
	prefix := postgrestest.RolePrefix(t, address)
	name := strings.TrimPrefix(address[strings.LastIndex(address, "/"):strings.Index(address, "?")], "/")
	scrub := func(text string) string { return strings.NewReplacer(prefix, "p_", name, "DATABASE").Replace(text) }
	sh.golden("roles", scrub,
		[]string{"roles", "apply", "--prefix", "Throughline", "--member", "sink", "--member", "sinc=x", "--member", "sink=Throughlinesink"},
		[]string{"roles", "apply", "--prefix", "", "--member", "sink"},
		[]string{"roles", "apply", "--prefix", prefix, "--dry-run"},
		[]string{"roles", "apply", "--prefix", prefix},
		[]string{"roles", "apply", "--prefix", prefix},
		[]string{"roles", "apply", "--prefix", prefix, "--member", "sink=nobody_here", "--member", "sink=nobody_here"},
		[]string{"roles", "apply", "--prefix", prefix, "--member", "sink=nobody_here", "--json"},
	)

	// What a dry run prints can be typed: another database, by hand.
	other := inDatabase(t)
	prefix = postgrestest.RolePrefix(t, other.env["THROUGHLINE_POSTGRES_URL"])
	out := other.must("roles", "apply", "--prefix", prefix, "--dry-run")
	pool, err := pgxpool.New(t.Context(), other.env["THROUGHLINE_POSTGRES_URL"])
	require.NoError(t, err)
	defer pool.Close()
	_, err = pool.Exec(t.Context(), out)
	require.NoError(t, err)
	require.Equal(t, result{err: "nothing to do: roles and privileges are as they should be\n"}, other.run("roles", "apply", "--prefix", prefix))

	empty := inEmptyDatabase(t)
	r := empty.run("roles", "apply")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "run `throughline migrate`")
}

// The help names every role that is made, and commands that take some sources name those.
func TestHelpNamesWhatThereIs(t *testing.T) {
	t.Parallel()
	sh := &shell{t: t, env: map[string]string{}}
	help := sh.must("roles", "apply", "--help")
	for _, role := range postgres.Roles() {
		require.Contains(t, help, "PREFIX"+string(role))
	}
	for _, command := range []string{"backfill", "reconcile", "connect"} {
		args := []string{command, "nothing"}
		if command == "backfill" {
			args = append(args, "--since", "1d")
		}
		_, list, found := strings.Cut(sh.run(args...).err, "those are ")
		require.True(t, found, command)
		list, _, _ = strings.Cut(list, " (throughline")
		require.Contains(t, strings.Join(strings.Fields(sh.must(command, "--help")), " "), "The source: "+strings.TrimSpace(list), command)
	}
}
