package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// granted is a privilege of somebody: on a whole object, or on one column of it.
type granted struct {
	Grantee   string // "": PUBLIC
	Kind      string
	Schema    string
	Object    string // a function with its argument types, as SQL has it
	Operation string
	Column    string // "": the whole object
}

// rolesState is what the database knows of roles and privileges.
type rolesState struct {
	schema, owner, user     string
	database, databaseOwner string
	version                 int // of the server, as server_version_num

	grants     map[granted]bool // of our roles, and of PUBLIC on what is ours
	order      []granted
	options    []granted         // those that may be granted on
	attributes map[string]string // of our roles that exist: what they should not be able to do, as ALTER ROLE has it
	parents    [][2]string       // our roles that are members of others: the other, ours
	defaults   []string          // statements that take away what future objects would grant
	logins     map[string]login
	members    map[RoleMember]bool
}

type login struct{ super, inherits, owns bool }

// Objects of the schema are those that the schema's owner made there; an extension's are none.
const readGrants = `
WITH ours AS (SELECT oid, rolname FROM pg_roles WHERE rolname = ANY ($1)), home AS (SELECT oid FROM pg_namespace WHERE nspname = current_schema()),
listed (kind, nsp, object, "column", mine, acl) AS (
  SELECT CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, relnamespace, relname::text, '', relkind <> 'S' AND relname = ANY ($2) OR
    relkind = 'S' AND EXISTS (SELECT FROM pg_depend d JOIN pg_class t ON t.oid = d.refobjid WHERE d.objid = c.oid AND d.deptype IN ('a', 'i') AND t.relname = ANY ($2)), relacl
  FROM pg_class c WHERE relacl IS NOT NULL
  UNION ALL
  SELECT 'table', relnamespace, relname, attname, relname = ANY ($2), attacl FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE attacl IS NOT NULL
  UNION ALL
  SELECT 'function', pronamespace, format('%I(%s)', proname, pg_get_function_identity_arguments(oid)), '',
    format('%I(%s)', proname, pg_get_function_identity_arguments(oid)) = ANY ($3), coalesce(proacl, acldefault('f', proowner)) FROM pg_proc
    WHERE proacl IS NOT NULL OR pronamespace = (SELECT oid FROM home)
  UNION ALL
  SELECT 'schema', oid, nspname, '', true, nspacl FROM pg_namespace
  UNION ALL
  SELECT 'database', (SELECT oid FROM home), datname, '', true, coalesce(datacl, acldefault('d', datdba)) FROM pg_database WHERE datname = current_database()
)
SELECT coalesce(ours.rolname::text, ''), kind, nspname::text, object, a.privilege_type, "column", a.is_grantable
FROM listed JOIN pg_namespace n ON n.oid = nsp CROSS JOIN LATERAL aclexplode(acl) AS a LEFT JOIN ours ON ours.oid = a.grantee
WHERE ours.oid IS NOT NULL OR a.grantee = 0 AND mine AND nsp = (SELECT oid FROM home)
ORDER BY 1, 2, 3, 4, 5, 6`

// What the owner's future objects would grant, by ALTER DEFAULT PRIVILEGES.
const readDefaults = `
SELECT DISTINCT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE ALL ON %s FROM %s', o.rolname, CASE WHEN n.nspname IS NOT NULL THEN format(' IN SCHEMA %I', n.nspname) END,
  CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' END, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE format('%I', g.rolname) END)
FROM pg_default_acl d JOIN pg_roles o ON o.oid = d.defaclrole LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
CROSS JOIN LATERAL aclexplode(d.defaclacl) AS a LEFT JOIN pg_roles g ON g.oid = a.grantee
WHERE d.defaclobjtype IN ('r', 'S') AND o.rolname = $2 AND (n.nspname IS NULL OR n.nspname = current_schema()) AND (a.grantee = 0 OR g.rolname = ANY ($1))
ORDER BY 1`

func readRoles(ctx context.Context, tx pgx.Tx, o RoleOptions) (*rolesState, error) {
	s := &rolesState{grants: map[granted]bool{}, attributes: map[string]string{}, logins: map[string]login{}, members: map[RoleMember]bool{}}
	var names, logins []string
	byName := map[string]Role{}
	for _, role := range Roles() {
		names = append(names, RoleName(o.Prefix, role))
		byName[RoleName(o.Prefix, role)] = role
	}
	for _, m := range o.Members {
		logins = append(logins, m.Login)
	}
	err := tx.QueryRow(ctx, `SELECT current_schema()::text, current_database()::text, pg_get_userbyid(datdba)::text, pg_get_userbyid(relowner)::text, current_user::text,
		current_setting('server_version_num')::int FROM pg_class, pg_database WHERE pg_class.oid = 'account_events'::regclass AND datname = current_database()`).
		Scan(&s.schema, &s.database, &s.databaseOwner, &s.owner, &s.user, &s.version)
	if err != nil {
		return nil, fmt.Errorf("finding the schema's owner: %w", err)
	}
	read := func(doing, sql string, args []any, into []any, each func()) error {
		rows, err := tx.Query(ctx, sql, args...)
		if err == nil {
			_, err = pgx.ForEachRow(rows, into, func() error { each(); return nil })
		}
		if err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
		return nil
	}
	var g granted
	var grantable bool
	if err := read("reading privileges", readGrants, []any{names, Tables(), Functions()},
		[]any{&g.Grantee, &g.Kind, &g.Schema, &g.Object, &g.Operation, &g.Column, &grantable}, func() {
			if !s.grants[g] {
				s.grants[g] = true
				s.order = append(s.order, g)
			}
			if grantable {
				s.options = append(s.options, g)
			}
		}); err != nil {
		return nil, err
	}
	var name, text, other string
	if err := read("reading roles", `SELECT rolname, concat_ws(' ', CASE WHEN rolcanlogin THEN 'NOLOGIN' END, CASE WHEN rolsuper THEN 'NOSUPERUSER' END, CASE WHEN rolcreaterole THEN 'NOCREATEROLE' END,
		CASE WHEN rolcreatedb THEN 'NOCREATEDB' END, CASE WHEN rolreplication THEN 'NOREPLICATION' END, CASE WHEN rolbypassrls THEN 'NOBYPASSRLS' END)
		FROM pg_roles WHERE rolname = ANY ($1)`, []any{names}, []any{&name, &text}, func() { s.attributes[name] = text }); err != nil {
		return nil, err
	}
	if err := read("reading memberships", `SELECT DISTINCT p.rolname, m.rolname FROM pg_auth_members x JOIN pg_roles p ON p.oid = x.roleid JOIN pg_roles m ON m.oid = x.member
		WHERE m.rolname = ANY ($1) OR p.rolname = ANY ($1) AND m.rolname = ANY ($2) ORDER BY 1, 2`, []any{names, logins}, []any{&other, &name}, func() {
		if _, ours := byName[name]; ours {
			s.parents = append(s.parents, [2]string{other, name})
			return
		}
		s.members[RoleMember{byName[other], name}] = true
	}); err != nil {
		return nil, err
	}
	var l login
	if err := read("reading login roles", `SELECT rolname, rolsuper, rolinherit, pg_has_role(oid, $2::name, 'MEMBER') FROM pg_roles WHERE rolname = ANY ($1)`,
		[]any{logins, s.owner}, []any{&name, &l.super, &l.inherits, &l.owns}, func() { s.logins[name] = l }); err != nil {
		return nil, err
	}
	return s, read("reading default privileges", readDefaults, []any{names, s.owner}, []any{&text}, func() { s.defaults = append(s.defaults, text) })
}

// wanted are the privileges of all roles, in order.
func (s *rolesState) wanted(prefix string) (order []granted, set map[granted]bool) {
	set = map[granted]bool{}
	for _, role := range Roles() {
		for _, p := range Privileges(role) {
			g := granted{Grantee: RoleName(prefix, role), Kind: string(p.Kind), Schema: s.schema, Object: p.Object, Operation: p.Operation}
			switch p.Kind {
			case KindSchema:
				g.Object = s.schema
			case KindDatabase:
				g.Object = s.database
			case KindTable, KindSequence, KindFunction:
			}
			columns := p.Columns
			if columns == nil {
				columns = []string{""}
			}
			for _, g.Column = range columns {
				order = append(order, g)
				set[g] = true
			}
		}
	}
	return order, set
}

// kept are PUBLIC's privileges that stay: others live in this database too.
func (g granted) kept() bool {
	return g.Grantee == "" && (g.Kind == string(KindSchema) && g.Operation == "USAGE" || g.Kind == string(KindDatabase) && g.Operation == "CONNECT")
}

// plan gives the statements that are missing, in the order in which they work.
func (s *rolesState) plan(o RoleOptions) (changes []RoleChange) {
	add := func(beyond bool, statements ...string) {
		for _, sql := range statements {
			changes = append(changes, RoleChange{SQL: sql, Beyond: beyond, cure: s.cure()})
		}
	}
	for _, role := range Roles() {
		name := RoleName(o.Prefix, role)
		if more, exists := s.attributes[name]; !exists {
			add(false, "CREATE ROLE "+quoted(name)+" NOLOGIN")
		} else if more != "" {
			add(true, "ALTER ROLE "+quoted(name)+" "+more)
		}
	}
	for _, p := range s.parents {
		add(true, "REVOKE "+quoted(p[0])+" FROM "+quoted(p[1]))
	}
	wanted, isWanted := s.wanted(o.Prefix)
	var beyond, missing []granted
	cleared := map[granted]bool{} // with a privilege on the whole table go those on its columns
	for _, g := range s.order {
		if !isWanted[g] && !g.kept() {
			beyond = append(beyond, g)
			cleared[g] = g.Column == ""
		}
	}
	for _, g := range wanted {
		public, whole := g, g
		public.Grantee, whole.Column = "", ""
		has := s.grants[g] || s.grants[public] && public.kept()
		if !has || g.Column != "" && cleared[whole] {
			missing = append(missing, g)
		}
	}
	changes = append(changes, s.statements(true, "REVOKE", "FROM", " CASCADE", beyond)...)
	var options []granted
	for _, g := range s.options {
		if isWanted[g] && !cleared[g] {
			options = append(options, g)
		}
	}
	changes = append(changes, s.statements(true, "REVOKE GRANT OPTION FOR", "FROM", " CASCADE", options)...)
	add(true, s.defaults...)
	changes = append(changes, s.statements(false, "GRANT", "TO", "", missing)...)
	for _, m := range o.Members {
		if !s.members[m] {
			cure := s.cure()
			if _, exists := s.logins[m.Login]; !exists {
				cure = fmt.Sprintf("create the login role %s (CREATE ROLE %s LOGIN) and run this again, or correct --member", m.Login, quoted(m.Login))
			}
			sql := "GRANT " + quoted(RoleName(o.Prefix, m.Role)) + " TO " + quoted(m.Login)
			if s.version >= 160000 { // before, the member's own INHERIT decides
				sql += " WITH INHERIT TRUE"
			}
			changes = append(changes, RoleChange{SQL: sql, cure: cure})
		}
	}
	return changes
}

// statements gives one statement for each grantee and object.
func (s *rolesState) statements(beyond bool, verb, preposition, end string, list []granted) (all []RoleChange) {
	type target struct{ grantee, kind, schema, object string }
	type operation struct {
		name    string
		columns []string
	}
	var targets []target
	operations := map[target][]operation{}
	for _, g := range list {
		t := target{g.Grantee, g.Kind, g.Schema, g.Object}
		if operations[t] == nil {
			targets = append(targets, t)
		}
		i := slices.IndexFunc(operations[t], func(o operation) bool { return o.name == g.Operation && (o.columns == nil) == (g.Column == "") })
		if i < 0 {
			i = len(operations[t])
			operations[t] = append(operations[t], operation{name: g.Operation})
		}
		if g.Column != "" {
			operations[t][i].columns = append(operations[t][i].columns, quoted(g.Column))
		}
	}
	for _, t := range targets {
		var what []string
		for _, o := range operations[t] {
			if o.columns != nil {
				o.name += " (" + strings.Join(o.columns, ", ") + ")"
			}
			what = append(what, o.name)
		}
		object := quoted(t.object)
		switch ObjectKind(t.kind) {
		case KindTable, KindSequence:
			object = quoted(t.schema) + "." + object
		case KindFunction:
			object = quoted(t.schema) + "." + t.object
		case KindSchema, KindDatabase:
		}
		grantee := "PUBLIC"
		if t.grantee != "" {
			grantee = quoted(t.grantee)
		}
		change := RoleChange{SQL: verb + " " + strings.Join(what, ", ") + " ON " + strings.ToUpper(t.kind) + " " + object + " " + preposition + " " + grantee + end, Beyond: beyond, cure: s.cure()}
		if ObjectKind(t.kind) == KindDatabase {
			change.cure = fmt.Sprintf("%s, the owner of the database, has to run that statement", s.databaseOwner)
			// TEMPORARY in the hands of PUBLIC is no danger since functions that run as the owner look past pg_temp, and
			// what PUBLIC has, nobody needs to be given.
			change.Optional = s.grants[granted{Kind: t.kind, Schema: t.schema, Object: t.object, Operation: "TEMPORARY"}] &&
				!slices.ContainsFunc(operations[t], func(o operation) bool { return o.name != "TEMPORARY" })
		}
		all = append(all, change)
	}
	return all
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

// warnings are about the logins that are named.
func (s *rolesState) warnings(o RoleOptions) (all []string) {
	seen := map[string]bool{}
	for _, m := range o.Members {
		if seen[m.Login] {
			continue
		}
		seen[m.Login] = true
		l, exists := s.logins[m.Login]
		switch {
		case !exists:
			all = append(all, fmt.Sprintf("there is no role %s: create it (CREATE ROLE %s LOGIN) with its password or certificate", m.Login, quoted(m.Login)))
		case l.super:
			all = append(all, fmt.Sprintf("%s is a superuser and may do everything, whatever is granted: use a login role that is none", m.Login))
		case l.owns:
			all = append(all, fmt.Sprintf("%s is the owner of the schema, or a member of it, and may do everything there: use another login role", m.Login))
		case !l.inherits && s.version < 160000:
			all = append(all, fmt.Sprintf("%s does not inherit the privileges of the roles that it is a member of: ALTER ROLE %s INHERIT", m.Login, quoted(m.Login)))
		}
	}
	return all
}

// cure says what helps where the caller may not do something to the schema or to a role.
func (s *rolesState) cure() string {
	return fmt.Sprintf("connect as the owner of the schema (%s), with CREATEROLE; or print the SQL (--dry-run) for somebody who may", s.owner)
}
