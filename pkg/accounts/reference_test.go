package accounts_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/source"
)

// What is printed can be typed back.
func TestReferenceText(t *testing.T) {
	t.Parallel()
	for text, r := range map[string]source.Reference{
		"stripe:customer:cus_1":                             {Source: "stripe", Kind: "customer", ID: "cus_1"},
		"hubspot/62515:contact:901":                         {Source: "hubspot", Tenant: "62515", Kind: "contact", ID: "901"},
		"hubspot/a%2Fb%3Ac%25%20d:contact:":                 {Source: "hubspot", Tenant: "a/b:c% d", Kind: "contact", ID: ""},
		"hubspot:contact:a:b/c":                             {Source: "hubspot", Kind: "contact", ID: "a:b/c"},
		"email:kim@acme.example":                            {Source: "email", Kind: "email", ID: "kim@acme.example"},
		"hubspot:email:kim@acme.example":                    {Source: "hubspot", Kind: "email", ID: "kim@acme.example"},
		"domain:acme.example":                               {Source: "domain", Kind: "domain", ID: "acme.example"},
		"account_uuid:7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01": {Kind: "account_uuid", ID: "7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01"},
	} {
		require.Equal(t, text, r.String())
		if r.ID != "" {
			back, err := accounts.ParseReference(text, kinds)
			require.NoError(t, err)
			require.Equal(t, r, back)
		}
	}
	// The form of Key is understood too.
	for _, text := range []string{"email:email:kim@acme.example", "domain:domain:acme.example"} {
		r, err := accounts.ParseReference(text, kinds)
		require.NoError(t, err)
		require.Equal(t, text, r.Key())
	}
}

func FuzzReferenceText(f *testing.F) {
	f.Add("hubspot", "a/b:c%", "contact", "901")
	f.Add("stripe", "", "customer", "contact:x:y")
	f.Add("email", "", "email", "Kim@Acme.example")
	f.Add("domain", "x", "domain", "https://www.acme.example/x")
	f.Add("twins", "\u00a0", "left", " x ")
	f.Add("hubspot", "%20", "account_uuid", "7F1C1D0E-55B1-4A0E-9D4F-1F3B5A5F0A01")
	f.Fuzz(func(t *testing.T, name, tenant, kind, id string) {
		known := name == "email" || name == "domain"
		for _, k := range kinds(name) {
			known = known || k.Name == kind
		}
		if !known && kind != "account_uuid" || (name == "email" || name == "domain") && (kind != name || tenant != "") || kinds(name) == nil && name != "email" && name != "domain" {
			return
		}
		ref, err := accounts.Normalize(source.Reference{Source: name, Tenant: tenant, Kind: kind, ID: id})
		if err != nil {
			return
		}
		back, err := accounts.ParseReference(ref.String(), kinds)
		require.NoError(t, err, ref.String())
		require.Equal(t, ref, back, ref.String())
		require.Contains(t, source.ParseKey(ref.Key()), ref, "an origin finds its reference")
	})
}

// An id that a vendor writes in two forms is linked in the one that references have.
func TestIDsOfTwoForms(t *testing.T) {
	t.Parallel()
	forms := func(string) []source.Kind {
		return []source.Kind{{Name: "account", Prefix: "001", Form: upper{}}, {Name: "case", Prefix: "500", Form: upper{}}}
	}
	for text, want := range map[string]string{
		"salesforce:001AB": "salesforce:account:001AB", "salesforce:001ab": "salesforce:account:001AB", "salesforce:case:500ab": "salesforce:case:500AB",
		"salesforce/00d:account: 001ab ": "salesforce/00d:account:001AB",
	} {
		ref, err := accounts.ParseReference(text, forms)
		require.NoError(t, err, text)
		require.Equal(t, want, ref.String())
	}
	_, err := accounts.ParseReference("salesforce:account:none of it", forms)
	require.ErrorContains(t, err, "none of the ids that salesforce gives to its kind account")
}

// upper knows ids of five characters, in upper case.
type upper struct{}

func (upper) One(text string) (string, bool) { return strings.ToUpper(text), len(text) == 5 }
