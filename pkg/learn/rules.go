package learn

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Rule is one of the rules, in their order. Rule 1, what a person decided, is the
// ledger's own: it is a link or a denial before any rule is asked.
type Rule int

// The rules.
const (
	RuleBlocked      Rule = 0  // an id that is nobody's
	RuleDecided      Rule = 1  // a person's decision
	RuleAccountUUID  Rule = 2  // an account's id that the vendor's object carries
	RuleVendorID     Rule = 3  // a linked object of the same vendor that it is a part of
	RuleCrossID      Rule = 4  // another vendor's linked object that a field of it names
	RuleAssociation  Rule = 5  // an association of the vendor's
	RulePerson       Rule = 6  // the same person, linked in another tool
	RuleDomain       Rule = 7  // the account's own domain
	RuleSite         Rule = 8  // the registrable domain of that host
	RuleCoOccurrence Rule = 9  // seen together on an account's timeline
	RuleName         Rule = 10 // a similar name
)

// Bounds of the guards.
const (
	// SharedFrom is with how many accounts a person belongs to none of them.
	SharedFrom = 3
	// MostObjects is how many objects of one kind a person may be the address of.
	MostObjects = 25
	// MinSightings is how many independent sightings make a suggestion.
	MinSightings = 2
)

// Claim is one thing that a reference points at, and where that leads.
type Claim struct {
	source.Lead
	// Seen: it was met in one event with the reference, and nothing says more.
	Seen bool
	// EventID is the event on the timeline that says so; 0: the vendor's API does.
	EventID int64
	// SeenOn is the day of that event, YYYY-MM-DD.
	SeenOn string
	// Pending: what it points at is still being asked about.
	Pending bool

	// Account is where it leads; Nil: nowhere.
	Account uuid.UUID
	// Way is how (resolve.RuleLinks, …).
	Way string
	// Level and DecisionID are those of the link that it leads by, if it does by one.
	Level      accounts.Level
	DecisionID int64
}

// Tie says that a person's address is one of a linked object.
type Tie struct {
	Account    uuid.UUID
	Reference  source.Reference
	Level      accounts.Level
	DecisionID int64
}

// Person is what is known of an e-mail address.
type Person struct {
	// Ties are to objects that are linked by rules 1 to 5.
	Ties []Tie
	// Objects is the largest number of objects of one kind of one source that have it.
	Objects int
	// Unbelieved: addresses say nothing of whose an event is (THROUGHLINE_RESOLVE_RULES
	// without email), because anybody can write one.
	Unbelieved bool
	// Role: it is an office's and no person's (billing@…).
	Role bool
	// Public: its domain is nobody's company. Disposable: anybody may read it.
	Public, Disposable bool
	// Suspect: its domain behaves like a public one. Then it is Public, too.
	Suspect bool
	// Host and Site are its domain and the registrable domain of that; "" for a public
	// suffix, a private one, or where it is the host itself. Their owners are accounts.
	Host, Site             string
	HostOwners, SiteOwners []uuid.UUID
}

// Similar is an account of a similar name.
type Similar struct {
	Account uuid.UUID
	Name    string
	Score   float64 // 0 to 1
}

// Case is all that is known of one reference.
type Case struct {
	Reference source.Reference
	Claims    []Claim // the most telling first
	// Persons are by address or domain: of the reference itself and of its leads.
	Persons map[string]Person
	Name    string
	Similar []Similar
}

// Proposal is a link that a rule speaks for.
type Proposal struct {
	Rule     Rule
	Account  uuid.UUID
	Level    accounts.Level
	Why      string // a sentence for a person
	Evidence Evidence
	RestsOn  []int64
}

// Evidence is what a proposal was made of. It holds ids and names of fields, and no
// text that a customer wrote but ids.
type Evidence struct {
	Rule   Rule     `json:"rule"`
	Leads  []string `json:"leads,omitempty"`  // references with the field: "stripe:customer:cus_1 (customer)"
	Events []int64  `json:"events,omitempty"` // of account_events
	Domain string   `json:"domain,omitempty"`
	Lists  string   `json:"lists,omitempty"` // the version of the lists of domains
	Score  float64  `json:"score,omitempty"`
}

// Verdict is what the rules say of a case: at most one link, and suggestions.
type Verdict struct {
	Link        *Proposal
	Suggestions []Proposal
	// Conflict: good evidence disagrees, so there is no link.
	Conflict bool
	// Waits: a better rule may still hold, when something else has been answered.
	Waits bool
	// Why says what stands in the way where there is no link, or "".
	Why string
}

// Judge applies the rules in order. It is pure.
func Judge(c Case) Verdict {
	var v Verdict
	declared, weaker := c.declared()
	if len(declared) > 0 {
		if v.Conflict = disagree(declared); v.Conflict {
			v.Why = "what it points at leads to different accounts: " + describe(declared)
			for _, p := range declared {
				v.suggest(p)
			}
			return v
		}
		v.settle(join(declared))
		return v
	}
	for _, p := range weaker {
		v.suggest(p)
	}
	if c.pending(source.LeadDeclared) {
		v.Waits = true
		return v
	}
	association, more := c.association()
	if association != nil {
		v.settle(*association)
	}
	for _, p := range more {
		v.suggest(p)
	}
	if v.Link != nil {
		return v
	}
	if c.pending(source.LeadVendor) {
		v.Waits = true
		return v
	}
	if c.persons(&v) {
		return v
	}
	c.seen(&v)
	c.named(&v)
	return v
}

// settle makes a proposal the link, if its evidence is good enough, else a suggestion.
func (v *Verdict) settle(p Proposal) {
	if isAutomatic(p.Level) {
		v.Link = &p
		return
	}
	v.suggest(p)
}

// isAutomatic: evidence of this level makes a link without a person.
func isAutomatic(l accounts.Level) bool {
	return l == accounts.LevelDeclared || l == accounts.LevelVendor || l == accounts.LevelStrong
}

// suggest adds a suggestion; an account is suggested once, by its first rule.
func (v *Verdict) suggest(p Proposal) {
	for _, have := range v.Suggestions {
		if have.Account == p.Account {
			return
		}
	}
	v.Suggestions = append(v.Suggestions, p)
}

// declared gives what rules 2, 3 and 4 say, and apart from it what rests on evidence
// that makes no link.
func (c Case) declared() (found, weaker []Proposal) {
	for _, claim := range c.Claims {
		if claim.By != source.LeadDeclared || claim.Seen || claim.Account == uuid.Nil {
			continue
		}
		p := c.proposal(claim, accounts.LevelDeclared)
		switch {
		case claim.Reference.Kind == source.KindAccountUUID && claim.Way == resolve.RuleAccountUUID:
			p.Rule, p.Why = RuleAccountUUID, fmt.Sprintf("it carries the account's id in %s", claim.Field)
		case claim.Way != resolve.RuleLinks && claim.EventID == 0, isText(claim.Reference.Kind) && claim.EventID == 0:
			continue // an address or a domain: rules 6 to 8
		case claim.Reference.Source == c.Reference.Source || claim.EventID != 0:
			p.Rule = RuleVendorID
		default:
			p.Rule = RuleCrossID
		}
		if isAutomatic(p.Level) {
			found = append(found, p)
		} else {
			weaker = append(weaker, p)
		}
	}
	slices.SortStableFunc(found, func(a, b Proposal) int { return cmp.Compare(a.Rule, b.Rule) })
	return found, weaker
}

func isText(kind string) bool { return kind == source.KindEmail || kind == source.KindDomain }

// proposal says what a claim leads to, with the worse of two levels: its own, and that
// of the link that it leads by.
func (c Case) proposal(claim Claim, level accounts.Level) Proposal {
	p := Proposal{
		Account: claim.Account, Level: level,
		Evidence: Evidence{Leads: []string{fmt.Sprintf("%s (%s)", claim.Reference, claim.Field)}},
		Why:      fmt.Sprintf("its %s is %s, which is linked to this account", claim.Field, claim.Reference),
	}
	if claim.EventID != 0 {
		p.Evidence.Events = []int64{claim.EventID}
		p.Why = fmt.Sprintf("event %d of this account, which found it by %s, names it", claim.EventID, claim.Reference)
	}
	switch claim.Way {
	case resolve.RuleLinks:
		p.Level = worse(p.Level, claim.Level)
		if claim.DecisionID != 0 {
			p.RestsOn = []int64{claim.DecisionID}
		}
	case resolve.RuleEmail, resolve.RuleDomain:
		p.Level = worse(p.Level, accounts.LevelMedium)
	}
	return p
}

// worse gives the worse of two levels. What follows from a person's decision is not
// one itself.
func worse(a, b accounts.Level) accounts.Level {
	if b == "" || b == accounts.LevelDecided {
		return a
	}
	levels := accounts.Levels()
	if slices.Index(levels, b) > slices.Index(levels, a) {
		return b
	}
	return a
}

func disagree(all []Proposal) bool {
	return slices.ContainsFunc(all, func(p Proposal) bool { return p.Account != all[0].Account })
}

// join makes one proposal of several that agree: by the first rule, with the evidence
// of all, at the best of their levels.
func join(all []Proposal) Proposal {
	p := all[0]
	levels := accounts.Levels()
	for _, other := range all[1:] {
		if slices.Index(levels, other.Level) < slices.Index(levels, p.Level) {
			p = other
		}
	}
	p.Evidence.Leads, p.Evidence.Events = nil, nil
	for _, other := range all {
		if other.Level != p.Level {
			continue // it would rest on worse evidence than it says
		}
		p.Evidence.Leads = append(p.Evidence.Leads, other.Evidence.Leads...)
		p.Evidence.Events = append(p.Evidence.Events, other.Evidence.Events...)
	}
	return p
}

func describe(all []Proposal) string {
	var leads []string
	for _, p := range all {
		leads = append(leads, p.Evidence.Leads...)
	}
	slices.Sort(leads)
	leads = slices.Compact(leads)
	return strings.Join(leads[:min(len(leads), 5)], ", ")
}

// pending reports whether a lead of this level is still being asked about.
func (c Case) pending(level source.LeadLevel) bool {
	return slices.ContainsFunc(c.Claims, func(claim Claim) bool { return claim.Pending && claim.By == level && !claim.Seen })
}

// association gives what rule 5 says: by the vendor's first association alone, and only
// where no other of them leads elsewhere. Others are suggestions.
func (c Case) association() (link *Proposal, more []Proposal) {
	first := true
	for _, claim := range c.Claims {
		if claim.By != source.LeadVendor || claim.Seen || isText(claim.Reference.Kind) && claim.EventID == 0 {
			continue
		}
		isFirst := first
		first = false
		if claim.Account == uuid.Nil {
			continue
		}
		p := c.proposal(claim, accounts.LevelVendor)
		p.Rule = RuleAssociation
		switch {
		case isFirst || claim.EventID != 0 && link == nil && len(more) == 0:
			link = &p
		case link != nil && link.Account == p.Account:
		default:
			more = append(more, p)
		}
	}
	if link != nil && len(more) > 0 {
		more = append([]Proposal{*link}, more...)
		link = nil
		for i := range more {
			more[i].Level = worse(more[i].Level, accounts.LevelMedium)
			more[i].Why += ", and it has other associations that lead elsewhere"
		}
	}
	return link, more
}

// persons applies rules 6, 7 and 8, and reports that no weaker one may be applied,
// because the person is shared.
func (c Case) persons(v *Verdict) (stop bool) {
	for _, address := range c.addresses() {
		person := c.Persons[address]
		switch owners := distinct(person.Ties); {
		case len(owners) >= SharedFrom:
			v.Why = fmt.Sprintf("%s is shared: it belongs to %d accounts, so nothing follows from it", address, len(owners))
			v.Suggestions = nil
			return true
		case person.Objects > MostObjects:
			v.Why = fmt.Sprintf("%s is the address of %d objects: it is no person's", address, person.Objects)
			v.Suggestions = nil
			return true
		}
		if c.person(v, address, person); v.Link != nil {
			return true
		}
		c.domain(v, address, person)
	}
	return false
}

// addresses gives the addresses and domains of the reference itself and of its leads.
func (c Case) addresses() (all []string) {
	add := func(r source.Reference) {
		if isText(r.Kind) && !slices.Contains(all, r.ID) {
			all = append(all, r.ID)
		}
	}
	add(c.Reference)
	for _, claim := range c.Claims {
		if !claim.Seen && claim.EventID == 0 {
			add(claim.Reference)
		}
	}
	return all
}

func distinct(ties []Tie) (all []uuid.UUID) {
	for _, t := range ties {
		if !slices.Contains(all, t.Account) {
			all = append(all, t.Account)
		}
	}
	return all
}

// person is rule 6.
func (c Case) person(v *Verdict, address string, person Person) {
	if len(person.Ties) == 0 {
		return
	}
	owners := distinct(person.Ties)
	for _, account := range owners {
		p := Proposal{Rule: RulePerson, Account: account, Level: accounts.LevelStrong}
		elsewhere := false
		for _, t := range person.Ties {
			if t.Account != account {
				continue
			}
			p.Evidence.Leads = append(p.Evidence.Leads, t.Reference.String())
			if t.Reference.Source != c.Reference.Source && !elsewhere {
				elsewhere = true
				if t.DecisionID != 0 {
					p.RestsOn = []int64{t.DecisionID}
				}
			}
		}
		p.Why = fmt.Sprintf("its person %s is %s, which is linked to this account", address, p.Evidence.Leads[0])
		obstacle := ""
		switch {
		case len(owners) > 1:
			obstacle = fmt.Sprintf("the person belongs to %d accounts", len(owners))
		case person.Unbelieved:
			obstacle = "the rule by e-mail is off, as anybody can write an address"
		case person.Role:
			obstacle = "the address is an office's, not a person's"
		case person.Disposable:
			obstacle = "anybody can read mail to such an address"
		case !elsewhere:
			obstacle = "the person is known in the same tool only"
		}
		if obstacle == "" {
			v.Link = &p
			return
		}
		p.Level = accounts.LevelMedium
		p.Why += "; but " + obstacle
		v.suggest(p)
	}
}

// domain is rules 7 and 8.
func (c Case) domain(v *Verdict, address string, person Person) {
	if person.Public || person.Disposable {
		if v.Why == "" {
			v.Why = person.Host + " is nobody's company: a public or disposable mail domain"
			if person.Suspect {
				v.Why = person.Host + " behaves like a public mail domain: its people belong to several accounts"
			}
		}
		return
	}
	for _, r := range []struct {
		rule   Rule
		level  accounts.Level
		domain string
		owners []uuid.UUID
	}{{RuleDomain, accounts.LevelMedium, person.Host, person.HostOwners}, {RuleSite, accounts.LevelWeak, person.Site, person.SiteOwners}} {
		for _, account := range r.owners {
			p := Proposal{Rule: r.rule, Account: account, Level: r.level, Evidence: Evidence{Domain: r.domain},
				Why: fmt.Sprintf("%s has the account's domain %s", address, r.domain)}
			if len(r.owners) > 1 {
				p.Level = accounts.LevelWeak
				p.Why += fmt.Sprintf(", which %d accounts share", len(r.owners))
				v.Why = fmt.Sprintf("%d accounts share the domain %s", len(r.owners), r.domain)
			}
			v.suggest(p)
		}
	}
}

// seen is rule 9: what was seen together on two days, or by two references.
func (c Case) seen(v *Verdict) {
	type sighting struct{ reference, day string }
	sightings := map[uuid.UUID][]sighting{}
	proposals := map[uuid.UUID]Proposal{}
	var order []uuid.UUID
	for _, claim := range c.Claims {
		if claim.Account == uuid.Nil || !claim.Seen {
			continue
		}
		s := sighting{claim.Reference.Key(), claim.SeenOn}
		p, have := proposals[claim.Account]
		if !have {
			order = append(order, claim.Account)
			p = Proposal{Rule: RuleCoOccurrence, Account: claim.Account, Level: accounts.LevelWeak}
		}
		p.Evidence.Events = append(p.Evidence.Events, claim.EventID)
		proposals[claim.Account] = p
		if !slices.ContainsFunc(sightings[claim.Account], func(o sighting) bool { return o.reference == s.reference && o.day == s.day }) {
			sightings[claim.Account] = append(sightings[claim.Account], s)
		}
	}
	if len(order) >= SharedFrom {
		v.Why = fmt.Sprintf("events of %d accounts name it", len(order))
		return
	}
	for _, account := range order {
		if n := len(sightings[account]); n >= MinSightings {
			p := proposals[account]
			p.Why = fmt.Sprintf("%d independent events of this account name it", n)
			v.suggest(p)
		}
	}
}

// named is rule 10.
func (c Case) named(v *Verdict) {
	for _, s := range c.Similar {
		v.suggest(Proposal{Rule: RuleName, Account: s.Account, Level: accounts.LevelWeak, Evidence: Evidence{Score: s.Score},
			Why: fmt.Sprintf("its name, %q, is like the account's", c.Name)})
	}
}
