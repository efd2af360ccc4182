package resolve_test

import (
	"maps"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// deny records that the references do not stand for the accounts.
func deny(t *testing.T, pool *pgxpool.Pool, denials map[string]uuid.UUID) {
	t.Helper()
	var decision int64
	err := pool.QueryRow(t.Context(), `INSERT INTO link_decisions (verb, learned, author) VALUES ('not_this_account', 'operator', 'test') RETURNING id`).Scan(&decision)
	require.NoError(t, err)
	for key, id := range denials {
		r := ref(key)
		_, err := pool.Exec(t.Context(), `INSERT INTO account_link_denials (source, tenant, kind, external_id, account_id, decision_id)
			VALUES ($1, $2, $3, $4, $5, $6)`, r.Source, r.Tenant, r.Kind, r.ID, id, decision)
		require.NoError(t, err)
	}
}

// No rule leads a reference to an account that it was decided not to stand for.
func TestDenials(t *testing.T) {
	t.Parallel()
	with := maps.Clone(links)
	maps.Copy(with, map[string]uuid.UUID{"email:email:lee@other.example": idC, "domain:domain:other.example": idC, "zendesk/acme:queue:7": idB})
	pool := newDatabase(t, with)
	deny(t, pool, map[string]uuid.UUID{
		"zendesk/acme:ticket:7":                idB, // the exact tenant's link
		"stripe:customer:cus_1":                idA,
		"hubspot:company:55":                   idA, // a kind without any link
		"email:email:kim@far.example":          idC,
		"stripe:account_uuid:" + idC.String():  idC,
		"email:email:kim@b.example":            idB,
		"domain:domain:c.example":              idC,
		"hubspot:email:sam@a.example":          idA,
		"intercom:email:other@twin.example":    idTwin1,
		"stripe:invoice:in_1":                  idC, // denies nothing that is there
		"domain:domain:other.example":          idC,
		"zendesk:queue:7":                      idB,
		"zendesk:email:kim@unrelated.example":  idA,
		"hubspot:account_uuid:" + idD.String(): idA,
	})
	for _, c := range []struct {
		name    string
		refs    []source.Reference
		account uuid.UUID
		why     string
	}{
		{"Link", refs("stripe:customer:cus_1"), uuid.Nil, "it was decided that stripe:customer:cus_1 is not account " + idA.String()},
		{"AnotherTenantsDenialLeavesTheLinkForAny", refs("zendesk/globex:ticket:7"), idA, ""},
		{"TheLinkForAnyTenantRemains", refs("zendesk/acme:ticket:7"), idA, ""},
		{"DenialForAnyTenant", refs("stripe/acct_1:customer:cus_1"), uuid.Nil, "no link or account"},
		{"SharedEmail", refs("intercom:email:kim@far.example"), uuid.Nil, "email:kim@far.example is not account"},
		{"UUID", refs("stripe:account_uuid:" + idC.String()), uuid.Nil, "is not account " + idC.String()},
		{"UUIDOfAnotherSource", refs("looker:account_uuid:" + idC.String()), idC, ""},
		{"EmailDomain", refs("stripe:email:kim@b.example"), uuid.Nil, "email:kim@b.example is not account"},
		{"AnotherAddressOfTheDomain", refs("stripe:email:lee@b.example"), idB, ""},
		{"Domain", refs("stripe:email:kim@c.example"), uuid.Nil, "no link or account"},
		{"OfOneSource", refs("hubspot:email:sam@a.example"), uuid.Nil, "hubspot:email:sam@a.example is not account"},
		{"NotOfAnother", refs("zendesk:email:sam@a.example"), idA, ""},
		{"ADomainsDenialLeavesTheLinkOfAnAddress", refs("zendesk:email:lee@other.example"), idC, ""},
		{"AnotherAddressOfThatDomain", refs("zendesk:email:max@other.example"), uuid.Nil, "no link or account"},
		{"EveryTenantsDenialLeavesATenantsLink", refs("zendesk/acme:queue:7"), idB, ""},
		{"AnotherReferenceMay", refs("stripe:customer:cus_1", "zendesk:ticket:7"), idA, ""},
		{"DeniedForAnother", refs("stripe:invoice:in_1"), idB, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := resolve.Default(pool).Resolve(t.Context(), [][]source.Reference{c.refs})
			require.NoError(t, err)
			require.Equal(t, c.account, got[0].AccountID)
			require.Equal(t, c.account != uuid.Nil, got[0].Found)
			require.Contains(t, got[0].Why, c.why)
		})
	}
}

// An account that was merged into another stands for that one, by its id and by its domain.
func TestMergedAccounts(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t, nil)
	_, err := pool.Exec(t.Context(), "UPDATE accounts SET merged_into = $1 WHERE id = $2", idB, idA)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), "UPDATE accounts SET merged_into = $1 WHERE id = $2", idTwin2, idTwin1)
	require.NoError(t, err)
	got, err := resolve.Default(pool).Resolve(t.Context(), [][]source.Reference{
		refs("stripe:account_uuid:" + idA.String()), refs("stripe:email:kim@a.example"), refs("hubspot:domain:twin.example"),
	})
	require.NoError(t, err)
	for i, want := range []uuid.UUID{idB, idB, idTwin2} {
		require.True(t, got[i].Found, got[i].Why)
		require.Equal(t, want, got[i].AccountID)
	}
}
