// Package schemas holds the Avro contracts of the topics that others consume.
//
// A change must be BACKWARD_TRANSITIVE: a reader with the new schema reads what
// any released schema wrote. history holds every released version, by topic;
// the tests of pkg/event hold the current ones against all of them.
package schemas

import "embed"

// AccountEvent is the schema of topic account-events.
//
//go:embed account_event.avsc
var AccountEvent string

// DeadLetter is the schema of topic account-events.dlq.
//
//go:embed dead_letter.avsc
var DeadLetter string

// AccountChange is the schema of topic account-changes.
//
//go:embed account_change.avsc
var AccountChange string

// History holds every version that was ever released: history/<topic>/<n>.avsc.
//
//go:embed history
var History embed.FS
