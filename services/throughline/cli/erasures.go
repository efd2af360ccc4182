package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/erase"
	"github.com/throughline-dev/throughline/pkg/source"
)

type erasuresCommand struct {
	List   erasuresListCommand   `cmd:"" help:"List erasures, and how many events were passed over for them."`
	Resume erasuresResumeCommand `cmd:"" help:"Finish erasures that were interrupted."`
	Lift   erasuresLiftCommand   `cmd:"" help:"Let what was erased come again: a customer who is back."`
}

type erasuresListCommand struct {
	Limit int `name:"limit" default:"100" placeholder:"N" help:"At most so many, the newest (${default})."`
	outputFlags
}

func (*erasuresListCommand) needs() need { return needsPostgres }

// Validate is kong's.
func (c *erasuresListCommand) Validate() error { return checkLimit(c.Limit) }

// Run is kong's.
func (c *erasuresListCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		eraser := erase.New(pool, source.Set{})
		all, err := eraser.List(ctx, c.Limit)
		if err != nil {
			return err
		}
		passed, err := eraser.Suppressed(ctx)
		if err != nil {
			return err
		}
		s.hintList(len(all), c.Limit, "erasure", "")
		if err := listErasures(s, c.JSON, all); err != nil {
			return err
		}
		for _, p := range passed {
			s.say("%s of %s passed over for what was erased, the last at %s", plural(p.Events, "event"), p.Source, stamp(p.LastAt))
		}
		return nil
	})
}

func listErasures(s *session, asJSON bool, all []erase.Erasure) error {
	views := make([]api.Erasure, len(all))
	for i := range all {
		views[i] = api.NewErasure(all[i])
	}
	return list(s, asJSON, views, []column[api.Erasure]{
		{title: "id", text: func(e api.Erasure) string { return fmt.Sprint(e.ID) }},
		{title: "what", text: func(e api.Erasure) string { return e.Label }},
		{title: "digest", text: func(e api.Erasure) string { return e.Digest[:min(12, len(e.Digest))] }, leave: 1},
		{title: "state", text: func(e api.Erasure) string { return e.State }},
		{title: "events", text: func(e api.Erasure) string { return fmt.Sprint(e.Rows["account_events"]) }},
		{title: "by", text: func(e api.Erasure) string { return e.RequestedBy }},
		{title: "reason", text: func(e api.Erasure) string { return e.Reason }, wide: true, leave: 2},
		{title: "created_at", text: func(e api.Erasure) string { return stamp(e.CreatedAt) }, leave: 4},
		{title: "finished_at", text: func(e api.Erasure) string { return stamp(e.FinishedAt) }, leave: 3},
	})
}

type erasuresResumeCommand struct{ outputFlags }

func (*erasuresResumeCommand) needs() need { return needsPostgres | needsSources }

// Run is kong's.
func (c *erasuresResumeCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		eraser := erase.New(pool, s.root.Sources.set)
		before, err := eraser.List(ctx, maxErasures)
		if err != nil {
			return err
		}
		open := map[int64]bool{}
		for _, e := range before {
			open[e.ID] = e.State == erase.Running
		}
		if _, err := finishErasures(ctx, s, eraser, 0); err != nil {
			return err
		}
		after, err := eraser.List(ctx, maxErasures)
		if err != nil {
			return err
		}
		var done []erase.Erasure
		for _, e := range after {
			if open[e.ID] {
				done = append(done, e)
			}
		}
		if len(done) == 0 {
			s.say("no erasure was unfinished")
		}
		return listErasures(s, c.JSON, done)
	})
}

type erasuresLiftCommand struct {
	Target string `arg:"" name:"erasure" help:"The erasure's id, as list prints it, or a reference that it keeps away: email:kim@acme.example."`
	Yes    bool   `name:"yes" short:"y" help:"Do not ask for confirmation where an erasure keeps away more than the reference that is named."`
	Reason string `name:"reason" placeholder:"TEXT" help:"Why, as recorded."`
	byFlags
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*erasuresLiftCommand) Help() string {
	return "Nothing that was erased comes back by it. What the raw topics still hold can be read again: `throughline replay`. " +
		"An erasure is lifted as a whole: that of an account lets in all that it was known by."
}

func (*erasuresLiftCommand) needs() need { return needsPostgres | needsSources }

// Run is kong's.
func (c *erasuresLiftCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		eraser := erase.New(pool, s.root.Sources.set)
		id, err := strconv.ParseInt(c.Target, 10, 64)
		if err != nil {
			if id, err = c.find(ctx, s, eraser); err != nil {
				return err
			}
		}
		kept, err := eraser.Keeps(ctx, id)
		if err != nil {
			return err
		}
		lifted, err := eraser.Lift(ctx, id, c.actor().Who, c.Reason)
		if err != nil {
			return err
		}
		if c.JSON {
			return writeJSON(s, api.NewErasure(lifted))
		}
		_, err = fmt.Fprintf(s.Out, "erasure %d is lifted: what it kept away may come again from %s on\n", lifted.ID, lifted.LiftedAt.UTC().Format(time.RFC3339))
		if len(kept) > 0 {
			s.say("let in: %s", keptWords(kept))
		}
		return err
	})
}

// find gives the erasure that keeps the reference away, and asks where it keeps away more.
func (c *erasuresLiftCommand) find(ctx context.Context, s *session, eraser *erase.Eraser) (int64, error) {
	ref, err := reference(c.Target).parse(s.root.Sources.set)
	if err != nil {
		if address, is := source.Email(c.Target); is && !strings.Contains(c.Target, ":") {
			return 0, usage("%q is no reference: did you mean email:%s?", c.Target, address)
		}
		return 0, err
	}
	found, err := eraser.ByReference(ctx, ref)
	if err != nil {
		return 0, err
	}
	switch {
	case len(found) == 0:
		return 0, usage("nothing keeps %s away", ref)
	case len(found) > 1:
		if err := listErasures(s, c.JSON, found); err != nil {
			return 0, err
		}
		return 0, usage("several erasures keep %s away: lift each by its id", ref)
	case found[0].References > 1 && !c.Yes:
		kept, err := eraser.Keeps(ctx, found[0].ID)
		if err != nil {
			return 0, err
		}
		of := "of several references"
		if found[0].Kind == "account" {
			of = "of an account"
		}
		more := fmt.Sprintf("erasure %d is %s, and keeps more than %s away: %s", found[0].ID, of, clean(ref.String()), keptWords(kept))
		if !s.InTerminal {
			return 0, usage("%s; lift it with --yes or by its id, if all of that may come again", more)
		}
		return found[0].ID, s.confirm(ctx, more+". Lift it?")
	}
	return found[0].ID, nil
}

// keptWords says what an erasure keeps away.
func keptWords(kept []erase.Kept) string {
	var words []string
	for _, k := range kept {
		words = append(words, fmt.Sprintf("%d %s", k.References, k.Kind))
	}
	return strings.Join(words, ", ")
}
