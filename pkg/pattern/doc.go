// Package pattern finds accounts by what happened on their timelines, in which order and how far apart:
//
//	charge.dispute.created, then 30 days without conversation.*, then subscription.deleted within 120 days
//
// A pattern is parsed (Parse), made into one statement whose text has nothing of the pattern (Pattern.Statement), and
// asked in a read-only transaction under a time limit (Find, Months, Explain). docs/operations/patterns.md is the
// language for its users.
package pattern
