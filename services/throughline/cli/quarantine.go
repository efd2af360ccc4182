package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/quarantine"
)

type quarantineCommand struct {
	List    quarantineListCommand    `cmd:"" help:"List records, the last seen first."`
	Show    quarantineShowCommand    `cmd:"" help:"Show everything about one record, its payload included."`
	Release quarantineReleaseCommand `cmd:"" help:"Publish records to their raw topics again."`
	Discard quarantineDiscardCommand `cmd:"" help:"Mark records as discarded. They stay readable, and can be released by id."`
}

// recordFilter are the flags that say which records are meant.
type recordFilter struct {
	Reason quarantineReason `name:"reason" placeholder:"REASON" help:"Only with this reason: ${reasons}."`
	Source string           `name:"source" help:"Only of this source."`
	Since  since            `name:"since" placeholder:"WHEN" help:"Only last seen since: 90d, 12h, 2026-01-31, or all."`
}

// quarantineReason is a reason that a dead letter can have.
type quarantineReason string

func quarantineReasons() []string {
	var names []string
	for _, r := range fault.DeadLetterReasons() {
		names = append(names, string(r))
	}
	return names
}

// Validate is kong's.
func (r quarantineReason) Validate() error {
	if r == "" {
		return nil
	}
	for _, known := range quarantineReasons() {
		if string(r) == known {
			return nil
		}
	}
	return fmt.Errorf("should be one of %s, but is %q", strings.Join(quarantineReasons(), ", "), string(r))
}

func (f recordFilter) filter(now time.Time) (quarantine.Filter, error) {
	from, err := f.Since.time(now)
	if err != nil {
		return quarantine.Filter{}, usage("--since: %v", err)
	}
	return quarantine.Filter{Reason: string(f.Reason), Source: f.Source, Since: from}, nil
}

func (f recordFilter) given() bool { return f.Reason != "" || f.Source != "" || f.Since != "" }

type quarantineListCommand struct {
	recordFilter
	Status string `name:"status" default:"open" enum:"open,replaying,resolved,discarded,all" help:"Only in this status: ${enum}."`
	Limit  int    `name:"limit" default:"100" placeholder:"N" help:"At most so many (${default})."`
	outputFlags
}

func (*quarantineListCommand) needs() need { return needsPostgres }

// Validate is kong's.
func (c *quarantineListCommand) Validate() error { return checkLimit(c.Limit) }

// Run is kong's.
func (c *quarantineListCommand) Run(ctx context.Context, s *session) error {
	filter, err := c.filter(s.now())
	if err != nil {
		return err
	}
	if filter.Limit = c.Limit; c.Status != "all" {
		filter.Status = quarantine.Status(c.Status)
	}
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		records, err := quarantine.NewStore(pool).List(ctx, filter)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			if err := s.knownNames(c.Source, ""); err != nil {
				return err
			}
		}
		s.hintList(len(records), c.Limit, "record", "")
		return list(s, c.JSON, api.NewQuarantineRecords(records), []column[api.QuarantineRecord]{
			{title: "id", text: func(r api.QuarantineRecord) string { return fmt.Sprint(r.ID) }},
			{title: "last_seen", text: func(r api.QuarantineRecord) string { return stamp(r.LastSeen) }, leave: 3},
			{title: "status", text: status, leave: 2},
			{title: "reason", text: func(r api.QuarantineRecord) string { return r.Reason }},
			{title: "source", text: func(r api.QuarantineRecord) string { return r.Source }},
			{title: "event_type", text: func(r api.QuarantineRecord) string { return r.EventType }},
			{title: "attempts", text: func(r api.QuarantineRecord) string { return fmt.Sprint(r.Attempts) }, leave: 1},
			{title: "error", text: func(r api.QuarantineRecord) string { return r.Error }, wide: true},
		})
	})
}

// status is a record's status, with what became of a resolved one, and until
// when one is held off.
func status(r api.QuarantineRecord) string {
	switch {
	case r.Outcome != "":
		return r.Status + " (" + strings.ReplaceAll(r.Outcome, "_", " ") + ")"
	case !r.HeldUntil.IsZero():
		return r.Status + " (held until " + stamp(r.HeldUntil) + ")"
	}
	return r.Status
}
