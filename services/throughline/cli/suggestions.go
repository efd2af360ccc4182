package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/learn"
	"github.com/throughline-dev/throughline/pkg/source"
)

type suggestionsCommand struct {
	List   suggestionsListCommand   `cmd:"" default:"withargs" help:"List suggestions, those with the best evidence first."`
	Accept suggestionsAcceptCommand `cmd:"" help:"Make the suggested link, as a decision of yours."`
	Reject suggestionsRejectCommand `cmd:"" help:"Decide that the id does not belong to the account; it is not suggested again."`
	Why    suggestionsWhyCommand    `cmd:"" help:"Show what speaks for a suggestion."`
}

// Help is kong's: what --help says beyond the summary.
func (*suggestionsCommand) Help() string {
	return "The learner links by good evidence alone; what is only likely it suggests. The rules are in docs/identity.md."
}

type suggestionsListCommand struct {
	Account string `arg:"" optional:"" help:"Only links to this account: its id, domain or name."`
	Source  string `name:"source" help:"Only of ids of this source (or email, domain)."`
	Status  string `name:"status" enum:"open,accepted,rejected" default:"open" help:"Only these: ${enum}; ${default} ones unless told otherwise."`
	Limit   int    `name:"limit" default:"100" placeholder:"N" help:"At most so many (${default})."`
	outputFlags
}

func (*suggestionsListCommand) needs() need { return needsPostgres | needsSources }

// Validate is kong's.
func (c *suggestionsListCommand) Validate() error { return checkLimit(c.Limit) }

func (c *suggestionsListCommand) checkSources(set source.Set) error {
	if c.Source == source.KindEmail || c.Source == source.KindDomain {
		return nil
	}
	return checkSource(set, c.Source)
}

// Run is kong's.
func (c *suggestionsListCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		filter := learn.SuggestionFilter{Source: c.Source, Status: c.Status, Limit: c.Limit}
		if c.Account != "" {
			account, err := s.findAccount(ctx, pool, c.Account)
			if err != nil {
				return err
			}
			filter.AccountID = account.ID
		}
		found, err := learn.NewSuggestions(pool, s.store(pool)).List(ctx, filter)
		if err != nil {
			return err
		}
		s.hintList(len(found), c.Limit, "suggestion", "")
		return list(s, c.JSON, api.NewSuggestions(found), []column[api.Suggestion]{
			{title: "id", text: func(v api.Suggestion) string { return fmt.Sprint(v.ID) }},
			{title: "reference", text: func(v api.Suggestion) string { return v.Reference }},
			{title: "account", text: func(v api.Suggestion) string { return v.Account }, wide: true},
			{title: "account_id", text: func(v api.Suggestion) string { return v.AccountID.String() }, leave: 1},
			{title: "rule", text: func(v api.Suggestion) string { return fmt.Sprint(v.Rule) }, leave: 3},
			{title: "level", text: func(v api.Suggestion) string { return v.Level }, leave: 4},
			{title: "why", text: func(v api.Suggestion) string { return v.Why }, wide: true},
			{title: "created_at", text: func(v api.Suggestion) string { return stamp(v.CreatedAt) }, leave: 2},
		})
	})
}

// suggestionFlags are those of the commands that decide about a suggestion.
type suggestionFlags struct {
	ID     int64  `arg:"" help:"The suggestion's number, as the list shows it."`
	Reason string `name:"reason" placeholder:"TEXT" help:"Reason of the decision, as recorded."`
	movingFlags
	byFlags
	outputFlags
}

func (*suggestionFlags) needs() need { return needsPostgres | needsSources }

// decideWith makes one decision, tells its effect, and carries out the moves.
func (f *suggestionFlags) decideWith(ctx context.Context, s *session, verb accounts.Verb,
	decide func(*learn.Suggestions) (learn.Suggestion, accounts.Effect, error),
) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		m, err := f.moving(s, pool)
		if err != nil {
			return err
		}
		found, effect, err := decide(learn.NewSuggestions(pool, m.store))
		if err != nil {
			return err
		}
		d := accounts.Decision{Verb: verb, Reference: found.Reference, To: effect.To, From: effect.From}
		if f.JSON {
			err = writeJSON(s, api.NewEffect(d, effect))
		} else {
			err = (&decideFlags{}).tell(ctx, s, m.store, map[uuid.UUID]string{}, d, effect)
		}
		if err != nil {
			return err
		}
		return m.finish(ctx, s, effect.MoveIDs)
	})
}

type suggestionsAcceptCommand struct{ suggestionFlags }

// Run is kong's.
func (c *suggestionsAcceptCommand) Run(ctx context.Context, s *session) error {
	return c.decideWith(ctx, s, accounts.VerbLink, func(all *learn.Suggestions) (learn.Suggestion, accounts.Effect, error) {
		return all.Accept(ctx, c.ID, c.author(), c.Reason)
	})
}

type suggestionsRejectCommand struct{ suggestionFlags }

// Run is kong's.
func (c *suggestionsRejectCommand) Run(ctx context.Context, s *session) error {
	return c.decideWith(ctx, s, accounts.VerbNotThisAccount, func(all *learn.Suggestions) (learn.Suggestion, accounts.Effect, error) {
		return all.Reject(ctx, c.ID, c.author(), c.Reason)
	})
}

type suggestionsWhyCommand struct {
	ID int64 `arg:"" help:"The suggestion's number, as the list shows it."`
	outputFlags
}

func (*suggestionsWhyCommand) needs() need { return needsPostgres | needsSources }

// Run is kong's.
func (c *suggestionsWhyCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		e, err := learn.NewSuggestions(pool, s.store(pool)).Explain(ctx, c.ID)
		if err != nil {
			return err
		}
		if c.JSON {
			return writeJSON(s, api.NewExplanation(e))
		}
		var b strings.Builder
		line := func(format string, args ...any) { fmt.Fprintln(&b, clean(fmt.Sprintf(format, args...))) }
		line("Suggestion %d (%s): %s belongs to %s (%s).", e.ID, e.Status, e.Reference, e.AccountName, e.AccountID)
		line("Rule %d, %s; level %s: %s.", int(e.Rule), e.Title, e.Level, e.Why)
		for _, l := range e.Leads {
			line("  - %s", l)
		}
		for _, o := range e.Others {
			line("Also suggested (%d, %s): %s, because %s.", o.ID, o.Status, o.AccountName, o.Why)
		}
		events := plural(int64(e.Waiting), "event")
		if e.Waiting == learn.MostWaiting {
			events += " or more"
		}
		line("%s in quarantine would be tried again.", events)
		if e.Status == learn.SuggestionOpen {
			line("`throughline suggestions accept %d` links it, `throughline suggestions reject %d` keeps it from the account.", e.ID, e.ID)
		}
		_, err = fmt.Fprint(s.Out, b.String())
		return err
	})
}

type learningCommand struct {
	Show    learningShowCommand    `cmd:"" default:"withargs" help:"Show how learning goes, by source."`
	Domains learningDomainsCommand `cmd:"" help:"Show the domains that behave like free mail, and decide about them."`
}

type learningShowCommand struct{ outputFlags }

// Help is kong's: what --help says beyond the summary.
func (*learningShowCommand) Help() string {
	return "A line is one source. asking: references that the vendor is to be asked about; answered: what they point at has no account yet; " +
		"nobody and gone: the vendor, or the timeline, says nothing, and they are tried again later."
}

func (*learningShowCommand) needs() need { return needsPostgres }

// Run is kong's.
func (c *learningShowCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		progress, err := learn.Status(ctx, pool)
		if err != nil {
			return err
		}
		count := func(states ...learn.State) func(api.Learning) string {
			return func(v api.Learning) string {
				var n int64
				for _, state := range states {
					n += v.References[state]
				}
				return fmt.Sprint(n)
			}
		}
		s.hintList(len(progress), len(progress)+1, "source", "the learner service learns of what waits in quarantine")
		return list(s, c.JSON, api.NewLearning(progress), []column[api.Learning]{
			{title: "source", text: func(v api.Learning) string { return v.Source }},
			{title: "asking", text: count(learn.StateNew, learn.StateAsking)},
			{title: "answered", text: count(learn.StateAnswered)},
			{title: "linked", text: count(learn.StateLinked)},
			{title: "nobody", text: count(learn.StateNobody)},
			{title: "gone", text: count(learn.StateGone), leave: 3},
			{title: "conflict", text: count(learn.StateConflict)},
			{title: "blocked", text: count(learn.StateBlocked), leave: 2},
			{title: "calls", text: func(v api.Learning) string { return fmt.Sprint(v.Calls) }, leave: 1},
			{title: "asked_at", text: func(v api.Learning) string { return stamp(v.AskedAt) }, leave: 4},
			{title: "error", text: func(v api.Learning) string { return v.Error }, wide: true},
		})
	})
}
