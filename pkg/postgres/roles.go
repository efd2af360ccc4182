package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// RoleOptions say what ApplyRoles does.
type RoleOptions struct {
	Prefix  string        // what the roles' names begin with; "": DefaultRolePrefix
	Members []RoleMember  // login roles that are to have a role's privileges
	DryRun  bool          // find out, and change nothing
	Wait    time.Duration // for another run; 0: half a minute
}

// RoleMember is a login role that exists, and the role that it is to be a member of.
type RoleMember struct {
	Role  Role
	Login string
}

// RoleChange is one statement of ApplyRoles.
type RoleChange struct {
	SQL      string // without a semicolon
	Beyond   bool   // it takes away what Privileges does not have
	Optional bool   // everything works and is safe without it
	Problem  string // why it could not be done; "": it was, or on a dry run would be

	cure string // what to do about the problem
}

// RolesResult is what ApplyRoles did.
type RolesResult struct {
	Changes  []RoleChange
	Warnings []string // what it does not change
}

// Err says what to do about the changes that could not be made; nil: there are none but optional ones.
func (r RolesResult) Err() error {
	var cures []string
	for _, c := range r.Changes {
		if c.Problem != "" && !c.Optional && !slices.Contains(cures, c.cure) {
			cures = append(cures, c.cure)
		}
	}
	if cures == nil {
		return nil
	}
	return fmt.Errorf("not all of it could be done: %s", strings.Join(cures, "; "))
}

var rolePrefix = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

// Validate reports every problem with the options, by the names of the command line's flags.
func (o RoleOptions) Validate() error {
	var problems []error
	if o.Prefix != "" && (!rolePrefix.MatchString(o.Prefix) || strings.HasPrefix(o.Prefix, "pg_")) {
		problems = append(problems, fmt.Errorf("--prefix is %q: it should be at most 40 letters a-z, digits and _, and not begin with a digit or pg_", o.Prefix))
	}
	for _, m := range o.Members {
		if !slices.Contains(Roles(), m.Role) {
			problems = append(problems, fmt.Errorf("--member: there is no role %q: it should be one of %s", m.Role, roleList()))
		}
		if m.Login == "" {
			problems = append(problems, fmt.Errorf("--member: %q names no login role: it should be like sink=LOGIN", m.Role))
		}
		if slices.ContainsFunc(Roles(), func(r Role) bool { return m.Login == RoleName(cmp.Or(o.Prefix, DefaultRolePrefix), r) }) {
			problems = append(problems, fmt.Errorf("--member: %s is one of the roles that nobody logs in as: name a login role", m.Login))
		}
	}
	return errors.Join(problems...)
}

func roleList() string {
	var names []string
	for _, role := range Roles() {
		names = append(names, string(role))
	}
	return strings.Join(names, ", ")
}

// rolesLock is the advisory lock of ApplyRoles; any number that no other uses.
const rolesLock = 8388080129014197105

const rolesWait = 30 * time.Second

// ApplyRoles makes the group roles, none of which can log in, and brings what they and PUBLIC may do in this database to
// what Privileges says: it grants what is missing and revokes the rest. Other roles' privileges are none of its
// business. It may be repeated at will, and is to be after each migration; runs at once wait for each other, for o.Wait at most.
//
// The caller owns the schema, or is a member of the role that does, and makes roles (CREATEROLE) unless they are there
// already; it need not be a superuser. What Postgres refuses is the Problem of its change, and the others are made.
// Errors are marked by Classify, and Permanent where the schema is not the one that this program knows.
func ApplyRoles(ctx context.Context, pool *pgxpool.Pool, o RoleOptions) (RolesResult, error) {
	if o.Prefix == "" {
		o.Prefix = DefaultRolePrefix
	}
	var members []RoleMember
	for _, m := range o.Members {
		if !slices.Contains(members, m) {
			members = append(members, m)
		}
	}
	o.Members = members
	if err := o.Validate(); err != nil {
		return RolesResult{}, fault.Permanent(fault.Malformed, err)
	}
	var result RolesResult
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if err := LockAdvisory(ctx, tx, rolesLock, "`throughline roles apply`", cmp.Or(o.Wait, rolesWait)); err != nil {
			return err
		}
		if err := requireSchema(ctx, tx); err != nil {
			return err
		}
		before, err := readRoles(ctx, tx, o)
		if err != nil {
			return err
		}
		result.Changes, result.Warnings = before.plan(o), before.warnings(o)
		if o.DryRun || len(result.Changes) == 0 {
			return nil
		}
		for i := range result.Changes {
			if result.Changes[i].Problem, err = try(ctx, tx, result.Changes[i].SQL); err != nil {
				return err
			}
		}
		// Postgres only warns of a privilege that it does not revoke, because somebody else granted it.
		after, err := readRoles(ctx, tx, o)
		if err != nil {
			return err
		}
		for _, left := range after.plan(o) {
			left.Problem = fmt.Sprintf("%s may not; %s", after.user, left.cure)
			if i := slices.IndexFunc(result.Changes, func(c RoleChange) bool { return c.SQL == left.SQL }); i < 0 {
				result.Changes = append(result.Changes, left)
			} else if left.Optional || result.Changes[i].Problem == "" {
				result.Changes[i] = left
			} else {
				result.Changes[i].Optional = false
			}
		}
		return nil
	})
	if fault.IsPermanent(err) {
		return RolesResult{}, err
	}
	if err != nil {
		return RolesResult{}, Classify(fmt.Errorf("applying the roles: %w", err))
	}
	return result, nil
}

// try runs a statement, and gives what Postgres has against it. Somebody in another database may have made the role.
func try(ctx context.Context, tx pgx.Tx, sql string) (problem string, err error) {
	const duplicateObject = "42710"
	err = pgx.BeginFunc(ctx, tx, func(savepoint pgx.Tx) error {
		_, err := savepoint.Exec(ctx, sql)
		return err
	})
	var refused *pgconn.PgError
	switch {
	case err == nil, code(err) == duplicateObject, code(err) == uniqueViolation:
		return "", nil
	case errors.As(err, &refused):
		return refused.Message, nil
	}
	return "", err
}

// requireSchema refuses a schema whose privileges this program does not know: on a newer one it would take away what
// the newer services need.
func requireSchema(ctx context.Context, tx pgx.Tx) error {
	newest, err := newestMigration()
	if err != nil {
		return err
	}
	var version int64
	err = tx.QueryRow(ctx, "SELECT coalesce(max(version_id), 0) FROM "+versionTable+" WHERE is_applied").Scan(&version)
	switch {
	case err != nil:
		return fmt.Errorf("reading the schema's version: %w", err)
	case version < newest:
		return fault.Permanent(fault.Unsupported, fmt.Errorf("the schema is at version %d and this program needs %d: run `throughline migrate` first", version, newest))
	case version > newest:
		return fault.Permanent(fault.Unsupported, fmt.Errorf("the schema is at version %d, newer than this program's %d: use the program of the version that migrated it", version, newest))
	}
	return nil
}
