// Package expect finds out which JSON paths of payloads a query reads: in the
// definitions of views, in statements, and in files that people write.
//
// SQL is read by PostgreSQL's own parser (libpg_query, as WebAssembly, so that no C
// compiler is needed). Its first call compiles the module, which takes seconds and a
// quarter of a gigabyte: only commands that run and end import this package
// (docs/adr/0025-drift.md).
package expect
