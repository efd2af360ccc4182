package accounts_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/fault"
)

// Imported links are a person's decisions: the ledger has them, they lift denials, and history follows them.
func TestImportIsALedgerOfDecisions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.account("A", "a.example")
	w.link("hubspot:contact:901", a)
	w.stored(4, a, "zendesk:email:kim@a.example")
	w.stored(3, a, "hubspot/1:contact:901")
	w.stored(2, a, "hubspot/2:contact:901")
	w.stored(1, a, "zendesk:email:lee@a.example")
	b := w.account("B", "")
	w.decide(accounts.Decision{Verb: deny, Reference: ref("stripe:customer:cus_1"), From: b})

	file := "id,name,stripe,email,hubspot/1:contact\n" + b.String() + ",B,cus_1,kim@a.example,901\n"
	result, err := w.store.Import(t.Context(), strings.NewReader(file), accounts.ImportOptions{By: "bob"})
	require.NoError(t, err)
	require.Equal(t, 3, result.LinksAdded)
	require.Len(t, result.MoveIDs, 2)
	require.Equal(t, b, w.leads("stripe:customer:cus_1"))
	entries, err := w.store.Entries(t.Context(), accounts.EntryFilter{AccountID: b})
	require.NoError(t, err)
	require.Len(t, entries, 4)
	for _, e := range entries[:3] {
		require.Equal(t, link, e.Verb)
		require.Equal(t, accounts.LearnedImport, e.Learned)
		require.Equal(t, "bob", e.Author)
		require.Equal(t, accounts.LevelDecided, e.Level)
	}
	require.NotZero(t, entries[3].UndoneBy)

	moves, err := w.store.Moves(t.Context(), accounts.MoveFilter{Pending: true})
	require.NoError(t, err)
	require.EqualValues(t, 7, moves[1].Events+moves[2].Events)
	w.run()
	w.whole()
	require.Equal(t, 7, w.on(b))
	require.Equal(t, 3, w.on(a))
}

func TestImportAsksForWhatIsMeant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.account("A", "a.example"), w.account("B", "")
	w.decide(accounts.Decision{Verb: merge, From: b, To: a})
	for _, c := range []struct {
		name, file, problem string
		o                   accounts.ImportOptions
	}{
		{"Semicolons", "name;stripe\nA;cus_1\n", "line 1: the fields are separated by semicolons", accounts.ImportOptions{}},
		{"Latin1", "name\nM\xfcller\n", "line 2: is not UTF-8", accounts.ImportOptions{}},
		{"NoTenant", "name,hubspot:contact\nX,901\n", `column "hubspot:contact": an id of hubspot is unique within one tenant only; name the tenant (hubspot/TENANT:contact)`, accounts.ImportOptions{}},
		{"NoTenantNoKind", "name,hubspot\nX,901\n", "name the tenant (hubspot/TENANT)", accounts.ImportOptions{}},
		{"EveryTenant", "name,hubspot:contact\nX,901\n", "", accounts.ImportOptions{EveryTenant: true}},
		{"Tenant", "name,hubspot/1:contact\nY,901\n", "", accounts.ImportOptions{}},
		{"SameDomain", "name,domain\nZ,a.example\n", "line 2: account A (" + a.String() + ") has the domain a.example already", accounts.ImportOptions{}},
		{"UTF16", "\xff\xfen\x00a\x00m\x00e\x00\n", "line 1: is not UTF-8", accounts.ImportOptions{}},
		{"DomainTwice", "name,domain\nZ1,zz.example\nZ2,zz.example\n", "line 3: the account on line 2 has the domain zz.example already", accounts.ImportOptions{}},
		{"DomainTwiceAnyway", "name,domain\nY1,yy.example\nY2,yy.example\n", "", accounts.ImportOptions{Anyway: true}},
		{"SameDomainAnyway", "name,domain\nZ,a.example\n", "", accounts.ImportOptions{Anyway: true}},
		{"Merged", "id,name\n" + b.String() + ",B\n", "line 2: account " + b.String() + " was merged into " + a.String(), accounts.ImportOptions{}},
		{"NamesakeOfAMergedOne", "name\nB\n", "", accounts.ImportOptions{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.By = "ada"
			_, err := w.store.Import(t.Context(), strings.NewReader(c.file), c.o)
			if c.problem == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.problem)
			require.True(t, fault.IsPermanent(err))
		})
	}
}

func TestNamesThatLookAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.account("Caf\u00e9 Robotics", "")
	similar, err := w.store.Similar(t.Context(), accounts.Account{Name: "Cafe\u0301  Robotics"})
	require.NoError(t, err)
	require.Len(t, similar, 1)
	_, err = w.store.Similar(t.Context(), accounts.Account{Name: "\u200b\u2060"})
	require.ErrorContains(t, err, "has no name", "nobody sees it")
}

func TestAccountsThatLookAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.account("Acme", "acme.example"), w.account("Beta", "")
	for _, c := range []struct {
		name string
		like accounts.Account
		want int
	}{
		{"Name", accounts.Account{Name: "ACME"}, 1},
		{"Domain", accounts.Account{Name: "Acme Labs", Domain: "https://www.acme.example/"}, 1},
		{"Neither", accounts.Account{Name: "Acme Labs"}, 0},
		{"Itself", accounts.Account{ID: a, Name: "Acme", Domain: "acme.example"}, 0},
		{"WideLettersAndSpaces", accounts.Account{Name: "ＡＣＭＥ"}, 1},
		{"NoDomainIsNotADomain", accounts.Account{Name: "Gamma"}, 0},
	} {
		similar, err := w.store.Similar(t.Context(), c.like)
		require.NoError(t, err, c.name)
		require.Len(t, similar, c.want, c.name)
	}
	renamed, err := w.store.Rename(t.Context(), b, " Beta AG ", "ada", "its new owner")
	require.NoError(t, err)
	require.Equal(t, "Beta AG", renamed.Name)
	require.True(t, renamed.UpdatedAt.After(renamed.CreatedAt))
	entries, err := w.store.Entries(t.Context(), accounts.EntryFilter{AccountID: b})
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, []any{accounts.VerbRename, "ada", "its new owner"}, []any{entries[0].Verb, entries[0].Author, entries[0].Reason})
	require.JSONEq(t, `{"was": "Beta", "name": "Beta AG"}`, string(entries[0].Evidence))
	_, err = w.store.Rename(t.Context(), b, "Beta", "", "")
	require.Equal(t, fault.Malformed, fault.ReasonOf(err), "somebody makes it")
	_, err = w.store.Rename(t.Context(), b, "", "ada", "")
	require.Equal(t, fault.Malformed, fault.ReasonOf(err))

	// What a merged account was called leads to what it is now.
	w.decide(accounts.Decision{Verb: merge, From: a, To: b})
	for _, text := range []string{a.String(), "Acme", "acme.example", "beta ag"} {
		found, err := w.store.FindAccount(t.Context(), text)
		require.NoError(t, err, text)
		require.Equal(t, b, found.ID, text)
	}
	_, err = w.store.Rename(t.Context(), a, "Acme again", "ada", "")
	require.Equal(t, fault.NotFound, fault.ReasonOf(err))
	list, err := w.store.Accounts(t.Context(), accounts.AccountFilter{})
	require.NoError(t, err)
	require.Len(t, list, 1)
}
