package learn_test

import (
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/learn"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// An agency's people belong to its customers. No list knows it: that they do ends what
// follows from its domain, for events, objects and suggestions, until a person decides.
func TestADomainThatBehavesLikeAPublicOne(t *testing.T) {
	t.Parallel()
	v := newVendor("hubspot", 10, "contact")
	w := newWorld(t, v)
	w.account("Agency", "agency.example")
	w.account("Group's own", "group.example")
	kim := [][]source.Reference{{{Source: "intercom", Kind: source.KindEmail, ID: "kim@agency.example"}}}
	cached := w.resolver.WithCache()
	resolved := func() string {
		t.Helper()
		found, err := cached.Resolve(t.Context(), kim)
		require.NoError(t, err)
		return found[0].Rule + found[0].Why
	}
	require.Equal(t, resolve.RuleEmail, resolved())
	v.says("contact:900", person("kim@agency.example"))
	w.waits("hubspot/1:contact:900")
	w.settle()
	require.Equal(t, []string{"hubspot/1:contact:900 Agency 7"}, w.suggestions())

	// Three customers: two by links of people's addresses, one by a contact that the vendor knows.
	one, two, three := w.account("One", ""), w.account("Two", ""), w.account("Three", "")
	w.link("email:ann@agency.example", one)
	w.link("email:bob@agency.example", two)
	l := w.learner()
	_, err := l.Domains(t.Context())
	require.NoError(t, err)
	suspects := learn.NewSuspects(w.pool)
	list, err := suspects.List(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, list, "two accounts are not enough")

	v.says("contact:901", person("cyd@agency.example"))
	w.waits("hubspot/1:contact:901")
	w.settle()
	w.link("hubspot/1:contact:901", three)
	// Free mail is known, and subsidiaries of one group are one account.
	group := w.account("Group", "")
	for i, name := range []string{"North", "South", "West"} {
		child := w.account(name, "")
		_, err := w.pool.Exec(t.Context(), "UPDATE accounts SET parent_id = $1 WHERE id = $2", group, child)
		require.NoError(t, err)
		local := string(rune('a' + i))
		w.link("email:"+local+"@group.example", child)
		w.link("email:"+local+"@gmail.com", []uuid.UUID{one, two, three}[i])
	}
	_, err = l.Domains(t.Context())
	require.NoError(t, err)
	list, err = suspects.List(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, list, "once a night")
	w.exec("UPDATE learning_progress SET domains_due_at = now()")
	_, err = l.Domains(t.Context())
	require.NoError(t, err)
	list, err = suspects.List(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, "agency.example", list[0].Domain)
	require.Equal(t, 3, list[0].Accounts)
	require.Equal(t, []string{"One", "Three", "Two"}, list[0].Examples)

	require.Contains(t, resolved(), "behaves like a free-mail domain", "also where a cache knew it")
	require.Empty(t, w.suggestions())
	v.says("contact:902", person("kim@agency.example"))
	w.waits("hubspot/1:contact:902")
	w.settle()
	require.Empty(t, w.suggestions())
	_, why := w.state("hubspot/1:contact:902")
	require.Contains(t, why, "behaves like a public mail domain")
	// A link of a person's counts.
	w.link("email:dan@agency.example", one)
	w.requireLinked("email:dan@agency.example", one, accounts.LevelDecided)

	d, err := suspects.Decide(t.Context(), "Agency.Example", learn.DomainPrivate, "ada", "they write for themselves")
	require.NoError(t, err)
	require.Equal(t, "ada", d.DecidedBy)
	require.Equal(t, resolve.RuleEmail, resolved())
	w.exec("UPDATE learning_progress SET domains_due_at = now()")
	_, err = l.Domains(t.Context())
	require.NoError(t, err)
	require.Equal(t, resolve.RuleEmail, resolved(), "a person's decision stays")
	w.settle()
	require.Contains(t, w.suggestions(), "hubspot/1:contact:902 Agency 7")
	_, err = suspects.Decide(t.Context(), "not a domain", learn.DomainPublic, "ada", "")
	require.Error(t, err)
}
