package backend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/learn"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// reading does a viewer's reading in one transaction under the statement limit.
func (b *Service) reading(ctx context.Context, read func(tx pgx.Tx) error) error {
	if err := access.ActorOf(ctx).Require(access.Viewer); err != nil {
		return err
	}
	return postgres.Reading(ctx, b.o.Pool, b.o.StatementLimit, read)
}

func malformed(field, format string, args ...any) error {
	return problem.Field(field, fault.Permanent(fault.Malformed, fmt.Errorf(format, args...)))
}

// texts takes names of parameters and their values, and refuses what cannot stand in any column: NUL, bytes that are not UTF-8, control characters.
func texts(fields ...string) error {
	for pair := range slices.Chunk(fields, 2) {
		if !source.IsText(pair[len(pair)-1]) {
			return malformed(pair[0], "%s holds bytes that are no text: NUL, another control character, or not UTF-8", pair[0])
		}
	}
	return nil
}

// Accounts is Reader's.
func (b *Service) Accounts(ctx context.Context, query, owner string, p Paging) (Page[api.AccountSummary], error) {
	var none Page[api.AccountSummary]
	limit, err := p.size()
	if err := errors.Join(err, texts("q", query, "owner", owner)); err != nil {
		return none, first(err)
	}
	after, err := readCursor[accounts.AccountPlace](p.Cursor, "accounts", query, owner)
	if err != nil {
		return none, err
	}
	var found []accounts.FoundAccount
	err = b.reading(ctx, func(tx pgx.Tx) error {
		found, err = b.accounts.In(tx).Search(ctx, accounts.SearchFilter{Text: query, Owner: owner, After: after, Limit: limit + 1})
		return err
	})
	if err != nil {
		return none, err
	}
	list, next := paged(found, limit, func(f accounts.FoundAccount) accounts.AccountPlace { return f.Place }, "accounts", query, owner)
	return page(list, next, summary), nil
}

func summary(f accounts.FoundAccount) api.AccountSummary {
	s := api.AccountSummary{Account: api.NewAccount(f.Account), Owner: f.Owner, Events7Days: f.Events7Days, OpenQuarantine: f.Waiting, Matched: f.Matched}
	if e := f.Last; e.ID != 0 {
		s.LastEvent = &api.EventLine{ID: e.ID, OccurredAt: e.OccurredAt.UTC(), IngestedAt: e.IngestedAt.UTC(), Source: e.Source, EventType: e.Type, Subject: e.Subject}
	}
	return s
}

// Account is Reader's.
func (b *Service) Account(ctx context.Context, id uuid.UUID) (api.AccountSummary, error) {
	var found accounts.FoundAccount
	err := b.reading(ctx, func(tx pgx.Tx) (err error) {
		found, err = b.accounts.In(tx).Summary(ctx, id)
		return err
	})
	if err != nil {
		return api.AccountSummary{}, err
	}
	return summary(found), nil
}

// account gives the id of the account that a text means; Nil for "".
func (b *Service) account(ctx context.Context, tx pgx.Tx, text string) (uuid.UUID, error) {
	if text == "" {
		return uuid.Nil, nil
	}
	found, err := b.accounts.In(tx).FindAccount(ctx, text)
	if err != nil && fault.IsPermanent(err) {
		return uuid.Nil, problem.Field("account", err)
	}
	return found.ID, err
}

// there is NotFound where there is no such account.
func there(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	var found bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM accounts WHERE id = $1)", id).Scan(&found); err != nil {
		return postgres.Classify(fmt.Errorf("looking for an account: %w", err))
	}
	if !found {
		return fault.Permanent(fault.NotFound, fmt.Errorf("no account has the id %s", id))
	}
	return nil
}

// AccountLinks is Reader's.
func (b *Service) AccountLinks(ctx context.Context, id uuid.UUID, p Paging) (Page[api.Link], error) {
	return b.links(ctx, accounts.LinkFilter{AccountID: id}, "", p, "account links", id.String())
}

// Links is Reader's.
func (b *Service) Links(ctx context.Context, sourceName, account string, p Paging) (Page[api.Link], error) {
	if err := texts("source", sourceName, "account", account); err != nil {
		return Page[api.Link]{}, err
	}
	return b.links(ctx, accounts.LinkFilter{Source: sourceName}, account, p, "links", sourceName, account)
}

func (b *Service) links(ctx context.Context, f accounts.LinkFilter, account string, p Paging, of ...any) (Page[api.Link], error) {
	var none Page[api.Link]
	limit, err := p.size()
	if err != nil {
		return none, err
	}
	before, err := readCursor[int64](p.Cursor, of...)
	if err != nil {
		return none, err
	}
	f.Limit = limit + 1
	if before != nil {
		f.Before = *before
	}
	var list []accounts.Link
	err = b.reading(ctx, func(tx pgx.Tx) error {
		if account != "" {
			if f.AccountID, err = b.account(ctx, tx, account); err != nil {
				return err
			}
		} else if f.AccountID != uuid.Nil {
			if err := there(ctx, tx, f.AccountID); err != nil {
				return err
			}
		}
		list, err = b.accounts.In(tx).Links(ctx, f)
		return err
	})
	if err != nil {
		return none, err
	}
	list, next := paged(list, limit, func(l accounts.Link) int64 { return l.LinkID }, of...)
	return Page[api.Link]{api.NewLinks(list), next}, nil
}

// Timeline is Reader's.
func (b *Service) Timeline(ctx context.Context, q TimelineQuery) (Page[api.Event], error) {
	var none Page[api.Event]
	limit, err := q.size()
	if err := errors.Join(err, texts("source", q.Source, "type", q.Type)); err != nil {
		return none, first(err)
	}
	of := []any{"timeline", q.Account.String(), q.Newest, q.Source, q.Type, q.Since.UTC().String(), q.Until.UTC().String()}
	after, err := readCursor[postgres.Cursor](q.Cursor, of...)
	if err != nil {
		return none, err
	}
	var events []postgres.TimelineEvent
	err = b.reading(ctx, func(tx pgx.Tx) error {
		events, err = postgres.Timeline(ctx, tx, postgres.TimelineQuery{AccountID: q.Account, From: q.Since, Until: q.Until, Source: q.Source, Type: q.Type,
			Newest: q.Newest, WithoutPayloads: q.WithoutBodies, After: after, Limit: limit + 1})
		if err == nil && len(events) == 0 {
			err = there(ctx, tx, q.Account)
		}
		return err
	})
	if err != nil {
		return none, err
	}
	events, next := paged(events, limit, postgres.TimelineEvent.Cursor, of...)
	return page(events, next, newEvent), nil
}

// newEvent keeps a payload that was not asked for null.
func newEvent(e postgres.TimelineEvent) api.Event {
	if e.Payload == nil {
		e.Payload = []byte("null")
	}
	return api.NewEvent(e)
}

func line(e postgres.TimelineEvent) *api.EventLine {
	return &api.EventLine{ID: e.ID, OccurredAt: e.OccurredAt.UTC(), IngestedAt: e.IngestedAt.UTC(), Source: e.Source, EventType: e.EventType, Subject: e.Subject}
}

// Density is Reader's.
func (b *Service) Density(ctx context.Context, id uuid.UUID, sourceName, eventType string, spans int) (api.Density, error) {
	if spans < 1 || spans > 500 {
		return api.Density{}, malformed("spans", "1 to 500 spans")
	}
	if err := texts("source", sourceName, "type", eventType); err != nil {
		return api.Density{}, err
	}
	var d postgres.Density
	err := b.reading(ctx, func(tx pgx.Tx) (err error) {
		d, err = postgres.DensityOf(ctx, tx, postgres.TimelineQuery{AccountID: id, Source: sourceName, Type: eventType}, spans)
		if err == nil && d.From.IsZero() {
			err = there(ctx, tx, id)
		}
		return err
	})
	if err != nil {
		return api.Density{}, err
	}
	return api.Density{From: d.From, To: d.To, Spans: d.Spans, More: d.More}, nil
}

// Event is Reader's.
func (b *Service) Event(ctx context.Context, id int64) (api.Event, error) {
	var e postgres.TimelineEvent
	err := b.reading(ctx, func(tx pgx.Tx) (err error) {
		e, err = postgres.Event(ctx, tx, id)
		return err
	})
	if err != nil {
		return api.Event{}, err
	}
	return newEvent(e), nil
}

// searchPlace is a cursor of a search.
type searchPlace struct {
	Before int64
	Walk   bool
}

// Search is Reader's.
func (b *Service) Search(ctx context.Context, q SearchQuery) (api.SearchPage, error) {
	var none api.SearchPage
	if err := access.ActorOf(ctx).Require(access.Viewer); err != nil {
		return none, err
	}
	limit, err := q.size()
	if err := errors.Join(err, texts("words", q.Words, "source", q.Source, "type", q.Type, "account", q.Account)); err != nil {
		return none, first(err)
	}
	words := strings.Fields(q.Words)
	switch {
	case q.Contains == "" && q.Path == "" && len(words) == 0 && q.Account == "":
		return none, malformed("contains", "say what to look for: contains, path, words or account")
	case len(words) > 10:
		return none, malformed("words", "at most 10 words")
	}
	of := []any{"search", q.Contains, q.Path, q.Words, q.Source, q.Type, q.Account, q.Since.UTC().String()}
	place, err := readCursor[searchPlace](q.Cursor, of...)
	if err != nil {
		return none, err
	}
	query := postgres.SearchQuery{Contains: q.Contains, Path: q.Path, Words: words, Source: q.Source, Type: q.Type, From: q.Since, Limit: limit}
	if place != nil {
		query.Before, query.Walk = place.Before, place.Walk
	}
	err = b.reading(ctx, func(tx pgx.Tx) error {
		if query.AccountID, err = b.account(ctx, tx, q.Account); err != nil {
			return err
		}
		for field, check := range map[string]func(context.Context, postgres.DB, string) error{"contains": postgres.CheckJSON, "path": postgres.CheckPath} {
			text := map[string]string{"contains": q.Contains, "path": q.Path}[field]
			if text == "" {
				continue
			}
			if err := check(ctx, tx, text); err != nil {
				if fault.IsPermanent(err) {
					err = problem.Field(field, err)
				}
				return err
			}
		}
		return nil
	})
	if err != nil {
		return none, err
	}
	found, err := postgres.Search(ctx, b.o.Pool, b.o.StatementLimit, query)
	if err != nil {
		return none, err
	}
	names, err := b.names(ctx, found.Events)
	if err != nil {
		return none, err
	}
	result := api.SearchPage{Items: make([]api.Found, len(found.Events)), SearchedTo: found.To}
	for i, e := range found.Events {
		result.Items[i] = api.Found{Event: newEvent(e), AccountName: names[e.AccountID]}
	}
	if found.Before > 0 {
		result.Next = writeCursor(searchPlace{found.Before, found.Walk}, of...)
	}
	return result, nil
}

func (b *Service) names(ctx context.Context, events []postgres.TimelineEvent) (map[uuid.UUID]string, error) {
	var ids []uuid.UUID
	for _, e := range events {
		ids = append(ids, e.AccountID)
	}
	var names map[uuid.UUID]string
	err := b.reading(ctx, func(tx pgx.Tx) (err error) {
		names, err = b.accounts.In(tx).Names(ctx, ids)
		return err
	})
	return names, err
}

// quarantinePlace is a cursor of quarantined records.
type quarantinePlace struct {
	LastSeen time.Time
	ID       int64
}

// Quarantine is Reader's.
func (b *Service) Quarantine(ctx context.Context, q QuarantineQuery) (Page[api.QuarantineRecord], error) {
	var none Page[api.QuarantineRecord]
	limit, err := q.size()
	if err := errors.Join(err, texts("reason", q.Reason, "source", q.Source, "reference", q.Reference)); err != nil {
		return none, first(err)
	}
	f := quarantine.Filter{Reason: q.Reason, Source: q.Source, Status: quarantine.Status(q.Status), Since: q.Since, Limit: limit + 1}
	switch q.Status {
	case "":
		f.Status = quarantine.Open
	case "all":
		f.Status = ""
	}
	if q.Reference != "" {
		if f.Keys, err = b.keys(q.Reference); err != nil {
			return none, err
		}
	}
	of := []any{"quarantine", q.Reason, q.Source, q.Reference, string(f.Status), q.Since.UTC().String()}
	place, err := readCursor[quarantinePlace](q.Cursor, of...)
	if err != nil {
		return none, err
	}
	if place != nil {
		f.Before = &quarantine.Record{LastSeen: place.LastSeen, ID: place.ID}
	}
	var list []quarantine.Record
	err = b.reading(ctx, func(tx pgx.Tx) error {
		list, err = b.quarantine.In(tx).List(ctx, f)
		return err
	})
	if err != nil {
		return none, err
	}
	list, next := paged(list, limit, func(r quarantine.Record) quarantinePlace { return quarantinePlace{r.LastSeen, r.ID} }, of...)
	return page(list, next, api.NewQuarantineRecord), nil
}

// reference reads one; the error is about the field reference.
func (b *Service) reference(text string) (source.Reference, error) {
	ref, err := accounts.ParseReference(text, b.o.Sources.Kinds)
	if err != nil {
		return ref, problem.Field("reference", err)
	}
	return ref, nil
}

// keys are what waits for a reference has.
func (b *Service) keys(text string) ([]string, error) {
	ref, err := b.reference(text)
	if err != nil {
		return nil, err
	}
	return []string{ref.Key()}, nil
}

// QuarantineGroups is Reader's.
func (b *Service) QuarantineGroups(ctx context.Context, reason, sourceName string, p Paging) (Page[api.QuarantineGroup], error) {
	var none Page[api.QuarantineGroup]
	limit, err := p.size()
	if err := errors.Join(err, texts("reason", reason, "source", sourceName)); err != nil {
		return none, first(err)
	}
	after, err := readCursor[quarantine.Group](p.Cursor, "groups", reason, sourceName)
	if err != nil {
		return none, err
	}
	var list []quarantine.Group
	suggested := map[string][]api.Suggestion{}
	err = b.reading(ctx, func(tx pgx.Tx) error {
		if list, err = b.quarantine.In(tx).Groups(ctx, quarantine.GroupFilter{Reason: reason, Source: sourceName, After: after, Limit: limit + 1}); err != nil {
			return err
		}
		var refs []source.Reference
		for _, g := range list {
			if g.Reference != (source.Reference{}) {
				refs = append(refs, g.Reference)
			}
		}
		found, err := b.suggestions.In(tx).Of(ctx, refs)
		for _, s := range found {
			suggested[s.Reference.Key()] = append(suggested[s.Reference.Key()], api.NewSuggestion(s))
		}
		return err
	})
	if err != nil {
		return none, err
	}
	list, next := paged(list, limit, func(g quarantine.Group) quarantine.Group { return g }, "groups", reason, sourceName)
	return page(list, next, func(g quarantine.Group) api.QuarantineGroup {
		view := api.QuarantineGroup{Reason: g.Reason, Source: g.Source, Records: g.Records, AtLeast: g.AtLeast, Oldest: g.Oldest, Newest: g.Newest}
		if g.Reference != (source.Reference{}) {
			view.Reference, view.Suggestions = g.Reference.String(), suggested[g.Reference.Key()]
		}
		return view
	}), nil
}

// QuarantineRecord is Reader's.
func (b *Service) QuarantineRecord(ctx context.Context, id int64) (api.QuarantineDetail, error) {
	var d quarantine.Detail
	err := b.reading(ctx, func(tx pgx.Tx) (err error) {
		d, err = b.quarantine.In(tx).Show(ctx, id)
		return err
	})
	if err != nil {
		return api.QuarantineDetail{}, err
	}
	return api.NewQuarantineDetail(d), nil
}

// Reference is Reader's.
func (b *Service) Reference(ctx context.Context, text string) (api.Waits, error) {
	ref, err := b.reference(text)
	if err != nil {
		return api.Waits{}, err
	}
	w := api.Waits{Reference: ref.String(), Suggestions: []api.Suggestion{}}
	err = b.reading(ctx, func(tx pgx.Tx) error {
		store := b.accounts.In(tx)
		links, err := store.Links(ctx, accounts.LinkFilter{Source: ref.Source, Kind: ref.Kind, ID: ref.ID})
		if err != nil {
			return err
		}
		for i, l := range links {
			if l.Tenant == ref.Tenant || l.Tenant == "" || ref.Tenant == "" {
				w.Link = &api.NewLinks(links[i : i+1])[0]
				found, err := store.Summary(ctx, l.AccountID)
				if err != nil {
					return err
				}
				account := api.NewAccount(found.Account)
				w.Account = &account
				break
			}
		}
		if w.Waiting, err = b.quarantine.In(tx).Waiting(ctx, []string{ref.Key()}); err != nil {
			return err
		}
		found, err := b.suggestions.In(tx).Of(ctx, []source.Reference{ref})
		if err != nil {
			return err
		}
		w.Suggestions = api.NewSuggestions(found)
		entries, err := store.Entries(ctx, accounts.EntryFilter{Reference: &ref})
		w.Decisions = api.NewDecisions(entries)
		return err
	})
	if err != nil {
		return api.Waits{}, err
	}
	return w, nil
}

// Decisions is Reader's.
func (b *Service) Decisions(ctx context.Context, reference, account string, p Paging) (Page[api.Decision], error) {
	var none Page[api.Decision]
	limit, err := p.size()
	if err := errors.Join(err, texts("reference", reference, "account", account)); err != nil {
		return none, first(err)
	}
	f := accounts.EntryFilter{Limit: limit + 1}
	if reference != "" {
		ref, err := b.reference(reference)
		if err != nil {
			return none, err
		}
		f.Reference = &ref
	}
	before, err := readCursor[int64](p.Cursor, "decisions", reference, account)
	if err != nil {
		return none, err
	}
	if before != nil {
		f.Before = *before
	}
	var list []accounts.Entry
	err = b.reading(ctx, func(tx pgx.Tx) error {
		if f.AccountID, err = b.account(ctx, tx, account); err != nil {
			return err
		}
		list, err = b.accounts.In(tx).Entries(ctx, f)
		return err
	})
	if err != nil {
		return none, err
	}
	list, next := paged(list, limit, func(e accounts.Entry) int64 { return e.ID }, "decisions", reference, account)
	return Page[api.Decision]{api.NewDecisions(list), next}, nil
}

// Moves is Reader's.
func (b *Service) Moves(ctx context.Context, p Paging) (Page[api.Move], error) {
	var list []accounts.Move
	limit, next, err := b.newestFirst(ctx, p, func(tx pgx.Tx, before int64, limit int) (err error) {
		list, err = b.accounts.In(tx).Moves(ctx, accounts.MoveFilter{Before: before, Limit: limit})
		return err
	}, func(i int) int64 { return list[i].ID }, func() int { return len(list) }, "moves")
	if err != nil {
		return Page[api.Move]{}, err
	}
	return page(list[:min(limit, len(list))], next, api.NewMove), nil
}

// Drift is Reader's.
func (b *Service) Drift(ctx context.Context, sourceName, status string, p Paging) (Page[api.Drifted], error) {
	q := postgres.FindingQuery{Source: sourceName}
	switch state := postgres.FindingState(cmp.Or(status, string(postgres.FindingOpen))); state {
	case "all":
	case postgres.FindingOpen, postgres.FindingAcknowledged, postgres.FindingClosed:
		q.States = []postgres.FindingState{state}
	default:
		return Page[api.Drifted]{}, malformed("status", "it should be open, acknowledged, closed or all")
	}
	if err := texts("source", sourceName); err != nil {
		return Page[api.Drifted]{}, err
	}
	var list []postgres.Finding
	limit, next, err := b.newestFirst(ctx, p, func(_ pgx.Tx, before int64, limit int) (err error) {
		ctx, cancel := context.WithTimeout(ctx, b.o.StatementLimit)
		defer cancel()
		q.Before, q.Limit = before, limit
		list, err = b.drift.Findings(ctx, q)
		return err
	}, func(i int) int64 { return list[i].ID }, func() int { return len(list) }, "drift", sourceName, status)
	if err != nil {
		return Page[api.Drifted]{}, err
	}
	return page(list[:min(limit, len(list))], next, api.NewDrifted), nil
}

// newestFirst reads a page of a list whose cursor is an id that falls.
func (b *Service) newestFirst(ctx context.Context, p Paging, read func(tx pgx.Tx, before int64, limit int) error, id func(i int) int64, n func() int, of ...any) (int, string, error) {
	limit, err := p.size()
	if err != nil {
		return 0, "", err
	}
	place, err := readCursor[int64](p.Cursor, of...)
	if err != nil {
		return 0, "", err
	}
	var before int64
	if place != nil {
		before = *place
	}
	if err := b.reading(ctx, func(tx pgx.Tx) error { return read(tx, before, limit+1) }); err != nil {
		return 0, "", err
	}
	if n() <= limit {
		return limit, "", nil
	}
	return limit, writeCursor(id(limit-1), of...), nil
}

// suggestionPlace is a cursor of suggestions.
type suggestionPlace struct {
	Rule learn.Rule
	ID   int64
}

// Suggestions is Reader's.
func (b *Service) Suggestions(ctx context.Context, status, sourceName string, p Paging) (Page[api.Suggestion], error) {
	var none Page[api.Suggestion]
	limit, err := p.size()
	if err := errors.Join(err, texts("status", status, "source", sourceName)); err != nil {
		return none, first(err)
	}
	f := learn.SuggestionFilter{Status: status, Source: sourceName, Limit: limit + 1}
	place, err := readCursor[suggestionPlace](p.Cursor, "suggestions", status, sourceName)
	if err != nil {
		return none, err
	}
	if place != nil {
		f.After = &learn.Suggestion{ID: place.ID, Rule: place.Rule}
	}
	var list []learn.Suggestion
	err = b.reading(ctx, func(tx pgx.Tx) error {
		list, err = b.suggestions.In(tx).List(ctx, f)
		return err
	})
	if err != nil {
		return none, err
	}
	list, next := paged(list, limit, func(s learn.Suggestion) suggestionPlace { return suggestionPlace{s.Rule, s.ID} }, "suggestions", status, sourceName)
	return Page[api.Suggestion]{api.NewSuggestions(list), next}, nil
}

// Suggestion is Reader's.
func (b *Service) Suggestion(ctx context.Context, id int64) (api.Explanation, error) {
	var e learn.Explanation
	err := b.reading(ctx, func(tx pgx.Tx) (err error) {
		e, err = b.suggestions.In(tx).Explain(ctx, id)
		return err
	})
	if err != nil {
		return api.Explanation{}, err
	}
	return api.NewExplanation(e), nil
}

// Pulls is Reader's.
func (b *Service) Pulls(ctx context.Context, sourceName string, p Paging) (Page[api.Pull], error) {
	if err := texts("source", sourceName); err != nil {
		return Page[api.Pull]{}, err
	}
	var list []pull.Pull
	var paused []pull.Paused
	limit, next, err := b.newestFirst(ctx, p, func(tx pgx.Tx, before int64, limit int) (err error) {
		if paused, err = b.pulls.In(tx).Pauses(ctx, sourceName); err == nil {
			list, err = b.pulls.In(tx).List(ctx, pull.Filter{Source: sourceName, Before: before, Limit: limit})
		}
		return err
	}, func(i int) int64 { return list[i].ID }, func() int { return len(list) }, "pulls", sourceName)
	if err != nil {
		return Page[api.Pull]{}, err
	}
	return page(list[:min(limit, len(list))], next, func(p pull.Pull) api.Pull { return api.NewPull(p, paused) }), nil
}

// Gaps is Reader's.
func (b *Service) Gaps(ctx context.Context) ([]api.Gap, error) {
	gaps := []api.Gap{}
	err := b.reading(ctx, func(tx pgx.Tx) error {
		reports, err := b.pulls.In(tx).Reports(ctx, "")
		if err != nil {
			return err
		}
		unfinished, err := b.pulls.In(tx).Unfinished(ctx, "")
		if err != nil {
			return err
		}
		for _, r := range reports {
			report := api.NewReconciled(r)
			gaps = append(gaps, api.Gap{Source: r.Source, Tenant: r.Tenant, Stream: r.Stream, Report: &report})
		}
		for _, u := range unfinished {
			at := -1
			for i, g := range gaps {
				if g.Source == u.Source && g.Tenant == u.Tenant && g.Stream == u.Stream {
					at = i
				}
			}
			if at < 0 {
				at = len(gaps)
				gaps = append(gaps, api.Gap{Source: u.Source, Tenant: u.Tenant, Stream: u.Stream})
			}
			gaps[at].Unfinished = append(gaps[at].Unfinished, api.Unfinished{Checkpoint: u.Checkpoint, Mode: string(u.Mode), Through: u.Through, To: u.To, Status: u.Status, Error: u.Error})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return gaps, nil
}

// Tokens is Reader's.
func (b *Service) Tokens(ctx context.Context, p Paging) (Page[api.Token], error) {
	var none Page[api.Token]
	if err := access.ActorOf(ctx).Require(access.Admin); err != nil {
		return none, err
	}
	limit, before, err := adminPage(p, "tokens")
	if err != nil {
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, b.o.StatementLimit)
	defer cancel()
	list, err := b.o.Access.Tokens(ctx, before, limit+1)
	if err != nil {
		return none, err
	}
	list, next := paged(list, limit, func(t api.Token) int64 { return t.ID }, "tokens")
	return Page[api.Token]{append([]api.Token{}, list...), next}, nil
}

// Audit is Reader's.
func (b *Service) Audit(ctx context.Context, who, action string, p Paging) (Page[api.AuditEntry], error) {
	var none Page[api.AuditEntry]
	if err := access.ActorOf(ctx).Require(access.Admin); err != nil {
		return none, err
	}
	if err := texts("who", who, "action", action); err != nil {
		return none, err
	}
	limit, before, err := adminPage(p, "audit", who, action)
	if err != nil {
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, b.o.StatementLimit)
	defer cancel()
	list, err := b.o.Access.Audit(ctx, who, action, before, limit+1)
	if err != nil {
		return none, err
	}
	list, next := paged(list, limit, func(e api.AuditEntry) int64 { return e.ID }, "audit", who, action)
	return Page[api.AuditEntry]{append([]api.AuditEntry{}, list...), next}, nil
}

func adminPage(p Paging, of ...any) (limit int, before int64, err error) {
	if limit, err = p.size(); err != nil {
		return 0, 0, err
	}
	place, err := readCursor[int64](p.Cursor, of...)
	if place != nil {
		before = *place
	}
	return limit, before, err
}

// first gives one error of several.
func first(err error) error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()[0]
	}
	return err
}
