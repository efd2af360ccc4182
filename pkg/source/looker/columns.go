package looker

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
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
		if words := strings.Fields(c.lower); dot < 0 && len(words) > 1 {
			// The name that a csv has, which is for people: "Accounts UUID".
			c.view, c.field = words[0], strings.Join(words[1:], "_")
		} else {
			c.view, c.field = c.lower[:max(dot, 0)], c.lower[dot+1:]
		}
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

// latest is when a row happened, by the rule of the package comment. An error is
// Malformed: a column that says by its name that it is a time holds something else.
func (l looker) latest(columns columns, received time.Time) (at time.Time, ok bool, err error) {
	if c, ok := columns.named(l.columns.Time); ok {
		return c.happened()
	}
	// Only the day of the receipt stands in a record that is published again.
	tomorrow := received.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
	for _, c := range columns {
		if c.field == "occurred_at" {
			return c.happened()
		}
	}
	for _, c := range columns {
		if customerView(c.view) || c.ofATerm() {
			continue
		}
		t, isTime := when(c.value)
		if !isTime {
			if c.saysTime() && len(c.value.TextBytes()) > 0 {
				return at, false, source.Malformed("%.40q is not a time that can be read", c.name)
			}
			continue
		}
		if t.Before(source.OldestOccurredAt) || !t.Before(tomorrow) {
			continue
		}
		if t.After(at) {
			at, ok = t, true
		}
	}
	if at.After(received) {
		at = received
	}
	return at, ok, nil
}

// happened reads a column that is known to say when the row happened.
func (c column) happened() (at time.Time, ok bool, err error) {
	if at, err = source.ParseTime(c.value.Literal()); err != nil {
		return at, false, fmt.Errorf("reading %.40q: %w", c.name, err)
	}
	return at, true, nil
}

// when reads a value that is a date or a time as Looker writes them.
func when(v rawjson.Value) (time.Time, bool) {
	const shortest = len("2025-10-09")
	if text := v.TextBytes(); len(text) < shortest || text[4] != '-' || text[7] != '-' {
		return time.Time{}, false
	}
	t, err := source.ParseTime(v.Text())
	return t, err == nil
}

// dateForm is how a text begins that is a date or a time.
var dateForm = regexp.MustCompile(`^\d{4}-\d\d-\d\d`)

// saysTime: the column's name or its text is that of a time. A duration may be
// named _time too.
func (c column) saysTime() bool {
	return strings.HasSuffix(c.field, "_date") || hasWord(c.field, "raw", "time", "at", "hour", "minute", "second") && dateForm.Match(c.value.TextBytes())
}

// ofATerm: the column is a date of a contract, a subscription or a period, which
// says from when to when something holds and not when something happened.
func (c column) ofATerm() bool {
	return hasWord(c.view, "subscription", "subscriptions", "contract", "contracts", "renewal", "renewals", "license", "licenses") ||
		hasWord(c.field, "period", "contract", "term", "start", "starts", "end", "ends", "expires", "expiry", "expiration", "renewal", "renews",
			"due", "next", "until", "valid", "trial")
}

// hasWord: one of the words stands in the name, between its underscores.
func hasWord(name string, words ...string) bool {
	for word := range strings.SplitSeq(name, "_") {
		if slices.Contains(words, word) {
			return true
		}
	}
	return false
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

// references are the columns that point at the customer whose row it is, the most
// telling kind first (the table is in the package comment). Two columns of equal
// standing that name different accounts are Permanent(Conflict): neither is taken
// by its name's place in the alphabet.
func (l looker) references(tenant string, columns columns) ([]source.Reference, error) {
	refs := source.References{Source: name, Tenant: tenant}
	if c, ok := columns.named(l.columns.Account); ok {
		c.accountReference(&refs)
		return refs.List(), nil
	}
	known := false
	for _, kind := range [...]string{source.KindAccountUUID, kindAccount, kindGroup, kindUser, kindExternalUser, source.KindEmail, source.KindDomain} {
		own := columns.own(kind)
		if len(own) > 1 && !ofAPerson(kind) && (!known || kind != source.KindEmail && kind != source.KindDomain) && disagree(kind, own) {
			return nil, fault.Permanent(fault.Conflict, fmt.Errorf("the columns %.60q and %.60q name different customers: leave one out of the report",
				own[0].name, own[1].name))
		}
		for _, c := range own {
			refs.Add(kind, c.value.Literal()) // which also holds an address, a domain and a UUID to its form
		}
		known = known || len(own) > 0 && !ofAPerson(kind)
	}
	return refs.List(), nil
}

// ofAPerson: the kind names somebody at the customer.
func ofAPerson(kind string) bool { return kind == kindUser || kind == kindExternalUser }

// own gives the columns of this kind that are the row's own account's: those of
// an account's view, else of any.
func (cs columns) own(kind string) []column {
	var accounts, others []column
	for _, c := range cs {
		switch {
		case !c.pointsAt(kind) || c.ofAnother():
		case !valid(kind, c.value.Literal()):
		case accountView(c.view) || kind == source.KindAccountUUID && strings.Contains(c.field, "account"):
			accounts = append(accounts, c)
		default:
			others = append(others, c)
		}
	}
	if len(accounts) > 0 {
		return accounts
	}
	return others
}

// valid: the value can be a reference of this kind.
func valid(kind, value string) (ok bool) {
	switch kind {
	case source.KindAccountUUID:
		_, ok = source.UUID(strings.TrimSpace(value))
	case source.KindEmail:
		_, ok = source.Email(value)
	case source.KindDomain:
		_, ok = source.Domain(value)
	default:
		ok = value != "" && value != "0"
	}
	return ok
}

// disagree: the columns do not name one customer. Addresses agree when their
// domain does.
func disagree(kind string, columns []column) bool {
	name := func(c column) string {
		text := strings.ToLower(c.value.Literal())
		if domain, ok := source.Domain(text); ok && (kind == source.KindEmail || kind == source.KindDomain) {
			return domain
		}
		return text
	}
	for _, c := range columns[1:] {
		if name(c) != name(columns[0]) {
			return true
		}
	}
	return false
}

// ofAnother: the column is of somebody beside the customer: the account above
// it, or who of our own people looks after it.
func (c column) ofAnother() bool {
	others := []string{
		"parent", "ultimate", "root", "csm", "csms", "owner", "owners", "manager", "managers", "rep", "reps", "agent", "agents", "assignee", "ae", "am", "sales",
		"salesperson", "seller", "support", "partner", "reseller", "referrer", "employee", "internal", "creator", "author", "previous", "old", "former",
	}
	return hasWord(c.view, others...) || hasWord(c.field, others...)
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
	case kindExternalUser:
		return c.field == "external_user_id"
	case source.KindEmail:
		return c.field == "email" || c.field == "email_address" || strings.HasSuffix(c.field, "_email")
	case source.KindDomain:
		return c.field == "domain" || strings.HasSuffix(c.field, "_domain") || c.field == "website"
	}
	return false
}
