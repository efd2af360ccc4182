package looker

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// column is one column of a row. Looker names it view.field.
type column struct {
	name               string
	lower, view, field string // in lower case; view is "" when the name has no dot
	value              rawjson.Value
}

// columns are a row's, by name, since their order depends on the way that the
// row came.
type columns []column

func columnsOf(row rawjson.Value) columns {
	out := make(columns, 0, row.Len())
	for name, value := range row.Members() {
		c := column{name: name, lower: strings.ToLower(name), value: value}
		dot := strings.LastIndexByte(c.lower, '.')
		c.view, c.field = c.lower[:max(dot, 0)], c.lower[dot+1:]
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b column) int { return cmp.Compare(a.name, b.name) })
	return out
}

// get gives the value of the column of this name.
func (cs columns) get(name string) rawjson.Value {
	for _, c := range cs {
		if c.name == name {
			return c.value
		}
	}
	return rawjson.Value{}
}

// latest is when a row happened, by the rule of the package comment.
func latest(columns columns, received time.Time) (at time.Time, ok bool) {
	// Only the day of the receipt stands in a record that is published again.
	tomorrow := received.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	for _, c := range columns {
		t, isTime := when(c.value)
		if !isTime {
			continue
		}
		if c.field == "occurred_at" {
			return t, true
		}
		if customerView(c.view) || t.Before(source.OldestOccurredAt) || !t.Before(tomorrow) {
			continue
		}
		if t.After(at) {
			at, ok = t, true
		}
	}
	if at.After(received) {
		at = received
	}
	return at, ok
}

// when reads a value that is a date or a time as Looker writes them.
func when(v rawjson.Value) (time.Time, bool) {
	const shortest = len("2025-10-09")
	if text := v.TextBytes(); len(text) < shortest || text[4] != '-' || text[7] != '-' {
		return time.Time{}, false
	}
	text := v.Text()
	if t, err := source.ParseTime(text); err == nil {
		return t, true
	}
	for _, layout := range [...]string{"2006-01-02 15:04", "2006-01-02 15"} { // the timeframes minute and hour
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// customerView: the view describes a customer, so that its dates are the
// customer's and its id is an account's.
func customerView(view string) bool {
	return accountView(view) || view == "user" || view == "users" || view == "contact" || view == "contacts"
}

func accountView(view string) bool {
	switch view {
	case "account", "accounts", "company", "companies", "customer", "customers", "organization", "organizations":
		return true
	}
	return false
}

// references are the columns that point at a customer, the most telling kind
// first (the table is in the package comment).
func references(tenant string, columns columns) []source.Reference {
	refs := source.References{Source: name, Tenant: tenant}
	for _, kind := range [...]string{source.KindAccountUUID, kindAccount, kindGroup, kindUser, source.KindEmail, source.KindDomain} {
		for _, c := range columns {
			if c.pointsAt(kind) {
				refs.Add(kind, c.value.Literal()) // which also holds an address, a domain and a UUID to its form
			}
		}
	}
	return refs.List()
}

// pointsAt is the table of columns that point at a customer.
func (c column) pointsAt(kind string) bool {
	switch kind {
	case source.KindAccountUUID:
		return strings.Contains(c.lower, "account") || strings.Contains(c.lower, "uuid") || strings.Contains(c.lower, "external")
	case kindAccount:
		return c.field == "id" && accountView(c.view) ||
			strings.HasSuffix(c.field, "_id") && accountView(strings.TrimSuffix(c.field, "_id"))
	case kindGroup:
		return c.field == "external_group_id"
	case kindUser:
		return c.view == "user" && c.field == "id"
	case source.KindEmail:
		return c.field == "email" || c.field == "email_address" || strings.HasSuffix(c.field, "_email")
	case source.KindDomain:
		return c.field == "domain" || strings.HasSuffix(c.field, "_domain") || c.field == "website"
	}
	return false
}
