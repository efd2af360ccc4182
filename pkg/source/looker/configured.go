package looker

import (
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/source"
)

// Columns say by their names which columns of a report mean what. They are for
// reports whose names do not tell, and count before the rules of the package
// comment. Of several the first that a row has decides.
type Columns struct {
	// Account names the account: by its UUID, an e-mail address or a domain, and
	// otherwise by an id that links know as the kind "account".
	Account []string
	// Time is when the row happened.
	Time []string
}

// Configured gives the source with columns that a person named.
func Configured(c Columns) source.Webhook { return looker{columns: c} }

// named gives the first of the columns of these names that the row has. A name is
// compared in lower case, as view.field or as a CSV has it ("Accounts UUID").
func (cs columns) named(names []string) (column, bool) {
	for _, name := range names {
		name = strings.ToLower(name)
		i := slices.IndexFunc(cs, func(c column) bool { return c.lower == name || c.view+"."+c.field == name })
		if i >= 0 {
			return cs[i], true
		}
	}
	return column{}, false
}

// accountReference reads a column that is known to name the account. An empty one
// names nobody.
func (c column) accountReference(refs *source.References) {
	text := strings.TrimSpace(c.value.Literal())
	for _, kind := range [...]string{source.KindAccountUUID, source.KindEmail, source.KindDomain} {
		if valid(kind, text) {
			refs.Add(kind, text)
			return
		}
	}
	refs.Add(kindAccount, text)
}
