package source

import (
	"strings"
)

// The kinds of reference that need no link, because they name an account by
// what every account has.
const (
	// KindAccountUUID is an account id that the vendor's object carries.
	KindAccountUUID = "account_uuid"
	// KindEmail is an e-mail address; its domain may be an account's.
	KindEmail = "email"
	// KindDomain is a company's domain.
	KindDomain = "domain"
)

// Reference is something in an event that points at an account.
type Reference struct {
	Source string `json:"source"`
	Tenant string `json:"tenant,omitempty"` // "" = any, or unknown
	Kind   string `json:"kind"`
	ID     string `json:"id"`
}

// Key is the one text form of a reference, in Kafka keys, in quarantine and in
// the command line: "stripe:customer:cus_1", "hubspot/62515:contact:901".
func (r Reference) Key() string { return string(r.key()) }

func (r Reference) key() []byte {
	out := append(make([]byte, 0, len(r.Source)+len(r.Tenant)+len(r.Kind)+len(r.ID)+len("/::")), r.Source...)
	if r.Tenant != "" {
		out = append(append(out, '/'), r.Tenant...)
	}
	out = append(append(out, ':'), r.Kind...)
	return append(append(out, ':'), r.ID...)
}

// MaxReferences bounds how many references one event may try.
const MaxReferences = 32

// MaxReferenceBytes bounds one reference's id; a longer one points at nothing
// that anybody would link.
const MaxReferenceBytes = 512

// References collects an event's references in order, leaving out empty,
// oversized and repeated ones. The zero value needs Source set.
type References struct {
	Source string
	Tenant string
	list   []Reference
}

// Full reports that Add adds no more, so that looking for more is of no use.
func (c *References) Full() bool {
	return len(c.list) >= MaxReferences
}

// Add appends a reference of this kind, unless id says nothing ("", "0", "null")
// or is none of the kind. Addresses, domains and account ids get their one form,
// and no tenant.
func (c *References) Add(kind, id string) {
	id = strings.TrimSpace(id)
	if id == "" || id == "0" || id == "null" || len(id) > MaxReferenceBytes || c.Full() || !IsText(id) {
		return
	}
	tenant, ok := c.Tenant, true
	switch kind {
	case KindEmail:
		id, ok = Email(id)
		tenant = ""
	case KindDomain:
		id, ok = Domain(id)
		tenant = ""
	case KindAccountUUID:
		_, ok = UUID(id)
		id, tenant = strings.ToLower(id), ""
	}
	if !ok {
		return
	}
	r := Reference{Source: c.Source, Tenant: tenant, Kind: kind, ID: id}
	for _, have := range c.list {
		if have == r {
			return
		}
	}
	if c.list == nil {
		c.list = make([]Reference, 0, 4) // most events have two to four
	}
	c.list = append(c.list, r)
}

// List gives what was added, in order.
func (c *References) List() []Reference { return c.list }
