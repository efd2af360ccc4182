package learn_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/learn"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

const hubspotMerge = `{"portalId":1,"subscriptionType":"contact.merge","occurredAt":1760000000123,"objectId":1001,"primaryObjectId":1001,"mergedObjectIds":[1002],"newObjectId":1003,"eventId":5}`

func charge(id, customer string, more string) string {
	return fmt.Sprintf(`{"id":"evt_%s","object":"event","type":"charge.succeeded","created":1760000000,"livemode":true,"data":{"object":{"id":"%s","object":"charge","customer":"%s"%s}},"subject":"ours"}`,
		id, id, customer, more)
}

// A charge of a linked customer stands on the timeline; its dispute names the charge alone.
func TestTheTimelineKnowsTheDispute(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.account("Acme", "")
	decision := w.link("stripe:customer:cus_1", acme)
	w.stored(acme, "stripe", "stripe:customer:cus_1", "charge.succeeded", "2026-01-02", charge("ch_1", "cus_1", `,"payment_intent":"pi_1"`))
	w.waits("stripe:charge:ch_1", "stripe:dispute:dp_1")
	w.settle()
	w.requireLinked("stripe:charge:ch_1", acme, accounts.LevelDeclared)
	w.requireUnlinked("stripe:dispute:dp_1")
	var rests []int64
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT rests_on FROM link_decisions WHERE external_id = 'ch_1'").Scan(&rests))
	require.Equal(t, []int64{decision}, rests)
}

// What waits is looked up again: the charge may come behind its dispute.
func TestTheTimelineIsLookedAtAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.account("Acme", "")
	w.link("stripe:customer:cus_1", acme)
	w.waits("stripe:charge:ch_1")
	w.settle()
	w.requireUnlinked("stripe:charge:ch_1")
	w.stored(acme, "stripe", "stripe:customer:cus_1", "charge.succeeded", "2026-01-02", charge("ch_1", "cus_1", ""))
	w.exec("UPDATE learned_references SET due_at = now() WHERE due_at IS NOT NULL")
	w.settle()
	w.requireLinked("stripe:charge:ch_1", acme, accounts.LevelDeclared)
}

// Text that somebody wrote, wherever it stands, links nothing: neither an id in a
// description, nor an address, nor an account found by an address's domain.
func TestTextOfStrangersLinksNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, victim := w.account("Acme", "acme.com"), w.account("Victim", "")
	w.link("stripe:customer:cus_1", acme)
	w.link("stripe:customer:cus_9", victim)
	for i, day := range []string{"2026-01-02", "2026-01-03", "2026-01-04"} {
		w.stored(acme, "stripe", "stripe:customer:cus_1", "charge.succeeded", day,
			charge(fmt.Sprint("ch_x", i), "cus_1", `,"description":"ch_evil","metadata":{"customer":"cus_2","note":"pi_evil"},"receipt_email":"eve@evil.com"`))
	}
	// A charge that found Acme by an address that whoever paid has typed.
	w.stored(acme, "stripe", "stripe:email:eve@acme.com", "charge.succeeded", "2026-01-05", charge("ch_typed", "cus_typed", ""))
	// A removed association.
	w.link("hubspot/1:company:7001", acme)
	w.stored(acme, "hubspot", "hubspot/1:company:7001", "company.association.changed", "2026-01-02",
		`{"portalId":1,"subscriptionType":"company.associationChange","occurredAt":1760000000123,"fromObjectId":7001,"toObjectId":8001,"associationType":"COMPANY_TO_DEAL","associationRemoved":true,"eventId":4}`)
	w.waits("stripe:charge:ch_evil")
	w.waits("stripe:payment_intent:pi_evil")
	w.waits("stripe:customer:cus_2")
	w.waits("stripe:charge:ch_typed")
	w.waits("email:eve@evil.com")
	w.waits("hubspot/1:deal:8001")
	w.settle()
	for _, r := range []string{"stripe:charge:ch_evil", "stripe:payment_intent:pi_evil", "stripe:customer:cus_2", "stripe:charge:ch_typed", "email:eve@evil.com", "hubspot/1:deal:8001"} {
		w.requireUnlinked(r)
	}
	require.Equal(t, []string{"email:eve@evil.com Acme 9", "stripe:charge:ch_typed Acme 3"}, w.suggestions(), "a person may know better")
}

// An address that a stranger types into a chat or a form links nothing where the rule by
// e-mail is off: that is what it is turned off for.
func TestATypedAddressLinksNothingWithoutTheRuleByEmail(t *testing.T) {
	t.Parallel()
	v := newVendor("intercom", 10, "contact")
	billing := newVendor("stripe", 10, "customer")
	w := newWorld(t, v, billing)
	var err error
	w.options.Resolver, err = resolve.New(w.pool, resolve.Config{RuleList: []string{"links", "account_uuid"}})
	require.NoError(t, err)
	acme := w.account("Acme", "acme.com")
	billing.says("customer:cus_1", lead(source.LeadDeclared, "stripe", source.KindAccountUUID, acme.String()), person("kim@acme.com"))
	w.waits("stripe:customer:cus_1")
	w.settle()
	w.requireLinked("stripe:customer:cus_1", acme, accounts.LevelDeclared)
	v.says("contact:5f0000000000000000000001", person("kim@acme.com")) // who says to be kim
	w.waits("intercom/app1:contact:5f0000000000000000000001")
	w.settle()
	w.requireUnlinked("intercom/app1:contact:5f0000000000000000000001")
	require.Equal(t, []string{"intercom/app1:contact:5f0000000000000000000001 Acme 6"}, w.suggestions(), "a person may know better")
}

func TestADealOfALinkedCompany(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme := w.account("Acme", "")
	w.link("hubspot/1:company:7001", acme)
	w.stored(acme, "hubspot", "hubspot/1:company:7001", "company.association.changed", "2026-01-02",
		`{"portalId":1,"subscriptionType":"company.associationChange","occurredAt":1760000000123,"fromObjectId":7001,"toObjectId":8001,"associationType":"COMPANY_TO_DEAL","associationRemoved":false,"eventId":4}`)
	w.waits("hubspot/1:deal:8001")
	w.waits("hubspot/2:deal:8001")
	w.settle()
	w.requireLinked("hubspot/1:deal:8001", acme, accounts.LevelVendor)
	w.requireUnlinked("hubspot/2:deal:8001")
}

// Two accounts' events name it: no link.
func TestTheTimelineDisagrees(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, other := w.account("Acme", ""), w.account("Other", "")
	w.link("stripe:customer:cus_1", acme)
	w.link("stripe:customer:cus_2", other)
	w.stored(acme, "stripe", "stripe:customer:cus_1", "charge.succeeded", "2026-01-02", charge("ch_1", "cus_1", ""))
	w.stored(other, "stripe", "stripe:customer:cus_2", "charge.succeeded", "2026-01-02", charge("ch_1", "cus_2", ""))
	w.waits("stripe:charge:ch_1")
	w.settle()
	state, why := w.state("stripe:charge:ch_1")
	require.Equal(t, learn.StateConflict, state, why)
	w.requireUnlinked("stripe:charge:ch_1")
	require.Len(t, w.suggestions(), 2)
}

// What a vendor merged is linked where it went, and its history follows, unless a person
// had decided.
func TestMergesAtTheVendor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	acme, other, third := w.account("Acme", ""), w.account("Other", ""), w.account("Third", "")
	w.link("hubspot/1:contact:1001", acme)
	w.link("intercom/a1:contact:6318db7dfb80c614fe1792b5", acme)
	w.link("hubspot/1:contact:2001", acme)
	w.link("hubspot/1:contact:2002", third)
	require.NotEqual(t, other, third)
	_, err := w.store.LinkAll(t.Context(), []accounts.Decision{{Reference: ref(t, "hubspot/1:contact:1002"), To: other, Level: accounts.LevelVendor, Learned: learn.Learned, Author: learn.Author}})
	require.NoError(t, err)
	w.stored(other, "hubspot", "hubspot/1:contact:1002", "contact.created", "2026-01-01", `{"objectId":1002}`)
	w.stored(acme, "hubspot", "hubspot/1:contact:1001", "contact.merged", "2026-01-02", hubspotMerge)
	w.stored(acme, "hubspot", "hubspot/1:contact:2001", "contact.merged", "2026-01-02",
		`{"portalId":1,"subscriptionType":"contact.merge","occurredAt":1760000000123,"objectId":2001,"primaryObjectId":2001,"mergedObjectIds":[2002],"newObjectId":2001,"eventId":6}`)
	w.stored(acme, "intercom", "intercom/a1:contact:6318db7dfb80c614fe1792b5", "contact.merged", "2026-01-02",
		`{"type":"notification_event","app_id":"a1","data":{"item":{"type":"contact","id":"6318db7dfb80c614fe1792b5","role":"user","merged_from":{"type":"contact","id":"6a3b2c4d5e6f7a8b9c0d1e2f"}}},"id":"notif_1","topic":"contact.merged","created_at":1760000000}`)
	w.settle()
	w.requireLinked("hubspot/1:contact:1002", acme, accounts.LevelDeclared)
	w.requireLinked("hubspot/1:contact:1003", acme, accounts.LevelDeclared)
	w.requireLinked("intercom/a1:contact:6a3b2c4d5e6f7a8b9c0d1e2f", acme, accounts.LevelDeclared)
	w.requireLinked("hubspot/1:contact:2002", third, accounts.LevelDecided)
	var moves int
	require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT sum(events) FROM history_moves WHERE from_account = $1", other).Scan(&moves))
	require.Equal(t, 1, moves)
	decisions := func() (n int) {
		require.NoError(t, w.pool.QueryRow(t.Context(), "SELECT count(*) FROM link_decisions").Scan(&n))
		return n
	}
	before := decisions()
	w.settle()
	require.Equal(t, before, decisions(), "the same merge again changes nothing")
}
