package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/replay"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

type replayCommand struct {
	Source     string   `name:"source" placeholder:"NAME" help:"The source whose raw topic is read: ${sources}."`
	Since      since    `name:"since" placeholder:"TIME" help:"From when on, by the time at which the brokers got it: a period (2h, 3d), a date or a time."`
	Until      since    `name:"until" placeholder:"TIME" help:"Until when, likewise; default: now."`
	Types      []string `name:"types" placeholder:"TYPE" help:"Only these types of event, as the timeline names them; of a page of events, one suffices."`
	Reason     string   `name:"reason" placeholder:"TEXT" help:"Why, as recorded."`
	Rate       int      `name:"rate" default:"1000" placeholder:"N" help:"At most so many records a second (${default}); 0: as fast as the brokers take them."`
	Anyway     bool     `name:"anyway" help:"Replay --types, too, that nobody here knows."`
	FromOldest bool     `name:"from-oldest" help:"Where retention has passed --since, replay what is left."`
	DryRun     bool     `name:"dry-run" help:"Read, and print how much would be published, without publishing anything."`
	Resume     int64    `name:"resume" placeholder:"ID" help:"Go on with a replay that was interrupted; with --rate alone."`
	List       bool     `name:"list" help:"List replays, the newest first."`
	byFlags
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*replayCommand) Help() string {
	return "The same bytes and headers go to the raw topic again. All records of the period are read; published are those of the --types, and those whose type cannot be read, " +
		"without the copies that earlier replays and releases left there. What is on the timeline stays as it is, what is not comes there or to quarantine, and what was erased is passed over. " +
		"It is what closes the gap after a restore of Postgres: docs/operations/restore.md."
}

func (c *replayCommand) needs() need { return needsPostgres | needsKafka | needsSources }

func (c *replayCommand) checkSources(set source.Set) error {
	if c.Source == "" {
		return nil
	}
	return checkSource(set, c.Source)
}

// Validate is kong's.
func (c *replayCommand) Validate() error {
	var problems []error
	if other := c.Source != "" || c.Since != "" || c.Until != "" || len(c.Types) > 0 || c.Reason != "" || c.Anyway || c.FromOldest || c.DryRun; other && (c.Resume != 0 || c.List) {
		flag := "--resume goes on with what the replay was begun with"
		if c.List {
			flag = "--list lists all"
		}
		problems = append(problems, errors.New(flag+": leave --source, --since, --until, --types, --anyway, --reason, --from-oldest and --dry-run out"))
	}
	if c.List && c.Resume != 0 {
		problems = append(problems, errors.New("--list and --resume: give one of them"))
	}
	if c.Anyway && len(c.Types) == 0 && c.Resume == 0 && !c.List {
		problems = append(problems, errors.New("--anyway is of --types"))
	}
	if !c.List && c.Resume == 0 && (c.Source == "" || c.Since == "") {
		problems = append(problems, errors.New("--source and --since say what is replayed (or use --resume ID, or --list)"))
	}
	if c.Rate < 0 {
		problems = append(problems, fmt.Errorf("--rate should be 0 or more, but is %d", c.Rate))
	}
	return errors.Join(problems...)
}

// Run is kong's.
func (c *replayCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		if c.List {
			all, err := replay.List(ctx, pool, 100)
			if err != nil {
				return err
			}
			return c.show(s, all...)
		}
		client, err := s.kafka(ctx)
		if err != nil {
			return err
		}
		defer client.Close()
		o := replay.Options{Kafka: stream.Config(s.root.Kafka), Client: client, Pool: pool, Types: c.Types, By: c.author(), Reason: c.Reason, FromOldest: c.FromOldest, Rate: c.Rate}
		r, err := c.prepare(ctx, s, &o)
		if err != nil {
			return err
		}
		for _, g := range r.Gone {
			s.say("deleted from %s, and not replayed: %s", r.Topic, g)
		}
		r.Gone = nil // told
		if !r.FinishedAt.IsZero() {
			s.say("replay %d was finished at %s: nothing of it is left", r.ID, stamp(r.FinishedAt))
			return c.show(s, r)
		}
		total := r.Left()
		doing, did := "replaying ", "published"
		if c.DryRun {
			doing, did = "counting ", "would be"
		}
		bar := s.newProgress(doing+r.Topic, total)
		o.Progress = func(r replay.Replay) {
			bar.at(total-r.Left(), fmt.Sprintf("%d of %d, %s %s", total-r.Left(), total, plural(r.Published, "record"), did))
		}
		if c.DryRun {
			o.Rate = 0 // nobody is burdened but the brokers, which read
			counted, err := replay.Count(ctx, o, r)
			bar.end()
			c.sayLeftOut(s, counted)
			if err != nil {
				return err
			}
			return c.show(s, counted)
		}
		done, err := replay.Run(ctx, o, r)
		bar.end()
		for _, g := range done.Gone {
			s.say("deleted from %s before it was read, and not replayed: %s", r.Topic, g)
		}
		c.sayLeftOut(s, done)
		if err != nil {
			s.say("it is not finished: `throughline replay --resume %d` goes on", r.ID)
			return err
		}
		return c.show(s, done)
	})
}

// sayLeftOut says what of the topic was read and not published.
func (*replayCommand) sayLeftOut(s *session, r replay.Replay) {
	if r.Copies > 0 {
		s.say("%s not published: what an earlier replay or a release published again of others that were read", plural(r.Copies, "record"))
	}
	for _, u := range r.Unfit {
		s.say("in %s, and cannot be published again: %s", r.Topic, u)
	}
}

// prepare gives the replay that is to run.
func (c *replayCommand) prepare(ctx context.Context, s *session, o *replay.Options) (replay.Replay, error) {
	name := c.Source
	var r replay.Replay
	if c.Resume != 0 {
		var err error
		if r, err = replay.Find(ctx, o.Pool, c.Resume); err != nil {
			return r, err
		}
		name = r.Source
	}
	src, ok := s.root.Sources.set.Find(name)
	if !ok {
		return r, usage("no source is named %q", name)
	}
	if o.Source = src; c.Resume != 0 {
		return r, nil
	}
	if err := c.checkTypes(ctx, o.Pool, src); err != nil {
		return r, err
	}
	now := s.now()
	var err error
	if o.Since, err = c.Since.time(now); err != nil {
		return r, usage("--since %v", err)
	}
	if o.Since.IsZero() { // all
		o.Since, o.FromOldest = time.UnixMilli(0), true
	}
	if o.Until, err = c.Until.past(now); err != nil {
		return r, usage("--until %v", err)
	}
	if o.Until.IsZero() || o.Until.After(now) {
		o.Until = now
	}
	if r, err = replay.Plan(ctx, *o); err != nil || c.DryRun {
		return r, err
	}
	return replay.Start(ctx, o.Pool, r)
}

// checkTypes refuses types that nobody knows, and names what may be meant: a replay of none looks like one that worked.
func (c *replayCommand) checkTypes(ctx context.Context, pool *pgxpool.Pool, src source.Source) error {
	if len(c.Types) == 0 || c.Anyway {
		return nil
	}
	known, err := replay.KnownTypes(ctx, pool, src.Name())
	if err != nil {
		return err
	}
	ofVendor := map[string]string{}
	for _, t := range src.Profile().Types {
		known = append(known, t.Type)
		ofVendor[t.Vendor] = t.Type
	}
	var problems []string
	for _, t := range c.Types {
		if slices.Contains(known, t) || len(known) == 0 {
			continue
		}
		if here, err := replay.IsHere(ctx, pool, src.Name(), t); err != nil || here {
			if err != nil {
				return err
			}
			continue
		}
		near := cmp.Or(ofVendor[t], settings.Nearest(t, known))
		problem := fmt.Sprintf("--types: no event of %s has the type %q", src.Name(), t)
		if near != "" {
			problem += fmt.Sprintf(": did you mean %q?", near)
		}
		problems = append(problems, problem+fmt.Sprintf(" (`throughline event-types --source %s` lists those that have names; --anyway replays it all the same)", src.Name()))
	}
	if len(problems) > 0 {
		return &settings.ConfigError{Problems: problems}
	}
	return nil
}

func (c *replayCommand) show(s *session, all ...replay.Replay) error {
	views := make([]api.Replay, len(all))
	for i := range all {
		views[i] = api.NewReplay(all[i])
	}
	return list(s, c.JSON, views, []column[api.Replay]{
		{title: "id", text: func(r api.Replay) string {
			if r.ID == 0 {
				return "" // a dry run has none
			}
			return fmt.Sprint(r.ID)
		}},
		{title: "topic", text: func(r api.Replay) string { return r.Topic }},
		{title: "since", text: func(r api.Replay) string { return stamp(r.Since) }},
		{title: "until", text: func(r api.Replay) string { return stamp(r.Until) }},
		{title: "types", text: func(r api.Replay) string { return strings.Join(r.Types, ",") }, wide: true, leave: 1},
		{title: "left", text: func(r api.Replay) string { return fmt.Sprint(r.Left) }},
		{title: "read", text: func(r api.Replay) string { return fmt.Sprint(r.Read) }, leave: 2},
		{title: map[bool]string{true: "would be published", false: "published"}[c.DryRun], text: func(r api.Replay) string { return fmt.Sprint(r.Published) }},
		{title: "finished_at", text: func(r api.Replay) string { return stamp(r.FinishedAt) }, leave: 3},
		{title: "started_by", text: func(r api.Replay) string { return r.StartedBy }, leave: 5},
		{title: "reason", text: func(r api.Replay) string { return r.Reason }, wide: true, leave: 4},
	})
}
