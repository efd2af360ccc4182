package accounts

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
)

// MaxLinkAll bounds the decisions of one LinkAll.
const MaxLinkAll = 5000

// LinkOutcome says what became of one decision of LinkAll.
type LinkOutcome string

// The outcomes.
const (
	LinkMade      LinkOutcome = "made"
	LinkThere     LinkOutcome = "there"     // the reference was linked to this account already
	LinkElsewhere LinkOutcome = "elsewhere" // the reference is linked to another account
	LinkDenied    LinkOutcome = "denied"    // it was decided that it is not this account
	LinkUndone    LinkOutcome = "undone"    // a person took this link back before
	LinkStale     LinkOutcome = "stale"     // a decision that it rests on was undone, or the account is gone or being erased
	LinkRefused   LinkOutcome = "refused"   // the reference cannot be linked
)

// Linked is what LinkAll did about one decision.
type Linked struct {
	Outcome LinkOutcome
	// DecisionID is the ledger's entry of the link that was made or was there.
	DecisionID int64
}

// What is asked travels as arrays. Each look-up is by an index whatever the statistics say, hence the laterals.
const linkAll = `
WITH asked AS MATERIALIZED (
  SELECT * FROM unnest((SELECT $1::text[]), (SELECT $2::text[]), (SELECT $3::text[]), (SELECT $4::text[]), (SELECT $5::uuid[]), (SELECT $6::text[]), (SELECT $7::text[]), (SELECT $8::text[]), (SELECT $9::text[]), (SELECT $10::text[]), (SELECT $11::text[]))
    WITH ORDINALITY AS a (source, tenant, kind, external_id, asked_account, level, learned, author, reason, evidence, rests_on, n)
), looked AS MATERIALIZED (
  SELECT a.*, c.account, l.account_id AS linked, l.decision_id AS standing,
    d.id IS NOT NULL AS denied,
    u.id IS NOT NULL AS undone, r.id IS NOT NULL AS stale
  FROM asked a
  LEFT JOIN LATERAL (SELECT coalesce(merged_into, id) AS account FROM accounts WHERE id = a.asked_account LIMIT 1) AS c ON true
  LEFT JOIN LATERAL (SELECT account_id, coalesce(decision_id, 0) AS decision_id FROM account_links
    WHERE source = a.source AND kind = a.kind AND external_id = a.external_id AND tenant = a.tenant LIMIT 1) AS l ON true
  LEFT JOIN LATERAL (SELECT id FROM account_link_denials d WHERE d.source = a.source AND d.kind = a.kind AND d.external_id = a.external_id
    AND d.tenant IN (a.tenant, '') AND d.account_id = c.account LIMIT 1) AS d ON true
  LEFT JOIN LATERAL (SELECT x.id FROM link_decisions x
    WHERE x.source = a.source AND x.kind = a.kind AND x.external_id = a.external_id AND x.tenant = a.tenant
      AND x.verb IN ('link', 'relink') AND x.to_account = c.account
      AND EXISTS (SELECT FROM link_decisions u WHERE u.id = x.undone_by AND u.learned IN ('operator', 'import')) LIMIT 1) AS u ON true
  LEFT JOIN LATERAL (SELECT x.id FROM link_decisions x WHERE x.id = ANY (a.rests_on::bigint[]) AND x.undone_by IS NOT NULL LIMIT 1) AS r ON true
), made AS (
  INSERT INTO link_decisions (verb, source, tenant, kind, external_id, to_account, level, learned, author, reason, evidence, rests_on)
  SELECT 'link', source, tenant, kind, external_id, account, level, learned, author, reason, evidence::jsonb, rests_on::bigint[] FROM looked
  WHERE linked IS NULL AND account IS NOT NULL AND NOT denied AND NOT undone AND NOT stale ORDER BY n
  RETURNING id, source, tenant, kind, external_id, to_account, learned, evidence, author
), linking AS (
  INSERT INTO account_links (source, tenant, kind, external_id, account_id, learned, evidence, created_by, decision_id)
  SELECT source, tenant, kind, external_id, to_account, learned, evidence, author, id FROM made ORDER BY id
)
SELECT k.n, coalesce(m.id, CASE WHEN k.linked = k.account THEN k.standing END, 0), CASE
  WHEN m.id IS NOT NULL THEN 'made' WHEN k.linked = k.account THEN 'there' WHEN k.linked IS NOT NULL THEN 'elsewhere'
  WHEN k.account IS NULL THEN 'stale' WHEN k.denied THEN 'denied' WHEN k.undone THEN 'undone' ELSE 'stale' END
FROM looked k LEFT JOIN made m ON m.source = k.source AND m.tenant = k.tenant AND m.kind = k.kind AND m.external_id = k.external_id`

// LinkAll is Decide for many automatic links at once, of references that are all different: one transaction, and a
// number of queries that does not grow with theirs, but for links that take events from another account. A link that
// cannot be made is left out and says why in its outcome; a person's decision is never changed by it. The history that
// follows is left to a Mover. At most MaxLinkAll decisions. Errors are Permanent for a decision that is incomplete, or
// a person's, and else the database's; then nothing was done, unless a reference or an account among them was erased on
// request, which makes them several transactions.
func (s *Store) LinkAll(ctx context.Context, decisions []Decision) ([]Linked, error) {
	out, err := s.linkTogether(ctx, decisions)
	erasing, reference := postgres.IsErasing(err), postgres.IsErased(err) && postgres.ErasedColumn(err) == ""
	switch {
	case !erasing && !reference:
		return out, err
	case len(decisions) > 1:
	case erasing:
		return []Linked{{Outcome: LinkStale}}, nil
	default:
		return []Linked{{Outcome: LinkRefused}}, nil
	}
	out = nil
	for part := range slices.Chunk(decisions, (len(decisions)+1)/2) {
		linked, err := s.LinkAll(ctx, part)
		if err != nil {
			return nil, err
		}
		out = append(out, linked...)
	}
	return out, nil
}

func (s *Store) linkTogether(ctx context.Context, decisions []Decision) ([]Linked, error) {
	out := make([]Linked, len(decisions))
	var q linkQuestion
	for i, d := range decisions {
		d.Verb = VerbLink
		if byPerson(d.Learned) || d.Learned == "" || len(decisions) > MaxLinkAll {
			return nil, refuse(fault.Malformed, "only automatic links, at most %d, are made together", MaxLinkAll)
		}
		reference := d.Reference
		if err := s.check(&d); err != nil {
			if d.Reference = reference; s.checkReference(&d) == nil {
				return nil, err
			}
			out[i].Outcome = LinkRefused
			continue
		}
		q.add(i, d)
	}
	if len(q.places) == 0 {
		return out, nil
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := s.lockLedger(ctx, tx); err != nil {
			return err
		}
		var before int64
		if err := tx.QueryRow(ctx, "SELECT coalesce(max(id), 0) FROM link_decisions").Scan(&before); err != nil {
			return fmt.Errorf("reading the ledger: %w", err)
		}
		rows, err := tx.Query(ctx, linkAll, q.sources, q.tenants, q.kinds, q.ids, q.accounts, q.levels, q.learned, q.authors, q.reasons, q.evidence, q.restsOn)
		if err != nil {
			return fmt.Errorf("making the links: %w", err)
		}
		var n int64
		var l Linked
		if _, err := pgx.ForEachRow(rows, []any{&n, &l.DecisionID, &l.Outcome}, func() error {
			out[q.places[n-1]] = l
			return nil
		}); err != nil {
			return fmt.Errorf("making the links: %w", err)
		}
		_, err = s.followImport(ctx, tx, before)
		return err
	})
	if err != nil {
		return nil, broken("making links", err)
	}
	return out, nil
}

// linkQuestion is linkAll's parameters.
type linkQuestion struct {
	places                                                                             []int // among the decisions
	sources, tenants, kinds, ids, levels, learned, authors, reasons, evidence, restsOn []string
	accounts                                                                           []uuid.UUID
}

func (q *linkQuestion) add(place int, d Decision) {
	r := d.Reference
	q.places = append(q.places, place)
	q.sources, q.tenants, q.kinds, q.ids = append(q.sources, r.Source), append(q.tenants, r.Tenant), append(q.kinds, r.Kind), append(q.ids, r.ID)
	q.accounts, q.levels, q.learned = append(q.accounts, d.To), append(q.levels, string(d.Level)), append(q.learned, d.Learned)
	q.authors, q.reasons, q.evidence = append(q.authors, d.Author), append(q.reasons, d.Reason), append(q.evidence, string(d.Evidence))
	q.restsOn = append(q.restsOn, "{"+strings.Trim(strings.ReplaceAll(fmt.Sprint(d.RestsOn), " ", ","), "[]")+"}")
}
