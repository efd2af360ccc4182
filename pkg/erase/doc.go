// Package erase removes what is known of an account or a person, on request, and
// keeps it from coming back.
//
// [Eraser.Begin] writes the erasure and the digests of what is erased
// (suppressions): from then on neither the normalizer, the sink nor the quarantine
// keeps an event of it. [Eraser.Run] waits for the transactions that may not have
// seen that, and then deletes in batches; a process that is killed loses one
// batch's work, and the next Run goes on. While an erasure runs, its row has what is
// looked for in the clear; when it is finished, nothing has.
//
// [Tables] and [Topics] say what each table and topic holds of a person, and what
// becomes of it. Errors are fault.Permanent when the caller asked for something
// impossible, else Transient.
package erase
