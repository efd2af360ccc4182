package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/retention"
	"github.com/throughline-dev/throughline/pkg/stream"
)

type retentionCommand struct {
	Plan  retentionPlanCommand  `cmd:"" help:"Show what tables and topics keep, and what apply would delete."`
	Apply retentionApplyCommand `cmd:"" help:"Delete what is older than the settings say, from the tables."`
}

type retentionPlanCommand struct {
	Keep           retention.Settings `embed:""`
	RawRetention   time.Duration      `name:"raw-retention" default:"336h" help:"What you give to topics apply, to compare with (${default})."`
	EventRetention time.Duration      `name:"event-retention" default:"720h" help:"What you give to topics apply, to compare with (${default})."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*retentionPlanCommand) Help() string {
	return fmt.Sprintf("Changes nothing, and reads no large table as a whole: it counts up to %d rows of each, and what they take on the disk is estimated by the average row.", retention.MostCounted)
}

func (*retentionPlanCommand) needs() need { return needsPostgres | needsKafka | needsSources }

// Validate is kong's.
func (c *retentionPlanCommand) Validate() error { return c.Keep.Validate() }

// Run is kong's.
func (c *retentionPlanCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		views, err := planRetention(ctx, pool, c.Keep)
		if err != nil {
			return err
		}
		topics, err := c.topics(ctx, s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			s.say("the brokers could not be asked what topics keep: %v", err)
		}
		return listRetention(s, c.JSON, append(views, topics...))
	})
}

func planRetention(ctx context.Context, pool *pgxpool.Pool, keep retention.Settings) ([]api.RetentionDue, error) {
	plan, err := retention.New(pool).Plan(ctx, keep)
	if err != nil {
		return nil, err
	}
	views := make([]api.RetentionDue, len(plan))
	for i, d := range plan {
		views[i] = api.NewRetentionDue(d)
	}
	return views, nil
}

// topics says what each topic keeps. A broker that does not answer leaves the tables' part.
func (c *retentionPlanCommand) topics(ctx context.Context, s *session) ([]api.RetentionDue, error) {
	client, err := s.kafka(ctx)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	bounded, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	all, err := stream.Retentions(bounded, client, stream.Config(s.root.Kafka).Names(), s.root.Sources.set.Names())
	if err != nil {
		return nil, err
	}
	names := make([]string, len(all))
	for i, r := range all {
		names[i] = r.Topic
	}
	oldest, err := stream.Oldest(bounded, client, names...)
	var views []api.RetentionDue
	for _, r := range all {
		views = append(views, api.NewRetentionTopic(r, oldest[r.Topic], stream.TopicOptions{RawRetention: c.RawRetention, EventRetention: c.EventRetention}))
	}
	return views, err
}

func listRetention(s *session, asJSON bool, views []api.RetentionDue) error {
	return list(s, asJSON, views, []column[api.RetentionDue]{
		{title: "where", text: func(d api.RetentionDue) string { return d.Table + d.Topic }},
		{title: "what", text: func(d api.RetentionDue) string { return d.What }, leave: 2},
		{title: "oldest", text: func(d api.RetentionDue) string {
			if d.Oldest == nil {
				return ""
			}
			return stamp(*d.Oldest)
		}, leave: 3},
		{title: "keep", text: func(d api.RetentionDue) string {
			if d.KeepBytes != nil {
				return fmt.Sprintf("%s or %d bytes", d.Keep, *d.KeepBytes)
			}
			return d.Keep
		}},
		{title: "setting", text: func(d api.RetentionDue) string {
			if d.Wanted != "" && d.Wanted != d.Keep {
				return d.Setting + ", wanted " + d.Wanted
			}
			return d.Setting
		}, leave: 1},
		{title: "too_old", text: tooOld},
		{title: "bytes", text: func(d api.RetentionDue) string {
			if d.Bytes == nil || d.Rows == 0 {
				return ""
			}
			return fmt.Sprintf("about %d", *d.Bytes)
		}, leave: 4},
		{title: "apply", text: func(d api.RetentionDue) string { return d.Does }},
	})
}

func tooOld(d api.RetentionDue) string {
	switch {
	case d.Before == nil:
		return ""
	case d.More:
		return fmt.Sprintf("%d or more", d.Rows)
	}
	return fmt.Sprint(d.Rows)
}

type retentionApplyCommand struct {
	Keep   retention.Settings `embed:""`
	DryRun bool               `name:"dry-run" help:"Show what would be deleted, as plan does of the tables."`
	Yes    bool               `name:"yes" short:"y" help:"Do not ask for confirmation. Nothing brings back what is deleted."`
	byFlags
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*retentionApplyCommand) Help() string {
	return "Without a setting only console sessions that are over are deleted. Rows go in batches of short transactions: the command can be interrupted and run again, and run on a schedule (with --yes). " +
		"Consumers of account-changes are not told. What is published again, by a backfill or a replay, is stored again and deleted by the next run. " +
		"Topics are Kafka's to delete from: `throughline topics apply` sets what they keep."
}

func (*retentionApplyCommand) needs() need { return needsPostgres }

// Validate is kong's.
func (c *retentionApplyCommand) Validate() error { return c.Keep.Validate() }

// Run is kong's.
func (c *retentionApplyCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		if c.DryRun {
			views, err := planRetention(ctx, pool, c.Keep)
			if err != nil {
				return err
			}
			return listRetention(s, c.JSON, views)
		}
		if !c.Yes {
			if err := c.ask(ctx, s, pool); err != nil {
				return err
			}
		}
		bar := s.newProgress("deleting", 0)
		var total, table int64
		var name string
		done, err := retention.New(pool).Apply(ctx, c.Keep, c.actor().Who, func(d retention.Done) {
			if d.Table != name {
				name, total = d.Table, total+table
			}
			table = d.Rows
			bar.at(total+table, fmt.Sprintf("%s: %s", d.Table, plural(d.Rows, "row")))
		})
		bar.end()
		if err != nil {
			s.say("it is not finished: what is deleted stays deleted, and the same command goes on")
		}
		for _, d := range done {
			if d.Vacuum {
				s.say("autovacuum will not come to %s soon: `VACUUM (ANALYZE) %s` lets new rows use the space", d.Table, d.Table)
			}
		}
		return errors.Join(list(s, c.JSON, api.NewRetentionDone(done), []column[api.RetentionDone]{
			{title: "table", text: func(d api.RetentionDone) string { return d.Table }},
			{title: "deleted", text: func(d api.RetentionDone) string { return fmt.Sprint(d.Rows) }},
			{title: "from_before", text: func(d api.RetentionDone) string { return stamp(d.Before) }},
		}), err)
	})
}

// ask names what is too old.
func (c *retentionApplyCommand) ask(ctx context.Context, s *session, pool *pgxpool.Pool) error {
	views, err := planRetention(ctx, pool, c.Keep)
	if err != nil {
		return err
	}
	var parts []string
	for _, d := range views {
		if d.Rows > 0 {
			parts = append(parts, fmt.Sprintf("%s rows of %s (%s)", tooOld(d), d.Table, d.What))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return s.confirm(ctx, fmt.Sprintf("Delete %s? Nothing brings them back.", strings.Join(parts, ", ")))
}
