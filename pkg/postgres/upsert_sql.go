package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// A batch is one statement whose parameters are arrays, one a column. It costs the server about as much as COPY into
// a temporary table and an INSERT from there, the fastest way that was measured, and needs no table. Arrays are
// expanded in the select list, where they stream; in FROM, unnest first puts all of them into a tuple store, which a
// batch of large payloads spills to disk.
//
// The rows arrive in the order of (source, source_event_id), by bytes, and are inserted in it: that is what keeps
// concurrent writers from deadlocks. Each identity comes once in a statement, or its origin would come twice.
const insertRows = `
WITH new AS (
  INSERT INTO account_events (account_id, event_type, source, source_event_id, payload, occurred_at, ingested_at)
  SELECT unnest($1), unnest($2), unnest($3), unnest($4), unnest($5), unnest($6), unnest($7)
  ON CONFLICT (source, source_event_id) DO NOTHING
  RETURNING id, source, source_event_id
), placed AS (
  SELECT new.id, r.* FROM new JOIN (
    SELECT unnest($3) AS source, unnest($4) AS source_event_id, unnest($8) AS reference, unnest($9) AS rule, unnest($10) AS delivery,
      unnest($11) AS raw_topic, unnest($12) AS raw_partition, unnest($13) AS raw_offset, unnest($14) AS raw_index, unnest($15) AS index
  ) AS r USING (source, source_event_id)
), origins AS (
  INSERT INTO account_event_origins (event_id, reference, rule, delivery, raw_topic, raw_partition, raw_offset, raw_index)
  SELECT id, reference, rule, delivery, raw_topic, raw_partition, raw_offset, raw_index FROM placed
)
SELECT index FROM placed`

// column is one parameter of insertRows.
type column struct {
	array, element uint32                          // types
	append         func(dst []byte, r *Row) []byte // nil: NULL
}

// columns are the parameters but for the last, which is the row's index.
func columns() []column {
	text := func(of func(r *Row) string) column {
		return column{pgtype.TextArrayOID, pgtype.TextOID, func(dst []byte, r *Row) []byte { return append(dst, of(r)...) }}
	}
	return []column{
		{pgtype.UUIDArrayOID, pgtype.UUIDOID, func(dst []byte, r *Row) []byte { return append(dst, r.AccountID[:]...) }},
		text(func(r *Row) string { return r.EventType }),
		text(func(r *Row) string { return r.Source }),
		text(func(r *Row) string { return r.SourceEventID }),
		{pgtype.JSONBArrayOID, pgtype.JSONBOID, func(dst []byte, r *Row) []byte { return appendJSONB(dst, r.Payload) }},
		{pgtype.TimestamptzArrayOID, pgtype.TimestamptzOID, func(dst []byte, r *Row) []byte { return appendTime(dst, r.OccurredAt) }},
		{pgtype.TimestamptzArrayOID, pgtype.TimestamptzOID, func(dst []byte, r *Row) []byte { return appendTime(dst, r.IngestedAt) }},
		text(func(r *Row) string { return r.Origin.Reference }),
		text(func(r *Row) string { return r.Origin.Rule }),
		text(func(r *Row) string { return r.Origin.Delivery }),
		text(func(r *Row) string { return r.Origin.RawTopic }),
		{pgtype.Int4ArrayOID, pgtype.Int4OID, func(dst []byte, r *Row) []byte { return appendInt4(dst, r.Origin.RawPartition) }},
		{pgtype.Int8ArrayOID, pgtype.Int8OID, func(dst []byte, r *Row) []byte { return appendInt8(dst, r.Origin.RawOffset) }},
		{pgtype.Int4ArrayOID, pgtype.Int4OID, func(dst []byte, r *Row) []byte { return appendInt4(dst, r.Origin.RawIndex) }},
	}
}

// maxStatementBytes bounds the payloads of one statement: Postgres takes no parameter of 1 GB, and client and server
// hold the whole of it in memory.
const maxStatementBytes = 16 << 20

// insertAll writes the rows within tx and notes which were new.
func insertAll(ctx context.Context, tx pgx.Tx, rows []Row, inserted Inserted) error {
	order := inOrder(rows)
	for len(order) > 0 {
		n := statementLength(rows, order)
		if err := insert(ctx, tx.Conn().PgConn(), rows, order[:n], inserted); err != nil {
			return err
		}
		order = order[n:]
	}
	return nil
}

// statementLength gives how many of the rows of these indexes one statement takes.
func statementLength(rows []Row, order []int32) (n int) {
	size := 0
	for n < len(order) && (n == 0 || size+len(rows[order[n]].Payload) <= maxStatementBytes) {
		size += len(rows[order[n]].Payload)
		n++
	}
	return n
}

// inOrder gives the indexes of rows in the order in which all writers insert. Of rows with one identity it has the
// first.
func inOrder(rows []Row) []int32 {
	order := make([]int32, len(rows))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return byIdentity(&rows[a], &rows[b]) })
	return slices.CompactFunc(order, func(a, b int32) bool { return byIdentity(&rows[a], &rows[b]) == 0 })
}

// insert runs insertRows for the rows of these indexes. It speaks the protocol itself: an unnamed statement with
// binary parameters, in one round trip and without a description, whatever mode the pool is set to.
func insert(ctx context.Context, conn *pgconn.PgConn, rows []Row, order []int32, inserted Inserted) error {
	all := columns()
	values, types := make([][]byte, 0, len(all)+1), make([]uint32, 0, len(all)+1)
	for _, c := range all {
		values = append(values, array(c.element, len(order), func(dst []byte, i int) []byte { return c.append(dst, &rows[order[i]]) }))
		types = append(types, c.array)
	}
	values = append(values, array(pgtype.Int4OID, len(order), func(dst []byte, i int) []byte { return appendInt4(dst, order[i]) }))
	types = append(types, pgtype.Int4ArrayOID)
	binaryFormat := []int16{pgx.BinaryFormatCode}
	reader := conn.ExecParams(ctx, insertRows, values, types, binaryFormat, binaryFormat)
	for reader.NextRow() {
		index := reader.Values()[0]
		if len(index) != 4 || int(binary.BigEndian.Uint32(index)) >= len(inserted) {
			_, _ = reader.Close()
			return fmt.Errorf("the server answered with an index of %x", index)
		}
		inserted[binary.BigEndian.Uint32(index)] = true
	}
	_, err := reader.Close()
	return err
}
