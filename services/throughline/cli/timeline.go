package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/replay"
	"github.com/throughline-dev/throughline/pkg/settings"
)

// timelinePage is how many events are read at once.
const timelinePage = 1000

// followEvery is how often --follow looks; an event is seen within it.
const followEvery = 300 * time.Millisecond

type timelineCommand struct {
	Account string `arg:"" help:"The account: its id, its domain, or its name when only one has it."`
	Since   since  `name:"since" default:"90d" help:"Only events that occurred after: 90d, 12h, 2026-01-31, or all."`
	Source  string `name:"source" help:"Only events of this source."`
	Type    string `name:"type" help:"Only events of this event_type."`
	Limit   int    `name:"limit" help:"At most so many, the newest; 0: all." default:"0"`
	Follow  bool   `name:"follow" short:"f" help:"Keep printing new events as they arrive, until interrupted."`
	outputFlags

	sources, types int // widths of columns, of --follow
}

func (*timelineCommand) needs() need { return needsPostgres }

// Validate is kong's.
func (c *timelineCommand) Validate() error {
	if c.Limit < 0 {
		return fmt.Errorf("--limit should be 0 (all) or more, but is %d", c.Limit)
	}
	if strings.TrimSpace(string(c.Since)) == "" {
		return errors.New("--since is empty: leave it out for 90d, or say all")
	}
	if strings.Contains(c.Type, "*") {
		return fmt.Errorf("--type takes one whole event_type, and no %q: throughline find has patterns", c.Type)
	}
	return nil
}

func eventColumns() []column[api.Event] {
	return []column[api.Event]{
		{title: "occurred_at", text: func(e api.Event) string { return stamp(e.OccurredAt) }},
		{title: "source", text: func(e api.Event) string { return e.Source }},
		{title: "event_type", text: func(e api.Event) string { return e.EventType }},
		{title: "subject", text: func(e api.Event) string { return e.Subject }, wide: true},
		{title: "id", text: func(e api.Event) string { return fmt.Sprint(e.ID) }},
	}
}

// Run is kong's.
func (c *timelineCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		account, err := s.findAccount(ctx, pool, c.Account)
		if err != nil {
			return err
		}
		from, err := c.Since.time(s.now())
		if err != nil {
			return usage("--since: %v", err)
		}
		q := postgres.TimelineQuery{AccountID: account.ID, Since: from, Source: c.Source, Type: c.Type, Limit: timelinePage}
		if c.Follow {
			return c.follow(ctx, s, pool, q)
		}
		events, all, err := c.read(ctx, pool, q)
		if err != nil {
			return err
		}
		if all == 0 {
			if err := s.knownNames(c.Source, ""); err != nil {
				return err
			}
		}
		if err := list(s, c.JSON, events, eventColumns()); err != nil {
			return err
		}
		if !c.JSON {
			s.say("%s", c.footer(s, account.Name, len(events), all))
		}
		if all == 0 {
			return c.hintType(ctx, s, pool)
		}
		return nil
	})
}

// hintType says where nothing was found that the type is one that no source has: it may be misspelt. It is no error,
// because senders make up types of their own, and who reads payloads, and knows them, need not run.
func (c *timelineCommand) hintType(ctx context.Context, s *session, pool *pgxpool.Pool) error {
	if c.Type == "" {
		return nil
	}
	var known []string
	for _, src := range s.root.Sources.set.Sources() {
		if c.Source != "" && src.Name() != c.Source {
			continue
		}
		seen, err := replay.KnownTypes(ctx, pool, src.Name())
		if err != nil {
			return err
		}
		known = append(known, seen...)
		for _, t := range src.Profile().Types {
			known = append(known, t.Type)
		}
	}
	if slices.Contains(known, c.Type) {
		return nil
	}
	text := fmt.Sprintf("no source is known to have the event_type %q", c.Type)
	if near := settings.Nearest(c.Type, known); near != "" {
		text += fmt.Sprintf(": did you mean %q?", near)
	}
	s.say("%s (`throughline event-types` lists those that have names)", text)
	return nil
}

// read reads page by page, and keeps the newest --limit events.
func (c *timelineCommand) read(ctx context.Context, pool *pgxpool.Pool, q postgres.TimelineQuery) (events []api.Event, all int, err error) {
	for {
		page, err := postgres.Timeline(ctx, pool, q)
		if err != nil {
			return nil, 0, err
		}
		all += len(page)
		events = c.newest(append(events, c.views(page)...))
		if len(page) < q.Limit {
			return events, all, nil
		}
		cursor := page[len(page)-1].Cursor()
		q.After = &cursor
	}
}

func (c *timelineCommand) newest(events []api.Event) []api.Event {
	if c.Limit > 0 && len(events) > c.Limit {
		return append([]api.Event(nil), events[len(events)-c.Limit:]...)
	}
	return events
}

func (c *timelineCommand) views(page []postgres.TimelineEvent) []api.Event {
	views := make([]api.Event, len(page))
	for i, e := range page {
		if !c.JSON { // a table shows no payload, and need not hold it
			e.Payload = nil
		}
		views[i] = api.NewEvent(e)
	}
	return views
}

func (c *timelineCommand) footer(s *session, account string, shown, all int) string {
	line := fmt.Sprintf("%s: %s%s", account, plural(int64(all), "event"), c.Since.words(s.now()))
	if shown < all {
		line += fmt.Sprintf(", the newest %d shown", shown)
	}
	if c.Since != "all" {
		line += "; --since all shows older ones too"
	}
	return line
}

// follow prints what is there and then what comes, until ctx ends. That is its
// normal end. An outage of the database is waited out.
func (c *timelineCommand) follow(ctx context.Context, s *session, pool *pgxpool.Pool, q postgres.TimelineQuery) error {
	follower, events, err := postgres.Follow(ctx, pool, q)
	if err != nil {
		return err
	}
	if err := c.print(s, c.newest(c.views(events))); err != nil {
		return err
	}
	if !c.JSON {
		s.say("waiting for events; Ctrl-C ends")
	}
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	lost := false
	for {
		select {
		case <-ctx.Done():
			return settings.ErrDone
		case <-ticker.C:
		}
		events, err := follower.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return settings.ErrDone
		case err != nil && !lost:
			s.say("%s: %s; trying again until it answers", name, s.explain(err))
		case err == nil && lost:
			s.say("%s: the database answers again", name)
		}
		lost = err != nil
		if err := c.print(s, c.views(events)); err != nil {
			return err
		}
	}
}

// print is list for what grows: a line an event. What is to come cannot be
// measured, so a column is as wide as what has come needs, up to widest.
func (c *timelineCommand) print(s *session, events []api.Event) error {
	if c.JSON {
		return writeJSON(s, events...)
	}
	const widest = 48
	for _, e := range events {
		c.sources = min(max(c.sources, 9, len(e.Source)), widest)
		c.types = min(max(c.types, 28, len(e.EventType)), widest)
	}
	for _, e := range events {
		line := fmt.Sprintf("%-20s  %-*s  %-*s  %s", stamp(e.OccurredAt), c.sources, s.cell(e.Source, false), c.types, s.cell(e.EventType, false), s.cell(e.Subject, true))
		if _, err := fmt.Fprintln(s.Out, strings.TrimRight(line, " ")); err != nil {
			return err
		}
	}
	return nil
}
