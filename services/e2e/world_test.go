package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/learn"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
	"github.com/throughline-dev/throughline/services/vendors"
)

// The world: what ten sources send about sixty companies of which a newcomer has imported what they know, and how much
// of it finds its account without a person, before and after the learner has asked the vendors.
const (
	worldCompanies = 60
	worldEvents    = 2400
)

// worldMapping is the mapping of the two senders without a vendor.
const worldMapping = `
subject: /data/title
references:
  - {kind: user, id: /data/user/id}
  - {kind: email, id: /data/user/email}
`

func TestWorld(t *testing.T) {
	t.Parallel()
	sources := worldSources(t)
	p := newPlaceOf(t, streamtest.Embedded(t), postgrestest.URL(t), sources)
	simulator, err := vendors.New(sources, 9)
	require.NoError(t, err)
	for _, name := range sources.Names() { // what does not say whose account at the vendor it comes from
		d, err := simulator.Delivery(name)
		require.NoError(t, err)
		p.tenants[name] = d.Tenant
	}
	url := startEmbedded(t, p)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	w := newWorld(t, p, simulator)
	random := rand.New(rand.NewPCG(9, 9))
	w.send(url, random)
	p.tap.settle(2 * patience)
	before := w.count()
	w.onTheRightAccount()
	t.Logf("before the learner:\n%s", before)
	require.GreaterOrEqual(t, before.share(), 0.6)

	resolver := resolve.Default(p.pool)
	l := learn.New(learn.Options{Pool: p.pool, Sources: sources, Resolver: resolver, APIs: w.apis()})
	require.NoError(t, l.Settle(t.Context()))
	p.tap.settle(2 * patience)
	require.NoError(t, l.Settle(t.Context())) // what the released events tell in turn
	await(t, patience, "what the links release to leave quarantine", func() (bool, string) {
		n := p.count(`SELECT count(*) FROM quarantine q JOIN account_links l ON l.source || CASE l.tenant WHEN '' THEN '' ELSE '/' || l.tenant END || ':' || l.kind || ':' || l.external_id
			= ANY (q.reference_keys) WHERE q.status IN ('open', 'replaying')`)
		return n == 0, fmt.Sprint(n)
	})
	p.tap.settle(2 * patience)
	after := w.count()
	w.onTheRightAccount()
	t.Logf("after it:\n%s", after)
	require.Equal(t, before.total(), after.total(), "no event is lost or twice")
	require.GreaterOrEqual(t, after.share(), 0.75)
}

func worldSources(t *testing.T) source.Set {
	t.Helper()
	file := filepath.Join(t.TempDir(), "mapping.yaml")
	require.NoError(t, os.WriteFile(file, []byte(worldMapping), 0o600))
	sources, err := catalog.With([]catalog.Named{{Name: "billing", Format: "standardwebhooks", Mapping: file}, {Name: "product", Format: "cloudevents", Mapping: file}})
	require.NoError(t, err)
	require.Len(t, sources.Names(), 10)
	return sources
}

// world is the companies, and what of them is known here.
type world struct {
	t         *testing.T
	place     *place
	simulator *vendors.Simulator
	companies []vendors.Customer
	accounts  []uuid.UUID
}

// worldLinks are the ids that an import has, and of how many companies in ten.
var worldLinks = []struct {
	source, kind string
	of           int
}{
	{"stripe", "customer", 7}, {"hubspot", "company", 6}, {"zendesk", "organization", 5}, {"salesforce", "account", 4}, {"intercom", "company", 3},
}

func newWorld(t *testing.T, p *place, simulator *vendors.Simulator) *world {
	t.Helper()
	w := &world{t: t, place: p, simulator: simulator}
	for i := range worldCompanies {
		c := vendors.Customer{Key: uint64(i + 1), Name: fmt.Sprintf("Company %d", i), Domain: fmt.Sprintf("company-%d.example", i)}
		known := c.Domain
		if i%10 == 9 { // people who write from a free-mail address; who owns the domain helps nobody
			c.Domain, known = "gmail.com", ""
		}
		if i%10 == 8 {
			known = ""
		}
		c.Email = fmt.Sprintf("kim.of.%d@%s", i, c.Domain)
		id := p.account(c.Name, known)
		for n, l := range worldLinks {
			external := simulator.ID(l.source, l.kind, c)
			if external == "" || (i+3*n)%10 >= l.of {
				continue
			}
			_, err := p.store().AddLink(t.Context(), accounts.Link{
				Reference: source.Reference{Source: l.source, Kind: l.kind, ID: external}, AccountID: id, Learned: accounts.LearnedImport, CreatedBy: "e2e",
			})
			require.NoError(t, err)
		}
		w.companies, w.accounts = append(w.companies, c), append(w.accounts, id)
	}
	return w
}

// send posts events of all sources' types, in turn, about companies at random.
func (w *world) send(url string, random *rand.Rand) {
	w.t.Helper()
	sender := vendors.Sender{Sources: w.place.sources, URL: url, PublicURL: publicURL, Secrets: w.place.secrets()}
	names, began := w.place.sources.Names(), time.Now().UTC().Truncate(time.Second).AddDate(0, 0, -60)
	for n := range worldEvents {
		name := names[n%len(names)]
		types := w.simulator.Types(name)
		company := random.IntN(worldCompanies)
		d, err := w.simulator.Delivery(name, vendors.Event{
			Type: types[n/len(names)%len(types)].Vendor, At: began.Add(time.Duration(n) * time.Minute), About: w.companies[company],
			Members: fmt.Sprintf(`"e2e":"company-%d event-%d"`, company, n),
		})
		require.NoError(w.t, err, name)
		await(w.t, patience, "the receiver to take an event of "+name, func() (bool, string) {
			answer, err := sender.Post(w.t.Context(), d)
			if err != nil {
				return false, err.Error()
			}
			return answer.Status/100 == 2, fmt.Sprintf("%d %s", answer.Status, answer.Body)
		})
	}
}

// tally is how many events a rule found an account for, by rule; "waits": none did.
type tally map[string]int

const waits = "waits in quarantine"

func (c tally) total() (n int) {
	for _, more := range c {
		n += more
	}
	return n
}

func (c tally) share() float64 { return 1 - float64(c[waits])/float64(c.total()) }

func (c tally) String() string {
	var lines []string
	for _, rule := range slices.Sorted(maps.Keys(c)) {
		lines = append(lines, fmt.Sprintf("%-28s %5d  %4.1f %%", rule, c[rule], 100*float64(c[rule])/float64(c.total())))
	}
	return strings.Join(append(lines, fmt.Sprintf("%-28s %5d  of %d", "on a timeline", c.total()-c[waits], c.total())), "\n")
}

func (w *world) count() tally {
	w.t.Helper()
	counts := tally{}
	for _, line := range w.place.strings(`SELECT how || '=' || count(*) FROM (
		SELECT CASE WHEN o.rule <> 'links' THEN o.rule WHEN d.learned = 'import' THEN 'links, imported' ELSE 'links, learned: ' || coalesce(d.level, o.reference) END AS how
		FROM account_events e JOIN account_event_origins o ON o.event_id = e.id
		LEFT JOIN account_links l ON o.rule = 'links' AND l.source IN (split_part(split_part(o.reference, ':', 1), '/', 1), l.kind) AND l.kind = split_part(o.reference, ':', 2)
			AND l.external_id = split_part(o.reference, ':', 3) AND l.tenant IN (split_part(split_part(o.reference, ':', 1), '/', 2), '')
		LEFT JOIN link_decisions d ON d.id = l.decision_id
		UNION ALL SELECT '` + waits + `' FROM quarantine WHERE status IN ('open', 'replaying')) AS all_events GROUP BY how`) {
		how, n, _ := strings.Cut(line, "=")
		number, err := strconv.Atoi(n)
		require.NoError(w.t, err)
		counts[how] = number
	}
	return counts
}

// onTheRightAccount: every event on a timeline is on its own company's.
func (w *world) onTheRightAccount() {
	w.t.Helper()
	wrong := w.place.strings(`SELECT e.source || ' ' || e.event_type || ' ' || o.rule || ' ' || o.reference || ': ' || substring(e.payload::text FROM 'company-[0-9]+ event-[0-9]+') FROM account_events e
		JOIN account_event_origins o ON o.event_id = e.id
		JOIN unnest($1::uuid[], $2::text[]) AS a (id, company) ON a.id = e.account_id
		WHERE substring(e.payload::text FROM 'company-([0-9]+) event-') <> a.company LIMIT 10`, w.accounts, w.numbers())
	require.Empty(w.t, wrong)
}

func (w *world) numbers() []string {
	numbers := make([]string, worldCompanies)
	for i := range numbers {
		numbers[i] = fmt.Sprint(i)
	}
	return numbers
}

// apis are the vendors' APIs, played: each says of the objects of this world what the vendor would say. That the
// sources read the vendors' own forms is tested beside the fake APIs of services/vendors.
func (w *world) apis() []learn.API {
	var apis []learn.API
	for _, src := range w.place.sources.Sources() {
		learner, ok := src.(source.Learner)
		if !ok {
			continue
		}
		played := playedAPI{Learner: learner, objects: map[string]source.Learned{}}
		for i := range w.companies {
			w.tell(&played, w.companies[i])
		}
		apis = append(apis, learn.API{Learner: played})
	}
	return apis
}

// worldParents are the kinds to whose object a vendor's other objects belong.
var worldParents = map[string]string{
	"stripe": "customer", "hubspot": "company", "zendesk": "organization", "salesforce": "account", "intercom": "company",
}

// worldPeople are the kinds of objects that are people.
var worldPeople = []string{"contact", "external", "lead", "user", "customer"}

// tell lets an API know a company's objects: that they belong to the company, whose address they have, and by which
// domain it is known.
func (w *world) tell(p *playedAPI, c vendors.Customer) {
	name := p.Name()
	parent := worldParents[name]
	for _, kind := range p.Learns() {
		id := w.simulator.ID(name, kind.Kind, c)
		if id == "" {
			continue
		}
		learned := source.Learned{ID: id, Evidence: []byte("{}")}
		lead := func(kind, id string, by source.LeadLevel) {
			refs := source.References{Source: name}
			refs.Add(kind, id)
			for _, r := range refs.List() {
				learned.Leads = append(learned.Leads, source.Lead{Reference: r, By: by, Field: kind})
			}
		}
		if kind.Kind != parent {
			lead(parent, w.simulator.ID(name, parent, c), source.LeadVendor)
		}
		if slices.Contains(worldPeople, kind.Kind) {
			lead(source.KindEmail, c.Email, source.LeadPerson)
		}
		lead(source.KindDomain, c.Domain, source.LeadVendor)
		p.objects[kind.Kind+":"+id] = learned
	}
}

type playedAPI struct {
	source.Learner
	objects map[string]source.Learned
}

// Learn implements source.Learner.
func (p playedAPI) Learn(_ context.Context, _ source.Doer, kind string, ids []string) ([]source.Learned, error) {
	out := make([]source.Learned, len(ids))
	for i, id := range ids {
		learned, ok := p.objects[kind+":"+id]
		if !ok {
			learned = source.Learned{ID: id, Gone: true}
		}
		out[i] = learned
	}
	return out, nil
}
