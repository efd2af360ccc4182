package accounts_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/fault"
)

const (
	link    = accounts.VerbLink
	unlink  = accounts.VerbUnlink
	relink  = accounts.VerbRelink
	merge   = accounts.VerbMerge
	deny    = accounts.VerbNotThisAccount
	removal = accounts.VerbRemove
)

// startLedger begins with: cus_1 linked to A, cus_2 by a program to A because of cus_1, cus_3 denied for A, E merged
// into A, D without anything. It gives the accounts by name, and "nobody", who is none.
func startLedger(w *world, suffix string) map[string]uuid.UUID {
	w.t.Helper()
	id := map[string]uuid.UUID{"": uuid.Nil, "nobody": uuid.New()}
	for name, domain := range map[string]string{"A": "a" + suffix + ".example", "B": "", "C": "c" + suffix + ".example", "D": "", "E": ""} {
		id[name] = w.account(name, domain)
	}
	first := w.link("stripe:customer:cus_1"+suffix, id["A"])
	w.decide(accounts.Decision{Verb: link, Reference: ref("stripe:customer:cus_2" + suffix), To: id["A"], Learned: "learner", Level: accounts.LevelStrong,
		RestsOn: []int64{first.DecisionID}})
	w.decide(accounts.Decision{Verb: deny, Reference: ref("stripe:customer:cus_3" + suffix), From: id["A"]})
	w.decide(accounts.Decision{Verb: merge, From: id["E"], To: id["A"]})
	return id
}

func TestDecide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		name      string
		verb      accounts.Verb
		reference string
		from, to  string
		learned   string
		refused   fault.Reason
		problem   string
		unchanged bool
		leads     map[string]string // afterwards
		entries   int               // of the ledger, new
	}{
		{name: "Link", verb: link, reference: "stripe:customer:cus_9", to: "B", leads: map[string]string{"stripe:customer:cus_9": "B"}, entries: 1},
		{name: "LinkAgain", verb: link, reference: "stripe:customer:cus_1", to: "A", unchanged: true},
		{name: "LinkElsewhere", verb: link, reference: "stripe:customer:cus_1", to: "B", refused: fault.Conflict, problem: "linked to another account already: A (ID_A)"},
		{name: "LinkOfAnEmailBeatsItsDomain", verb: link, reference: "email:email:kim@a.example", to: "B", leads: map[string]string{"hubspot:email:kim@a.example": "B", "hubspot:email:lee@a.example": "A"}, entries: 1},
		{name: "LinkToNobody", verb: link, reference: "stripe:customer:cus_9", to: "nobody", refused: fault.NotFound, problem: "no account has the id"},
		{name: "LinkToATombstone", verb: link, reference: "stripe:customer:cus_9", to: "E", refused: fault.Conflict, problem: "was merged into ID_A"},
		{name: "LinkLiftsADenial", verb: link, reference: "stripe:customer:cus_3", to: "A", leads: map[string]string{"stripe:customer:cus_3": "A"}, entries: 1},
		{name: "AProgramDoesNotLiftADenial", verb: link, reference: "stripe:customer:cus_3", to: "A", learned: "learner", refused: fault.Conflict, problem: "is not account"},
		{name: "ADenialIsForOneAccount", verb: link, reference: "stripe:customer:cus_3", to: "B", learned: "learner", leads: map[string]string{"stripe:customer:cus_3": "B"}, entries: 1},
		{name: "LinkOfFreeMail", verb: link, reference: "domain:domain:gmail.com", to: "B", refused: fault.Unsupported, problem: "free-mail"},
		{name: "Unlink", verb: unlink, reference: "stripe:customer:cus_1", leads: map[string]string{"stripe:customer:cus_1": "", "stripe:customer:cus_2": ""}, entries: 2},
		{name: "UnlinkOfAnAutomaticLinkLeavesItsReason", verb: unlink, reference: "stripe:customer:cus_2", leads: map[string]string{"stripe:customer:cus_1": "A", "stripe:customer:cus_2": ""}, entries: 1},
		{name: "UnlinkFromAnother", verb: unlink, reference: "stripe:customer:cus_1", from: "B", refused: fault.Conflict, problem: "linked to another account"},
		{name: "UnlinkOfNothing", verb: unlink, reference: "stripe:customer:cus_9", refused: fault.NotFound, problem: "is not linked"},
		{name: "UnlinkLiftsADenial", verb: unlink, reference: "stripe:customer:cus_3", entries: 1},
		{name: "UnlinkLiftsNotAnothersDenial", verb: unlink, reference: "stripe:customer:cus_3", from: "B", refused: fault.NotFound, problem: "is not linked"},
		{name: "Relink", verb: relink, reference: "stripe:customer:cus_1", to: "B", leads: map[string]string{"stripe:customer:cus_1": "B", "stripe:customer:cus_2": ""}, entries: 2},
		{name: "RelinkToTheSame", verb: relink, reference: "stripe:customer:cus_1", to: "A", unchanged: true},
		{name: "RelinkOfNothing", verb: relink, reference: "stripe:customer:cus_9", to: "A", refused: fault.NotFound, problem: "`throughline link` does that"},
		{name: "RelinkFromAnother", verb: relink, reference: "stripe:customer:cus_1", from: "C", to: "B", refused: fault.Conflict, problem: "linked to another account"},
		{name: "Merge", verb: merge, from: "A", to: "B", leads: map[string]string{"stripe:customer:cus_1": "B", "stripe:customer:cus_2": "B", "stripe:customer:cus_3": "",
			"hubspot:email:kim@a.example": "B", "stripe:account_uuid:ID_A": "B", "stripe:account_uuid:ID_E": "B"}, entries: 1},
		{name: "MergeAgain", verb: merge, from: "E", to: "A", unchanged: true},
		{name: "MergeOfATombstoneElsewhere", verb: merge, from: "E", to: "B", refused: fault.Conflict, problem: "was merged into"},
		{name: "MergeIntoATombstone", verb: merge, from: "B", to: "E", refused: fault.Conflict, problem: "was merged into"},
		{name: "MergeIntoItself", verb: merge, from: "A", to: "A", refused: fault.Malformed, problem: "into itself"},
		{name: "Deny", verb: deny, reference: "stripe:customer:cus_1", from: "A", leads: map[string]string{"stripe:customer:cus_1": "", "stripe:customer:cus_2": ""}, entries: 2},
		{name: "DenyByTheDomain", verb: deny, reference: "email:email:kim@a.example", from: "A", leads: map[string]string{"hubspot:email:kim@a.example": "", "hubspot:email:lee@a.example": "A"}, entries: 1},
		{name: "DenyAgain", verb: deny, reference: "stripe:customer:cus_3", from: "A", unchanged: true},
		{name: "DenyAnotherLeavesTheLink", verb: deny, reference: "stripe:customer:cus_1", from: "B", leads: map[string]string{"stripe:customer:cus_1": "A"}, entries: 1},
		{name: "DenyNobody", verb: deny, reference: "stripe:customer:cus_1", refused: fault.Malformed, problem: "needs the account"},
		{name: "Remove", verb: removal, from: "D", entries: 1},
		{name: "RemoveWithLinks", verb: removal, from: "A", refused: fault.Conflict, problem: "has links"},
		{name: "RemoveOfATombstone", verb: removal, from: "E", refused: fault.Conflict, problem: "was merged into"},
	} {
		t.Run(c.name, func(t *testing.T) {
			suffix := strings.ToLower(c.name)
			id := startLedger(w, suffix)
			of := strings.NewReplacer("cus_1", "cus_1"+suffix, "cus_2", "cus_2"+suffix, "cus_3", "cus_3"+suffix, "cus_9", "cus_9"+suffix, "a.example", "a"+suffix+".example",
				"ID_A", id["A"].String(), "ID_E", id["E"].String())
			before := w.count("SELECT count(*) FROM link_decisions")
			d := accounts.Decision{Verb: c.verb, From: id[c.from], To: id[c.to], Author: "bob", Reason: "a call", Learned: c.learned}
			if c.reference != "" {
				d.Reference = ref(of.Replace(c.reference))
			}
			effect, err := w.store.Decide(t.Context(), d)
			require.Equal(t, c.entries, w.count("SELECT count(*) FROM link_decisions")-before)
			if c.refused != "" {
				require.ErrorContains(t, err, of.Replace(c.problem))
				require.True(t, fault.IsPermanent(err))
				require.Equal(t, c.refused, fault.ReasonOf(err))
				return
			}
			require.NoError(t, err)
			require.Equal(t, !c.unchanged, effect.Changed)
			for reference, name := range c.leads {
				require.Equal(t, id[name], w.leads(of.Replace(reference)), reference)
			}
		})
	}
	require.Zero(t, w.count("SELECT count(*) FROM account_links l LEFT JOIN link_decisions d ON d.id = l.decision_id AND d.undone_by IS NULL WHERE d.id IS NULL"),
		"a link stands by a decision that stands")
	require.Zero(t, w.count("SELECT count(*) FROM accounts a JOIN accounts b ON b.id = a.merged_into WHERE b.merged_into IS NOT NULL"))
	w.run()
	w.whole()
}

func TestDecideRefusesWhatIsIncomplete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.account("A", "")
	for problem, d := range map[string]accounts.Decision{
		"is not a decision":          {Verb: "guess", Author: "ada"},
		"needs somebody":             {Verb: link, Reference: ref("stripe:customer:cus_1"), To: a},
		"needs an account":           {Verb: link, Reference: ref("stripe:customer:cus_1"), Author: "ada"},
		"not a JSON object":          {Verb: link, Reference: ref("stripe:customer:cus_1"), To: a, Author: "ada", Evidence: []byte("[1]")},
		"not a level":                {Verb: link, Reference: ref("stripe:customer:cus_1"), To: a, Author: "ada", Level: "sure"},
		"longer than 2000 bytes":     {Verb: link, Reference: ref("stripe:customer:cus_1"), To: a, Author: "ada", Reason: strings.Repeat("x", 2001)},
		"only an automatic":          {Verb: link, Reference: ref("stripe:customer:cus_1"), To: a, Author: "ada", RestsOn: []int64{1}},
		"cannot be linked":           {Verb: unlink, Reference: ref("stripe:customer:"), Author: "ada"},
		"name the tenant (hubspot/":  {Verb: link, Reference: ref("hubspot:contact:901"), To: a, Author: "ada"},
		"needs the account that it ": {Verb: merge, To: a, Author: "ada"},
	} {
		_, err := w.store.Decide(t.Context(), d)
		require.ErrorContains(t, err, problem)
		require.True(t, fault.IsPermanent(err))
	}
	effect, err := w.store.Decide(t.Context(), accounts.Decision{Verb: link, Reference: ref("hubspot:contact:901"), To: a, Author: "ada", EveryTenant: true})
	require.NoError(t, err)
	require.True(t, effect.Changed)
}

// A chain of automatic links goes with the one that it rests on; what a person decided about one of them stays.
func TestAutomaticLinksGoWithTheirReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.account("A", ""), w.account("B", "")
	auto := func(reference string, on ...int64) int64 {
		return w.decide(accounts.Decision{Verb: link, Reference: ref(reference), To: a, Learned: "learner", Author: "learner", RestsOn: on, Level: accounts.LevelVendor}).DecisionID
	}
	root := w.link("stripe:customer:cus_1", a).DecisionID
	first := auto("stripe:charge:ch_1", root)
	second := auto("stripe:charge:ch_6", root)
	auto("stripe:charge:ch_2", first)
	auto("stripe:charge:ch_7", second)
	auto("stripe:charge:ch_3", w.link("stripe:customer:cus_2", a).DecisionID, first)
	kept := auto("stripe:charge:ch_4")
	relinked := auto("stripe:charge:ch_5", root)
	w.decide(accounts.Decision{Verb: relink, Reference: ref("stripe:charge:ch_5"), To: b})

	effect := w.decide(accounts.Decision{Verb: unlink, Reference: ref("stripe:customer:cus_1"), Reason: "another company"})
	var gone []string
	for _, u := range effect.Undone {
		gone = append(gone, u.Reference.ID)
		require.Equal(t, a, u.AccountID)
	}
	require.ElementsMatch(t, []string{"ch_1", "ch_2", "ch_3", "ch_6", "ch_7"}, gone)
	require.Equal(t, a, w.leads("stripe:charge:ch_4"))
	require.Equal(t, b, w.leads("stripe:charge:ch_5"))

	log, err := w.store.Entries(t.Context(), accounts.EntryFilter{})
	require.NoError(t, err)
	byID := map[int64]accounts.Entry{}
	for _, e := range log {
		byID[e.ID] = e
	}
	require.Equal(t, effect.DecisionID, byID[root].UndoneBy)
	require.Zero(t, byID[kept].UndoneBy)
	require.NotZero(t, byID[relinked].UndoneBy)
	withdrawal := byID[byID[first].UndoneBy]
	require.Equal(t, unlink, withdrawal.Verb)
	require.Equal(t, accounts.LearnedLedger, withdrawal.Learned)
	require.Equal(t, []int64{effect.DecisionID}, withdrawal.RestsOn)
	require.Equal(t, "another company", byID[effect.DecisionID].Reason)

	about := ref("stripe:charge:ch_1")
	some, err := w.store.Entries(t.Context(), accounts.EntryFilter{Reference: &about})
	require.NoError(t, err)
	require.Len(t, some, 2)
	some, err = w.store.Entries(t.Context(), accounts.EntryFilter{AccountID: b, Before: log[0].ID, Limit: 5})
	require.NoError(t, err)
	require.Len(t, some, 1)
}

// Of decisions about one reference that are made at once, one holds, and each of the others knows of it.
func TestConcurrentDecisions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ids := make([]uuid.UUID, 8)
	for i := range ids {
		ids[i] = w.account(string(rune('A'+i)), "")
	}
	var wg sync.WaitGroup
	won := make([]bool, len(ids))
	for i, id := range ids {
		wg.Go(func() {
			effect, err := w.store.Decide(t.Context(), accounts.Decision{Verb: link, Reference: ref("stripe:customer:cus_1"), To: id, Author: "ada"})
			won[i] = err == nil && effect.Changed
			if err != nil && fault.ReasonOf(err) != fault.Conflict {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
	winners := 0
	for i := range won {
		if won[i] {
			winners++
			require.Equal(t, ids[i], w.leads("stripe:customer:cus_1"))
		}
	}
	require.Equal(t, 1, winners)

	for i, id := range ids {
		wg.Go(func() {
			_, err := w.store.Decide(t.Context(), accounts.Decision{Verb: relink, Reference: ref("stripe:customer:cus_1"), To: id, Author: "ada"})
			if err != nil && fault.ReasonOf(err) != fault.Conflict {
				t.Errorf("%v", err)
			}
			_, err = w.store.Decide(t.Context(), accounts.Decision{Verb: merge, From: ids[i], To: ids[(i+1)%len(ids)], Author: "ada"})
			if err != nil && fault.ReasonOf(err) != fault.Conflict {
				t.Errorf("%v", err)
			}
		})
	}
	wg.Wait()
}
