// Package postgres is Throughline's access to its database: the pool, the schema's migrations, the sink's batch
// upsert, the keeper of the GIN index and the timeline's reads.
//
// The schema is the embedded migrations directory. account_events is a contract with its readers and never
// changes without an ADR; the other tables belong to Throughline.
//
// [Writer], [Keeper], [Open] and [Migrate] return errors that are fault.Permanent or fault.Transient, told apart
// by SQLSTATE ([Classify]).
package postgres
