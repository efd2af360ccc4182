package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// rawRecord reads the record that an event was read from. why says for people why there is none.
func (b *Service) rawRecord(ctx context.Context, o postgres.Origin) (rec *kgo.Record, why string) {
	switch {
	case o.RawTopic == "":
		return nil, "it is not known which raw record the event was read from"
	case b.o.Raw == nil:
		return nil, "the console is not connected to Kafka, where the raw record is"
	}
	select {
	case b.raws <- struct{}{}:
		defer func() { <-b.raws }()
	default:
		return nil, "too many raw records are read at the moment: try again"
	}
	rec, err := b.o.Raw(ctx, o.RawTopic, o.RawPartition, o.RawOffset)
	switch {
	case errors.Is(err, stream.ErrRecordGone):
		return nil, "the raw topic does not have the record any more: its retention has passed it"
	case fault.ReasonOf(err) == fault.Oversized:
		return nil, "the raw record's batch decompresses to more than anybody reads"
	case err != nil:
		return nil, "the raw record could not be read from Kafka in time"
	}
	return rec, ""
}

// Payload is Reader's.
func (b *Service) Payload(ctx context.Context, id int64) (api.Payload, error) {
	var e postgres.TimelineEvent
	var origin postgres.Origin
	err := b.reading(ctx, func(tx pgx.Tx) (err error) {
		if e, err = postgres.Event(ctx, tx, id); err == nil {
			origin, err = postgres.OriginOf(ctx, tx, id)
		}
		return err
	})
	if err != nil {
		return api.Payload{}, err
	}
	rec, why := b.rawRecord(ctx, origin)
	if why == "" {
		if body, ok := b.elementOf(rec, origin.RawIndex); ok {
			return api.Payload{Original: true, Body: body}, nil
		}
		why = "the raw record is a page that does not have the event any more where it was"
	}
	return api.Payload{Why: why, Body: e.Payload}, nil
}

// elementOf gives the bytes of the event in its record: all of them, or an element of a page.
func (b *Service) elementOf(rec *kgo.Record, index int32) ([]byte, bool) {
	if index < 0 {
		return rec.Value, true
	}
	name, _ := stream.SourceOfTopic(rec.Topic)
	src, ok := b.o.Sources.Find(name)
	if !ok {
		return nil, false
	}
	value, err := new(rawjson.Doc).ParseBody(rec.Value, 0)
	if err != nil {
		return nil, false
	}
	elements, ok := source.Page(src, value)
	if !ok {
		return nil, false
	}
	for i, e := range elements.Elements() {
		if int32(i) == index {
			return e.Bytes(), true
		}
	}
	return nil, false
}

// Passport is Reader's.
func (b *Service) Passport(ctx context.Context, id int64) (api.Passport, error) {
	var p api.Passport
	var origin postgres.Origin
	var details []quarantine.Detail
	var ref source.Reference
	err := b.reading(ctx, func(tx pgx.Tx) error {
		e, err := postgres.Event(ctx, tx, id)
		if err != nil {
			return err
		}
		if origin, err = postgres.OriginOf(ctx, tx, id); err != nil {
			return err
		}
		store := b.accounts.In(tx)
		found, err := store.Summary(ctx, e.AccountID)
		if err != nil && fault.ReasonOf(err) != fault.NotFound { // an event may stand on an account that was never made
			return err
		}
		p = api.Passport{Event: newEvent(e), AccountName: found.Name, Rule: origin.Rule, Delivery: origin.Delivery,
			Raw:        api.RawPosition{Topic: origin.RawTopic, Partition: origin.RawPartition, Offset: origin.RawOffset, Index: origin.RawIndex},
			Quarantine: []api.QuarantineRecord{}, Conflicts: []api.QuarantineRecord{}, Moves: []api.Move{}}
		records, err := b.quarantine.In(tx).OfEvent(ctx, e.Source, e.SourceEventID)
		if err != nil {
			return err
		}
		for _, r := range records {
			if r.Reason == string(fault.Conflict) {
				p.Conflicts = append(p.Conflicts, api.NewQuarantineRecord(r))
			} else {
				p.Quarantine = append(p.Quarantine, api.NewQuarantineRecord(r))
			}
			if len(details) < 10 {
				d, err := b.quarantine.In(tx).Show(ctx, r.ID)
				if err != nil {
					return err
				}
				d.Raw, d.Payload = nil, nil
				details = append(details, d)
			}
		}
		if origin.Reference == "" {
			return nil
		}
		p.Reference = origin.Reference
		if ref, err = accounts.ParseReference(origin.Reference, b.o.Sources.Kinds); err != nil {
			return nil // of a source that is not configured here
		}
		p.Reference = ref.String()
		return b.ledgerOf(ctx, store, ref, e, &p)
	})
	if err != nil {
		return api.Passport{}, err
	}
	rec, _ := b.rawRecord(ctx, origin)
	p.Steps = steps(p, details, rec)
	return p, nil
}

// ledgerOf adds the decision by which the reference stands, and the moves of it to the account.
func (b *Service) ledgerOf(ctx context.Context, store *accounts.Store, ref source.Reference, e postgres.TimelineEvent, p *api.Passport) error {
	links, err := store.Links(ctx, accounts.LinkFilter{Source: ref.Source, Kind: ref.Kind, ID: ref.ID})
	if err != nil {
		return err
	}
	for _, l := range links {
		if l.DecisionID == 0 || l.Tenant != ref.Tenant && l.Tenant != "" {
			continue
		}
		entries, err := store.Entries(ctx, accounts.EntryFilter{Reference: &l.Reference})
		if err != nil {
			return err
		}
		if at := slices.IndexFunc(entries, func(x accounts.Entry) bool { return x.ID == l.DecisionID }); at >= 0 {
			p.Decision = &api.NewDecisions(entries[at : at+1])[0]
		}
		if l.Tenant == ref.Tenant {
			break
		}
	}
	moves, err := store.MovesOf(ctx, ref, e.AccountID)
	if err != nil {
		return err
	}
	for _, m := range moves {
		p.Moves = append(p.Moves, api.NewMove(m))
	}
	return nil
}

// steps are what happened, in the order of time.
func steps(p api.Passport, records []quarantine.Detail, rec *kgo.Record) []api.PassportStep {
	e := p.Event
	at := func(t time.Time, step, text, by string) api.PassportStep {
		return api.PassportStep{At: t.UTC(), Step: step, Text: text, By: by}
	}
	received := "received"
	if p.Delivery != "" {
		received += " by " + p.Delivery
	}
	if p.Raw.Topic != "" {
		received += fmt.Sprintf(", kept in %s, partition %d, offset %d", p.Raw.Topic, p.Raw.Partition, p.Raw.Offset)
	}
	all := []api.PassportStep{at(e.OccurredAt, "occurred", "occurred, by "+e.Source, ""), at(e.IngestedAt, "received", received, "")}
	if rec != nil && p.Delivery == string(source.ModeReplay) {
		all = append(all, at(rec.Timestamp, "released", "published to its raw topic again", ""))
	}
	for _, r := range records {
		what := "quarantined"
		if r.Reason == string(fault.Conflict) {
			what = "conflicted"
		}
		all = append(all, at(r.FirstSeen, what, "went into quarantine: "+r.Reason, ""))
		for _, d := range r.Decisions {
			step := map[quarantine.Status]string{quarantine.Open: "quarantined", quarantine.Replaying: "released", quarantine.Resolved: "resolved", quarantine.Discarded: "discarded"}[d.To]
			text := fmt.Sprintf("%s → %s", d.From, d.To)
			if d.Note != "" {
				text += ": " + d.Note
			}
			all = append(all, at(d.At, step, text, d.By))
		}
	}
	for _, m := range p.Moves {
		all = append(all, at(m.CreatedAt, "moved", m.Verb+" "+m.Reference, m.Author))
	}
	slices.SortStableFunc(all, func(a, b api.PassportStep) int { return a.At.Compare(b.At) })
	stored := "stored on the timeline"
	if p.Rule != "" {
		stored += " of the account that the rule " + p.Rule + " found"
	}
	// When it was stored is not kept: it was between its receipt and what happened to it there.
	i := slices.IndexFunc(all, func(s api.PassportStep) bool { return s.Step == "moved" })
	if i < 0 {
		i = len(all)
	}
	return slices.Insert(all, i, at(all[i-1].At, "stored", stored, ""))
}

// feedPlace is a cursor of the feed.
type feedPlace = postgres.FeedPlace

// Feed is Reader's. See postgres.FeedPlace for what is guaranteed.
func (b *Service) Feed(ctx context.Context, sourceName, eventType string, wait time.Duration, p Paging) (Page[api.Event], error) {
	var none Page[api.Event]
	if err := access.ActorOf(ctx).Require(access.Viewer); err != nil {
		return none, err
	}
	limit, err := p.size()
	if err := errors.Join(err, texts("source", sourceName, "type", eventType)); err != nil {
		return none, first(err)
	}
	if err := b.knownFilters(ctx, sourceName, ""); err != nil {
		return none, err
	}
	if wait < 0 || wait > 30*time.Second {
		return none, malformed("wait", "0 to 30 seconds")
	}
	of := []any{"feed", sourceName, eventType}
	place, err := readCursor[feedPlace](p.Cursor, of...)
	if err != nil {
		return none, err
	}
	until := time.Now().Add(wait)
	for {
		events, next, err := b.feed(ctx, postgres.FeedQuery{Place: place, Source: sourceName, Type: eventType, Limit: limit})
		if err != nil {
			return none, err
		}
		pause := min(b.o.TailEvery, time.Until(until))
		if place = &next; len(events) > 0 || pause <= 0 {
			return page(events, writeCursor(next, of...), func(e postgres.FeedEvent) api.Event { return newEvent(e.TimelineEvent) }), nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return none, fault.Transient(fault.Unavailable, context.Cause(ctx))
		}
	}
}

func (b *Service) feed(ctx context.Context, q postgres.FeedQuery) (events []postgres.FeedEvent, next feedPlace, err error) {
	err = postgres.Reading(ctx, b.o.Pool, b.o.StatementLimit, func(tx pgx.Tx) error {
		events, next, err = postgres.Feed(ctx, tx, q)
		return err
	})
	if errors.Is(err, postgres.ErrFeedPlace) {
		err = badCursor(err.Error())
	}
	return events, next, err
}
