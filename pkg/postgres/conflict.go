package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// Comparison says whether a row that was not inserted tells the same as the stored row of its identity.
type Comparison struct {
	// Ignore gives the top-level members of a source's payloads that may differ, without NULs. It should hold what mostly
	// differs: only payloads that differ beside these leave the server.
	Ignore func(source string) []string
	// Contradicts looks at a row and what is stored.
	Contradicts func(row *Row, stored Stored) bool
}

// Stored is what the timeline has of an identity. Payload is JSONB's text form and is good until Contradicts returns.
type Stored struct {
	AccountID uuid.UUID
	Payload   []byte
}

// storedOtherwise compares in the server, so that no payload is sent back that says the same. The lateral look-up with
// its limit is by the unique index whatever the statistics say.
const storedOtherwise = `
SELECT r.index, e.account_id, e.payload::text
FROM unnest($1, $2, $3, $4, $5) AS r (source, source_event_id, payload, ignored, index)
CROSS JOIN LATERAL (SELECT account_id, payload FROM account_events e WHERE e.source = r.source AND e.source_event_id = r.source_event_id LIMIT 1) AS e
WHERE e.payload <> r.payload AND CASE WHEN jsonb_typeof(e.payload) = 'object' AND jsonb_typeof(r.payload) = 'object'
  THEN e.payload - string_to_array(r.ignored, E'\x1f') <> r.payload - string_to_array(r.ignored, E'\x1f') ELSE true END`

// ignoredSeparator stands between the names in the parameter ignored.
const ignoredSeparator = "\x1f"

// Conflicts gives the indexes of the rows that were not inserted although the stored row of their identity tells
// something else, in order. It belongs into the transaction that wrote the batch, as an After. It costs nothing where
// all rows are new, else one query for each 16 MiB of payloads that are not, and holds one stored payload at a time.
func Conflicts(ctx context.Context, tx pgx.Tx, rows []Row, inserted Inserted, c Comparison) ([]int, error) {
	var present []int32
	for i := range rows {
		if !inserted[i] {
			present = append(present, int32(i))
		}
	}
	conflicts := make([]bool, len(rows))
	found := 0
	for len(present) > 0 {
		n := statementLength(rows, present)
		if err := compare(ctx, tx, rows, present[:n], c, func(index int) { conflicts[index] = true; found++ }); err != nil {
			return nil, fmt.Errorf("comparing %d rows with what is stored: %w", n, err)
		}
		present = present[n:]
	}
	if found == 0 {
		return nil, nil
	}
	indexes := make([]int, 0, found)
	for i, is := range conflicts {
		if is {
			indexes = append(indexes, i)
		}
	}
	return indexes, nil
}

// compare runs storedOtherwise, in the same way as insert.
func compare(ctx context.Context, tx pgx.Tx, rows []Row, present []int32, c Comparison, conflict func(index int)) error {
	ignored := map[string]string{}
	for _, i := range present {
		if name := rows[i].Source; ignored[name] == "" {
			ignored[name] = strings.Join(slices.Concat(c.Ignore(name), []string{subjectMember}), ignoredSeparator)
		}
	}
	parameter := func(element uint32, value func(dst []byte, r *Row) []byte) []byte {
		return array(element, len(present), func(dst []byte, i int) []byte { return value(dst, &rows[present[i]]) })
	}
	values := [][]byte{
		parameter(pgtype.TextOID, func(dst []byte, r *Row) []byte { return append(dst, r.Source...) }),
		parameter(pgtype.TextOID, func(dst []byte, r *Row) []byte { return append(dst, r.SourceEventID...) }),
		parameter(pgtype.JSONBOID, func(dst []byte, r *Row) []byte { return appendJSONB(dst, r.Payload) }),
		parameter(pgtype.TextOID, func(dst []byte, r *Row) []byte { return append(dst, ignored[r.Source]...) }),
		array(pgtype.Int4OID, len(present), func(dst []byte, i int) []byte { return appendInt4(dst, present[i]) }),
	}
	types := []uint32{pgtype.TextArrayOID, pgtype.TextArrayOID, pgtype.JSONBArrayOID, pgtype.TextArrayOID, pgtype.Int4ArrayOID}
	binaryFormat := []int16{pgx.BinaryFormatCode}
	reader := tx.Conn().PgConn().ExecParams(ctx, storedOtherwise, values, types, binaryFormat, binaryFormat)
	for reader.NextRow() {
		index, account := reader.Values()[0], reader.Values()[1]
		if len(index) != 4 || int(binary.BigEndian.Uint32(index)) >= len(rows) || len(account) != len(uuid.UUID{}) {
			_, _ = reader.Close()
			return fmt.Errorf("the server answered with an index of %x and an account of %x", index, account)
		}
		i := int(binary.BigEndian.Uint32(index))
		if c.Contradicts(&rows[i], Stored{uuid.UUID(account), reader.Values()[2]}) {
			conflict(i)
		}
	}
	_, err := reader.Close()
	return err
}

// subjectMember is the member of a payload that is ours.
const subjectMember = "subject"
