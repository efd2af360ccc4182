package quarantine

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// carried says what letters refer to. What has no account waits for any of its references; of others the most telling
// one decides.
func carried(letters []Letter) []resolve.Carried {
	list := make([]resolve.Carried, len(letters))
	for i := range letters {
		l := &letters[i]
		list[i].All = slices.Concat(l.References, resolve.Addresses(l.Value), resolve.Addresses(l.Key))
		for _, text := range []string{l.Tenant, l.SourceEventID, l.Type} {
			list[i].All = append(list[i].All, resolve.Addresses([]byte(text))...)
		}
		for _, h := range l.Headers {
			list[i].All = append(list[i].All, resolve.Addresses(h.Value)...)
		}
		if l.Reason != string(fault.Unresolved) {
			list[i].Deciding = l.References[:min(1, len(l.References))]
			continue
		}
		for _, ref := range l.References {
			list[i].Deciding = append(list[i].Deciding, ref)
			if domain := resolve.DomainOf(ref); domain != "" && ref.Kind != source.KindDomain {
				list[i].Deciding = append(list[i].Deciding, source.Reference{Source: source.KindDomain, Kind: source.KindDomain, ID: domain})
			}
		}
	}
	return list
}

// LockedTables are those whose row locks say that a transaction may be taking records in.
func LockedTables() []string { return []string{"quarantine"} }

// Match says which records are somebody's.
type Match struct {
	Keys    []string // in the form of resolve.Keys: of what their references are
	Waiting bool     // by keys only those that wait for an account
	// Texts that their bytes, payload, headers or error hold: Patterns for ~*, and for each what ILIKE finds of it faster.
	Likes, Patterns []string
	// Of a record without references, which nobody could read: a source's ids that its bytes may hold (a name of any source's
	// is of the source "").
	Sources, IDs []string
}

// beside is what stands beside a record's bytes.
const beside = `concat_ws(' ', page.tenant, page.source_event_id, page.event_type, "references"::text)`

const matches = `(reference_keys && $1 AND (NOT $2 OR reason = '` + string(fault.Unresolved) + `')
	OR payload::text ILIKE ANY ($3) AND payload::text ~* ANY ($6) OR encode(raw, 'escape') ILIKE ANY ($3) AND encode(raw, 'escape') ~* ANY ($6)
	OR error ~* ANY ($6) OR encode(record_key, 'escape') ~* ANY ($6)
	OR ` + beside + ` ILIKE ANY ($3) AND ` + beside + ` ~* ANY ($6)
	OR EXISTS (SELECT FROM jsonb_array_elements(headers) AS h WHERE encode(decode(h ->> 'value', 'base64'), 'escape') ~* ANY ($6))
	OR reference_keys = '{}' AND (unreadable.text ~* ANY ($6) OR EXISTS (SELECT FROM unnest($7::text[], $8::text[]) AS r (source, id)
		WHERE r.source IN ('', page.source) AND strpos(unreadable.text, encode(convert_to(r.id, 'UTF8'), 'escape')) > 0
			AND unreadable.text ~ ('((?<![A-Za-z0-9_])|(?<=\\[0-7]{3})|(?<=\\[nrtbf]))' || regexp_replace(encode(convert_to(r.id, 'UTF8'), 'escape'), '([^A-Za-z0-9_])', '\\\1', 'g') || '(?![A-Za-z0-9_])'))))`

// unreadable is the text of what nobody could read: where the bytes of two make a character, as in UTF-16, the zeros are
// left out.
const unreadable = ` LEFT JOIN LATERAL (SELECT replace(encode(raw || '\x20'::bytea || coalesce(record_key, ''), 'escape'), '\000', '') AS text WHERE reference_keys = '{}') AS unreadable ON true`

// Matching gives, within tx, those of the next records with ids above after that match, and the last id that it looked at,
// 0: there are no more.
func Matching(ctx context.Context, tx pgx.Tx, m Match, after int64, limit int) (ids []int64, last int64, err error) {
	rows, err := tx.Query(ctx, `WITH page AS MATERIALIZED (SELECT * FROM quarantine WHERE id > $4 ORDER BY id LIMIT $5)
		SELECT coalesce((SELECT max(id) FROM page), 0), ARRAY (SELECT id FROM page`+unreadable+` WHERE `+matches+` ORDER BY id)`, m.Keys, m.Waiting, m.Likes, after, limit, m.Patterns, m.Sources, m.IDs)
	if err != nil {
		return nil, 0, fmt.Errorf("looking through the quarantine: %w", err)
	}
	if _, err := pgx.ForEachRow(rows, []any{&last, &ids}, func() error { return nil }); err != nil {
		return nil, 0, fmt.Errorf("looking through the quarantine: %w", err)
	}
	return ids, last, nil
}

// OfEvents gives the records of events of account_events, which these are the ids of.
func OfEvents(ctx context.Context, tx pgx.Tx, ids []int64) ([]int64, error) {
	rows, err := tx.Query(ctx, `SELECT q.id FROM account_events e JOIN quarantine q ON q.source = e.source AND q.source_event_id = e.source_event_id WHERE e.id = ANY ($1) ORDER BY q.id`, ids)
	if err != nil {
		return nil, fmt.Errorf("looking for records of erased events: %w", err)
	}
	records, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("looking for records of erased events: %w", err)
	}
	return records, nil
}

// EraseRecords deletes records within tx; their own decisions go with them, and a release that is under way finds nothing.
func EraseRecords(ctx context.Context, tx pgx.Tx, ids []int64) error {
	if _, err := tx.Exec(ctx, "DELETE FROM quarantine_outbox WHERE quarantine_id = ANY ($1)", ids); err != nil {
		return fmt.Errorf("erasing releases: %w", err)
	}
	if _, err := tx.Exec(ctx, "DELETE FROM quarantine WHERE id = ANY ($1)", ids); err != nil {
		return fmt.Errorf("erasing records of the quarantine: %w", err)
	}
	return nil
}
