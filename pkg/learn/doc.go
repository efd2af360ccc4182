// Package learn finds out whose the vendor objects are that waiting events refer to,
// and links them.
//
// An event that no reference leads from to an account waits in quarantine. [Learner]
// collects what such events refer to, looks it up on the timeline (an event on an
// account that names a charge says whose its dispute is), asks the vendor about the
// rest (source.Learner), and keeps what was said: for each reference the leads, things
// that it points at. [Judge], a pure function, applies the rules to the leads; what
// follows with good evidence becomes a link of the ledger with its level and what it
// rests on, and the rest a suggestion that a person accepts or rejects. A link releases
// what waits for it, and lets what points at it be judged again: so a charge finds its
// customer, and the customer its account.
//
// It works on batches and keeps all state in Postgres, so that any number of processes
// may work side by side, and any may be stopped at any time: what one has taken is due
// again when its lease is over, and everything may be done twice. A vendor that is
// away, slow or lies holds up only what is to be asked from it.
//
// The rules, with their numbers, are in docs/identity.md.
package learn
