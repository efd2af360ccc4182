// Package access is who may use the console and the HTTP API: roles, API tokens, sessions, and the log of what they did.
package access

import (
	"context"
	"fmt"
	"slices"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// Role says what somebody may do. Each may do what the one before it may.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"   // reads
	Operator Role = "operator" // decides about accounts, links, the quarantine, drift and pulls
	Admin    Role = "admin"    // makes tokens, and reads the audit log
)

// Roles gives all of them, the least first.
func Roles() []Role { return []Role{Viewer, Operator, Admin} }

// ParseRole reads a role's name. An error is Permanent, Malformed.
func ParseRole(name string) (Role, error) {
	if r := Role(name); slices.Contains(Roles(), r) {
		return r, nil
	}
	return "", fault.Permanent(fault.Malformed, fmt.Errorf("there is no role %q: the roles are viewer, operator and admin", name))
}

// May says whether the role includes another.
func (r Role) May(needed Role) bool {
	least := slices.Index(Roles(), needed)
	return least >= 0 && slices.Index(Roles(), r) >= least
}

// Actor is who does something.
type Actor struct {
	Who  string // user:EMAIL, token:NAME or cli:LOGIN; at most 200 bytes
	Role Role
	Via  string // api, console or cli
}

// Require says whether the actor may act in a role. The error is Permanent, Forbidden.
func (a Actor) Require(needed Role) error {
	if a.Role.May(needed) {
		return nil
	}
	return fault.Permanent(fault.Forbidden, fmt.Errorf("this is for the role %s, and %s has the role %s: ask an admin", needed, a.Who, a.Role))
}

type actorKey struct{}

// WithActor gives a context that knows who acts.
func WithActor(ctx context.Context, a Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, a)
}

// ActorOf gives who acts; without one, somebody who may do nothing.
func ActorOf(ctx context.Context) Actor {
	a, _ := ctx.Value(actorKey{}).(Actor)
	return a
}
