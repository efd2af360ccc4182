// Package quarantine keeps the records that could not go on, in Postgres, until a link or a person clears them.
//
// A record is open when it waits; replaying once it is to be, or has been, published to its raw topic again;
// resolved when the sink has found it on the timeline, or when it is a page of events that has been published, whose
// elements come back by themselves; discarded when a person gave it up. Every change of the
// status is a row of quarantine_decisions that says who and when.
//
//	dead letter ──▶ open ──(a link, or a person)──▶ replaying ──(the sink)──▶ resolved
//	                 ▲ │                                │
//	                 │ └──(a person)──▶ discarded       │ failed again: another dead letter
//	                 └──────────────────────────────────┘
//
// A release is an outbox: it changes the status and lists the record in the table quarantine_outbox, whose rows the
// quarantine service publishes and then marks; a row goes when its record is no longer replaying. A crash between the brokers' acknowledgement and that mark publishes once more, which the
// timeline knows as already present.
//
// [Store.Put], [Store.Publish] and the Waiting functions serve the quarantine service; [Store.List], [Store.Show],
// [Store.Release] and [Store.Discard] people. Errors are fault.Permanent when the request cannot be granted, else
// Transient. Any number of processes may work side by side: rows are locked in the order of their ids.
package quarantine
