// Package accounts keeps the customers and the links between their identifiers
// at vendors and their accounts.
//
// [Store] serves the command line and imports. The text forms of references are
// read by [ParseReference]. Errors are fault.Permanent when the caller asked for
// something impossible, else Transient.
package accounts
