package api

import (
	"strings"

	"github.com/throughline-dev/throughline/pkg/stream"
)

// ACL is a right that a principal has on Kafka, or should have.
type ACL struct {
	Principal string `json:"principal"`
	Host      string `json:"host"`
	Operation string `json:"operation"` // READ, DESCRIBE_CONFIGS, …
	Resource  string `json:"resource"`  // topic, group, transactional_id, cluster
	Name      string `json:"name"`
	// Prefixed: it is for every resource whose name begins with Name.
	Prefixed bool `json:"prefixed"`
	// State is missing, created, present, beyond (the principal does not need it),
	// removed, or foreign (beyond, and of what is not the installation's alone).
	State string `json:"state"`
}

// NewACLs gives what stream.DiffACLs found.
func NewACLs(list []stream.ACLDifference) []ACL {
	out := make([]ACL, len(list))
	for i, d := range list {
		out[i] = ACL{
			Principal: d.Principal, Host: d.Host, Operation: d.Grant.Operation.String(), Resource: strings.ToLower(d.Grant.Resource.String()),
			Name: d.Grant.Name, Prefixed: d.Grant.Prefixed, State: string(d.State),
		}
	}
	return out
}

// MarkACLs gives those in one state another.
func MarkACLs(list []ACL, from, to string) {
	for i := range list {
		if list[i].State == from {
			list[i].State = to
		}
	}
}

// Pattern gives the name, with a star where it is a prefix.
func (a ACL) Pattern() string {
	if a.Prefixed {
		return a.Name + "*"
	}
	return a.Name
}
