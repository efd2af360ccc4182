package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
)

// applied gives the statements of a run, "beyond" and the problem behind those that have one.
func applied(t *testing.T, pool *pgxpool.Pool, o postgres.RoleOptions) (list []string) {
	t.Helper()
	result, err := postgres.ApplyRoles(t.Context(), pool, o)
	require.NoError(t, err)
	for _, c := range result.Changes {
		line := strings.ReplaceAll(c.SQL, o.Prefix, "X_")
		if c.Beyond {
			line += " -- beyond"
		}
		if c.Problem != "" {
			line += " -- " + c.Problem
		}
		list = append(list, line)
	}
	for _, w := range result.Warnings {
		list = append(list, "warning: "+strings.ReplaceAll(w, o.Prefix, "X_"))
	}
	return list
}

func TestApplyRoles(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	pool := open(t, address, 4)
	database := pool.Config().ConnConfig.Database
	o := postgres.RoleOptions{Prefix: postgrestest.RolePrefix(t, address)}
	exec := func(sql string) {
		t.Helper()
		_, err := pool.Exec(t.Context(), strings.ReplaceAll(sql, "X_", o.Prefix))
		require.NoError(t, err)
	}
	dry := o
	dry.DryRun = true
	planned := applied(t, pool, dry)
	require.Contains(t, planned, `CREATE ROLE "X_sink" NOLOGIN`)
	require.Contains(t, planned, `REVOKE TEMPORARY ON DATABASE "`+database+`" FROM PUBLIC CASCADE -- beyond`)
	require.Contains(t, planned, `GRANT EXECUTE ON FUNCTION "public".clean_payload_index() TO "X_sink"`)
	require.Contains(t, planned, `GRANT SELECT ("id", "domain", "merged_into") ON TABLE "public"."accounts" TO "X_normalizer"`)
	require.Equal(t, planned, applied(t, pool, dry), "a dry run changes nothing")
	require.Equal(t, planned, applied(t, pool, o))
	require.Empty(t, applied(t, pool, o), "once is enough")
	require.Empty(t, applied(t, pool, dry))

	t.Run("TakesWhatIsBeyond", func(t *testing.T) {
		exec(`GRANT SELECT ON accounts TO X_normalizer; GRANT UPDATE (payload) ON account_events TO X_sink; GRANT DELETE ON quarantine TO X_quarantine;
			GRANT INSERT ON accounts TO PUBLIC; GRANT CREATE ON SCHEMA public TO PUBLIC; GRANT SELECT ON account_events TO X_sink WITH GRANT OPTION;
			ALTER ROLE X_reader LOGIN CREATEDB; GRANT pg_read_all_data TO X_reader; ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO X_reader;
			ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO PUBLIC; CREATE SCHEMA other; CREATE TABLE other.theirs (n INT); GRANT SELECT ON other.theirs TO X_sink;
			GRANT EXECUTE ON FUNCTION clean_payload_index() TO X_console; REVOKE USAGE ON SEQUENCE account_events_id_seq FROM X_sink; GRANT CREATE ON DATABASE ` + database + ` TO X_sink; GRANT EXECUTE ON FUNCTION lo_create(oid) TO X_sink`)
		super := pool.Config().ConnConfig.User
		require.Equal(t, []string{
			`ALTER ROLE "X_reader" NOLOGIN NOCREATEDB -- beyond`,
			`REVOKE "pg_read_all_data" FROM "X_reader" -- beyond`,
			`REVOKE CREATE ON SCHEMA "public" FROM PUBLIC CASCADE -- beyond`,
			`REVOKE INSERT ON TABLE "public"."accounts" FROM PUBLIC CASCADE -- beyond`,
			`REVOKE EXECUTE ON FUNCTION "public".clean_payload_index() FROM "X_console" CASCADE -- beyond`,
			`REVOKE SELECT ON TABLE "public"."accounts" FROM "X_normalizer" CASCADE -- beyond`,
			`REVOKE DELETE ON TABLE "public"."quarantine" FROM "X_quarantine" CASCADE -- beyond`,
			`REVOKE CREATE ON DATABASE "` + database + `" FROM "X_sink" CASCADE -- beyond`,
			`REVOKE EXECUTE ON FUNCTION "pg_catalog".lo_create(oid) FROM "X_sink" CASCADE -- beyond`,
			`REVOKE SELECT ON TABLE "other"."theirs" FROM "X_sink" CASCADE -- beyond`,
			`REVOKE UPDATE ("payload") ON TABLE "public"."account_events" FROM "X_sink" CASCADE -- beyond`,
			`REVOKE GRANT OPTION FOR SELECT ON TABLE "public"."account_events" FROM "X_sink" CASCADE -- beyond`,
			`ALTER DEFAULT PRIVILEGES FOR ROLE ` + super + ` IN SCHEMA public REVOKE ALL ON TABLES FROM ` + "X_reader -- beyond",
			`ALTER DEFAULT PRIVILEGES FOR ROLE ` + super + ` REVOKE ALL ON SEQUENCES FROM PUBLIC -- beyond`,
			`GRANT SELECT ("id", "domain", "merged_into") ON TABLE "public"."accounts" TO "X_normalizer"`, // the revoke took them too
			`GRANT USAGE ON SEQUENCE "public"."account_events_id_seq" TO "X_sink"`,
		}, applied(t, pool, o))
		require.Empty(t, applied(t, pool, o))
	})
	t.Run("Members", func(t *testing.T) {
		exec("CREATE ROLE X_login LOGIN; CREATE ROLE X_apart LOGIN NOINHERIT; CREATE ROLE X_super LOGIN SUPERUSER")
		with := o
		for _, login := range []string{"login", "apart", "super", "nobody"} {
			member := postgres.RoleMember{Role: postgres.RoleSink, Login: o.Prefix + login}
			with.Members = append(with.Members, member, member) // twice is once
		}
		warnings := []string{
			"warning: X_apart does not inherit the privileges of the roles that it is a member of: ALTER ROLE \"X_apart\" INHERIT",
			"warning: X_super is a superuser and may do everything, whatever is granted: use a login role that is none",
			"warning: there is no role X_nobody: create it (CREATE ROLE \"X_nobody\" LOGIN) with its password or certificate",
		}
		if inherits(t, pool) {
			warnings = warnings[1:]
		}
		got := applied(t, pool, with)
		require.Equal(t, warnings, got[len(got)-len(warnings):])
		require.Len(t, got, 4+len(warnings))
		require.Contains(t, got[3], `-- role "`+o.Prefix+`nobody" does not exist`)
		with.Members = with.Members[:1]
		require.Empty(t, applied(t, pool, with), "it is a member already")
		require.ErrorContains(t, postgres.RoleOptions{Prefix: "pg_x", Members: []postgres.RoleMember{{Role: "sinc", Login: "x"}, {Role: "sink"}}}.Validate(),
			"--prefix is \"pg_x\": it should be at most 40 letters a-z, digits and _, and not begin with a digit or pg_\n"+
				"--member: there is no role \"sinc\": it should be one of normalizer, sink, quarantine, puller, learner, drift, alerter, reader, doctor, console, operator, eraser, retention\n"+
				"--member: \"sink\" names no login role: it should be like sink=LOGIN")
	})
	t.Run("AnotherVersionsSchema", func(t *testing.T) {
		exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)")
		_, err := postgres.ApplyRoles(t.Context(), pool, o)
		require.True(t, fault.IsPermanent(err))
		require.ErrorContains(t, err, "the schema is at version 99999, newer than this program's")
		exec("DELETE FROM goose_db_version WHERE version_id > 11")
		_, err = postgres.ApplyRoles(t.Context(), pool, o)
		require.ErrorContains(t, err, "the schema is at version 11 and this program needs")
		require.ErrorContains(t, err, "run `throughline migrate` first")
	})
}

// inherits: since Postgres 16 a membership says itself whether it is inherited.
func inherits(t *testing.T, pool *pgxpool.Pool) bool {
	t.Helper()
	return count(t, pool, "SELECT current_setting('server_version_num')::int") >= 160000
}

// On a managed Postgres nobody is a superuser. One role owns the database and the schema, and makes roles.
func TestApplyRolesWithoutASuperuser(t *testing.T) {
	t.Parallel()
	address := postgrestest.EmptyURL(t)
	super := open(t, address, 2)
	database := super.Config().ConnConfig.Database
	prefix := postgrestest.RolePrefix(t, address)
	exec := func(pool *pgxpool.Pool, sql string) {
		t.Helper()
		_, err := pool.Exec(t.Context(), strings.NewReplacer("X_", prefix, "DB", database).Replace(sql))
		require.NoError(t, err)
	}
	exec(super, "CREATE ROLE X_admin LOGIN CREATEROLE; ALTER DATABASE DB OWNER TO X_admin; CREATE ROLE X_login LOGIN")
	admin := open(t, postgrestest.WithUser(t, address, prefix+"admin"), 4)
	require.NoError(t, postgres.Migrate(t.Context(), admin, nil))
	o := postgres.RoleOptions{Prefix: prefix, Members: []postgres.RoleMember{{Role: postgres.RoleSink, Login: prefix + "login"}}}

	// All at once: one works, and the others find nothing to do.
	var group errgroup.Group
	changed := make([]int, 4)
	for i := range changed {
		group.Go(func() error {
			result, err := postgres.ApplyRoles(t.Context(), admin, o)
			changed[i] = len(result.Changes)
			return errors.Join(err, result.Err())
		})
	}
	require.NoError(t, group.Wait())
	busy := 0
	for _, n := range changed {
		if n > 0 {
			busy++
		}
	}
	require.Equal(t, 1, busy, "%v", changed)

	sink := open(t, postgrestest.WithUser(t, address, prefix+"login"), 2)
	missing, err := postgres.Missing(t.Context(), sink, postgres.RoleSink)
	require.NoError(t, err)
	require.Empty(t, missing)
	require.Equal(t, postgres.Result{Inserted: 10}, upsert(t, postgres.NewWriter(sink), eventRows(0, 10)))
	require.Equal(t, 1, count(t, sink, "SELECT clean_payload_index()"), "a page was pending")
	_, err = postgres.PendingPages(t.Context(), sink)
	require.ErrorIs(t, err, postgres.ErrNotMeasured, "the owner could not create the extension")

	t.Run("NeitherOwnerNorCreateRole", func(t *testing.T) {
		exec(super, "CREATE ROLE X_plain LOGIN; ALTER DATABASE DB OWNER TO CURRENT_USER; GRANT TEMPORARY ON DATABASE DB TO PUBLIC")
		plain := open(t, postgrestest.WithUser(t, address, prefix+"plain"), 2)
		_, err := postgres.ApplyRoles(t.Context(), plain, o)
		require.ErrorContains(t, err, "permission denied for table goose_db_version")
		exec(admin, "GRANT SELECT ON goose_db_version TO X_plain")
		got := applied(t, plain, o)
		require.Contains(t, strings.Join(got, "\n"), `REVOKE TEMPORARY ON DATABASE "`+database+`" FROM PUBLIC CASCADE -- beyond -- `+prefix+"plain may not; "+super.Config().ConnConfig.User+", the owner of the database, has to run that statement")
		exec(admin, "REVOKE SELECT ON goose_db_version FROM X_plain")
	})
	t.Run("AnotherOwnsTheDatabase", func(t *testing.T) {
		exec(super, "REVOKE TEMPORARY ON DATABASE DB FROM X_operator")
		names := super.Config().ConnConfig.User + ", the owner of the database, has to run that statement"
		result, err := postgres.ApplyRoles(t.Context(), admin, o)
		require.NoError(t, err)
		require.NoError(t, result.Err(), "the operator may make temporary tables, as all may")
		require.Len(t, result.Changes, 2, "%v", result.Changes)
		for _, c := range result.Changes {
			require.True(t, c.Optional)
			require.Contains(t, c.SQL, "TEMPORARY ON DATABASE")
			require.Equal(t, prefix+"admin may not; "+names, c.Problem)
		}
		exec(super, "REVOKE TEMPORARY ON DATABASE DB FROM PUBLIC")
		result, err = postgres.ApplyRoles(t.Context(), admin, o)
		require.NoError(t, err)
		require.EqualError(t, result.Err(), "not all of it could be done: "+names, "the operator needs it")
		exec(super, "GRANT TEMPORARY ON DATABASE DB TO PUBLIC, X_operator")
	})
	t.Run("AMemberOfTheOwner", func(t *testing.T) {
		exec(super, "GRANT X_admin TO X_plain; ALTER DATABASE DB OWNER TO X_admin; REVOKE SELECT ON account_events FROM X_sink")
		require.Equal(t, []string{
			`REVOKE TEMPORARY ON DATABASE "` + database + `" FROM PUBLIC CASCADE -- beyond`, `GRANT SELECT ON TABLE "public"."account_events" TO "X_sink"`,
		}, applied(t, open(t, postgrestest.WithUser(t, address, prefix+"plain"), 2), o))
	})
	t.Run("MigrateWithoutTheRight", func(t *testing.T) {
		require.NoError(t, postgres.Migrate(t.Context(), sink, nil), "there is nothing to do")
		exec(admin, "DELETE FROM goose_db_version WHERE version_id = (SELECT max(version_id) FROM goose_db_version)")
		err := postgres.Migrate(t.Context(), sink, nil)
		require.ErrorContains(t, err, "migrating the database as "+prefix+"login, who may not change the schema: ")
		require.Equal(t, "run `throughline migrate` as the owner of the schema (a service: without THROUGHLINE_SINK_MIGRATE), and `throughline roles apply` after it", fault.Advice(err))
	})
}

// With TEMPORARY, which only the operator has, a caller can put tables and functions before ours, and triggers on
// tables of its own. What runs as the owner must neither touch the former nor be of use to the latter.
func TestFunctionsThatRunAsTheOwnerAreAttacked(t *testing.T) {
	t.Parallel()
	address := postgrestest.URL(t)
	owner := open(t, address, 2)
	require.Equal(t, postgres.Result{Inserted: 3}, upsert(t, postgres.NewWriter(owner), eventRows(0, 3)))
	logins := postgrestest.Logins(t, address)
	_, err := owner.Exec(t.Context(), "GRANT TEMPORARY ON DATABASE "+owner.Config().ConnConfig.Database+" TO PUBLIC; INSERT INTO accounts (id, name) VALUES (gen_random_uuid(), 'Acme')")
	require.NoError(t, err)
	epoch := texts(t, owner, "SELECT epoch::text FROM link_epoch")

	// Each table that those functions name, with a trigger that would tell whom it runs as.
	const traps = `
CREATE TEMPORARY TABLE caught (who text);
GRANT ALL ON caught TO PUBLIC;
CREATE FUNCTION pg_temp.catch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO pg_temp.caught VALUES (current_user); RETURN NULL; END $$;
CREATE FUNCTION pg_temp.gin_clean_pending_list(regclass) RETURNS bigint LANGUAGE sql AS 'INSERT INTO pg_temp.caught VALUES (current_user); SELECT 4711::bigint';
CREATE TEMPORARY TABLE account_event_origins (event_id bigint);
CREATE TEMPORARY TABLE link_changes (transaction xid8 PRIMARY KEY);
CREATE TEMPORARY TABLE link_epoch (epoch uuid);
INSERT INTO pg_temp.account_event_origins SELECT id FROM account_events;
INSERT INTO pg_temp.link_epoch VALUES (gen_random_uuid());
CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON pg_temp.account_event_origins FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.catch();
CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON pg_temp.link_changes FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.catch();
CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON pg_temp.link_epoch FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.catch();
GRANT ALL ON ALL TABLES IN SCHEMA pg_temp TO PUBLIC;
SET search_path = pg_temp, public`
	for role, attack := range map[postgres.Role][]string{
		postgres.RoleOperator: {
			"DELETE FROM public.account_events WHERE id = 1",
			"UPDATE public.accounts SET name = 'Acme Ltd'",
		},
		postgres.RoleSink:       {"DELETE FROM public.account_events WHERE id = 2", "SELECT public.clean_payload_index()", "SELECT public.payload_index_pending_pages()"},
		postgres.RoleQuarantine: {"DELETE FROM public.account_events WHERE id = 3"},
	} {
		pool := open(t, logins[role], 1)
		_, err := pool.Exec(t.Context(), traps)
		require.NoError(t, err, role)
		before := count(t, pool, "SELECT count(*) FROM pg_temp.account_event_origins")
		for _, sql := range attack {
			_, err := pool.Exec(t.Context(), sql)
			require.NoError(t, err, "%s: %s", role, sql)
		}
		require.Empty(t, texts(t, pool, "SELECT who FROM pg_temp.caught"), "%s: no code of the caller's ran", role)
		require.Equal(t, before, count(t, pool, "SELECT count(*) FROM pg_temp.account_event_origins"))
		for _, f := range []string{"delete_account_event_origins()", "note_link_change()", "move_link_epoch()", "announce_links()", "announce_accounts()", "record_link()"} {
			require.True(t, refused(t, pool, "CREATE TRIGGER mine AFTER TRUNCATE ON pg_temp.caught FOR EACH STATEMENT EXECUTE FUNCTION public."+f), "%s makes a trigger of %s", role, f)
		}
	}
	require.Zero(t, count(t, owner, "SELECT count(*) FROM account_events"))
	require.Zero(t, count(t, owner, "SELECT count(*) FROM account_event_origins"), "the real origins went, and by the real function")
	require.NotEqual(t, epoch, texts(t, owner, "SELECT epoch::text FROM link_epoch"), "the real epoch moved")

	// The functions take nothing; the one name that they are told is the schema's of an extension.
	_, err = open(t, logins[postgres.RoleSink], 1).Exec(t.Context(), "SELECT clean_payload_index('accounts')")
	require.ErrorContains(t, err, "42883")
	const odd = `"x'); DROP TABLE accounts; --""y"`
	_, err = owner.Exec(context.Background(), "CREATE SCHEMA "+odd+"; ALTER EXTENSION pgstattuple SET SCHEMA "+odd)
	require.NoError(t, err)
	pages, err := postgres.PendingPages(t.Context(), open(t, logins[postgres.RoleSink], 1))
	require.NoError(t, err)
	require.GreaterOrEqual(t, pages, int64(0))
	require.Equal(t, 1, count(t, owner, "SELECT count(*) FROM accounts"))
}
