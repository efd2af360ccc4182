package quarantine

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const insertRecords = `
INSERT INTO quarantine (dedup_key, reason, error, source, tenant, event_type, source_event_id, topic, partition, "offset",
  record_key, headers, raw, payload, "references", reference_keys, attempts, first_seen, last_seen, tried, raw_index, status_by)
SELECT dedup_key, reason, error, source, tenant, nullif(event_type, ''), nullif(source_event_id, ''), topic, partition, "offset",
  record_key, headers::jsonb, raw, payload::jsonb, "references"::jsonb, string_to_array(reference_keys, E'\x1f'), attempts, first_seen, last_seen, string_to_array(tried, E'\x1f'), raw_index, $22
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::int[], $10::bigint[],
  $11::bytea[], $12::text[], $13::bytea[], $14::text[], $15::text[], $16::text[], $17::int[], $18::timestamptz[], $19::timestamptz[], $20::text[], $21::int[])
  AS r (dedup_key, reason, error, source, tenant, event_type, source_event_id, topic, partition, "offset",
  record_key, headers, raw, payload, "references", reference_keys, attempts, first_seen, last_seen, tried, raw_index)
ON CONFLICT (dedup_key) DO NOTHING
RETURNING id, dedup_key`

// insert adds the new records and gives the entries their ids.
func insert(ctx context.Context, tx pgx.Tx, entries []*entry) error {
	byKey := map[string]*entry{}
	var keys, reasons, errors, sources, tenants, types, eventIDs, topics, headers, references, referenceKeys, tried []string
	var partitions, attempts, indexes []int32
	var offsets []int64
	var recordKeys, raws [][]byte
	var payloads []*string
	var firsts, lasts []time.Time
	for _, e := range entries {
		if e.first == nil {
			continue
		}
		f, n := e.first, e.newest
		list, listKeys := n.references()
		byKey[e.key] = e
		keys, reasons, errors = append(keys, e.key), append(reasons, clean(n.Reason)), append(errors, clean(n.Error))
		sources, tenants = append(sources, clean(f.Source)), append(tenants, clean(f.Tenant))
		types, eventIDs = append(types, clean(f.Type)), append(eventIDs, clean(f.SourceEventID))
		topics, partitions, offsets = append(topics, clean(n.Topic)), append(partitions, n.Partition), append(offsets, n.Offset)
		recordKeys, raws = append(recordKeys, f.Key), append(raws, notNil(f.Value))
		headers, payloads = append(headers, f.headers()), append(payloads, f.payload())
		references, referenceKeys = append(references, list), append(referenceKeys, join(listKeys))
		attempts, tried = append(attempts, e.attempts), append(tried, join(e.tried))
		last := timeOf(n.At)
		firsts, lasts = append(firsts, earlier(timeOf(f.FirstSeen, f.At), last)), append(lasts, last)
		indexes = append(indexes, n.RawIndex)
	}
	if len(keys) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, insertRecords, keys, reasons, errors, sources, tenants, types, eventIDs, topics, partitions, offsets,
		recordKeys, headers, raws, payloads, references, referenceKeys, attempts, firsts, lasts, tried, indexes, ByFeed)
	if err != nil {
		return fmt.Errorf("inserting records: %w", err)
	}
	var id int64
	var key string
	tag, err := pgx.ForEachRow(rows, []any{&id, &key}, func() error {
		byKey[key].id = id
		return nil
	})
	if err != nil {
		return fmt.Errorf("inserting records: %w", err)
	}
	if int(tag.RowsAffected()) < len(keys) {
		return errRaced
	}
	return nil
}

// The newest letter may know more than the first (a source that has learned to describe such events), so what it
// says replaces what is there; what it does not say stays.
func updateRecords() string {
	return `
WITH r AS (
  SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::int[], $10::bigint[],
    $11::text[], $12::text[], $13::int[], $14::timestamptz[], $15::text[], $16::int[], $17::float8[])
  AS r (id, reason, error, source, tenant, event_type, source_event_id, topic, partition, "offset", "references", reference_keys, attempts, last_seen, tried, raw_index, hold)
), decided AS MATERIALIZED (
  SELECT q.id, q.status, r.error AS note FROM quarantine q JOIN r ON r.id = q.id WHERE q.status IN ('replaying', 'resolved')
), ` + unlisted + `, ` + decided("'open'", "$18") + `
UPDATE quarantine q SET reason = r.reason, error = r.error, topic = r.topic, partition = r.partition, "offset" = r."offset", raw_index = r.raw_index,
  source = coalesce(nullif(r.source, ''), q.source), tenant = coalesce(nullif(r.tenant, ''), q.tenant),
  event_type = coalesce(nullif(r.event_type, ''), q.event_type), source_event_id = coalesce(nullif(r.source_event_id, ''), q.source_event_id),
  "references" = CASE r.reference_keys WHEN '' THEN q."references" ELSE r."references"::jsonb END,
  reference_keys = CASE r.reference_keys WHEN '' THEN q.reference_keys ELSE string_to_array(r.reference_keys, E'\x1f') END,
  attempts = r.attempts, last_seen = greatest(q.last_seen, r.last_seen), tried = string_to_array(r.tried, E'\x1f'),
  status = CASE q.status WHEN 'discarded' THEN 'discarded' ELSE 'open' END,
  status_by = CASE WHEN q.status IN ('replaying', 'resolved') THEN $18 ELSE q.status_by END,
  status_at = CASE WHEN q.status IN ('replaying', 'resolved') THEN now() ELSE q.status_at END,
  outcome = CASE q.status WHEN 'discarded' THEN q.outcome END,
  published_at = CASE q.status WHEN 'discarded' THEN q.published_at END,
  held_until = CASE WHEN r.hold > 0 THEN now() + make_interval(secs => r.hold) ELSE q.held_until END
FROM r WHERE q.id = r.id`
}

// update brings the records that were there up to date.
func update(ctx context.Context, tx pgx.Tx, hold HoldOff, entries []*entry) error {
	var ids, offsets []int64
	var reasons, errors, sources, tenants, types, eventIDs, topics, references, referenceKeys, tried []string
	var partitions, attempts, indexes []int32
	var lasts []time.Time
	var holds []float64 // in seconds; 0: not held off
	for _, e := range entries {
		if e.first != nil || e.newest == nil {
			continue
		}
		n := e.newest
		list, listKeys := n.references()
		ids, reasons, errors = append(ids, e.id), append(reasons, clean(n.Reason)), append(errors, clean(n.Error))
		sources, tenants = append(sources, clean(n.Source)), append(tenants, clean(n.Tenant))
		types, eventIDs = append(types, clean(n.Type)), append(eventIDs, clean(n.SourceEventID))
		topics, partitions, offsets = append(topics, clean(n.Topic)), append(partitions, n.Partition), append(offsets, n.Offset)
		references, referenceKeys = append(references, list), append(referenceKeys, join(listKeys))
		attempts, lasts, tried = append(attempts, e.attempts), append(lasts, timeOf(n.At, n.At)), append(tried, join(e.tried))
		indexes, holds = append(indexes, n.RawIndex), append(holds, e.holdFor(hold).Seconds())
	}
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, updateRecords(), ids, reasons, errors, sources, tenants, types, eventIDs, topics, partitions, offsets,
		references, referenceKeys, attempts, lasts, tried, indexes, holds, ByFeed)
	if err != nil {
		return fmt.Errorf("updating records: %w", err)
	}
	return nil
}

// notNil: the column raw takes no NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// earlier bounds a time that anybody may have written by one of the brokers'.
func earlier(t, most time.Time) time.Time {
	if t.After(most) {
		return most
	}
	return t
}

// timeOf gives the first time that is one, else now.
func timeOf(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() && t.Unix() > 0 {
			return t
		}
	}
	return time.Now()
}
