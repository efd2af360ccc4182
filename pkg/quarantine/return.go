package quarantine

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// A record of the same event may be there, in any status: what is taken off the timeline is released whatever was
// decided about it before, or it would be nowhere.
func returnRecords() string {
	return `
WITH r AS (
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::int[], $10::bigint[],
    $11::bytea[], $12::text[], $13::bytea[], $14::text[], $15::text[], $16::text[], $17::timestamptz[], $18::int[])
  AS r (dedup_key, reason, error, source, tenant, event_type, source_event_id, topic, partition, "offset",
    record_key, headers, raw, payload, "references", reference_keys, first_seen, raw_index)
), before AS MATERIALIZED (
  SELECT q.dedup_key, q.status FROM quarantine q WHERE q.dedup_key = ANY ($1) ORDER BY q.id FOR UPDATE
), put AS (
  INSERT INTO quarantine AS q (dedup_key, reason, error, source, tenant, event_type, source_event_id, topic, partition, "offset",
    record_key, headers, raw, payload, "references", reference_keys, first_seen, raw_index, status, status_by)
  SELECT dedup_key, reason, error, source, tenant, event_type, source_event_id, topic, partition, "offset",
    record_key, headers::jsonb, raw, payload::jsonb, "references"::jsonb, string_to_array(reference_keys, E'\x1f'), first_seen, raw_index, 'replaying', $19
  FROM r WHERE (SELECT count(*) FROM before) >= 0 -- after the rows are locked
  ORDER BY dedup_key
  ON CONFLICT (dedup_key) DO UPDATE SET reason = excluded.reason, error = excluded.error, tenant = excluded.tenant, event_type = excluded.event_type,
    topic = excluded.topic, partition = excluded.partition, "offset" = excluded."offset", record_key = excluded.record_key,
    headers = excluded.headers, raw = excluded.raw, payload = excluded.payload, "references" = excluded."references", reference_keys = excluded.reference_keys,
    raw_index = excluded.raw_index, last_seen = now(), status = 'replaying', status_by = excluded.status_by, status_at = now(),
    published_at = NULL, outcome = NULL, releases = 0, ruling = NULL, held_until = NULL
  RETURNING q.id, q.dedup_key
), decided AS MATERIALIZED (
  SELECT put.id, coalesce(before.status, 'resolved') AS status, $20::text AS note FROM put LEFT JOIN before ON before.dedup_key = put.dedup_key
), ` + listed + `, ` + decided("'replaying'", "$19") + `
SELECT FROM decided`
}

// Returning gives Return for a process that knows these sources: accounts.Return.
func Returning(sources source.Set) func(ctx context.Context, tx pgx.Tx, letters []event.DeadLetter, by, note string) error {
	return func(ctx context.Context, tx pgx.Tx, letters []event.DeadLetter, by, note string) error {
		return Return(ctx, tx, sources, letters, by, note)
	}
}

// Return puts events that are being taken off the timeline into quarantine within tx, released at once: the raw
// topic gets them again, and if nothing resolves them there they come back open. by and note say who takes them off,
// and why. Letters without an identity are refused, because a second event of the same bytes would be lost.
//
// It is one statement. An error is the database's, and ends tx.
func Return(ctx context.Context, tx pgx.Tx, sources source.Set, letters []event.DeadLetter, by, note string) error {
	var keys, reasons, errors, names, tenants, types, eventIDs, topics, headers, references, referenceKeys []string
	var partitions, indexes []int32
	var offsets []int64
	var recordKeys, raws [][]byte
	var payloads []*string
	var firsts []time.Time
	known := make(map[string]bool, len(letters))
	for i := range letters {
		l := &Letter{DeadLetter: letters[i]}
		if l.Source == "" || l.SourceEventID == "" || len(l.Value) == 0 {
			return refuse(fault.Malformed, "an event that returns to quarantine needs its source, its id and its bytes")
		}
		key := l.dedupKey(sources)
		if known[key] {
			return refuse(fault.Malformed, "the event %s of %s returns to quarantine twice", l.SourceEventID, l.Source)
		}
		known[key] = true
		list, listKeys := l.references()
		keys, reasons, errors = append(keys, key), append(reasons, clean(l.Reason)), append(errors, clean(l.Error))
		names, tenants = append(names, clean(l.Source)), append(tenants, clean(l.Tenant))
		types, eventIDs = append(types, clean(l.Type)), append(eventIDs, clean(l.SourceEventID))
		topics, partitions, offsets = append(topics, clean(l.Topic)), append(partitions, l.Partition), append(offsets, l.Offset)
		recordKeys, raws = append(recordKeys, l.Key), append(raws, l.Value)
		headers, payloads = append(headers, l.headers()), append(payloads, l.payload())
		references, referenceKeys = append(references, list), append(referenceKeys, join(listKeys))
		firsts, indexes = append(firsts, timeOf(l.FirstSeen)), append(indexes, l.RawIndex)
	}
	if _, err := tx.Exec(ctx, returnRecords(), keys, reasons, errors, names, tenants, types, eventIDs, topics, partitions, offsets,
		recordKeys, headers, raws, payloads, references, referenceKeys, firsts, indexes, clean(by), clean(note)); err != nil {
		return fmt.Errorf("returning events to quarantine: %w", err)
	}
	return nil
}
