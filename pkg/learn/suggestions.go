package learn

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Suggestion is a link that is likely, for a person to decide about.
type Suggestion struct {
	ID          int64
	Reference   source.Reference
	AccountID   uuid.UUID
	AccountName string
	Rule        Rule
	Level       accounts.Level
	Why         string // a sentence
	Evidence    json.RawMessage
	Status      string // open, accepted, rejected
	DecidedBy   string
	DecisionID  int64 // 0: none
	CreatedAt   time.Time
	UpdatedAt   time.Time
}

// The statuses of a suggestion.
const (
	SuggestionOpen     = "open"
	SuggestionAccepted = "accepted"
	SuggestionRejected = "rejected"
)

// SuggestionFilter says which suggestions to list; the zero value lists 100 open ones,
// those with the best evidence first.
type SuggestionFilter struct {
	AccountID uuid.UUID // Nil: of every account
	Source    string
	Status    string      // "": open; all: every one
	After     *Suggestion // only those behind it in the list; nil: from the first
	Limit     int         // 0: 100
}

// Suggestions is what people see and decide of them. Errors are Permanent when the
// request cannot be granted, and else the database's.
type Suggestions struct {
	pool  postgres.DB
	store *accounts.Store
}

// NewSuggestions makes it. Decisions are made by store.
func NewSuggestions(pool *pgxpool.Pool, store *accounts.Store) *Suggestions {
	return &Suggestions{pool, store}
}

// In gives Suggestions that are the same and work within a transaction.
func (s *Suggestions) In(tx pgx.Tx) *Suggestions { return &Suggestions{tx, s.store.In(tx)} }

const suggestionColumns = `s.id, s.source, s.tenant, s.kind, s.external_id, s.account_id, a.name, s.rule, s.level, s.why, s.evidence, s.status, s.decided_by,
  coalesce(s.decision_id, 0), s.created_at, s.updated_at`

// notSuspect leaves out what rests on a domain that was found to behave like a public one since.
const notSuspect = `NOT (s.rule IN (7, 8) AND EXISTS (SELECT FROM suspect_domains x WHERE x.domain = s.evidence ->> 'domain' AND x.decision IS DISTINCT FROM 'private'))`

func scanSuggestion(row pgx.CollectableRow) (Suggestion, error) {
	var s Suggestion
	r := &s.Reference
	return s, row.Scan(&s.ID, &r.Source, &r.Tenant, &r.Kind, &r.ID, &s.AccountID, &s.AccountName, &s.Rule, &s.Level, &s.Why, &s.Evidence, &s.Status, &s.DecidedBy,
		&s.DecisionID, &s.CreatedAt, &s.UpdatedAt)
}

// List gives suggestions. An open one whose reference is linked by now, or of an account
// that was merged into another, or by a domain that behaves like a public one, is left out.
func (s *Suggestions) List(ctx context.Context, f SuggestionFilter) ([]Suggestion, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	if f.Status == "" {
		f.Status = SuggestionOpen
	}
	var afterID *int64
	var afterRule Rule
	if f.After != nil {
		afterID, afterRule = &f.After.ID, f.After.Rule
	}
	rows, err := s.pool.Query(ctx, "SELECT "+suggestionColumns+` FROM link_suggestions s JOIN accounts a ON a.id = s.account_id
		WHERE ($1 = 'all' OR s.status = $1) AND ($2::uuid IS NULL OR s.account_id = $2) AND ($3 = '' OR s.source = $3)
		AND (s.status <> 'open' OR a.merged_into IS NULL AND `+notSuspect+` AND NOT EXISTS (SELECT FROM account_links l
			WHERE l.source = s.source AND l.kind = s.kind AND l.external_id = s.external_id AND l.tenant IN (s.tenant, '')))
		AND ($5::bigint IS NULL OR (s.rule, s.id) > ($6, $5))
		ORDER BY s.rule, s.id LIMIT $4`, f.Status, orNull(f.AccountID), f.Source, f.Limit, afterID, afterRule)
	if err != nil {
		return nil, broken("listing suggestions", err)
	}
	list, err := pgx.CollectRows(rows, scanSuggestion)
	return list, broken("listing suggestions", err)
}

// MostCounted bounds what Open counts.
const MostCounted = 10_000

// Open counts the open suggestions, at most MostCounted, those that List leaves out too.
func (s *Suggestions) Open(ctx context.Context) (n int64, err error) {
	err = s.pool.QueryRow(ctx, "SELECT count(*) FROM (SELECT FROM link_suggestions WHERE status = 'open' LIMIT $1) AS few", MostCounted).Scan(&n)
	return n, broken("counting suggestions", err)
}

// Of gives the open suggestions of these references, at most three of each, those with the best evidence first.
func (s *Suggestions) Of(ctx context.Context, refs []source.Reference) ([]Suggestion, error) {
	var columns [4][]string
	for _, r := range refs {
		for i, part := range []string{r.Source, r.Tenant, r.Kind, r.ID} {
			columns[i] = append(columns[i], part)
		}
	}
	rows, err := s.pool.Query(ctx, "SELECT f.* FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS r (source, tenant, kind, external_id) CROSS JOIN LATERAL (SELECT "+suggestionColumns+`
		FROM link_suggestions s JOIN accounts a ON a.id = s.account_id
		WHERE s.source = r.source AND s.tenant = r.tenant AND s.kind = r.kind AND s.external_id = r.external_id AND s.status = 'open' AND a.merged_into IS NULL AND `+notSuspect+`
		ORDER BY s.rule, s.id LIMIT 3) AS f`, columns[0], columns[1], columns[2], columns[3])
	if err != nil {
		return nil, broken("listing suggestions", err)
	}
	list, err := pgx.CollectRows(rows, scanSuggestion)
	return list, broken("listing suggestions", err)
}

func orNull(id uuid.UUID) *uuid.UUID {
	if id == uuid.Nil {
		return nil
	}
	return &id
}

// Find gives one suggestion.
func (s *Suggestions) Find(ctx context.Context, id int64) (Suggestion, error) {
	rows, err := s.pool.Query(ctx, "SELECT "+suggestionColumns+" FROM link_suggestions s JOIN accounts a ON a.id = s.account_id WHERE s.id = $1", id)
	if err != nil {
		return Suggestion{}, broken("reading a suggestion", err)
	}
	found, err := pgx.CollectExactlyOneRow(rows, scanSuggestion)
	if errors.Is(err, pgx.ErrNoRows) {
		return Suggestion{}, fault.Permanent(fault.NotFound, fmt.Errorf("there is no suggestion %d", id))
	}
	return found, broken("reading a suggestion", err)
}

// Accept makes the suggested link, as this person's decision.
func (s *Suggestions) Accept(ctx context.Context, id int64, by, reason string) (Suggestion, accounts.Effect, error) {
	return s.decide(ctx, id, SuggestionAccepted, func(found Suggestion) accounts.Decision {
		return accounts.Decision{Verb: accounts.VerbLink, Reference: found.Reference, To: found.AccountID, Author: by,
			Reason: because(reason, fmt.Sprintf("suggestion %d: %s", id, found.Why)), Evidence: found.Evidence}
	})
}

// Reject decides that the reference is not this account: no rule leads there, and it is
// not suggested again.
func (s *Suggestions) Reject(ctx context.Context, id int64, by, reason string) (Suggestion, accounts.Effect, error) {
	return s.decide(ctx, id, SuggestionRejected, func(found Suggestion) accounts.Decision {
		return accounts.Decision{Verb: accounts.VerbNotThisAccount, Reference: found.Reference, From: found.AccountID, Author: by,
			Reason: because(reason, fmt.Sprintf("suggestion %d rejected", id))}
	})
}

func because(reason, otherwise string) string {
	const most = 1000
	if reason == "" {
		reason = otherwise
	}
	return strings.ToValidUTF8(reason[:min(len(reason), most)], "")
}

// decide makes the decision first: when that is done and the mark is not, the same
// command does the rest, because a decision that stands already changes nothing.
func (s *Suggestions) decide(ctx context.Context, id int64, status string, decision func(Suggestion) accounts.Decision) (Suggestion, accounts.Effect, error) {
	found, err := s.Find(ctx, id)
	if err != nil {
		return found, accounts.Effect{}, err
	}
	if found.Status != SuggestionOpen && found.Status != status {
		return found, accounts.Effect{}, fault.Permanent(fault.Conflict, fmt.Errorf("suggestion %d was %s by %s", id, found.Status, found.DecidedBy))
	}
	d := decision(found)
	effect, err := s.store.Decide(ctx, d)
	if err != nil {
		return found, effect, err
	}
	if found.Status == status {
		return found, effect, nil
	}
	found.Status, found.DecidedBy, found.DecisionID = status, d.Author, effect.DecisionID
	_, err = s.pool.Exec(ctx, `UPDATE link_suggestions SET status = $2, decided_by = $3, decision_id = nullif($4, 0), updated_at = now() WHERE id = $1`,
		id, status, d.Author, effect.DecisionID)
	return found, effect, broken("marking a suggestion", err)
}

// Explanation is what speaks for a suggestion, for a person.
type Explanation struct {
	Suggestion
	// Title names the rule.
	Title string
	// Leads are what the vendor, or the timeline, said of the reference.
	Leads []string
	// Others are suggestions of other accounts for the same reference.
	Others []Suggestion
	// Waiting is how many events wait for the reference, at most MostWaiting.
	Waiting int
}

// MostWaiting bounds what Explain counts.
const MostWaiting = 1000

// Title names a rule in words.
func (r Rule) Title() string {
	switch r {
	case RuleBlocked:
		return "blocked id"
	case RuleDecided:
		return "a person's decision"
	case RuleAccountUUID:
		return "account id that the object carries"
	case RuleVendorID:
		return "linked object that it is a part of"
	case RuleCrossID:
		return "another vendor's id that a field of it holds"
	case RuleAssociation:
		return "the vendor's association"
	case RulePerson:
		return "the same person in another tool"
	case RuleDomain:
		return "the account's domain"
	case RuleSite:
		return "a host of the account's domain"
	case RuleCoOccurrence:
		return "seen together"
	case RuleName:
		return "a similar name"
	}
	return fmt.Sprintf("rule %d", int(r))
}

// Explain gives what speaks for a suggestion.
func (s *Suggestions) Explain(ctx context.Context, id int64) (Explanation, error) {
	found, err := s.Find(ctx, id)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Suggestion: found, Title: found.Rule.Title()}
	r := found.Reference
	rows, err := s.pool.Query(ctx, `SELECT d.source, d.tenant, d.kind, d.external_id, d.by, d.field, d.origin, coalesce(d.event_id, 0) FROM learned_references l
		JOIN learned_leads d ON d.reference_id = l.id
		WHERE l.source = $1 AND l.tenant = $2 AND l.kind = $3 AND l.external_id = $4 ORDER BY d.origin, d.n`, r.Source, r.Tenant, r.Kind, r.ID)
	if err != nil {
		return e, broken("reading what was learned", err)
	}
	var lead source.Reference
	var by, field, origin string
	var event int64
	if _, err := pgx.ForEachRow(rows, []any{&lead.Source, &lead.Tenant, &lead.Kind, &lead.ID, &by, &field, &origin, &event}, func() error {
		e.Leads = append(e.Leads, inWords(lead, by, field, origin, event))
		return nil
	}); err != nil {
		return e, broken("reading what was learned", err)
	}
	rows, err = s.pool.Query(ctx, "SELECT "+suggestionColumns+` FROM link_suggestions s JOIN accounts a ON a.id = s.account_id
		WHERE s.source = $1 AND s.tenant = $2 AND s.kind = $3 AND s.external_id = $4 AND s.id <> $5 ORDER BY s.rule, s.id LIMIT 20`, r.Source, r.Tenant, r.Kind, r.ID, id)
	if err != nil {
		return e, broken("reading other suggestions", err)
	}
	if e.Others, err = pgx.CollectRows(rows, scanSuggestion); err != nil {
		return e, broken("reading other suggestions", err)
	}
	err = s.pool.QueryRow(ctx, `WITH hit AS MATERIALIZED (SELECT status, reason FROM quarantine_states WHERE reference_keys && $1 AND status = 'open')
		SELECT count(*) FROM (SELECT FROM hit WHERE status = 'open' AND reason = $2 LIMIT $3) AS few`, resolve.Keys([]source.Reference{r}), string(fault.Unresolved), MostWaiting).Scan(&e.Waiting)
	return e, broken("counting what waits", err)
}

// inWords says what one lead is.
func inWords(lead source.Reference, by, field, origin string, event int64) string {
	switch {
	case origin == originTimeline && by == bySeen:
		return fmt.Sprintf("event %d (%s), which found its account by %s, names it", event, field, lead)
	case origin == originTimeline:
		return fmt.Sprintf("event %d (%s), which found its account by %s, is of the same customer", event, field, lead)
	case by == string(source.LeadVendor):
		return fmt.Sprintf("the vendor associates it with %s (%s)", lead, field)
	case by == string(source.LeadPerson):
		return fmt.Sprintf("its person is %s (%s)", lead, field)
	}
	return fmt.Sprintf("the vendor's field %s names %s", field, lead)
}
