package accounts_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/source"
)

// What somebody has in hand finds the account: an address, an id, a name with signs in it.
func TestSearchFinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	add := func(name, domain string, refs ...source.Reference) {
		made, err := w.store.AddAccount(t.Context(), accounts.Account{Name: name, Domain: domain}, "ada")
		require.NoError(t, err)
		for _, r := range refs {
			_, err := w.store.AddLink(t.Context(), accounts.Link{Reference: r, AccountID: made.ID, CreatedBy: "ada"})
			require.NoError(t, err)
		}
	}
	add("Anvil Works", "anvil.example", source.Reference{Source: "stripe", Kind: "customer", ID: "cus_50%_Off"})
	add("Bolt & Sons", "", source.Reference{Source: "email", Kind: "email", ID: "bo@gmail.com"})
	add("100% Cotton_Club", "")
	add("Booking.com", "")
	add("Kim kim@other.example", "")
	add("C", "cottonxclub.example")
	for text, want := range map[string][]string{
		"Lee@Anvil.Example":    {"Anvil Works"}, // of the domain
		"BO@gmail.com":         {"Bolt & Sons"},
		"email:bo@gmail.com":   {"Bolt & Sons"},
		"someone@gmail.com":    {},
		"kim@other.example":    {"Kim kim@other.example"},
		"kim@other":            {"Kim kim@other.example"},
		"booking.com":          {"Booking.com"},
		"booking.c":            {"Booking.com"},
		"cus_50%_Off":          {"Anvil Works"},
		"stripe:cus_50%_Off":   {"Anvil Works"},
		"cus_50%":              {},
		"%":                    {"100% Cotton_Club"},
		"_":                    {"100% Cotton_Club"},
		"100%":                 {"100% Cotton_Club"},
		"cotton_club":          {"100% Cotton_Club"},
		"0% C":                 {"100% Cotton_Club"},
		"& S":                  {"Bolt & Sons"},
		`\`:                    {},
		"cotton%":              {"100% Cotton_Club"},
		"cotton_club.example":  {},
		"cottonxclub":          {"C"},
		"' & | ! ( ) : * <->":  {},
		"'100':* & 'cotton':*": {"100% Cotton_Club"},
	} {
		found, err := w.store.Search(t.Context(), accounts.SearchFilter{Text: text})
		require.NoError(t, err, text)
		names := []string{}
		for _, f := range found {
			names = append(names, f.Name)
		}
		require.Equal(t, want, names, text)
	}
}

// A word that is in the names of very many: page by page they come in order, each once, and with them what is found by
// something else or was merged away under such a name.
func TestSearchForACommonWord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	last := w.account("Zulu", "common.example")
	gone := w.account("Common gone", "")
	_, err := w.pool.Exec(t.Context(), `INSERT INTO accounts (id, name, owner) SELECT gen_random_uuid(), 'Common ' || lpad(n::text, 4, '0'), CASE WHEN n % 500 = 0 THEN 'ada' ELSE '' END FROM generate_series(1, 1100) n`)
	require.NoError(t, err)
	_, err = w.pool.Exec(t.Context(), "UPDATE accounts SET merged_into = $1 WHERE id = $2", last, gone)
	require.NoError(t, err)
	var names, owned []string
	for f := (accounts.SearchFilter{Text: "common", Limit: 300}); ; {
		found, err := w.store.Search(t.Context(), f)
		require.NoError(t, err)
		for i := range found {
			names, f.After = append(names, found[i].Name), &found[i].Place
		}
		if len(found) < f.Limit {
			break
		}
	}
	require.Len(t, names, 1101)
	require.IsIncreasing(t, names)
	require.Equal(t, "Zulu", names[1100])
	found, err := w.store.Search(t.Context(), accounts.SearchFilter{Text: "common", Owner: "ada"})
	require.NoError(t, err)
	for _, f := range found {
		owned = append(owned, f.Name)
	}
	require.Equal(t, []string{"Common 0500", "Common 1000"}, owned)
}
