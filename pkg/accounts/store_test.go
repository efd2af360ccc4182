package accounts_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// kinds of two vendors, as their profiles have them.
func kinds(name string) []source.Kind {
	return map[string][]source.Kind{
		"stripe":  {{Name: "customer", Prefix: "cus_"}, {Name: "charge", Prefix: "ch_"}, {Name: "card", Prefix: "c"}},
		"hubspot": {{Name: "contact", Scoped: true}, {Name: "company", Scoped: true}, {Name: "deal", Scoped: true}},
		"twins":   {{Name: "left", Prefix: "x_"}, {Name: "right", Prefix: "x_"}},
	}[name]
}

func newStore(t *testing.T) (*accounts.Store, *pgxpool.Pool) {
	t.Helper()
	pool := postgrestest.New(t)
	return accounts.NewStore(pool, kinds), pool
}

func add(t *testing.T, s *accounts.Store, name, domain string) accounts.Account {
	t.Helper()
	a, err := s.AddAccount(t.Context(), accounts.Account{Name: name, Domain: domain}, "ada")
	require.NoError(t, err)
	return a
}

func TestParseReference(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, key, problem string }{
		{"stripe:cus_1", "stripe:customer:cus_1", ""},
		{" Stripe:ch_1 ", "stripe:charge:ch_1", ""},
		{"stripe:card_1", "stripe:card:card_1", ""},
		{"stripe:customer:cus_1", "stripe:customer:cus_1", ""},
		{"stripe:customer:odd", "stripe:customer:odd", ""},
		{"hubspot:901", "hubspot:contact:901", ""},
		{"hubspot/62515:contact:901", "hubspot/62515:contact:901", ""},
		{"hubspot/62515:901", "hubspot/62515:contact:901", ""},
		{"hubspot:a:b", "", "hubspot has no kind \"a\": its kinds are contact, company, deal"},
		{"hubspot:contact:a:b", "hubspot:contact:a:b", ""},
		{"hubspot:7:b", "hubspot:contact:7:b", ""},
		{"email:Kim@Acme.example", "email:email:kim@acme.example", ""},
		{"hubspot:kim@acme.example", "hubspot:email:kim@acme.example", ""},
		{"hubspot/1:email:kim@acme.example", "hubspot:email:kim@acme.example", ""},
		{"domain:WWW.Acme.example", "domain:domain:acme.example", ""},
		{"hubspot:domain:https://acme.example/x", "hubspot:domain:acme.example", ""},
		{"looker:1", "", "\"looker\" is not a source"},
		{"stripe:odd", "", "the kind of \"odd\" does not show: write stripe:KIND:odd"},
		{"stripe:custmer:cus_1", "", "stripe has no kind \"custmer\""},
		{"twins:x_1", "", "may be of kind left or right"},
		{"stripe", "", "is not like stripe:cus_1"},
		{"stripe:", "", "is not like stripe:cus_1"},
		{"email:kim", "", "cannot be linked"},
		{"domain:acme", "", "not a domain"},
		{"hubspot:0", "", "cannot be linked"},
		{"hubspot:contact:a\x00b", "", "cannot be linked"},
		{"email/1:kim@acme.example", "", "without more"},
	} {
		t.Run(c.text, func(t *testing.T) {
			t.Parallel()
			got, err := accounts.ParseReference(c.text, kinds)
			if c.problem != "" {
				require.ErrorContains(t, err, c.problem)
				require.True(t, fault.IsPermanent(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.key, got.Key())
		})
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	acme := add(t, s, " Acme ", "HTTPS://www.Acme.Example/")
	require.Equal(t, "Acme", acme.Name)
	require.Equal(t, "acme.example", acme.Domain)
	require.Equal(t, "ada", acme.CreatedBy)
	require.EqualValues(t, 7, acme.ID.Version())
	twin := add(t, s, "Globex", "twin.example")
	add(t, s, "GLOBEX", "twin.example")
	odd := add(t, s, "Odd.example", "")

	t.Run("Find", func(t *testing.T) {
		for text, want := range map[string]uuid.UUID{
			acme.ID.String(): acme.ID, "acme.example": acme.ID, "www.ACME.example": acme.ID, "acme": acme.ID, "odd.example": odd.ID,
		} {
			got, err := s.FindAccount(t.Context(), text)
			require.NoError(t, err, text)
			require.Equal(t, want, got.ID)
		}
		for text, want := range map[string]string{
			"nobody": `no account has the id, domain or name "nobody"`, uuid.NewString(): "no account has", "": "name an account",
			"twin.example": "more than one account is meant", "Globex": twin.ID.String() + " (Globex)", "a\x00": "name an account",
		} {
			_, err := s.FindAccount(t.Context(), text)
			require.ErrorContains(t, err, want, text)
			require.True(t, fault.IsPermanent(err))
		}
	})
	t.Run("AddAgain", func(t *testing.T) {
		again, err := s.AddAccount(t.Context(), accounts.Account{ID: acme.ID, Name: "Acme", Domain: "acme.example"}, "bob")
		require.NoError(t, err)
		require.Equal(t, acme, again, "it stays as it was made")
		_, err = s.AddAccount(t.Context(), accounts.Account{ID: acme.ID, Name: "Other"}, "bob")
		require.ErrorContains(t, err, "exists already, with another name or domain")
	})
	t.Run("Refused", func(t *testing.T) {
		for _, a := range []accounts.Account{{}, {Name: "a\x00b"}, {Name: "a", Domain: "b"}, {Name: strings.Repeat("a", 501)}} {
			_, err := s.AddAccount(t.Context(), a, "ada")
			require.True(t, fault.IsPermanent(err), "%v", err)
		}
	})
	t.Run("List", func(t *testing.T) {
		all, err := s.Accounts(t.Context(), accounts.AccountFilter{})
		require.NoError(t, err)
		require.Len(t, all, 4)
		some, err := s.Accounts(t.Context(), accounts.AccountFilter{Text: "ACME"})
		require.NoError(t, err)
		require.Equal(t, acme, some[0])
		require.Len(t, some, 1)
	})
}

func TestLinks(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	acme, globex := add(t, s, "Acme", ""), add(t, s, "Globex", "")
	link := accounts.Link{Reference: ref("stripe:customer:cus_1"), AccountID: acme.ID, CreatedBy: "ada", Evidence: []byte(`{"ticket": 7}`)}

	added, err := s.AddLink(t.Context(), link)
	require.NoError(t, err)
	require.True(t, added)
	added, err = s.AddLink(t.Context(), link)
	require.NoError(t, err)
	require.False(t, added)

	link.AccountID = globex.ID
	_, err = s.AddLink(t.Context(), link)
	require.EqualError(t, err, "stripe:customer:cus_1 is linked to another account already: Acme ("+acme.ID.String()+")")
	require.True(t, fault.IsPermanent(err))

	link.Reference.Tenant = "acct_9"
	added, err = s.AddLink(t.Context(), link)
	require.NoError(t, err)
	require.True(t, added, "another tenant is another reference")

	link.AccountID = uuid.New()
	_, err = s.AddLink(t.Context(), link)
	require.ErrorContains(t, err, "no account has the id")
	_, err = s.AddLink(t.Context(), accounts.Link{Reference: ref("email:email:nobody"), AccountID: acme.ID, CreatedBy: "ada"})
	require.ErrorContains(t, err, "cannot be linked")
	_, err = s.AddLink(t.Context(), accounts.Link{Reference: ref("stripe:customer:cus_2"), AccountID: acme.ID, CreatedBy: "ada", Evidence: []byte("x")})
	require.ErrorContains(t, err, "not a JSON object")

	list, err := s.Links(t.Context(), accounts.LinkFilter{AccountID: acme.ID})
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, "stripe:customer:cus_1", list[0].Key())
	require.Equal(t, "Acme", list[0].AccountName)
	require.Equal(t, accounts.LearnedOperator, list[0].Learned)
	require.JSONEq(t, `{"ticket": 7}`, string(list[0].Evidence))
	require.Equal(t, "ada", list[0].CreatedBy)
	list, err = s.Links(t.Context(), accounts.LinkFilter{Source: "stripe", Kind: "customer", ID: "cus_1"})
	require.NoError(t, err)
	require.Len(t, list, 2)
}

const goodFile = "\xef\xbb\xbfid,name,domain,stripe,hubspot/62515:contact,email\n" +
	"0193a2b4-0000-7000-8000-000000000001,Acme,acme.example,cus_1; ch_9,901;902,kim@far.example\n" +
	",\"Globex, Inc.\",,cus_2;cus_2,,\n" +
	"\n" +
	",Initech,initech.example,customer:odd,,\n"

func TestImport(t *testing.T) {
	t.Parallel()
	t.Run("AgainChangesNothing", func(t *testing.T) {
		t.Parallel()
		s, pool := newStore(t)
		var told [][2]int
		first, err := s.Import(t.Context(), strings.NewReader(goodFile), accounts.ImportOptions{By: "ada", Progress: func(done, total int) { told = append(told, [2]int{done, total}) }})
		require.NoError(t, err)
		require.Equal(t, accounts.ImportResult{Lines: 3, AccountsAdded: 3, LinksAdded: 7}, first)
		require.Equal(t, [][2]int{{10, 10}}, told)
		out, err := resolve.Default(pool).Resolve(t.Context(), [][]source.Reference{refs("stripe:charge:ch_9"), refs("hubspot/62515:contact:902"), refs("stripe:customer:odd"), refs("zendesk:email:kim@far.example")})
		require.NoError(t, err)
		for _, r := range out {
			require.True(t, r.Found, r.Why)
		}

		again, err := s.Import(t.Context(), strings.NewReader(goodFile), accounts.ImportOptions{By: "ada"})
		require.NoError(t, err)
		require.Equal(t, accounts.ImportResult{Lines: 3, LinksPresent: 7}, again)
	})
	t.Run("ALineWithAnIDChangesItsAccount", func(t *testing.T) {
		t.Parallel()
		s, _ := newStore(t)
		acme := add(t, s, "Acme", "acme.example")
		result, err := s.Import(t.Context(), strings.NewReader("name,id,domain\nAcme Corp,"+acme.ID.String()+",\n"), accounts.ImportOptions{By: "ada"})
		require.NoError(t, err)
		require.Equal(t, accounts.ImportResult{Lines: 1, AccountsChanged: 1}, result)
		got, err := s.FindAccount(t.Context(), "acme.example")
		require.NoError(t, err)
		require.Equal(t, "Acme Corp", got.Name)
	})
	t.Run("Large", func(t *testing.T) {
		t.Parallel()
		s, _ := newStore(t)
		var file strings.Builder
		file.WriteString("name,stripe\n")
		for i := range 20_000 {
			fmt.Fprintf(&file, "Account %d,cus_%d\n", i, i)
		}
		result, err := s.Import(t.Context(), strings.NewReader(file.String()), accounts.ImportOptions{By: "ada"})
		require.NoError(t, err)
		require.Equal(t, accounts.ImportResult{Lines: 20_000, AccountsAdded: 20_000, LinksAdded: 20_000}, result)
	})
}

func TestImportRefusesTheWholeFile(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	acme := add(t, s, "Acme", "acme.example")
	add(t, s, "Twin", "")
	add(t, s, "Twin", "")
	_, err := s.AddLink(t.Context(), accounts.Link{Reference: ref("stripe:customer:cus_1"), AccountID: acme.ID, CreatedBy: "ada"})
	require.NoError(t, err)
	for _, c := range []struct {
		name, file string
		want       []string
	}{
		{"Empty", "", []string{"line 1: the file is empty"}},
		{"Header", "name,Name,nope,stripe:nope\nx,y,z,0", []string{`line 1: column "Name" is there twice`, `line 1: column "nope" is neither`, `line 1: column "stripe:nope" is neither`}},
		{"NoName", "id\n", []string{"line 1: there is no column name"}},
		{"NotCSV", "name\n\"a\nb", []string{"line 3: "}},
		{"Lines", "id,name,domain,stripe\nx,,nodot,odd\n1,2\n,Good,,cus_9\n,Good,,cus_9\n,Other,,cus_9\n", []string{
			`line 2: id "x" is not a UUID`, "line 2: the account has no name", `line 2: the kind of "odd"`, "line 3: has 2 fields, the header has 4",
			`line 5: the account "Good" is on line 4 already`, "line 5: stripe:customer:cus_9 belongs to the account on line 4 already", "line 6: stripe:customer:cus_9 belongs"}},
		{"SameID", "id,name\n" + acme.ID.String() + ",A\n" + acme.ID.String() + ",B\n", []string{"line 3: id " + acme.ID.String() + " is on line 2 already"}},
		{"Database", "id,name,domain,stripe\n,Twin,,\n,New,,cus_1\n" + acme.ID.String() + ",Acme,acme.example,cus_1\n", []string{
			"line 4: stripe:customer:cus_1 belongs to the account on line 3"}},
		{"TakenLink", "name,stripe\nTwin,\nNew,cus_1\n", []string{`line 2: several accounts have the name "Twin"`, "line 3: stripe:customer:cus_1 is linked to another account already: Acme (" + acme.ID.String() + ")"}},
		{"SameAccountTwice", "id,name,domain\n,Acme,acme.example\n" + acme.ID.String() + ",Acme,acme.example\n", []string{"line 3: the lines mean the same account"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.Import(t.Context(), strings.NewReader(c.file), accounts.ImportOptions{By: "ada"})
			var problems *accounts.ImportError
			require.ErrorAs(t, err, &problems)
			require.True(t, fault.IsPermanent(err))
			for _, want := range c.want {
				require.ErrorContains(t, err, want)
			}
			require.GreaterOrEqual(t, len(problems.Problems), len(c.want))
			all, err := s.Accounts(t.Context(), accounts.AccountFilter{})
			require.NoError(t, err)
			require.Len(t, all, 3, "nothing was written")
		})
	}
}

func ref(text string) source.Reference {
	head, rest, _ := strings.Cut(text, ":")
	src, tenant, _ := strings.Cut(head, "/")
	kind, id, _ := strings.Cut(rest, ":")
	return source.Reference{Source: src, Tenant: tenant, Kind: kind, ID: id}
}

func refs(texts ...string) []source.Reference {
	out := make([]source.Reference, len(texts))
	for i, text := range texts {
		out[i] = ref(text)
	}
	return out
}
