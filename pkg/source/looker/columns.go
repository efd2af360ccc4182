package looker

import (
	"sort"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/throughline-dev/throughline/pkg/source"
)

// column is one column of a row. Looker names it view.field.
type column struct {
	name        string
	view, field string // lower case; view is "" when the name has no dot
	value       gjson.Result
}

// columnsOf gives a row's columns by name, since their order depends on the way
// that the row came.
func columnsOf(row gjson.Result) []column {
	var out []column
	row.ForEach(func(key, value gjson.Result) bool {
		lower := strings.ToLower(key.Str)
		c := column{name: key.Str, field: lower, value: value}
		if dot := strings.LastIndexByte(lower, '.'); dot >= 0 {
			c.view, c.field = lower[:dot], lower[dot+1:]
		}
		out = append(out, c)
		return true
	})
	sort.SliceStable(out, func(i, j int) bool { return out[i].name < out[j].name })
	return out
}

// text is a JSON text or number as it stands.
func text(v gjson.Result) string {
	switch v.Type {
	case gjson.String:
		return strings.TrimSpace(v.Str)
	case gjson.Number:
		return v.Raw
	default:
		return ""
	}
}

// textOf is the text of the column of this name, or "".
func textOf(columns []column, name string) string {
	for _, c := range columns {
		if c.name == name {
			return text(c.value)
		}
	}
	return ""
}

// latest is when a row happened, by the rule of the package comment.
func latest(columns []column, received time.Time) (at time.Time, ok bool) {
	bound := received.UTC().Truncate(24 * time.Hour).Add(24*time.Hour + source.MaxClockAhead - time.Second)
	for _, c := range columns {
		t, isTime := when(c.value)
		if !isTime {
			continue
		}
		if c.field == "occurred_at" {
			return t, true
		}
		if customerView(c.view) || t.Before(source.OldestOccurredAt) || t.After(bound) {
			continue
		}
		if t.After(at) {
			at, ok = t, true
		}
	}
	return at, ok
}

// when reads a value that is a date or a time as Looker writes them.
func when(v gjson.Result) (time.Time, bool) {
	const shortest = len("2025-10-09")
	s := v.Str
	if v.Type != gjson.String || len(s) < shortest || s[4] != '-' || s[7] != '-' {
		return time.Time{}, false
	}
	if t, err := source.ParseTime(s); err == nil {
		return t, true
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15"} { // the timeframes minute and hour
		if t, err := time.Parse(layout, s); err == nil {
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
func references(tenant string, columns []column) []source.Reference {
	refs := source.References{Source: name, Tenant: tenant}
	kinds := []string{source.KindAccountUUID, kindAccount, kindGroup, kindUser, source.KindEmail, source.KindDomain}
	for _, kind := range kinds {
		for _, c := range columns {
			id := text(c.value)
			if id == "" || !c.pointsAt(kind) {
				continue
			}
			refs.Add(kind, id) // which also holds an address, a domain and a UUID to its form
		}
	}
	return refs.List()
}

// pointsAt is the table of columns that point at a customer.
func (c column) pointsAt(kind string) bool {
	switch kind {
	case source.KindAccountUUID:
		lower := strings.ToLower(c.name)
		return strings.Contains(lower, "account") || strings.Contains(lower, "uuid") || strings.Contains(lower, "external")
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
