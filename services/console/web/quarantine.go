package web

import (
	"github.com/a-h/templ"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/services/console/backend"
)

// quarantine shows what waits, by reason and reference.
func (s *server) quarantine(p *page) (templ.Component, error) {
	p.title, p.nav = "Quarantine", "quarantine"
	groups, err := s.Backend.QuarantineGroups(p.r.Context(), p.q("reason"), p.q("source"), p.paging(30))
	if err != nil {
		return nil, err
	}
	return quarantineView(p, groups), nil
}

// records lists single records.
func (s *server) records(p *page) (templ.Component, error) {
	p.title, p.nav = "Quarantined records", "quarantine"
	list, err := s.Backend.Quarantine(p.r.Context(), p.quarantineQuery())
	if err != nil {
		return nil, err
	}
	return recordsView(p, list), nil
}

// quarantineQuery is what the page asks of the records.
func (p *page) quarantineQuery() backend.QuarantineQuery {
	return backend.QuarantineQuery{Reason: p.q("reason"), Source: p.q("source"), Reference: p.q("reference"), Status: p.q("status"), Paging: p.paging(100)}
}

// record is everything about one.
func (s *server) record(p *page) (templ.Component, error) {
	p.nav = "quarantine"
	id, err := p.id("record")
	if err != nil {
		return nil, err
	}
	d, err := s.Backend.QuarantineRecord(p.r.Context(), id)
	if err != nil {
		return nil, err
	}
	p.title = "Record " + itoa(id)
	return recordView(p, d), nil
}

// reference is the page of a reference: whose it is, or what waits for it.
func (s *server) reference(p *page) (templ.Component, error) {
	p.nav, p.title = "links", "Reference"
	w, err := s.Backend.Reference(p.r.Context(), p.q("ref"))
	if err != nil {
		return nil, err
	}
	p.title = w.Reference
	waiting, err := s.Backend.Quarantine(p.r.Context(), backend.QuarantineQuery{Reference: w.Reference, Paging: backend.Paging{Limit: 20}})
	if err != nil {
		return nil, err
	}
	return referenceView(p, w, waiting.Items), nil
}

// reasons that the filter offers.
func reasons() (list []string) {
	for _, r := range []fault.Reason{fault.Unresolved, fault.Malformed, fault.Unsupported, fault.Oversized, fault.Unstorable, fault.TestData, fault.Conflict} {
		list = append(list, string(r))
	}
	return list
}

// waitsFor says what a group waits for, for a person.
func waitsFor(reason string) string {
	switch fault.Reason(reason) {
	case fault.Unresolved:
		return "No link says whose it is. Link it to an account, and these events come onto that timeline."
	case fault.Malformed:
		return "The bytes cannot be read as an event of this source. Fix what sends them, or discard them."
	case fault.Unsupported:
		return "The source does not know this kind of event yet. Release them after an upgrade or a change of the mapping."
	case fault.Oversized:
		return "Larger than an event may be."
	case fault.Unstorable:
		return "Postgres refused the row."
	case fault.TestData:
		return "The vendor says that it is test data."
	case fault.Conflict:
		return "The timeline has this identity with other content, or the event names two accounts."
	}
	return ""
}

// refText writes a reference as it can be typed back.
func refText(r api.Reference) string {
	tenant := ""
	if r.Tenant != "" {
		tenant = "/" + r.Tenant
	}
	if r.Source == "" {
		return r.Kind + ":" + r.ID
	}
	return r.Source + tenant + ":" + r.Kind + ":" + r.ID
}

func isUnresolved(reason string) bool { return fault.Reason(reason) == fault.Unresolved }

// statusKind gives the pill of a record's status.
func statusKind(status string) string {
	switch status {
	case "open":
		return "warn"
	case "replaying", "running":
		return "accent"
	case "resolved", "done", "finished":
		return "good"
	case "failed":
		return "bad"
	}
	return "off"
}

func plus(more bool) string {
	if more {
		return "+"
	}
	return ""
}

func waits(n int64) string {
	if n == 1 {
		return "1 event waits for it in quarantine."
	}
	return bounded(n, 10_000) + " events wait for it in quarantine."
}

// drainFrom is how many waited when the link was made, as the page after the decision says in its address.
func (p *page) drainFrom(waiting int64) int64 {
	var from int64
	for _, c := range p.q("waited") {
		if c < '0' || c > '9' || from > 1_000_000 {
			return 0
		}
		from = from*10 + int64(c-'0')
	}
	return max(from, waiting*min(from, 1))
}

func groupCount(g api.QuarantineGroup) string {
	if g.Records == 1 && !g.AtLeast {
		return "1 event"
	}
	return number(g.Records) + plus(g.AtLeast) + " events"
}

func groupVerb(g api.QuarantineGroup) string {
	switch {
	case g.Reference == "" && g.Records == 1:
		return " is " + words(g.Reason)
	case g.Reference == "":
		return " are " + words(g.Reason)
	case g.Records == 1:
		return " waits for "
	}
	return " wait for "
}
