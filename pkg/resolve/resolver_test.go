package resolve_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// accounts of every test: A to D, each with the domain of its name, and two that share one.
var (
	idA, idB, idC, idD = account(1), account(2), account(3), account(4)
	idTwin1, idTwin2   = account(5), account(6)
)

func account(n byte) uuid.UUID { return uuid.UUID{15: n, 6: 0x40, 8: 0x80} }

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

// newDatabase has the accounts above and the given links (reference → account).
func newDatabase(t *testing.T, links map[string]uuid.UUID) *pgxpool.Pool {
	t.Helper()
	pool := postgrestest.New(t)
	for id, a := range map[uuid.UUID]string{idA: "a.example", idB: "B.Example", idC: "c.example", idD: "gmail.com", idTwin1: "twin.example", idTwin2: "twin.example"} {
		_, err := pool.Exec(t.Context(), "INSERT INTO accounts (id, name, domain) VALUES ($1, $2, $3)", id, "Account of "+a, a)
		require.NoError(t, err)
	}
	for key, id := range links {
		r := ref(key)
		_, err := pool.Exec(t.Context(), `INSERT INTO account_links (source, tenant, kind, external_id, account_id, learned, created_by)
			VALUES ($1, $2, $3, $4, $5, 'operator', 'test')`, r.Source, r.Tenant, r.Kind, r.ID, id)
		require.NoError(t, err)
	}
	return pool
}

var links = map[string]uuid.UUID{
	"stripe:customer:cus_1":       idA,
	"stripe:invoice:in_1":         idB,
	"zendesk:ticket:7":            idA,
	"zendesk/acme:ticket:7":       idB,
	"email:email:kim@far.example": idC,
	"hubspot:email:lee@x.example": idB,
	"email:email:lee@x.example":   idC,
	"domain:domain:other.example": idA,
	"domain:domain:gmail.com":     idC,
	"stripe:customer:é":           idC,
}

var cases = []struct {
	name    string
	refs    []source.Reference
	account uuid.UUID
	rule    string
	by      string // the reference that led there
	why     string
}{
	{name: "NoReference", why: "the event has no reference"},
	{name: "Link", refs: refs("stripe:customer:cus_1"), account: idA, rule: resolve.RuleLinks, by: "stripe:customer:cus_1"},
	{name: "FirstLinkedReferenceWins", refs: refs("stripe:charge:ch_1", "stripe:invoice:in_1", "stripe:customer:cus_1"), account: idB, rule: resolve.RuleLinks, by: "stripe:invoice:in_1"},
	{name: "LinkBeatsUUIDAndDomain", refs: refs("looker:account_uuid:"+idB.String(), "stripe:email:kim@a.example", "stripe:customer:cus_1"), account: idA, rule: resolve.RuleLinks, by: "stripe:customer:cus_1"},
	{name: "NoLink", refs: refs("stripe:customer:cus_9"), why: "no link or account for stripe:customer:cus_9"},
	{name: "OtherKind", refs: refs("stripe:charge:cus_1"), why: "no link or account for stripe:charge:cus_1"},
	{name: "ExactTenantBeatsAny", refs: refs("zendesk/acme:ticket:7"), account: idB, rule: resolve.RuleLinks, by: "zendesk/acme:ticket:7"},
	{name: "AnyTenantFitsOthers", refs: refs("zendesk/globex:ticket:7"), account: idA, rule: resolve.RuleLinks, by: "zendesk/globex:ticket:7"},
	{name: "UnknownTenantFitsAny", refs: refs("zendesk:ticket:7"), account: idA, rule: resolve.RuleLinks, by: "zendesk:ticket:7"},
	{name: "EmailLinkOfAllSources", refs: refs("intercom:email:kim@far.example"), account: idC, rule: resolve.RuleLinks, by: "intercom:email:kim@far.example"},
	{name: "OwnEmailLinkBeatsTheShared", refs: refs("hubspot:email:lee@x.example"), account: idB, rule: resolve.RuleLinks, by: "hubspot:email:lee@x.example"},
	{name: "UUID", refs: refs("stripe:account_uuid:" + idC.String()), account: idC, rule: resolve.RuleAccountUUID, by: "stripe:account_uuid:" + idC.String()},
	{name: "UUIDBeatsDomain", refs: refs("stripe:email:kim@a.example", "stripe:account_uuid:"+idC.String()), account: idC, rule: resolve.RuleAccountUUID, by: "stripe:account_uuid:" + idC.String()},
	{name: "UUIDOfNobody", refs: refs("stripe:account_uuid:" + account(99).String()), why: "there is no account " + account(99).String()},
	{name: "NotAUUID", refs: refs("stripe:account_uuid:x"), why: "no link or account"},
	{name: "EmailDomain", refs: refs("stripe:email:kim@b.example"), account: idB, rule: resolve.RuleEmail, by: "stripe:email:kim@b.example"},
	{name: "CompanyDomain", refs: refs("hubspot:domain:b.example"), account: idB, rule: resolve.RuleDomain, by: "hubspot:domain:b.example"},
	{name: "FirstOwnedDomainWins", refs: refs("hubspot:email:kim@nobody.example", "hubspot:domain:c.example", "hubspot:email:kim@a.example"), account: idC, rule: resolve.RuleDomain, by: "hubspot:domain:c.example"},
	{name: "SharedDomain", refs: refs("stripe:email:kim@twin.example"), why: "2 accounts share the domain twin.example; no link or account for stripe:email:kim@twin.example"},
	{name: "FreeMail", refs: refs("stripe:email:kim@gmail.com"), why: "gmail.com is a free-mail domain"},
	{name: "Subdomain", refs: refs("stripe:email:kim@mail.a.example"), why: "no link or account"},
	{name: "LinkedDomainOfACompany", refs: refs("hubspot:domain:other.example"), account: idA, rule: resolve.RuleLinks, by: "hubspot:domain:other.example"},
	{name: "LinkedDomainOfAnEmail", refs: refs("stripe:email:kim@other.example"), account: idA, rule: resolve.RuleEmail, by: "stripe:email:kim@other.example"},
	{name: "NULInAnID", refs: refs("stripe:customer:a\x00b", "stripe:customer:cus_1"), account: idA, rule: resolve.RuleLinks, by: "stripe:customer:cus_1"},
	{name: "BrokenUTF8InATenant", refs: []source.Reference{{Source: "stripe", Tenant: "\xff", Kind: "customer", ID: "cus_1"}}, why: "no link or account"},
	{name: "BeyondASCII", refs: refs("stripe:customer:é"), account: idC, rule: resolve.RuleLinks, by: "stripe:customer:é"},
	{name: "ManyReferences", refs: refs("stripe:a:1", "stripe:b:2", "stripe:c:3", "stripe:d:4", "stripe:e:5"), why: "no link or account for stripe:a:1, stripe:b:2, stripe:c:3 and 2 more"},
}

func TestResolve(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t, links)
	r := resolve.Default(pool)
	var batch [][]source.Reference
	for _, c := range cases {
		batch = append(batch, c.refs)
	}
	together, err := r.Resolve(t.Context(), batch)
	require.NoError(t, err)
	require.Len(t, together, len(cases))
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := together[i]
			require.Equal(t, c.rule != "", got.Found, got.Why)
			require.Equal(t, c.account, got.AccountID)
			require.Equal(t, c.rule, got.Rule)
			if got.Found {
				require.Equal(t, c.by, got.Reference.Key())
			}
			require.Contains(t, got.Why, c.why)
			alone, err := r.Resolve(t.Context(), [][]source.Reference{c.refs})
			require.NoError(t, err)
			require.Equal(t, []resolve.Resolution{got}, alone, "alone it is as in the batch")
		})
	}
}

func TestRulesOff(t *testing.T) {
	t.Parallel()
	pool := newDatabase(t, links)
	batch := [][]source.Reference{
		refs("stripe:customer:cus_1"), refs("stripe:account_uuid:" + idC.String()),
		refs("stripe:email:kim@b.example"), refs("hubspot:domain:b.example"),
	}
	for list, want := range map[string][]bool{
		"links":              {true, false, false, false},
		"links,account_uuid": {true, true, false, false},
		"links,email":        {true, false, true, false},
		"links,domain":       {true, false, false, true},
	} {
		r, err := resolve.New(pool, resolve.Config{RuleList: strings.Split(list, ",")})
		require.NoError(t, err)
		out, err := r.Resolve(t.Context(), batch)
		require.NoError(t, err)
		for i := range want {
			require.Equal(t, want[i], out[i].Found, "%s: event %d: %s", list, i, out[i].Why)
		}
	}
}

// counter counts the statements that reach Postgres.
type counter struct{ queries atomic.Int64 }

func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	c.queries.Add(1)
	return ctx
}
func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func TestOneQueryForABatch(t *testing.T) {
	t.Parallel()
	var count counter
	config, err := pgxpool.ParseConfig(postgrestest.URL(t))
	require.NoError(t, err)
	config.ConnConfig.Tracer = &count
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	defer pool.Close()
	fill(t, pool, 1000)
	r := resolve.Default(pool)
	count.queries.Store(0)

	out, err := r.Resolve(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, out)
	out, err = r.Resolve(t.Context(), make([][]source.Reference, 3))
	require.NoError(t, err)
	require.Len(t, out, 3)
	require.Zero(t, count.queries.Load(), "there was nothing to ask")

	out, err = r.Resolve(t.Context(), mixed(10_000, 1000))
	require.NoError(t, err)
	require.EqualValues(t, 1, count.queries.Load())
	for i, got := range out {
		require.True(t, got.Found, "event %d: %s", i, got.Why)
	}
}

func TestResolveErrorsAreTransient(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t)
	pool.Close()
	_, err := resolve.Default(pool).Resolve(t.Context(), [][]source.Reference{refs("stripe:customer:cus_1")})
	require.ErrorContains(t, err, "resolving a batch of 1 events")
	require.False(t, fault.IsPermanent(err))
	require.Equal(t, fault.Unavailable, fault.ReasonOf(err))
}

func TestKeys(t *testing.T) {
	t.Parallel()
	got := resolve.Keys(append(refs("hubspot/62515:contact:901", "hubspot:email:kim@a.example", "hubspot:domain:b.example",
		"hubspot:account_uuid:"+idA.String(), "hubspot/62515:contact:901"), source.Reference{Source: "stripe", Tenant: "\x00", Kind: "customer", ID: "1"}))
	require.Equal(t, []string{
		"hubspot/62515:contact:901", "hubspot:contact:901",
		"hubspot:email:kim@a.example", "email:email:kim@a.example", "domain:a.example", "domain:domain:a.example",
		"hubspot:domain:b.example", "domain:domain:b.example", "domain:b.example",
		"hubspot:account_uuid:" + idA.String(), "uuid:" + idA.String(),
		"stripe:customer:1",
	}, got)
	require.Empty(t, resolve.Keys(nil))
}

func ExampleConfig() {
	c := resolve.Config{RuleList: []string{"account_uuid", "e-mail"}, PublicDomains: "/nowhere"}
	fmt.Println(c.Validate())
	// Output:
	// THROUGHLINE_RESOLVE_RULES has "e-mail": the rules are links, account_uuid, email, domain
	// THROUGHLINE_RESOLVE_RULES lacks links: explicit links cannot be turned off
	// reading THROUGHLINE_PUBLIC_DOMAINS: open /nowhere: no such file or directory
}
