package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Role is who connects to the database: a service, or people. The receiver does not connect; the owner of the schema,
// who migrates, may do everything. In the database it is a group role (RoleName), which login roles are members of.
type Role string

// The roles.
const (
	RoleNormalizer Role = "normalizer"
	RoleSink       Role = "sink"
	RoleQuarantine Role = "quarantine"
	RolePuller     Role = "puller"    // keeps how far pulls from the vendors' APIs are, and compares what they have with what is here
	RoleLearner    Role = "learner"   // learns whose vendors' objects are, and links them
	RoleDrift      Role = "drift"     // keeps what payloads look like, and finds what is odd about them
	RoleAlerter    Role = "alerter"   // looks how everything is, and keeps what is alerted on
	RoleReader     Role = "reader"    // reads timelines: the users' own consumers
	RoleDoctor     Role = "doctor"    // reads everything
	RoleConsole    Role = "console"   // what the operator may, and keeps tokens, sessions and the audit log
	RoleOperator   Role = "operator"  // reads everything, decides about accounts, links and the quarantine: the command line
	RoleEraser     Role = "eraser"    // reads everything, and erases accounts and people: the command line
	RoleRetention  Role = "retention" // deletes what has been kept for as long as was decided: the command line, a schedule
)

// Roles gives all of them.
func Roles() []Role {
	return []Role{RoleNormalizer, RoleSink, RoleQuarantine, RolePuller, RoleLearner, RoleDrift, RoleAlerter, RoleReader, RoleDoctor, RoleConsole, RoleOperator, RoleEraser, RoleRetention}
}

// ObjectKind says what a Privilege is on.
type ObjectKind string

// What privileges are on. The database and the schema are those of the connection.
const (
	KindTable    ObjectKind = "table"
	KindSequence ObjectKind = "sequence"
	KindFunction ObjectKind = "function"
	KindSchema   ObjectKind = "schema"
	KindDatabase ObjectKind = "database"
)

// Privilege is one operation on one object, in Postgres' words.
type Privilege struct {
	Kind      ObjectKind
	Object    string   // a name without its schema, a function with its argument types; "" for the schema and the database
	Operation string   // SELECT, INSERT, UPDATE, DELETE, USAGE, EXECUTE, CONNECT or TEMPORARY
	Columns   []string // those that it is bounded to; nil: the whole object
}

// String is the privilege as GRANT has it: UPDATE (account_id) ON TABLE account_events.
func (p Privilege) String() string {
	columns := ""
	if p.Columns != nil {
		columns = " (" + strings.Join(p.Columns, ", ") + ")"
	}
	object := ""
	if p.Object != "" {
		object = " " + p.Object
	}
	return p.Operation + columns + " ON " + strings.ToUpper(string(p.Kind)) + object
}

// on gives operations on a whole table: "SELECT, INSERT".
func on(table, operations string) (all []Privilege) {
	for operation := range strings.SplitSeq(operations, ", ") {
		all = append(all, Privilege{Kind: KindTable, Object: table, Operation: operation})
	}
	return all
}

// of gives an operation on some columns of a table: "id, name".
func of(table, operation, columns string) []Privilege {
	return []Privilege{{Kind: KindTable, Object: table, Operation: operation, Columns: strings.Split(columns, ", ")}}
}

// ids lets a role insert into tables whose ids count up.
func ids(tables ...string) (all []Privilege) {
	for _, table := range tables {
		all = append(all, Privilege{Kind: KindSequence, Object: table + "_id_seq", Operation: "USAGE"})
	}
	return all
}

// Privileges gives all that a role may do, and needs to. It is the truth for `throughline roles apply`, which grants
// this and takes the rest, and for Missing. An unknown role may do nothing. A version keeps what the version before it
// needs, since the two run side by side.
func Privileges(role Role) []Privilege {
	var own []Privilege
	switch role {
	case RoleNormalizer:
		own = slices.Concat(of("accounts", "SELECT", "id, domain, merged_into"), resolving(),
			passingOver())
	case RoleSink:
		own = slices.Concat(
			on("account_events", "SELECT, INSERT"), ids("account_events"),
			on("account_event_origins", "SELECT, INSERT"),
			of("accounts", "SELECT", "id, domain, merged_into"), resolving(),
			of("history_moves", "SELECT", "decision_id, from_account"), // what left an account while its events were on their way
			moving(), passingOver(),
			functions("clean_payload_index()", "payload_index_pending_pages()"),
		)
	case RoleQuarantine:
		own = slices.Concat(
			on("quarantine", "INSERT, UPDATE"), on("quarantine_states", "SELECT"), passingOver(),
			of("quarantine_outbox_lease", "UPDATE", "holder, until"), on("quarantine_outbox_lease", "SELECT"),
			on("account_events", "SELECT"), on("account_event_origins", "SELECT"),
			of("accounts", "SELECT", "id, domain, merged_into"), resolving(),
			on("link_decisions", "SELECT"),
			on("history_moves", "SELECT"), moveProgress(),
			moving(),
			on("account_changes", "SELECT, DELETE"), of("account_changes", "UPDATE", "published_at"),
			on("account_changes_lease", "SELECT"), of("account_changes_lease", "UPDATE", "holder, until"),
		)
	case RolePuller:
		own = slices.Concat(pulling(), on("pull_requests", "SELECT"), of("pull_requests", "UPDATE", "tenant, state, reason, pages, events, claimed_at, ended_at"))
	case RoleLearner:
		own = slices.Concat(
			of("quarantine", "SELECT", "id, reason, source, tenant, event_type, status, references, reference_keys, payload, first_seen"), on("quarantine_states", "SELECT"),
			on("account_events", "SELECT"), of("account_event_origins", "SELECT", "event_id, reference"),
			of("accounts", "SELECT", "id, name, domain, merged_into, parent_id"), resolving(), linking(),
			on("learned_references", "SELECT, INSERT, DELETE"), ids("learned_references"),
			of("learned_references", "UPDATE", "state, due_at, looks, asked_at, name, evidence, why, seen_at"),
			on("learned_leads", "SELECT, INSERT, DELETE"), of("learned_leads", "UPDATE", "source, tenant, kind, external_id, by, field, event_id, seen_on"),
			on("link_suggestions", "SELECT, INSERT"), ids("link_suggestions"), of("link_suggestions", "UPDATE", "rule, level, why, evidence, updated_at"),
			on("learning_sources", "SELECT, INSERT"), of("learning_sources", "UPDATE", "calls, answers, asked_at, failing_since, error, retry_at"),
			on("api_budgets", "SELECT, INSERT"), of("api_budgets", "UPDATE", "free_at, updated_at, paused_until, pause_reason"),
			on("learning_progress", "SELECT"), of("learning_progress", "UPDATE", "merges_event, domains_due_at"),
			on("suspect_domains", "SELECT, INSERT"), of("suspect_domains", "UPDATE", "accounts, examples"),
		)
	case RoleDrift:
		own = slices.Concat(
			on("payload_types", "SELECT, INSERT"), ids("payload_types"), of("payload_types", "UPDATE", "version"),
			on("payload_shapes", "SELECT, INSERT, UPDATE, DELETE"),
			on("shape_findings", "SELECT, INSERT"), ids("shape_findings"), of("shape_findings", "UPDATE", "became, event_id, times, state, state_by, state_at, last_seen"),
			on("drift_decisions", "INSERT"), ids("drift_decisions"),
			on("drift_offsets", "SELECT, INSERT, UPDATE"),
			of("drift_expectations", "SELECT", "source, event_type, path"),
		)
	case RoleAlerter:
		own = slices.Concat(
			of("account_events", "SELECT", "id, event_type, source, occurred_at, ingested_at"),
			of("quarantine", "SELECT", "id, first_seen"), on("quarantine_states", "SELECT"),
			on("pull_runs", "SELECT"), on("pull_checkpoints", "SELECT"), of("pull_requests", "SELECT", "id, state"), on("api_budgets", "SELECT"), on("reconcile_reports", "SELECT"),
			on("shape_findings", "SELECT"), on("drift_expectations", "SELECT"),
			on("alert_states", "SELECT, INSERT, UPDATE, DELETE"), on("alert_told", "SELECT, INSERT, UPDATE, DELETE"),
			on("alert_receivers", "SELECT, INSERT, UPDATE"), on("alert_silences", "SELECT"),
			on("alert_evaluation", "SELECT"), of("alert_evaluation", "UPDATE", "holder, until, evaluated_at"),
		)
	case RoleReader:
		own = slices.Concat(on("account_events", "SELECT"), on("accounts", "SELECT"))
	case RoleDoctor:
		own = everything()
	case RoleConsole:
		own = slices.Concat(
			deciding(),
			on("api_tokens", "SELECT, INSERT"), ids("api_tokens"), of("api_tokens", "UPDATE", "last_used_at, revoked_at"),
			on("console_sessions", "SELECT, INSERT, DELETE"), of("console_sessions", "UPDATE", "seen_at"),
			on("saved_views", "SELECT, INSERT, DELETE"), ids("saved_views"), of("saved_views", "UPDATE", "name, shared, updated_at"),
		)
	case RoleOperator:
		own = deciding()
	case RoleEraser:
		own = erasing()
	case RoleRetention: // pkg/retention
		own = slices.Concat(
			// UPDATE is what locking them takes.
			of("account_events", "SELECT", "id, event_type, occurred_at"), of("account_events", "UPDATE", "account_id"), on("account_events", "DELETE"),
			of("quarantine", "SELECT", "id, status, status_at, last_seen"), of("quarantine", "UPDATE", "status"), on("quarantine", "DELETE"), on("quarantine_states", "SELECT"),
			of("quarantine_decisions", "SELECT", "id, quarantine_ids, first_id, last_id, decided_at"), on("quarantine_decisions", "DELETE"),
			of("shape_findings", "SELECT", "id, state, state_at, created_at"), on("shape_findings", "DELETE"),
			of("console_sessions", "SELECT", "session_sha256, expires_at"), on("console_sessions", "DELETE"),
			of("audit_log", "SELECT", "id, at"), on("audit_log", "INSERT"), ids("audit_log"), functions("expire_audit_log(timestamp with time zone, integer)"),
		)
	default:
		return nil
	}
	return distinct(slices.Concat([]Privilege{
		{Kind: KindDatabase, Operation: "CONNECT"},
		{Kind: KindSchema, Operation: "USAGE"},
	}, on(versionTable, "SELECT"), own))
}

// deciding is what people may: read everything, decide about accounts, links, the quarantine and pulls. What they do is
// written to the audit log, which nobody may change.
func deciding() []Privilege {
	return slices.Concat(
		everything(), functions("suppressed(text[], text[], text[], text[])", "erased_address_in(text)"),
		on("accounts", "INSERT, DELETE"), of("accounts", "UPDATE", "name, domain, owner, parent_id, merged_into, updated_at"),
		linking(),
		on("account_link_denials", "INSERT"), ids("account_link_denials"), of("account_link_denials", "UPDATE", "account_id"),
		moveProgress(),
		of("link_suggestions", "UPDATE", "status, decided_by, decision_id, updated_at"),
		on("suspect_domains", "INSERT"), of("suspect_domains", "UPDATE", "decision, decided_by, decided_at, reason"),
		moving(),
		pulling(),
		on("pull_requests", "INSERT"), ids("pull_requests"), of("pull_requests", "UPDATE", "state, reason, ended_at"),
		expecting(),
		on("alert_silences", "INSERT"), ids("alert_silences"), of("alert_silences", "UPDATE", "until, ended_by"),
		on("replays", "INSERT"), ids("replays"), of("replays", "UPDATE", "places, read, published, updated_at, finished_at"),
		on("audit_log", "INSERT"), ids("audit_log"),
		[]Privilege{{Kind: KindDatabase, Operation: "TEMPORARY"}}, // `throughline accounts import` checks a file in temporary tables
	)
}

// erasing is what it takes to erase accounts and people (pkg/erase).
func erasing() []Privilege {
	all := slices.Concat(everything(), functions("suppressed(text[], text[], text[], text[])", "reference_digest(text, text, text, text)"),
		on("link_decisions", "INSERT"), ids("link_decisions"), on("history_moves", "INSERT"), ids("history_moves"),
		on("account_changes", "INSERT"), ids("account_changes"), on("audit_log", "INSERT"), ids("audit_log"),
		on("erasures", "INSERT, UPDATE"), ids("erasures"), on("suppressions", "INSERT"), on("saved_views", "SELECT, DELETE"))
	for _, table := range []string{"account_events", "account_links", "account_link_denials", "accounts", "quarantine", "learned_references", "learned_leads", "link_suggestions",
		"suspect_domains", "shape_findings", "payload_shapes", "drift_expectations", "reconcile_missing", "suppressions",
		"quarantine_outbox"} {
		all = append(all, on(table, "DELETE")...)
	}
	for _, updates := range [][2]string{
		{"account_events", "account_id"}, // which takes locking them
		{"accounts", "name, owner, parent_id, merged_into, created_by"}, {"link_decisions", "external_id, tenant, reason, evidence, author"}, {"history_moves", "external_id, tenant"},
		{"account_links", "evidence, created_by"}, {"learned_references", "name, evidence, why"}, {"link_suggestions", "evidence, why, decided_by"}, {"suspect_domains", "examples, reason, decided_by"},
		{"payload_shapes", "event_id"}, {"shape_findings", "event_id, raw_topic, raw_partition, raw_offset, was, became, state_by"}, {"drift_decisions", "note, by"}, {"alert_silences", "comment, created_by, ended_by"}, {"drift_expectations", "declared_by"}, {"pull_requests", "asked_by"},
		{"audit_log", "target, why, who"}, {"quarantine", "status, status_by"}, {"quarantine_decisions", "note, decided_by"}, {"replays", "reason, started_by"}, {"pull_runs", "error, started_by"}, {"reconcile_reports", "error, started_by"}, {"learning_sources", "error"},
	} {
		all = append(all, of(updates[0], "UPDATE", updates[1])...)
	}
	return all
}

// versionTable is where the schema's version stands.
const versionTable = "goose_db_version"

// Tables gives all tables of the schema.
func Tables() []string {
	return []string{
		"account_changes", "account_changes_lease", "account_event_origins", "account_events", "account_link_denials", "account_links", "accounts",
		"alert_evaluation", "alert_receivers", "alert_silences", "alert_states", "alert_told",
		"api_budgets", "api_tokens", "audit_log", "console_sessions", "drift_decisions", "drift_expectations", "shape_findings", "drift_offsets", "erasures", versionTable,
		"history_moves", "learned_leads", "learned_references", "learning_progress", "learning_sources", "link_changes",
		"link_decisions", "link_epoch", "link_suggestions", "payload_shapes", "payload_types", "pull_checkpoints", "pull_leases", "pull_requests", "pull_runs", "quarantine", "quarantine_decisions",
		"quarantine_outbox", "quarantine_outbox_lease", "quarantine_states", "reconcile_missing", "reconcile_reports", "replays", "saved_views", "suppressed_events", "suppression_key", "suppressions", "suspect_domains",
	}
}

// Functions gives all functions of the schema, with their argument types.
func Functions() []string {
	return []string{
		"addresses_in(text)", "announce_accounts()", "announce_links()", "announce_suspect_domain()", "clean_payload_index()", "delete_account_event_origins()", "empty_erased_audit()", "erased_address_in(text)", "expire_audit_log(timestamp with time zone, integer)", "mirror_quarantine()", "move_link_epoch()",
		"note_link_change()", "payload_index_pending_pages()", "record_link()", "reference_digest(text, text, text, text)",
		"refuse_erased()", "refuse_erasing()", "refuse_suppressed()", "refuse_suppressed_account()", "spelled_at()", "spelled_gap()", "spelled_plus()", "suppressed(text[], text[], text[], text[])",
	}
}

// everything reads all that people read: link_changes is only ever written, by triggers, who holds which token or
// session and what people look at are the console's alone, and the key of the digests is nobody's.
func everything() (all []Privilege) {
	for _, table := range Tables() {
		if !slices.Contains([]string{"link_changes", "api_tokens", "console_sessions", "saved_views", "suppression_key"}, table) {
			all = append(all, on(table, "SELECT")...)
		}
	}
	return all
}

func functions(signatures ...string) (all []Privilege) {
	for _, f := range signatures {
		all = append(all, Privilege{Kind: KindFunction, Object: f, Operation: "EXECUTE"})
	}
	return all
}

// passingOver is what it takes to count events of what was erased.
func passingOver() []Privilege {
	return slices.Concat(on("suppressed_events", "SELECT, INSERT"), of("suppressed_events", "UPDATE", "events, last_at"))
}

// resolving is what it takes to find out where a reference leads (pkg/resolve), besides accounts.
func resolving() []Privilege {
	const key = "source, tenant, kind, external_id, account_id"
	return slices.Concat(of("account_links", "SELECT", key), of("account_link_denials", "SELECT", key), on("link_epoch", "SELECT"),
		of("suspect_domains", "SELECT", "domain, decision"),
		of("suppressions", "SELECT", "source, kind, mentions"), functions("suppressed(text[], text[], text[], text[])"))
}

// moving is what it takes to bring events to the account where the ledger says that they belong (accounts.Mover), or back
// to quarantine: only the account of an event is ever changed, and of a record only what does not say which event it is.
func moving() []Privilege {
	return slices.Concat(
		of("account_events", "UPDATE", "account_id"), on("account_events", "DELETE"),
		on("account_changes", "INSERT"), ids("account_changes"),
		on("quarantine", "SELECT, INSERT"), ids("quarantine"),
		of("quarantine", "UPDATE", "reason, error, tenant, event_type, topic, partition, offset, record_key, headers, raw, payload, references, "+
			"reference_keys, raw_index, last_seen, status, status_by, status_at, published_at, outcome, releases, ruling, held_until"),
		on("quarantine_decisions", "INSERT"), ids("quarantine_decisions"),
		on("quarantine_outbox", "SELECT, INSERT, DELETE"), of("quarantine_outbox", "UPDATE", "released_at, published_at"),
	)
}

// linking is what it takes to make and to move links by decisions of the ledger (accounts.Store).
func linking() []Privilege {
	return slices.Concat(
		on("account_links", "SELECT, INSERT, DELETE"), ids("account_links"),
		of("account_links", "UPDATE", "account_id, learned, evidence, created_by, created_at, decision_id"),
		on("account_link_denials", "SELECT, DELETE"),
		on("link_decisions", "SELECT, INSERT"), ids("link_decisions"), of("link_decisions", "UPDATE", "undone_by"),
		on("history_moves", "SELECT, INSERT"), ids("history_moves"),
	)
}

func moveProgress() []Privilege {
	return of("history_moves", "UPDATE", "fence, next_event, moved, returned, finished_at")
}

// pulling is what it takes to keep how far a pull is (pkg/pull).
func pulling() []Privilege {
	return slices.Concat(
		on("pull_checkpoints", "SELECT, INSERT"), ids("pull_checkpoints"),
		of("pull_checkpoints", "UPDATE", "to_time, window_from, window_to, cursor, fence, updated_at, finished_at"),
		on("pull_runs", "SELECT, INSERT"), ids("pull_runs"),
		of("pull_runs", "UPDATE", "status, pages, events, unread, oldest, newest, error, updated_at, finished_at"), on("pull_runs", "DELETE"),
		on("pull_leases", "SELECT, INSERT"), of("pull_leases", "UPDATE", "holder, until"),
		on("api_budgets", "SELECT, INSERT"), of("api_budgets", "UPDATE", "free_at, updated_at, paused_until, pause_reason"),
		reconciling(),
	)
}

// expecting is what it takes to say which paths are read, and to decide about findings.
func expecting() []Privilege {
	return slices.Concat(
		of("shape_findings", "UPDATE", "state, state_by, state_at"), on("drift_decisions", "INSERT"), ids("drift_decisions"),
		on("drift_expectations", "INSERT, DELETE"), of("drift_expectations", "UPDATE", "types, declared_by, declared_at"),
	)
}

// reconciling is what it takes to compare a vendor's events with those that are here: of these it reads which they are
// and how they came, and none of what they say.
func reconciling() []Privilege {
	return slices.Concat(
		of("account_events", "SELECT", "id, event_type, source, source_event_id, occurred_at"), of("account_event_origins", "SELECT", "event_id, delivery"),
		of("quarantine", "SELECT", "id, source, source_event_id, headers, first_seen"),
		on("reconcile_reports", "SELECT, INSERT, DELETE"), ids("reconcile_reports"),
		of("reconcile_reports", "UPDATE", "through, status, pages, said, unread, on_timeline, in_quarantine, missing, healed, beyond_retention, reasons, error, looked_at, finished_at"),
		on("reconcile_missing", "SELECT, INSERT, UPDATE, DELETE"), // UPDATE locks what is looked for again
	)
}

// distinct leaves out what comes again, and columns of what is given on the whole object.
func distinct(list []Privilege) (all []Privilege) {
	whole := map[string]bool{}
	for _, p := range list {
		if p.Columns == nil {
			whole[p.Operation+" "+p.Object] = true
		}
	}
	seen := map[string]bool{}
	for _, p := range list {
		if key := p.String(); !seen[key] && (p.Columns == nil || !whole[p.Operation+" "+p.Object]) {
			seen[key] = true
			all = append(all, p)
		}
	}
	return all
}

// querier is a pool, a connection or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// An object or a column that is not there gives NULL: nobody has a privilege on it.
const missingPrivileges = `
SELECT n, "column" FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[]) AS asked (kind, object, operation, "column", n)
WHERE NOT coalesce(CASE kind
  WHEN 'table' THEN CASE "column"
    WHEN '' THEN has_table_privilege(to_regclass(object), operation)
    ELSE has_column_privilege(to_regclass(object), (SELECT attnum FROM pg_attribute WHERE attrelid = to_regclass(object) AND attname = "column" AND NOT attisdropped), operation) END
  WHEN 'sequence' THEN has_sequence_privilege(to_regclass(object), operation)
  WHEN 'function' THEN has_function_privilege(to_regprocedure(object), operation)
  WHEN 'schema' THEN has_schema_privilege(current_schema(), operation)
  WHEN 'database' THEN has_database_privilege(current_database(), operation) END, false)
ORDER BY n, "column"`

// Missing gives those of a role's privileges that the connected user lacks, however others are come by (a superuser and
// the owner lack none): with the columns that are missing, where a privilege is bounded to columns. What the schema does
// not have yet is missing too. It is one query. db is a pool, a connection or a transaction; errors are marked by
// Classify.
func Missing(ctx context.Context, db querier, role Role) ([]Privilege, error) {
	all := Privileges(role)
	var kinds, objects, operations, columns []string
	var numbers []int64
	for i, p := range all {
		asked := p.Columns
		if asked == nil {
			asked = []string{""}
		}
		for _, column := range asked {
			kinds, objects, operations = append(kinds, string(p.Kind)), append(objects, p.Object), append(operations, p.Operation)
			columns, numbers = append(columns, column), append(numbers, int64(i))
		}
	}
	rows, err := db.Query(ctx, missingPrivileges, kinds, objects, operations, columns, numbers)
	if err != nil {
		return nil, Classify(fmt.Errorf("looking for privileges: %w", err))
	}
	var missing []Privilege
	var i, last int64 = 0, -1
	var column string
	if _, err := pgx.ForEachRow(rows, []any{&i, &column}, func() error {
		if i != last {
			last = i
			p := all[i]
			p.Columns = nil
			missing = append(missing, p)
		}
		if column != "" {
			p := &missing[len(missing)-1]
			p.Columns = append(p.Columns, column)
		}
		return nil
	}); err != nil {
		return nil, Classify(fmt.Errorf("looking for privileges: %w", err))
	}
	return missing, nil
}

// DefaultRolePrefix is what the names of the group roles begin with unless another prefix is chosen.
const DefaultRolePrefix = "throughline_"

// RoleName is a role's name in the database. Roles belong to a whole server, hence the prefix.
func RoleName(prefix string, role Role) string { return prefix + string(role) }
