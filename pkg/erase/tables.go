package erase

import "github.com/throughline-dev/throughline/pkg/postgres"

// Table says what a table holds of a person, and what an erasure does with it. A table without a statement has
// nothing of anybody, or is the work of another part of this package.
type Table struct {
	Name  string
	Holds string // of a person
	Does  string // what becomes of it
	steps []step
}

// step is one statement about table t: rows where the condition holds are deleted, or set is set.
type step struct{ where, set string }

// Conditions on table t, with the arguments of looked.
const (
	isReference = `EXISTS (SELECT FROM unnest(@sources::text[], @tenants::text[], @kinds::text[], @ids::text[]) AS r (source, tenant, kind, id)
	WHERE t.external_id = r.id AND t.kind = r.kind AND (r.source = r.kind OR t.source = r.source AND (r.tenant = '' OR t.tenant = r.tenant OR t.tenant = '' AND @mentions::boolean)))`
	// isTheirs: also by an id, or a tenant, that holds a person's address: programs take addresses for ids.
	isTheirs  = `(` + isReference + ` OR @mentions::boolean AND (t.external_id || ' ' || t.tenant) ~* ANY (@patterns::text[]))`
	ofAccount = `t.account_id = ANY (@accounts::uuid[])`
	ofOthers  = `(t.quarantine_id IS NULL OR t.quarantine_id <> ALL (@gone::bigint[]))`
	evidence  = `(t.evidence::text ~* ANY (@patterns::text[]) OR t.evidence::text LIKE ANY (@quoted::text[]))`
	// digest stands where a reference was: what is the same stays the same.
	digest = `external_id = 'erased:' || encode(reference_digest(t.source, t.kind, t.tenant, t.external_id), 'hex'), tenant = CASE WHEN t.tenant ~* ANY (@patterns::text[]) THEN 'erased' ELSE t.tenant END`
)

// like: a text of the column holds an e-mail address.
func like(column string) string { return "t." + column + " ~* ANY (@patterns::text[])" }

// emptied: a text that people or programs write is emptied where it holds an e-mail address. What the database refuses there
// once it is erased (its triggers refuse_erased) is taken out here.
func emptied(column string) step { return step{where: like(column), set: column + " = ''"} }

// but leaves out rows for which the condition does not hold.
func (s step) but(condition string) step {
	s.where = "(" + s.where + ") AND " + condition
	return s
}

// author: so is who did something, who may be anybody on the command line. A user of Throughline who has signed in, and a
// token, stay: they are no customers.
func author(column string) step {
	return step{where: like(column) + " AND t." + column + " !~ '^(user|token):'", set: column + " = 'erased:' || left(encode(reference_digest('', 'author', '', t." + column + "), 'hex'), 16)"}
}

// keyed: the path has an id as a segment, which was the key of a map.
func keyed(table string) string {
	return "t.path IN (SELECT p.path FROM " + table + " p CROSS JOIN LATERAL string_to_table(replace(p.path, '[]', ''), '.') AS s (name)" +
		" JOIN unnest(@ids::text[]) AS r (id) ON r.id = btrim(s.name, '\"') AND length(r.id) >= 4)"
}

const nothing = "nothing"

// Tables gives every table of the schema, in the order in which an erasure works them off.
func Tables() []Table {
	return []Table{
		// These three have batches of their own.
		{Name: "account_events", Holds: "events: everything that a vendor says of a person", Does: "an account's events are deleted; of a person, the events that refer to them or hold their e-mail address, on whatever account"},
		{Name: "account_event_origins", Holds: "the reference by which an event found its account", Does: "deleted with the event, by a trigger"},
		{Name: "quarantine", Holds: "dead letters: the vendor's bytes, and their references", Does: "deleted: by reference, by e-mail address in the bytes, and by the identity of erased events", steps: []step{author("status_by").but("t.id <> ALL (@gone::bigint[])")}},
		{Name: "quarantine_outbox", Holds: nothing, Does: "deleted with the record"},
		{Name: "quarantine_states", Holds: "references of dead letters", Does: "deleted with the record, by a trigger"},

		{Name: "account_links", Holds: "references, and what they were learned from", Does: "deleted, also an id that holds an e-mail address; what others were learned from is emptied", steps: []step{
			{where: isTheirs + " OR " + ofAccount}, {where: evidence, set: "evidence = '{}'"}, author("created_by")}},
		{Name: "account_link_denials", Holds: "references", Does: "deleted", steps: []step{{where: isTheirs + " OR " + ofAccount}}},
		{Name: "learned_leads", Holds: "references", Does: "deleted", steps: []step{{where: isTheirs}}},
		{Name: "learned_references", Holds: "references, names of companies, ids of the vendor's answers", Does: "deleted; what others were learned from is emptied", steps: []step{
			{where: isTheirs}, {where: evidence + " OR " + like("name") + " OR " + like("why"), set: "name = '', evidence = '{}', why = ''"}}},
		{Name: "link_suggestions", Holds: "references, and what they were learned from", Does: "deleted; what others were learned from is emptied", steps: []step{
			{where: isTheirs + " OR " + ofAccount}, {where: evidence + " OR " + like("why"), set: "evidence = '{}', why = ''"}, author("decided_by")}},
		{Name: "link_decisions", Holds: "the ledger: references, reasons, what links were learned from, names of accounts", Does: "the row stays, because later ones rest on it: the reference becomes its digest, the rest is emptied", steps: []step{
			{where: "t.external_id <> '' AND t.external_id NOT LIKE 'erased:%' AND (" + isTheirs + " OR t.from_account = ANY (@accounts::uuid[]) OR t.to_account = ANY (@accounts::uuid[]))", set: digest + ", reason = '', evidence = '{}'"},
			{where: "(t.reason <> '' OR t.evidence <> '{}') AND (t.from_account = ANY (@accounts::uuid[]) OR t.to_account = ANY (@accounts::uuid[]) OR " + like("reason") + " OR " + evidence + ")", set: "reason = '', evidence = '{}'"}, author("author")}},
		{Name: "history_moves", Holds: "references", Does: "the reference becomes its digest", steps: []step{
			{where: "t.external_id <> '' AND t.external_id NOT LIKE 'erased:%' AND (" + isTheirs + " OR t.from_account = ANY (@accounts::uuid[]))", set: digest}}},
		{Name: "suspect_domains", Holds: "domains, and accounts as examples", Does: "an account's domain is deleted, the account taken out of examples", steps: []step{
			{where: "EXISTS (SELECT FROM unnest(@kinds::text[], @ids::text[]) AS r (kind, id) WHERE r.kind = 'domain' AND r.id = t.domain)"},
			{where: "t.examples && @accounts::uuid[]", set: "examples = ARRAY (SELECT x FROM unnest(t.examples) AS x WHERE x <> ALL (@accounts::uuid[]))"},
			emptied("reason"), author("decided_by")}},
		{Name: "payload_shapes", Holds: "the identity of an event as a sample; a path may hold a map's key", Does: "the sample of an erased event, and one whose identity holds an e-mail address, is taken out, a path that holds an e-mail address, or an id as the key of a map, deleted", steps: []step{
			{where: like("path") + " OR " + keyed("payload_shapes")}, {where: like("event_id"), set: "event_id = ''"}}},
		{Name: "shape_findings", Holds: "as payload_shapes", Does: "as payload_shapes", steps: []step{{where: like("path") + " OR " + keyed("shape_findings") + " OR " + like("was") + " OR " + like("became")},
			{where: like("event_id"), set: "event_id = '', raw_topic = '', raw_partition = -1, raw_offset = -1"}, author("state_by")}},
		{Name: "drift_decisions", Holds: "notes of people", Does: "a note that holds an e-mail address is emptied", steps: []step{emptied("note"), author("by")}},
		{Name: "alert_silences", Holds: "comments of people", Does: "emptied where they hold an e-mail address", steps: []step{emptied("comment"), author("created_by"), author("ended_by")}},
		{Name: "drift_expectations", Holds: "texts of statements", Does: "deleted where they hold an e-mail address", steps: []step{{where: like("reader") + " OR " + like("path") + " OR " + keyed("drift_expectations")}, author("declared_by")}},
		{Name: "quarantine_decisions", Holds: "notes of people", Does: "a record's go with it; another note that holds an e-mail address is emptied", steps: []step{
			emptied("note").but(ofOthers), author("decided_by").but(ofOthers)}},
		{Name: "replays", Holds: "reasons of people", Does: "emptied where they hold an e-mail address", steps: []step{emptied("reason"), author("started_by")}},
		{Name: "pull_runs", Holds: "errors of vendors' APIs", Does: "emptied where they hold an e-mail address", steps: []step{emptied("error"), author("started_by")}},
		{Name: "reconcile_reports", Holds: "as pull_runs", Does: "as pull_runs", steps: []step{emptied("error"), author("started_by")}},
		{Name: "reconcile_missing", Holds: "identities of events that were missing", Does: "deleted where they hold an id", steps: []step{{where: like("source_event_id") + " OR EXISTS (SELECT FROM unnest(@ids::text[]) AS r (id) WHERE length(r.id) >= 4 AND strpos(t.source_event_id, r.id) > 0)"}}},
		{Name: "learning_sources", Holds: "as pull_runs", Does: "as pull_runs", steps: []step{emptied("error")}},
		{Name: "audit_log", Holds: "what people decided about: references, reasons", Does: "who did what when stays; the target becomes a digest, the reason is emptied", steps: []step{
			{where: "t.action NOT IN ('erase', 'liftErasure') AND (t.target = ANY (@targets::text[]) OR EXISTS (SELECT FROM unnest(@targets::text[]) AS x WHERE strpos(t.target, x) > 0) OR " + like("target") + ")",
				set: "target = 'erased:' || encode(reference_digest('', 'audit', '', t.target), 'hex'), why = ''"},
			emptied("why"), author("who")}},
		{Name: "saved_views", Holds: "addresses of the console and names for them, which may hold ids and e-mail addresses", Does: "deleted where they do", steps: []step{
			{where: like("name") + " OR replace(t.path, '%2B', '+') ~* ANY (@patterns::text[]) OR EXISTS (SELECT FROM unnest(@targets::text[]) AS x WHERE strpos(t.path, x) > 0 OR strpos(t.name, x) > 0) OR EXISTS (SELECT FROM unnest(@ids::text[]) AS r (id) WHERE length(r.id) >= 4 AND strpos(t.path || ' ' || t.name, r.id) > 0)"}}},
		{Name: "accounts", Holds: "a customer's name and domain", Does: "an account is deleted, with those that were merged into it; a person's address is taken out as the owner of others, and the name of one that holds it becomes Erased and a digest", steps: []step{
			{where: "t.id <> ALL (@accounts::uuid[]) AND " + like("owner"), set: "owner = ''"}, author("created_by"),
			{where: "t.id <> ALL (@accounts::uuid[]) AND " + like("name"), set: "name = 'Erased ' || left(encode(reference_digest('', 'account', '', t.name), 'hex'), 8)"},
			{where: "t.parent_id = ANY (@accounts::uuid[])", set: "parent_id = NULL"}, {where: "t.id = ANY (@accounts::uuid[])"}}},

		{Name: "account_changes", Holds: "identities of events", Does: "tells consumers of each erased event (no account), and forgets that 7 days after it is published"},
		{Name: "erasures", Holds: "while one runs, what it looks for; reasons of people", Does: "what was looked for is emptied when it is finished, a reason where it holds an e-mail address: a digest stays", steps: []step{emptied("reason"), author("requested_by"), author("lifted_by")}},
		{Name: "pull_requests", Holds: "what an operator asked to be pulled: a period and types of events; who asked", Does: "who asked becomes a digest where it is an e-mail address", steps: []step{author("asked_by")}},
		{Name: "suppressions", Holds: "keyed digests of references", Does: "stays, or the person comes back"},
		{Name: "suppression_key", Holds: nothing, Does: nothing},
		{Name: "suppressed_events", Holds: nothing, Does: nothing},
		{Name: "account_changes_lease", Holds: nothing, Does: nothing},
		{Name: "alert_evaluation", Holds: nothing, Does: nothing},
		{Name: "alert_receivers", Holds: nothing, Does: nothing},
		{Name: "alert_states", Holds: "nothing: which rules found what, without values of events", Does: nothing},
		{Name: "alert_told", Holds: nothing, Does: nothing},
		{Name: "api_budgets", Holds: nothing, Does: nothing},
		{Name: "api_tokens", Holds: "names that operators gave to tokens", Does: "nothing: they are users of Throughline, not customers"},
		{Name: "console_sessions", Holds: "who is signed in", Does: "nothing: as api_tokens; deleted when it ends"},
		{Name: "drift_offsets", Holds: nothing, Does: nothing},
		{Name: "goose_db_version", Holds: nothing, Does: nothing},
		{Name: "learning_progress", Holds: nothing, Does: nothing},
		{Name: "link_changes", Holds: nothing, Does: nothing},
		{Name: "link_epoch", Holds: nothing, Does: nothing},
		{Name: "payload_types", Holds: nothing, Does: nothing},
		{Name: "pull_checkpoints", Holds: "a vendor's cursor, which may name an object", Does: "nothing: it is the vendor's, and goes on with the pull"},
		{Name: "pull_leases", Holds: nothing, Does: nothing},
		{Name: "quarantine_outbox_lease", Holds: nothing, Does: nothing},
	}
}

// Topic says what a topic holds of a person, and until when.
type Topic struct{ Name, Holds, Does string }

// Topics gives every topic. A raw topic stands for all.
func Topics() []Topic {
	return []Topic{
		{Name: "raw.*", Holds: "the vendor's bytes", Does: "gone with the topic's retention; read again, they are passed over"},
		{Name: "account-events", Holds: "events of all accounts", Does: "gone with the topic's retention; stored again, they are passed over"},
		{Name: "account-events.dlq", Holds: "dead letters: the vendor's bytes, and their references", Does: "gone with the topic's retention; read again, they are passed over"},
		{Name: "account-changes", Holds: "identities of events", Does: "tells consumers to delete; gone with the topic's retention"},
	}
}

// undecided gives tables of the schema without a decision.
func undecided() (names []string) {
	decided := map[string]bool{}
	for _, t := range Tables() {
		decided[t.Name] = true
	}
	for _, name := range postgres.Tables() {
		if !decided[name] {
			names = append(names, name)
		}
	}
	return names
}
