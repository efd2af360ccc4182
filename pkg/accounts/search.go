package accounts

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// SearchFilter says which accounts Search gives; the zero value gives the first 100 by name.
type SearchFilter struct {
	// Text is the beginning of words of the name, the beginning of a domain, an account's id, an e-mail address (that is
	// linked, or is of the domain), or an id at a vendor, as the vendor writes it or as a reference. What means nothing of
	// all that is looked for in names as it stands. "": all accounts.
	Text  string
	Owner string // "": of any
	After *AccountPlace
	Limit int // 0: 100
}

// AccountPlace is an account's place in the list: by its name in lower case, then by its id.
type AccountPlace struct {
	Name string
	ID   uuid.UUID
}

// FoundAccount is an account, and what a list says of it besides.
type FoundAccount struct {
	Account
	Matched string // id, domain, name or a reference; "" without a Text
	Place   AccountPlace
	// Last is the newest event of its timeline; its ID is 0 where there is none.
	Last LastEvent
	// Events7Days and Waiting are at most MostCounted.
	Events7Days int64 // that occurred in the last 7 days
	Waiting     int64 // open records in quarantine with a reference that is linked to it
}

// LastEvent is an event without its payload.
type LastEvent struct {
	ID                     int64
	OccurredAt, IngestedAt time.Time
	Source, Type, Subject  string
}

// MostCounted bounds what Search counts.
const MostCounted = 1000

// mostKeys bounds the links of an account by which Search counts what waits.
const mostKeys = 50

// Search lists accounts by name. Those that were merged into another are left out; a text that means one of them gives
// the one that has taken its place.
func (s *Store) Search(ctx context.Context, f SearchFilter) ([]FoundAccount, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	with, where, args := "", "a.merged_into IS NULL", []any{}
	arg := func(value any) string {
		args = append(args, value)
		return fmt.Sprintf("$%d", len(args))
	}
	if f.Owner != "" {
		where += " AND a.owner <> '' AND a.owner = " + arg(f.Owner)
	}
	if f.After != nil {
		where += fmt.Sprintf(" AND (lower(a.name), a.id) > (%s, %s)", arg(f.After.Name), arg(f.After.ID))
	}
	matched, from := "''", "accounts a"
	if text := strings.TrimSpace(f.Text); text != "" {
		all := "SELECT * FROM meant"
		meant := s.searches(text, arg)
		if named := names(text, arg); named != "" {
			with = fmt.Sprintf("common AS MATERIALIZED (SELECT count(*) > %d AS word FROM (SELECT FROM accounts WHERE %s LIMIT %[1]d + 1) AS few), ", MostCounted, named)
			meant += fmt.Sprintf(` UNION ALL SELECT merged_into, id, '3name' FROM accounts WHERE NOT (SELECT word FROM common) AND %s
			UNION ALL (SELECT merged_into, id, '3name' FROM accounts WHERE (SELECT word FROM common) AND merged_into IS NOT NULL AND %[1]s LIMIT %[2]d)
			UNION ALL (SELECT merged_into, id, '3name' FROM accounts a WHERE (SELECT word FROM common) AND %[1]s AND %[3]s ORDER BY lower(name), id LIMIT %[4]d)`, named, MostCounted, where, f.Limit)
		}
		with = "WITH " + with + "meant AS MATERIALIZED (" + meant + ")"
		if strings.ContainsFunc(text, isSign) { // the index of words has none: where nothing else is meant, all names are looked through
			all += fmt.Sprintf(" UNION ALL (SELECT merged_into, id, '3name' FROM accounts WHERE NOT EXISTS (SELECT FROM meant) AND strpos(lower(name), lower(%s)) > 0 LIMIT %d)", arg(text), MostCounted)
		}
		with += ", hit AS MATERIALIZED (SELECT coalesce(into_id, id) AS id, min(matched) AS matched FROM (" + all + ") AS h GROUP BY 1) "
		from, matched = "hit JOIN accounts a ON a.id = hit.id", "substr(hit.matched, 2)"
	}
	return s.found(ctx, fmt.Sprintf("%sSELECT a.*, %s AS matched FROM %s WHERE %s ORDER BY lower(a.name), a.id LIMIT %d", with, matched, from, where, f.Limit), args)
}

// Summary gives one account as Search does, also one that was merged into another.
func (s *Store) Summary(ctx context.Context, id uuid.UUID) (FoundAccount, error) {
	found, err := s.found(ctx, "SELECT a.*, '' AS matched FROM accounts a WHERE id = $1", []any{id})
	if err != nil {
		return FoundAccount{}, err
	}
	if len(found) == 0 {
		return FoundAccount{}, refuse(fault.NotFound, "no account has the id %s", id)
	}
	return found[0], nil
}

// searches gives a query for what a text may mean but names. A digit before what matched puts the most telling first.
func (s *Store) searches(text string, arg func(any) string) string {
	queries := []string{"SELECT NULL::uuid AS into_id, NULL::uuid AS id, NULL AS matched WHERE false"}
	if id, ok := source.UUID(text); ok {
		queries = append(queries, "SELECT merged_into, id, '0id' FROM accounts WHERE id = "+arg(id))
	}
	if ref, err := ParseReference(text, s.kinds); err == nil {
		queries = append(queries, fmt.Sprintf(`SELECT NULL, account_id, '1' || %s FROM account_links WHERE external_id = %s AND kind = %s AND source = %s AND (%s = '' OR tenant IN (%[5]s, ''))`,
			arg(ref.String()), arg(ref.ID), arg(ref.Kind), arg(ref.Source), arg(ref.Tenant)))
	}
	// An id at a vendor as it is, an address or a domain in lower case.
	address, isAddress := source.Email(text)
	queries = append(queries, fmt.Sprintf(`(SELECT NULL, account_id, '1' || CASE WHEN source = kind THEN kind ELSE source || ':' || kind END || ':' || external_id FROM account_links
		WHERE external_id IN (%s, lower(%[1]s), %s) LIMIT %d)`, arg(text), arg(address), MostCounted))
	if _, host, _ := strings.Cut(address, "@"); isAddress && host != "" && !resolve.IsShared(host) {
		queries = append(queries, fmt.Sprintf("(SELECT merged_into, id, '2domain' FROM accounts WHERE lower(domain) = %s LIMIT %d)", arg(host), MostCounted))
	}
	queries = append(queries, fmt.Sprintf("(SELECT merged_into, id, '2domain' FROM accounts WHERE lower(domain) LIKE %s LIMIT %d)", arg(escapeLike(strings.ToLower(text))+"%"), MostCounted))
	return strings.Join(queries, " UNION ALL ")
}

// names gives the condition for names that have words which begin with each of the text's, "" where it has none. What is
// in the names of more than MostCounted accounts is read in the order of the list, as many as are asked for, and not sorted.
func names(text string, arg func(any) string) string {
	words := prefixes(text)
	if words == "" {
		return ""
	}
	// Postgres takes addresses and hosts in a name for one word, as it does in the text.
	return fmt.Sprintf(`to_tsvector('simple', name) @@
			(to_tsquery('simple', %s) || CASE WHEN numnode(plainto_tsquery('simple', %s)) = 0 THEN ''::tsquery ELSE (plainto_tsquery('simple', %[2]s)::text || ':*')::tsquery END)`, arg(words), arg(text))
}

// mostWords bounds the words of a search by name.
const mostWords = 10

// isSign says whether a character is a part of no word.
func isSign(r rune) bool {
	return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r) && !unicode.IsSpace(r)
}

// prefixes gives the text search for names that have words which begin with each of the text's.
func prefixes(text string) string {
	words := strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || isSign(r) })
	for i, word := range words {
		words[i] = "'" + word + "':*"
	}
	return strings.Join(words[:min(len(words), mostWords)], " & ")
}

// found reads the accounts of a query, and what a list says of them.
func (s *Store) found(ctx context.Context, query string, args []any) ([]FoundAccount, error) {
	rows, err := s.pool.Query(ctx, fmt.Sprintf(`
SELECT %s, a.matched, lower(a.name), coalesce(l.id, 0), coalesce(l.occurred_at, 'epoch'), coalesce(l.ingested_at, 'epoch'), coalesce(l.source, ''), coalesce(l.event_type, ''),
  coalesce(l.subject, ''), week.n, waits.n
FROM (%s) AS a
LEFT JOIN LATERAL (SELECT id, occurred_at, ingested_at, source, event_type, payload->>'subject' AS subject FROM account_events e
  WHERE e.account_id = a.id ORDER BY occurred_at DESC, ingested_at DESC, id DESC LIMIT 1) AS l ON true
CROSS JOIN LATERAL (SELECT count(*) AS n FROM (SELECT FROM account_events e WHERE e.account_id = a.id AND e.occurred_at > now() - interval '7 days' LIMIT %[3]d) AS few) AS week
CROSS JOIN LATERAL (SELECT array_agg(source || CASE WHEN tenant = '' THEN '' ELSE '/' || tenant END || ':' || kind || ':' || external_id) AS keys
  FROM (SELECT * FROM account_links k WHERE k.account_id = a.id LIMIT %[4]d) AS linked) AS keys
CROSS JOIN LATERAL (SELECT count(*) AS n FROM (SELECT FROM quarantine_states q WHERE q.reference_keys && keys.keys AND q.status = 'open' LIMIT %[3]d) AS few) AS waits
ORDER BY lower(a.name), a.id`, "a.id, a.name, coalesce(a.domain, ''), a.parent_id, a.merged_into, a.created_at, a.updated_at, a.created_by, a.owner", query, MostCounted, mostKeys), args...)
	if err != nil {
		return nil, broken("looking for accounts", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (FoundAccount, error) {
		var f FoundAccount
		e := &f.Last
		a, err := scanAccountAnd(row, &f.Matched, &f.Place.Name, &e.ID, &e.OccurredAt, &e.IngestedAt, &e.Source, &e.Type, &e.Subject, &f.Events7Days, &f.Waiting)
		f.Account, f.Place.ID = a, a.ID
		return f, err
	})
	return list, broken("looking for accounts", err)
}

// SetOwner says who looks after an account; "": nobody. NotFound and Malformed are Permanent.
func (s *Store) SetOwner(ctx context.Context, id uuid.UUID, owner string) (Account, error) {
	a := Account{Name: "any", Owner: owner}
	if err := a.check(); err != nil {
		return Account{}, err
	}
	rows, err := s.pool.Query(ctx, `UPDATE accounts SET owner = $2, updated_at = CASE WHEN owner = $2 THEN updated_at ELSE now() END
		WHERE id = $1 AND merged_into IS NULL RETURNING `+accountColumns, id, a.Owner)
	if err != nil {
		return Account{}, broken("changing an account's owner", err)
	}
	changed, err := pgx.CollectExactlyOneRow(rows, scanAccount)
	if notFound(err) {
		return Account{}, refuse(fault.NotFound, "no account has the id %s", id)
	}
	return changed, broken("changing an account's owner", err)
}
