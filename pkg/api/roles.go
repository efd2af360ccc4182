package api

import "github.com/throughline-dev/throughline/pkg/postgres"

// RoleChange says what was done to the roles and privileges of the database.
type RoleChange struct {
	SQL      string `json:"sql"`
	Beyond   bool   `json:"beyond,omitempty"`   // it takes away what no role of ours needs
	Optional bool   `json:"optional,omitempty"` // it could not be done, and everything works and is safe without it
	Problem  string `json:"problem,omitempty"`  // why it could not be done
}

// NewRoleChanges gives what postgres.ApplyRoles did.
func NewRoleChanges(list []postgres.RoleChange) []RoleChange {
	out := make([]RoleChange, len(list))
	for i, c := range list {
		out[i] = RoleChange{SQL: c.SQL, Beyond: c.Beyond, Optional: c.Optional && c.Problem != "", Problem: c.Problem}
	}
	return out
}
