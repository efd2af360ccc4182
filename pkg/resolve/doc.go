// Package resolve answers whose event it is: it turns the references that an event carries into an account, a
// whole batch in one query, and keeps the accounts and the links that it reads.
//
// The order is fixed: an explicit link of any reference, the most telling reference first; then an account id
// that the vendor's object carries, if that account exists; then the domain of an e-mail address or of a company,
// if exactly one account has it and it is not a free-mail domain. [Config] says which of the rules are on.
//
// [Resolver] is for the normalizer and the quarantine service, [Store] for the command line, and [Watch] tells
// the quarantine service what may have become resolvable. The text forms of references are read by
// [ParseReference]. Errors are fault.Permanent when the caller asked for something impossible, else Transient.
package resolve
