package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/quarantine"
)

// changeFlags are those of the commands that change records: which, who, why,
// and how sure.
type changeFlags struct {
	IDs []int64 `arg:"" optional:"" name:"id" help:"The records' ids."`
	recordFilter
	All    bool   `name:"all" help:"Every open record."`
	DryRun bool   `name:"dry-run" help:"Print how many records would change, without changing them."`
	Yes    bool   `name:"yes" short:"y" help:"Do not ask for confirmation."`
	Note   string `name:"note" placeholder:"TEXT" help:"Reason of the change, as recorded."`
	byFlags
	outputFlags
}

func (*changeFlags) needs() need { return needsPostgres }

// Validate is kong's.
func (f *changeFlags) Validate() error {
	switch {
	case len(f.IDs) > 0 && (f.given() || f.All):
		return errors.New("name the records by id or by --reason, --source, --since, --all, not both")
	case len(f.IDs) == 0 && !f.given() && !f.All:
		return errors.New("name the records by id, or by --reason, --source, --since or --all")
	}
	return nil
}

// meant gives the records that are meant; those that are named by id in every status.
func (f *changeFlags) meant(s *session) (quarantine.Filter, error) {
	if len(f.IDs) > 0 {
		ids := slices.Clone(f.IDs)
		slices.Sort(ids)
		return quarantine.Filter{IDs: slices.Compact(ids)}, nil
	}
	filter, err := f.filter(s.now())
	filter.Status = quarantine.Open
	return filter, err
}

// verb is what a command does, in the forms that its sentences need, and how: or on a dry run, that it only counts.
type verb struct {
	infinitive, past, present string
	do                        func(s *quarantine.Store, ctx context.Context, f quarantine.Filter, by, note string, dryRun bool) (quarantine.Counts, error)
}

// run does what the verb says to the records that are meant.
func (f *changeFlags) run(ctx context.Context, s *session, v verb) error {
	filter, err := f.meant(s)
	if err != nil {
		return err
	}
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		records, bar := following(s, pool, v.present)
		defer bar.end()
		return f.change(ctx, s, filter, v, func(dryRun bool) (quarantine.Counts, error) {
			counts, err := v.do(records, ctx, filter, f.author(), f.Note, dryRun)
			bar.end()
			return counts, err
		})
	})
}

// change counts, asks where that is wanted, changes, and tells. apply does it,
// or on a dry run only counts.
func (f *changeFlags) change(ctx context.Context, s *session, filter quarantine.Filter, v verb, apply func(dryRun bool) (quarantine.Counts, error)) error {
	counts, err := apply(true)
	if err != nil {
		return err
	}
	if counts.Matched == 0 {
		if err := s.knownNames(f.Source, ""); err != nil {
			return err
		}
	}
	if !f.DryRun && counts.Changed > 0 {
		if counts.Changed > 1 && !f.Yes {
			if err := s.confirm(ctx, fmt.Sprintf("%s %s?", v.infinitive, plural(int64(counts.Changed), "record"))); err != nil {
				return err
			}
		}
		if counts, err = apply(false); err != nil {
			return err
		}
	}
	if err := f.tell(s, v, counts); err != nil {
		return err
	}
	if missing := len(filter.IDs) - counts.Matched; missing > 0 {
		return fmt.Errorf("%s not in quarantine: `throughline quarantine list --status all` shows what is", plural(int64(missing), "id"))
	}
	if len(filter.IDs) > 0 && counts.Changed == 0 {
		return fmt.Errorf("nothing to %s: `throughline quarantine show` says where a record stands", v.infinitive)
	}
	return nil
}

func (f *changeFlags) tell(s *session, v verb, c quarantine.Counts) error {
	if f.JSON {
		return writeJSON(s, api.NewQuarantineChange(c, f.DryRun))
	}
	did := v.past
	if f.DryRun {
		did = "would be " + v.past
	}
	line := fmt.Sprintf("%s %s", plural(int64(c.Changed), "record"), did)
	if c.Skipped > 0 {
		line += fmt.Sprintf(", %d skipped (under way, resolved or discarded)", c.Skipped)
	}
	if c.Impossible > 0 {
		line += fmt.Sprintf(", %d impossible (no raw topic, or no bytes, to publish)", c.Impossible)
	}
	_, err := fmt.Fprintln(s.Out, line)
	return err
}

// following gives the quarantine with a bar that shows how far a change of many records is.
func following(s *session, pool *pgxpool.Pool, what string) (*quarantine.Store, *progress) {
	bar := s.newProgress(what, 0)
	return quarantine.NewStore(pool).WithProgress(func(done, all int) {
		bar.of(int64(all))
		bar.at(int64(done), fmt.Sprintf("%d of %d", done, all))
	}), bar
}

type quarantineReleaseCommand struct{ changeFlags }

// Help is kong's: what --help says beyond the summary.
func (*quarantineReleaseCommand) Help() string {
	return "The quarantine service publishes released records within seconds. Whatever is on the timeline already stays there once. " +
		"Records that wait for a link need none of this: a link releases them. By filter only open records are meant, by id discarded ones too."
}

// Run is kong's.
func (c *quarantineReleaseCommand) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, verb{"release", "released", "releasing", (*quarantine.Store).Release})
}

type quarantineDiscardCommand struct{ changeFlags }

// Run is kong's.
func (c *quarantineDiscardCommand) Run(ctx context.Context, s *session) error {
	return c.run(ctx, s, verb{"discard", "discarded", "discarding", (*quarantine.Store).DiscardAll})
}
