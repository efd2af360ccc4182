package accounts_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/source"
)

// TestOneDomainInEveryForm: an account's domain, a link and an event's address meet, whichever of them is in Unicode,
// decomposed or in ASCII.
func TestOneDomainInEveryForm(t *testing.T) {
	t.Parallel()
	forms := []string{"bücher.example", "BÜCHER.example", norm.NFD.String("bücher.example"), "xn--bcher-kva.example", "https://www.Bücher.example./"}
	for _, form := range forms {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			id := w.account("A", form)
			other := w.account("B", "")
			domain, err := accounts.ParseReference("domain:"+form, kinds)
			require.NoError(t, err)
			require.Equal(t, "xn--bcher-kva.example", domain.ID)
			for _, text := range forms[:4] {
				refs := source.References{Source: "stripe"}
				refs.Add(source.KindEmail, "Kim@"+text)
				found, err := w.resolver.Resolve(t.Context(), [][]source.Reference{refs.List()})
				require.NoError(t, err)
				require.True(t, found[0].Found, text)
				require.Equal(t, id, found[0].AccountID)
			}
			address, err := accounts.ParseReference("email:kim@"+forms[2], kinds)
			require.NoError(t, err)
			w.decide(accounts.Decision{Verb: link, Reference: address, To: other})
			refs := source.References{Source: "stripe"}
			refs.Add(source.KindEmail, "kim@"+forms[3])
			found, err := w.resolver.Resolve(t.Context(), [][]source.Reference{refs.List()})
			require.NoError(t, err)
			require.Equal(t, other, found[0].AccountID, "a link of the address comes before the domain")
		})
	}
}
