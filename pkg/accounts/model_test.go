package accounts_test

import (
	"maps"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/source"
)

// model is the ledger as a few maps: what Decide and the resolver have to agree with.
type model struct {
	domains map[uuid.UUID]string // of every account
	into    map[uuid.UUID]uuid.UUID
	links   map[source.Reference]modelLink
	denials map[source.Reference]map[uuid.UUID]bool
}

type modelLink struct {
	account  uuid.UUID
	decision int64
	restsOn  []int64 // automatic
}

func newModel(domains map[uuid.UUID]string) *model {
	return &model{domains: domains, into: map[uuid.UUID]uuid.UUID{}, links: map[source.Reference]modelLink{}, denials: map[source.Reference]map[uuid.UUID]bool{}}
}

func (m *model) now(id uuid.UUID) uuid.UUID {
	if into, merged := m.into[id]; merged {
		return into
	}
	return id
}

// related are the references whose links and denials concern r: for any tenant, of all sources, of its domain.
func related(r source.Reference) (exact, anyTenant, shared, domain source.Reference) {
	exact, anyTenant = r, r
	anyTenant.Tenant = ""
	if r.Kind == source.KindEmail || r.Kind == source.KindDomain {
		shared = source.Reference{Source: r.Kind, Kind: r.Kind, ID: r.ID}
		of := r.ID[strings.LastIndex(r.ID, "@")+1:]
		domain = source.Reference{Source: source.KindDomain, Kind: source.KindDomain, ID: of}
	}
	return exact, anyTenant, shared, domain
}

// leads is the resolver's answer; Nil: none. What is denied of a reference holds for its links and for all that are
// less specific.
func (m *model) leads(r source.Reference) uuid.UUID {
	exact, anyTenant, shared, domain := related(r)
	chain := []source.Reference{exact, anyTenant, shared, domain}
	allowed := func(id uuid.UUID, way int) bool {
		for _, of := range chain[:min(way+1, len(chain))] {
			if m.denials[of][id] {
				return false
			}
		}
		return id != uuid.Nil
	}
	for way, of := range chain[:3] {
		if id := m.links[of].account; allowed(id, way) {
			return id
		}
	}
	if r.Kind == source.KindAccountUUID {
		id := m.now(uuid.MustParse(r.ID))
		if _, exists := m.domains[id]; exists && allowed(id, 4) {
			return id
		}
	}
	if domain == (source.Reference{}) {
		return uuid.Nil
	}
	if id := m.links[domain].account; allowed(id, 3) {
		return id
	}
	owners := map[uuid.UUID]bool{}
	for id, d := range m.domains {
		if d == domain.ID {
			owners[m.now(id)] = true
		}
	}
	for id := range owners {
		if len(owners) == 1 && allowed(id, 4) {
			return id
		}
	}
	return uuid.Nil
}

// decide follows a decision that was made.
func (m *model) decide(d accounts.Decision, e accounts.Effect) {
	if !e.Changed {
		return
	}
	r := d.Reference
	was, linked := m.links[r]
	switch d.Verb {
	case accounts.VerbLink, accounts.VerbRelink:
		delete(m.denials[r], d.To)
		m.links[r] = modelLink{account: d.To, decision: e.DecisionID, restsOn: d.RestsOn}
		if linked {
			m.undo(was.decision)
		}
	case accounts.VerbUnlink:
		if !linked {
			if d.From == uuid.Nil {
				delete(m.denials, r)
			} else {
				delete(m.denials[r], d.From)
			}
			return
		}
		delete(m.links, r)
		m.undo(was.decision)
	case accounts.VerbNotThisAccount:
		if m.denials[r] == nil {
			m.denials[r] = map[uuid.UUID]bool{}
		}
		m.denials[r][d.From] = true
		if linked && was.account == d.From {
			delete(m.links, r)
			m.undo(was.decision)
		}
	case accounts.VerbMerge:
		m.merge(d.From, d.To)
	}
}

func (m *model) undo(decision int64) {
	for r, l := range maps.Clone(m.links) {
		if slices.Contains(l.restsOn, decision) {
			delete(m.links, r)
			m.undo(l.decision)
		}
	}
}

func (m *model) merge(from, to uuid.UUID) {
	for r, l := range m.links {
		if l.account == from {
			l.account = to
			m.links[r] = l
		}
	}
	for r, denied := range m.denials {
		if denied[from] {
			delete(denied, from)
			denied[to] = true
		}
		if m.links[r].account == to {
			delete(denied, to) // it is linked there
		}
	}
	for id, into := range m.into {
		if into == from {
			m.into[id] = to
		}
	}
	m.into[from] = to
}
