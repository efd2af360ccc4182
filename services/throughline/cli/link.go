package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

// waitEvery is how often --wait looks.
const waitEvery = 100 * time.Millisecond

// reference is a reference as a person writes it (accounts.ParseReference).
type reference string

// Validate is kong's.
func (r reference) Validate() error {
	if r == "" {
		return nil
	}
	_, err := accounts.ParseReference(string(r), catalog.Kinds)
	return err
}

type linkCommand struct {
	Reference reference     `arg:"" help:"The vendor's id: stripe:cus_1, hubspot/62515:contact:901, email:kim@acme.example, domain:acme.example."`
	Account   string        `arg:"" help:"The account: its id, domain or name."`
	Wait      bool          `name:"wait" help:"Return when the quarantined events are on the timeline, and not at once."`
	Timeout   time.Duration `name:"timeout" default:"30s" help:"Longest wait of --wait."`
	byFlags
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*linkCommand) Help() string {
	return "A reference is a source and an id; its kind is known by the id's prefix or is the source's first (`throughline event-types` lists sources, " +
		"each source's README its kinds). Say it where that is not meant: stripe:invoice:in_1. A reference without a tenant holds for every tenant."
}

func (*linkCommand) needs() need { return needsPostgres }

// linkedView is what --json shows.
type linkedView struct {
	Reference   string    `json:"reference"`
	AccountID   uuid.UUID `json:"account_id"`
	AccountName string    `json:"account_name"`
	Added       bool      `json:"added"`
	Quarantined int64     `json:"quarantined"`
	Waiting     *int64    `json:"waiting,omitempty"` // with --wait: those that are not resolved
}

// Run is kong's.
func (c *linkCommand) Run(ctx context.Context, s *session) error {
	ref, err := accounts.ParseReference(string(c.Reference), catalog.Kinds)
	if err != nil {
		return usage("%v", err)
	}
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		account, err := s.findAccount(ctx, pool, c.Account)
		if err != nil {
			return err
		}
		records := quarantine.NewStore(pool)
		view := linkedView{Reference: ref.Key(), AccountID: account.ID, AccountName: account.Name}
		// Counted before the link, because the release begins with it.
		waiting, err := waitingFor(ctx, records, view.Reference)
		if err != nil {
			return err
		}
		view.Quarantined = int64(len(waiting))
		view.Added, err = store(pool).AddLink(ctx, accounts.Link{Reference: ref, AccountID: account.ID, Learned: accounts.LearnedOperator, CreatedBy: c.author()})
		if err != nil {
			return err
		}
		if !c.JSON {
			c.tell(s, view)
		}
		var waitErr error
		if c.Wait {
			var left int64
			left, waitErr = c.wait(ctx, s, records, waiting)
			view.Waiting = &left
		}
		if c.JSON {
			return errors.Join(writeJSON(s, view), waitErr)
		}
		return waitErr
	})
}

func (c *linkCommand) tell(s *session, view linkedView) {
	verb := "linked"
	if !view.Added {
		verb = "linked already:"
	}
	fmt.Fprintf(s.Out, "%s %s to %s (%s)\n", verb, clean(view.Reference), clean(view.AccountName), view.AccountID)
	switch {
	case view.Quarantined == 0:
		s.say("nothing waits for it in quarantine")
	case !c.Wait:
		s.say("%s will be released from quarantine; `throughline timeline %s` shows them in a moment", plural(view.Quarantined, "event"), view.AccountID)
	}
}

// waitingPage is how many quarantined events are looked at at once.
const waitingPage = 1000

// waitingFor gives the quarantined events that a link of this reference may release.
func waitingFor(ctx context.Context, records *quarantine.Store, key string) (ids []int64, err error) {
	for {
		var after int64
		if len(ids) > 0 {
			after = ids[len(ids)-1]
		}
		page, err := records.WaitingFor(ctx, []string{key}, after, waitingPage)
		if err != nil {
			return nil, err
		}
		for _, w := range page {
			ids = append(ids, w.ID)
		}
		if len(page) < waitingPage {
			return ids, nil
		}
	}
}

// wait returns when no event of ids waits any more, and how many do if that
// takes too long.
func (c *linkCommand) wait(ctx context.Context, s *session, records *quarantine.Store, ids []int64) (int64, error) {
	bar := s.newProgress("releasing", int64(len(ids)))
	defer bar.end()
	late := time.NewTimer(c.Timeout)
	defer late.Stop()
	ticker := time.NewTicker(waitEvery)
	defer ticker.Stop()
	for {
		left, err := stillWaiting(ctx, records, ids)
		if err != nil {
			return 0, err
		}
		done := int64(len(ids)) - left
		if left == 0 {
			if len(ids) > 0 && !c.JSON {
				bar.end()
				s.say("%s released from quarantine", plural(done, "event"))
			}
			return 0, nil
		}
		bar.at(done, fmt.Sprintf("%d of %d", done, len(ids)))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return left, ctx.Err()
		case <-late.C:
			return left, fmt.Errorf("%s still in quarantine after %s: do the quarantine service, the normalizer and the sink run? `throughline quarantine list` says more",
				plural(left, "event"), c.Timeout)
		}
	}
}

func stillWaiting(ctx context.Context, records *quarantine.Store, ids []int64) (left int64, err error) {
	if len(ids) == 0 {
		return 0, nil
	}
	list, err := records.List(ctx, quarantine.Filter{IDs: ids, Limit: len(ids)})
	if err != nil {
		return 0, err
	}
	for _, r := range list {
		if r.Status == quarantine.Open || r.Status == quarantine.Replaying {
			left++
		}
	}
	return left, nil
}
