// Package webtest is a backend.Backend in memory for tests of the console's pages: the demo story's customer with its
// events, an unknown customer in quarantine, hostile texts, a payload of 5 MB, and as many events as a test asks for.
// It is no model of Postgres: what the queries do is tested where they are.
package webtest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/alert"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// Fake is a backend in memory. Its methods are safe for concurrent use.
type Fake struct {
	now func() time.Time

	mu          sync.Mutex
	accounts    []api.AccountSummary
	events      map[uuid.UUID][]api.Event // the oldest first
	byID        map[int64]api.Event
	quarantine  []api.QuarantineDetail
	links       []api.Link
	decisions   []api.Decision
	suggestions []api.Suggestion
	pulls       []api.Pull
	requests    []api.PullRequest
	asked       map[string]int64 // requests by their keys
	moves       []api.Move
	drift       []api.Finding
	alerts      []alert.State
	silences    []alert.Silence
	domains     []api.SuspectDomain
	tokens      []api.Token
	views       []api.SavedView
	export      backend.ExportPolicy
	audit       []api.AuditEntry
	tails       map[chan backend.TailEvent]backend.TailQuery
	told        []backend.TailEvent
	lastID      int64
	// nobody is told of alerts.
	nobody bool
	// failing is what every method answers, where it is not nil.
	failing error
}

var _ backend.Backend = (*Fake)(nil)

// Fail makes every method answer an error; nil ends that.
func (f *Fake) Fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failing = err
}

// Audited gives what was written to the audit log, the oldest first.
func (f *Fake) Audited() []api.AuditEntry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.audit)
}

// Tails gives how many live tails run.
func (f *Fake) Tails() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.tails)
}

// Allowed is backend.Reader's.
func (f *Fake) Allowed(ctx context.Context, role access.Role, action, target string) error {
	err := f.decide(ctx, action, target, role)
	if err == nil {
		f.mu.Unlock()
	}
	return err
}

// KnownSource is backend.Reader's.
func (f *Fake) KnownSource(ctx context.Context, name string) error {
	if err := f.may(ctx, access.Viewer); err != nil {
		return err
	}
	defer f.mu.Unlock()
	if name != "" && !slices.Contains(catalog.Set().Names(), name) {
		return problem.Field("source", errors.New("there is no such source"))
	}
	return nil
}

// may says whether the actor may do it; it locks, and the caller unlocks where there is no error.
func (f *Fake) may(ctx context.Context, needed access.Role) error {
	f.mu.Lock()
	err := f.failing
	if err == nil {
		err = access.ActorOf(ctx).Require(needed)
	}
	if err != nil {
		f.mu.Unlock()
	}
	return err
}

// did writes to the audit log.
func (f *Fake) did(ctx context.Context, action, target, why string, dryRun bool) {
	a := access.ActorOf(ctx)
	f.audit = append(f.audit, api.AuditEntry{ID: int64(len(f.audit) + 1), At: f.now(), Who: a.Who, Role: string(a.Role), Action: action, Target: target,
		Result: "done", Why: why, Via: a.Via, DryRun: dryRun})
}

// decide is may for a change, with an entry for what is refused.
func (f *Fake) decide(ctx context.Context, action, target string, needed access.Role) error {
	err := f.may(ctx, needed)
	if err != nil && fault.ReasonOf(err) == fault.Forbidden {
		f.mu.Lock()
		a := access.ActorOf(ctx)
		f.audit = append(f.audit, api.AuditEntry{ID: int64(len(f.audit) + 1), At: f.now(), Who: a.Who, Role: string(a.Role), Action: action, Target: target,
			Result: "refused", Why: err.Error(), Via: a.Via})
		f.mu.Unlock()
	}
	return err
}

func notFound(what string) error {
	return fault.Permanent(fault.NotFound, fmt.Errorf("there is no %s", what))
}

// page gives a part of a list; the cursor is how many were before.
func page[T any](all []T, p backend.Paging) (backend.Page[T], error) {
	from := 0
	if p.Cursor != "" {
		n, err := strconv.Atoi(p.Cursor)
		if err != nil || n < 0 {
			return backend.Page[T]{}, problem.Field("cursor", errors.New("this is no cursor of this list: begin with its first page"))
		}
		from = min(n, len(all))
	}
	to := min(from+cmp.Or(p.Limit, 100), len(all))
	out := backend.Page[T]{Items: append([]T{}, all[from:to]...)}
	if to < len(all) {
		out.Next = strconv.Itoa(to)
	}
	return out, nil
}

func filter[T any](all []T, keep func(T) bool) []T {
	out := []T{}
	for _, x := range all {
		if keep(x) {
			out = append(out, x)
		}
	}
	return out
}

func newest[T any](all []T) []T {
	out := slices.Clone(all)
	slices.Reverse(out)
	return out
}

func line(e api.Event) api.EventLine {
	return api.EventLine{ID: e.ID, OccurredAt: e.OccurredAt, IngestedAt: e.IngestedAt, Source: e.Source, EventType: e.EventType, Subject: e.Subject}
}

// Overview is the state of the whole.
func (f *Fake) Overview(ctx context.Context) (api.Overview, error) {
	sources, err := f.Sources(ctx)
	if err != nil {
		return api.Overview{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	o := api.Overview{At: f.now(), Sources: sources, FailedPulls: filter(f.pulls, func(p api.Pull) bool { return p.Status == "failed" }),
		PendingMoves: filter(f.moves, func(m api.Move) bool { return m.FinishedAt.IsZero() })}
	for _, q := range f.quarantine {
		if q.Status == "open" {
			o.OpenQuarantine++
			if o.OldestQuarantine.IsZero() || q.FirstSeen.Before(o.OldestQuarantine) {
				o.OldestQuarantine = q.FirstSeen
			}
		}
	}
	for _, d := range f.drift {
		if d.State == "open" {
			o.OpenFindings++
		}
	}
	for _, a := range f.alerts {
		if a.State == alert.Firing && api.NewAlert(a, f.silences, f.now()).SilencedBy == 0 {
			o.FiringAlerts++
		}
	}
	for _, s := range f.suggestions {
		if s.Status == "open" {
			o.OpenSuggestions++
		}
	}
	return o, nil
}

// Accounts finds by a part of the name or domain, an id, or a link.
func (f *Fake) Accounts(ctx context.Context, query, owner string, p backend.Paging) (backend.Page[api.AccountSummary], error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return backend.Page[api.AccountSummary]{}, err
	}
	defer f.mu.Unlock()
	found := []api.AccountSummary{}
	q := strings.ToLower(strings.TrimSpace(query))
	for _, a := range f.accounts {
		a = f.summary(a)
		switch {
		case owner != "" && a.Owner != owner, a.MergedInto != uuid.Nil:
			continue
		case q == "":
		case a.ID.String() == q:
			a.Matched = "id"
		case strings.Contains(strings.ToLower(a.Name), q):
			a.Matched = "name"
		case a.Domain != "" && strings.HasPrefix(a.Domain, q):
			a.Matched = "domain"
		case slices.ContainsFunc(f.links, func(l api.Link) bool {
			return l.AccountID == a.ID && (l.Reference == query || strings.HasSuffix(l.Reference, ":"+query))
		}):
			a.Matched = "reference"
		default:
			continue
		}
		found = append(found, a)
	}
	return page(found, p)
}

func (f *Fake) summary(a api.AccountSummary) api.AccountSummary {
	events := f.events[a.ID]
	if n := len(events); n > 0 {
		last := line(events[n-1])
		a.LastEvent = &last
	}
	since := f.now().AddDate(0, 0, -7)
	for i := len(events) - 1; i >= 0 && events[i].OccurredAt.After(since) && a.Events7Days < 1000; i-- {
		a.Events7Days++
	}
	n := 0
	for _, l := range f.links {
		if l.AccountID == a.ID {
			n++
		}
	}
	a.Links = &n
	return a
}

// Account is one account.
func (f *Fake) Account(ctx context.Context, id uuid.UUID) (api.AccountSummary, error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return api.AccountSummary{}, err
	}
	defer f.mu.Unlock()
	a, err := f.account(id)
	if err != nil {
		return api.AccountSummary{}, err
	}
	return f.summary(*a), nil
}

func (f *Fake) account(id uuid.UUID) (*api.AccountSummary, error) {
	for i := range f.accounts {
		if f.accounts[i].ID == id {
			return &f.accounts[i], nil
		}
	}
	return nil, notFound("account " + id.String())
}

// AccountLinks are the links of one account.
func (f *Fake) AccountLinks(ctx context.Context, id uuid.UUID, p backend.Paging) (backend.Page[api.Link], error) {
	return f.Links(ctx, "", id.String(), p)
}

// Timeline is the events of one account.
func (f *Fake) Timeline(ctx context.Context, q backend.TimelineQuery) (backend.Page[api.Event], error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return backend.Page[api.Event]{}, err
	}
	defer f.mu.Unlock()
	if _, err := f.account(q.Account); err != nil {
		return backend.Page[api.Event]{}, err
	}
	found := filter(f.events[q.Account], func(e api.Event) bool {
		return (q.Source == "" || e.Source == q.Source) && (q.Type == "" || e.EventType == q.Type) &&
			(q.Since.IsZero() || !e.OccurredAt.Before(q.Since)) && (q.Until.IsZero() || e.OccurredAt.Before(q.Until))
	})
	if q.Newest {
		slices.Reverse(found)
	}
	out, err := page(found, q.Paging)
	if q.WithoutBodies {
		for i := range out.Items {
			out.Items[i].Payload = nil
		}
	}
	return out, err
}

// Density counts events in equal spans.
func (f *Fake) Density(ctx context.Context, id uuid.UUID, src, eventType string, spans int) (api.Density, error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return api.Density{}, err
	}
	defer f.mu.Unlock()
	d := api.Density{Spans: make([]int64, spans)}
	events := filter(f.events[id], func(e api.Event) bool {
		return (src == "" || e.Source == src) && (eventType == "" || e.EventType == eventType)
	})
	if len(events) == 0 {
		return d, nil
	}
	if len(events) > 100_000 {
		events, d.More = events[len(events)-100_000:], true
	}
	d.From, d.To = events[0].OccurredAt, events[len(events)-1].OccurredAt.Add(time.Second)
	span := d.To.Sub(d.From) / time.Duration(spans)
	for _, e := range events {
		d.Spans[min(int(e.OccurredAt.Sub(d.From)/max(span, 1)), spans-1)]++
	}
	return d, nil
}

// Event is one event.
func (f *Fake) Event(ctx context.Context, id int64) (api.Event, error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return api.Event{}, err
	}
	defer f.mu.Unlock()
	e, ok := f.byID[id]
	if !ok {
		return api.Event{}, notFound(fmt.Sprintf("event %d", id))
	}
	return e, nil
}

// Passport is all about one event.
func (f *Fake) Passport(ctx context.Context, id int64) (api.Passport, error) {
	e, err := f.Event(ctx, id)
	if err != nil {
		return api.Passport{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	p := api.Passport{Event: e, Rule: "link", Reference: "stripe:customer:cus_Tz1Acme", Delivery: "webhook",
		Raw:        api.RawPosition{Topic: "raw." + e.Source, Partition: 3, Offset: 1_482_113 + id, Index: -1},
		Quarantine: []api.QuarantineRecord{}, Conflicts: []api.QuarantineRecord{}, Moves: []api.Move{},
		Steps: []api.PassportStep{
			{At: e.OccurredAt, Step: "occurred", Text: "It occurred at " + e.Source},
			{At: e.OccurredAt.Add(2 * time.Second), Step: "received", Text: "The receiver took the delivery and verified its signature"},
			{At: e.IngestedAt, Step: "stored", Text: "The sink wrote it onto the timeline", By: "sink"},
		}}
	if a, err := f.account(e.AccountID); err == nil {
		p.AccountName = a.Name
	}
	if len(f.decisions) > 0 {
		d := f.decisions[0]
		p.Decision = &d
	}
	return p, nil
}

// Payload is the event's payload.
func (f *Fake) Payload(ctx context.Context, id int64) (api.Payload, error) {
	e, err := f.Event(ctx, id)
	return api.Payload{Original: true, Body: e.Payload}, err
}

// Search finds events by words of their subject, or a part of the payload's text.
func (f *Fake) Search(ctx context.Context, q backend.SearchQuery) (api.SearchPage, error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return api.SearchPage{}, err
	}
	defer f.mu.Unlock()
	if q.Contains != "" && !json.Valid([]byte(q.Contains)) {
		return api.SearchPage{}, problem.Field("contains", errors.New("this is not JSON"))
	}
	found := []api.Found{}
	for _, a := range f.accounts {
		for _, e := range f.events[a.ID] {
			if len(e.Payload) > 1<<20 || (q.Source != "" && e.Source != q.Source) || (q.Type != "" && e.EventType != q.Type) {
				continue
			}
			words := q.Words != "" && strings.Contains(strings.ToLower(e.Subject), strings.ToLower(q.Words))
			part := q.Contains != "" && strings.Contains(string(e.Payload), strings.Trim(q.Contains, "{} "))
			if words || part {
				found = append(found, api.Found{Event: e, AccountName: a.Name})
			}
		}
	}
	slices.SortFunc(found, func(a, b api.Found) int { return cmp.Compare(b.ID, a.ID) })
	p, err := page(found, q.Paging)
	return api.SearchPage{Items: p.Items, Next: p.Next, SearchedTo: f.now().AddDate(-2, 0, 0)}, err
}

func references(q api.QuarantineRecord) (list []string) {
	for _, r := range q.References {
		list = append(list, r.Source+":"+r.Kind+":"+r.ID)
	}
	return list
}

func (f *Fake) waiting(q backend.QuarantineQuery) []api.QuarantineDetail {
	status := cmp.Or(q.Status, "open")
	return filter(f.quarantine, func(d api.QuarantineDetail) bool {
		return (q.Reason == "" || d.Reason == q.Reason) && (q.Source == "" || d.Source == q.Source) && (status == "all" || d.Status == status) &&
			(q.Reference == "" || slices.Contains(references(d.QuarantineRecord), q.Reference))
	})
}

// Quarantine lists records.
func (f *Fake) Quarantine(ctx context.Context, q backend.QuarantineQuery) (backend.Page[api.QuarantineRecord], error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return backend.Page[api.QuarantineRecord]{}, err
	}
	defer f.mu.Unlock()
	list := []api.QuarantineRecord{}
	for _, d := range f.waiting(q) {
		list = append(list, d.QuarantineRecord)
	}
	return page(newest(list), q.Paging)
}

// QuarantineGroups groups open records.
func (f *Fake) QuarantineGroups(ctx context.Context, reason, src string, p backend.Paging) (backend.Page[api.QuarantineGroup], error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return backend.Page[api.QuarantineGroup]{}, err
	}
	defer f.mu.Unlock()
	groups := map[string]*api.QuarantineGroup{}
	for _, d := range f.waiting(backend.QuarantineQuery{Reason: reason, Source: src}) {
		ref := ""
		if list := references(d.QuarantineRecord); len(list) > 0 {
			ref = list[0]
		}
		key := d.Reason + " " + d.Source + " " + ref
		g := groups[key]
		if g == nil {
			g = &api.QuarantineGroup{Reason: d.Reason, Source: d.Source, Reference: ref, Oldest: d.FirstSeen, Newest: d.LastSeen,
				Suggestions: filter(f.suggestions, func(s api.Suggestion) bool { return s.Reference == ref && s.Status == "open" })}
			groups[key] = g
		}
		g.Records++
		if d.FirstSeen.Before(g.Oldest) {
			g.Oldest = d.FirstSeen
		}
		if d.LastSeen.After(g.Newest) {
			g.Newest = d.LastSeen
		}
	}
	list := []api.QuarantineGroup{}
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		list = append(list, *groups[key])
	}
	slices.SortStableFunc(list, func(a, b api.QuarantineGroup) int { return cmp.Compare(b.Records, a.Records) })
	return page(list, p)
}

// QuarantineRecord is one record.
func (f *Fake) QuarantineRecord(ctx context.Context, id int64) (api.QuarantineDetail, error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return api.QuarantineDetail{}, err
	}
	defer f.mu.Unlock()
	for _, d := range f.quarantine {
		if d.ID == id {
			return d, nil
		}
	}
	return api.QuarantineDetail{}, notFound(fmt.Sprintf("quarantined record %d", id))
}

// Links lists links.
func (f *Fake) Links(ctx context.Context, src, account string, p backend.Paging) (backend.Page[api.Link], error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return backend.Page[api.Link]{}, err
	}
	defer f.mu.Unlock()
	return page(newest(filter(f.links, func(l api.Link) bool {
		return (src == "" || strings.HasPrefix(l.Reference, src+":")) && (account == "" || l.AccountID.String() == account || l.AccountName == account)
	})), p)
}

// Reference says where a reference stands.
func (f *Fake) Reference(ctx context.Context, reference string) (api.Waits, error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return api.Waits{}, err
	}
	defer f.mu.Unlock()
	parts := strings.Split(reference, ":")
	if len(parts) < 2 {
		return api.Waits{}, problem.Field("reference", errors.New("a reference names its source: stripe:cus_123"))
	}
	if len(parts) == 2 {
		reference = parts[0] + ":customer:" + parts[1]
	}
	w := api.Waits{Reference: reference, Suggestions: filter(f.suggestions, func(s api.Suggestion) bool { return s.Reference == reference && s.Status == "open" }),
		Decisions: newest(filter(f.decisions, func(d api.Decision) bool { return d.Reference == reference }))}
	for _, l := range f.links {
		if l.Reference == reference {
			w.Link = &l
			if a, err := f.account(l.AccountID); err == nil {
				w.Account = &a.Account
			}
		}
	}
	w.Waiting = int64(len(f.waiting(backend.QuarantineQuery{Reference: reference})))
	return w, nil
}

// Decisions is the ledger.
func (f *Fake) Decisions(ctx context.Context, reference, account string, p backend.Paging) (backend.Page[api.Decision], error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return backend.Page[api.Decision]{}, err
	}
	defer f.mu.Unlock()
	return page(newest(filter(f.decisions, func(d api.Decision) bool {
		return (reference == "" || d.Reference == reference) && (account == "" || d.ToAccount.String() == account || d.FromAccount.String() == account)
	})), p)
}

// Moves lists moves.
func (f *Fake) Moves(ctx context.Context, p backend.Paging) (backend.Page[api.Move], error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return backend.Page[api.Move]{}, err
	}
	defer f.mu.Unlock()
	return page(newest(f.moves), p)
}

// Suggestions lists suggestions.
func (f *Fake) Suggestions(ctx context.Context, status, src string, p backend.Paging) (backend.Page[api.Suggestion], error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return backend.Page[api.Suggestion]{}, err
	}
	defer f.mu.Unlock()
	status = cmp.Or(status, "open")
	return page(filter(f.suggestions, func(s api.Suggestion) bool {
		return (status == "all" || s.Status == status) && (src == "" || strings.HasPrefix(s.Reference, src+":"))
	}), p)
}

// Suggestion explains one.
func (f *Fake) Suggestion(ctx context.Context, id int64) (api.Explanation, error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return api.Explanation{}, err
	}
	defer f.mu.Unlock()
	for _, s := range f.suggestions {
		if s.ID == id {
			return api.Explanation{Suggestion: s, RuleTitle: "The vendor's object names another that is linked", Learned: []string{"Stripe says that cus_NimbusLab has the e-mail address billing@nimbus-lab.example"},
				Others: []api.Suggestion{}, Waiting: len(f.waiting(backend.QuarantineQuery{Reference: s.Reference}))}, nil
		}
	}
	return api.Explanation{}, notFound(fmt.Sprintf("suggestion %d", id))
}

// PullRequests lists what the puller was asked for.
func (f *Fake) PullRequests(ctx context.Context, src string, open bool, p backend.Paging) (backend.Page[api.PullRequest], error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return backend.Page[api.PullRequest]{}, err
	}
	defer f.mu.Unlock()
	return page(newest(filter(f.requests, func(x api.PullRequest) bool {
		return (src == "" || x.Source == src) && (!open || x.FinishedAt.IsZero())
	})), p)
}

// Pulls lists pulls.
func (f *Fake) Pulls(ctx context.Context, src string, p backend.Paging) (backend.Page[api.Pull], error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return backend.Page[api.Pull]{}, err
	}
	defer f.mu.Unlock()
	return page(newest(filter(f.pulls, func(x api.Pull) bool { return src == "" || x.Source == src })), p)
}

// Gaps lists gaps.
func (f *Fake) Gaps(ctx context.Context) ([]api.Gap, error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	return []api.Gap{{Source: "stripe", Stream: "events", Report: f.gap()}}, nil
}

func (f *Fake) gap() *api.Reconciled {
	now := f.now()
	return &api.Reconciled{ID: 4, Source: "stripe", Stream: "events", From: now.AddDate(0, 0, -7), To: now, Through: now, Status: "done", Said: 812_004, OnTimeline: 811_998,
		InQuarantine: 3, Missing: 3, StillMissing: 3, Reasons: map[string]int64{"not_arrived": 3}, StartedAt: now.Add(-time.Hour), LookedAt: now.Add(-time.Hour), FinishedAt: now.Add(-50 * time.Minute)}
}

// Drift lists findings.
func (f *Fake) Drift(ctx context.Context, src, status string, p backend.Paging) (backend.Page[api.Finding], error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return backend.Page[api.Finding]{}, err
	}
	defer f.mu.Unlock()
	return page(filter(f.drift, func(d api.Finding) bool {
		return (src == "" || d.Source == src) && (status == "" || status == "all" || d.State == status)
	}), p)
}

// Feed is not asked for by pages.
func (f *Fake) Feed(context.Context, string, string, time.Duration, backend.Paging) (backend.Page[api.Event], error) {
	return backend.Page[api.Event]{Items: []api.Event{}, Next: "0"}, nil
}

// TailPlace is behind the newest event that was told.
func (f *Fake) TailPlace(ctx context.Context) (string, error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return "", err
	}
	defer f.mu.Unlock()
	if len(f.told) == 0 {
		return "0", nil
	}
	return f.told[len(f.told)-1].ID, nil
}

// Tail sends what Store and Skip tell.
func (f *Fake) Tail(ctx context.Context, q backend.TailQuery) (<-chan backend.TailEvent, error) {
	if err := f.may(ctx, access.Viewer); err != nil {
		return nil, err
	}
	defer f.mu.Unlock()
	if len(f.tails) >= 8 {
		return nil, fault.Transient(fault.Unavailable, errors.New("eight live tails run already: close one"))
	}
	in := make(chan backend.TailEvent, 1024)
	if after, err := strconv.ParseInt(q.After, 10, 64); err == nil {
		for _, e := range f.told {
			if id, _ := strconv.ParseInt(e.ID, 10, 64); id > after && wants(q, e) {
				in <- e
			}
		}
	}
	f.tails[in] = q
	out := make(chan backend.TailEvent)
	go func() {
		defer close(out)
		defer func() {
			f.mu.Lock()
			delete(f.tails, in)
			f.mu.Unlock()
		}()
		for {
			select {
			case e := <-in:
				select {
				case out <- e:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return out, nil
}

func wants(q backend.TailQuery, e backend.TailEvent) bool {
	return e.Skipped > 0 || (q.Source == "" || e.Event.Source == q.Source) && (q.Type == "" || e.Event.EventType == q.Type) && (q.Account == uuid.Nil || e.AccountID == q.Account)
}

func (f *Fake) tell(e backend.TailEvent) {
	f.told = append(f.told, e)
	for in, q := range f.tails {
		if wants(q, e) {
			select {
			case in <- e:
			default:
			}
		}
	}
}

// Store puts an event onto an account's timeline, and tells live tails. It gives its id.
func (f *Fake) Store(account uuid.UUID, src, eventType, subject string, occurred time.Time, payload string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.store(account, src, eventType, subject, occurred, payload).ID
}

// Skip tells live tails that they were too slow for n events.
func (f *Fake) Skip(n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tell(backend.TailEvent{ID: strconv.FormatInt(f.lastID, 10), Skipped: n})
}

func (f *Fake) store(account uuid.UUID, src, eventType, subject string, occurred time.Time, payload string) api.Event {
	f.lastID++
	e := api.Event{ID: f.lastID, AccountID: account, Source: src, EventType: eventType, Subject: subject, OccurredAt: occurred, IngestedAt: occurred.Add(3 * time.Second),
		SourceEventID: fmt.Sprintf("evt_%06d", f.lastID), Payload: json.RawMessage(payload)}
	list := f.events[account]
	at, _ := slices.BinarySearchFunc(list, e, func(a, b api.Event) int {
		return cmp.Or(a.OccurredAt.Compare(b.OccurredAt), cmp.Compare(a.ID, b.ID))
	})
	f.events[account] = slices.Insert(list, at, e)
	f.byID[e.ID] = e
	name := ""
	if a, err := f.account(account); err == nil {
		name = a.Name
	}
	f.tell(backend.TailEvent{ID: strconv.FormatInt(e.ID, 10), AccountID: account, AccountName: name, Event: line(e)})
	return e
}

// Tokens lists tokens.
func (f *Fake) Tokens(ctx context.Context, p backend.Paging) (backend.Page[api.Token], error) {
	if err := f.may(ctx, access.Admin); err != nil {
		return backend.Page[api.Token]{}, err
	}
	defer f.mu.Unlock()
	return page(newest(f.tokens), p)
}

// Audit lists the audit log.
func (f *Fake) Audit(ctx context.Context, who, action string, p backend.Paging) (backend.Page[api.AuditEntry], error) {
	if err := f.may(ctx, access.Admin); err != nil {
		return backend.Page[api.AuditEntry]{}, err
	}
	defer f.mu.Unlock()
	return page(newest(filter(f.audit, func(e api.AuditEntry) bool {
		return (who == "" || e.Who == who) && (action == "" || e.Action == action)
	})), p)
}
