package quarantine

import "strings"

// These are the ends of statements whose CTE decided (id, status, note) has records that change their status, the one
// that they had, and why. The records are locked by then, in the order of their ids: so nobody waits for another's row of
// the outbox while he holds one that the other waits for.

// Where records are meant by their ids, statements ask for the status IS NOT DISTINCT FROM one: no index serves that, so
// that whatever the statistics say the record is looked up by its id, and not among all that have the status.

// decided writes the decisions as CTE decisions. to and by are SQL: a text or a parameter.
//
// The same decision about many records is one row: about each it would cost nearly as much as its change does. About a
// few it is a row of each, so that the look for one record's (Store.Show) meets rows of many only.
func decided(to, by string) string {
	return strings.NewReplacer("$to", to, "$by", by).Replace(`alike AS MATERIALIZED (
		SELECT status, note, array_agg(id ORDER BY id) AS ids FROM decided GROUP BY status, note
	), decisions AS (
		INSERT INTO quarantine_decisions (quarantine_id, quarantine_ids, first_id, last_id, from_status, to_status, decided_by, note)
		SELECT NULL, ids, ids[1], ids[cardinality(ids)], status, $to, $by, note FROM alike WHERE cardinality(ids) >= 100
		UNION ALL (SELECT id, NULL, NULL, NULL, status, $to, $by, note FROM alike CROSS JOIN unnest(ids) AS r (id) WHERE cardinality(ids) < 100 ORDER BY id)
	)`)
}

// listed puts the records into the outbox as CTE listed, released now.
const listed = `listed AS (
		INSERT INTO quarantine_outbox (quarantine_id, released_at) SELECT id, now() FROM decided ORDER BY id
		ON CONFLICT (quarantine_id) DO UPDATE SET released_at = excluded.released_at, published_at = NULL
	)`

// unlisted takes the records out of the outbox as CTE unlisted; the statement's other parts see them there still.
const unlisted = `unlisted AS (
		DELETE FROM quarantine_outbox WHERE quarantine_id = ANY (ARRAY (SELECT id FROM decided))
	)`

// publishedAt is when the newest release of a record, of the table quarantine, was published.
const publishedAt = `CASE status WHEN 'replaying' THEN coalesce(
    (SELECT o.published_at FROM quarantine_outbox o WHERE o.quarantine_id = id AND o.released_at = status_at), published_at) ELSE published_at END`

// decisionsOf are a record's decisions. Rows of many begin at the record: those before it end earlier.
const decisionsOf = `SELECT from_status, to_status, decided_by, decided_at, note FROM (
		SELECT id, from_status, to_status, decided_by, decided_at, note FROM quarantine_decisions WHERE quarantine_id = $1
		UNION ALL
		SELECT id, from_status, to_status, decided_by, decided_at, note FROM quarantine_decisions
			WHERE quarantine_ids IS NOT NULL AND last_id >= $1 AND first_id <= $1 AND $1 = ANY (quarantine_ids)) AS found ORDER BY id`
