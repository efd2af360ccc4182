package learn_test

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/learn"
	"github.com/throughline-dev/throughline/pkg/source"
)

// labelled is testdata/pairs.txt, played.
type labelled struct {
	*world
	t       *testing.T
	vendors map[string]*vendor
	keys    map[string]uuid.UUID
	truth   map[string]uuid.UUID // by reference; Nil: nobody can say
	order   []string
}

// objectOf gives the vendor's name of a reference: "contact:901".
func objectOf(r source.Reference) string { return r.Kind + ":" + r.ID }

func (l *labelled) leads(reference string, words []string) {
	r := ref(l.t, reference)
	v := l.vendors[r.Source]
	learned := source.Learned{ID: r.ID}
	for _, word := range words {
		what, of, _ := strings.Cut(word, "=")
		by := source.LeadDeclared
		var to source.Reference
		switch what {
		case "-":
			continue
		case "uuid":
			to = source.Reference{Source: r.Source, Kind: source.KindAccountUUID, ID: l.keys[of].String()}
		case "declared", "vendor":
			to, by = ref(l.t, of), source.LeadLevel(what)
		case "person":
			to, by = person(of).Reference, source.LeadPerson
		case "domain":
			to = source.Reference{Source: source.KindDomain, Kind: source.KindDomain, ID: of}
		case "name":
			learned.Name = strings.ReplaceAll(of, "_", " ")
			continue
		case "seen":
			key, day, _ := strings.Cut(of, "@")
			var organization string
			require.NoError(l.t, l.pool.QueryRow(l.t.Context(), "SELECT external_id FROM account_links WHERE kind = 'organization' AND account_id = $1", l.keys[key]).Scan(&organization))
			l.stored(l.keys[key], "zendesk", "zendesk/9:organization:"+organization, "ticket.replied", day, fmt.Sprintf(
				`{"type":"zen:event-type:ticket.status_changed","account_id":9,"id":"%s","time":"2026-01-02T00:00:00Z","detail":{"id":"71%d","requester_id":"%s","organization_id":"%s"},"event":{}}`,
				uuid.New(), l.waiting, r.ID, organization))
			continue
		default:
			l.t.Fatalf("%s: %q is no lead", reference, word)
		}
		learned.Leads = append(learned.Leads, source.Lead{Reference: to, By: by, Field: what})
	}
	v.objects[objectOf(r)] = learned
	l.waits(reference)
}

func readPairs(t *testing.T) *labelled {
	t.Helper()
	l := &labelled{t: t, keys: map[string]uuid.UUID{}, truth: map[string]uuid.UUID{}, vendors: map[string]*vendor{
		"hubspot": newVendor("hubspot", 100, "company", "contact", "deal"), "stripe": newVendor("stripe", 100, "customer", "charge", "invoice", "dispute"),
		"zendesk": newVendor("zendesk", 100, "organization", "user"), "intercom": newVendor("intercom", 100, "contact"),
	}}
	l.world = newWorld(t, l.vendors["hubspot"], l.vendors["stripe"], l.vendors["zendesk"], l.vendors["intercom"])
	file, err := os.Open("testdata/pairs.txt")
	require.NoError(t, err)
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		switch words[0] {
		case "account":
			l.keys[words[1]] = l.account(strings.Join(words[3:], " "), words[2])
		case "link":
			l.link(words[1], l.keys[words[2]])
		case "known":
			l.leads(words[1], words[2:])
		case "pair":
			if len(l.order) == 0 {
				l.settle() // what is known before
			}
			if words[1] != "-" {
				require.Contains(t, l.keys, words[1])
			}
			require.NotContains(t, l.truth, words[2], "twice")
			l.truth[words[2]], l.order = l.keys[words[1]], append(l.order, words[2])
			l.leads(words[2], words[3:])
		default:
			t.Fatalf("testdata/pairs.txt: %q", lines.Text())
		}
	}
	l.settle()
	return l
}

// score counts what a rule said.
type score struct{ said, right int }

// The labelled set: what follows without a person is right in 99 of 100 cases.
func TestPrecisionAndRecall(t *testing.T) {
	t.Parallel()
	l := readPairs(t)
	require.GreaterOrEqual(t, len(l.order), 200)
	links, suggestions := map[learn.Rule]score{}, map[learn.Rule]score{}
	proposed := map[string][]learn.Suggestion{}
	list, err := learn.NewSuggestions(l.pool, l.store).List(t.Context(), learn.SuggestionFilter{Limit: 10_000})
	require.NoError(t, err)
	for _, s := range list {
		proposed[s.Reference.String()] = append(proposed[s.Reference.String()], s)
	}
	known, linked, found := 0, score{}, 0
	for _, reference := range l.order {
		truth := l.truth[reference]
		if truth != uuid.Nil {
			known++
		}
		if account, level := l.linked(reference); account != uuid.Nil {
			var rule learn.Rule
			require.NoError(t, l.pool.QueryRow(t.Context(), "SELECT (evidence->>'rule')::int FROM link_decisions WHERE external_id = $1", ref(t, reference).ID).Scan(&rule))
			require.Contains(t, []accounts.Level{accounts.LevelDeclared, accounts.LevelVendor, accounts.LevelStrong}, level, reference)
			s := links[rule]
			s.said, linked.said = s.said+1, linked.said+1
			if account == truth {
				s.right, linked.right, found = s.right+1, linked.right+1, found+1
			} else {
				t.Logf("WRONG: %s was linked by rule %d", reference, rule)
			}
			links[rule] = s
			continue
		}
		hit := false
		for _, p := range proposed[reference] {
			s := suggestions[p.Rule]
			s.said++
			if p.AccountID == truth {
				s.right, hit = s.right+1, true
			}
			suggestions[p.Rule] = s
		}
		if hit {
			found++
		}
	}
	for rule := learn.RuleAccountUUID; rule <= learn.RuleName; rule++ {
		row := fmt.Sprintf("rule %2d  %-45s", int(rule), rule.Title())
		if s := links[rule]; s.said > 0 {
			row += fmt.Sprintf("  links %3d, right %3d, precision %.2f, recall %.2f", s.said, s.right, float64(s.right)/float64(s.said), float64(s.right)/float64(known))
			require.GreaterOrEqual(t, float64(s.right)/float64(s.said), 0.99, row)
		}
		if s := suggestions[rule]; s.said > 0 {
			row += fmt.Sprintf("  suggestions %3d, right %3d, precision %.2f", s.said, s.right, float64(s.right)/float64(s.said))
		}
		t.Log(row)
	}
	t.Logf("%d pairs, of which %d have an account: %d linked, %d right (precision %.3f, recall %.3f); with suggestions recall %.3f",
		len(l.order), known, linked.said, linked.right, float64(linked.right)/float64(linked.said), float64(linked.right)/float64(known), float64(found)/float64(known))
	require.GreaterOrEqual(t, float64(linked.right)/float64(linked.said), 0.99)
	require.GreaterOrEqual(t, float64(linked.right)/float64(known), 0.60, "links")
	require.GreaterOrEqual(t, float64(found)/float64(known), 0.90, "links and suggestions")
}
