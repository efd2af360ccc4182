// Package retention deletes what has been kept for as long as an operator decided,
// table by table and in batches.
//
// [Rules] are the tables that it may delete from, each with its setting in
// [Settings]; unless one is set, nothing of a timeline, the quarantine or the audit
// log is ever deleted. [Kept] says for every other table who ends its rows, or why
// they stay. [Keeper.Plan] counts, up to a bound and by indexes; [Keeper.Apply]
// deletes, in short transactions, and can be interrupted and run again.
//
// Deleting by age is not an erasure: consumers of account-changes are not told, and
// an event that is published again is stored again, until the next Apply.
package retention
