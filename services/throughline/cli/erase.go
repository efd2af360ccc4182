package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/erase"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/stream"
)

type eraseCommand struct {
	Targets []string `arg:"" name:"target" help:"An account (its own id, domain or name), or all references of one person: email:kim@acme.example hubspot/62515:contact:901."`
	DryRun  bool     `name:"dry-run" help:"Print how many rows of which tables would be deleted or emptied, without changing anything."`
	Yes     bool     `name:"yes" short:"y" help:"Do not ask for confirmation. Nothing brings back what is erased."`
	Reason  string   `name:"reason" placeholder:"TEXT" help:"Why, as recorded: the number of the request, and nothing personal."`
	byFlags
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*eraseCommand) Help() string {
	return "Of an account, its events and all that is known of it go. Of a person, each event goes that refers to them or holds their e-mail address, on whatever account: " +
		"--dry-run counts them first. What is erased does not come back by a replay, a backfill, an import or a new delivery, until `throughline erasures lift`. " +
		"Topics keep what they have until their retention ends, which this prints. A command that is interrupted is finished by `throughline erasures resume`."
}

func (*eraseCommand) needs() need { return needsPostgres | needsKafka | needsSources }

// Run is kong's.
func (c *eraseCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		target, name, what, err := c.target(ctx, s, pool)
		if err != nil {
			return err
		}
		eraser := erase.New(pool, s.root.Sources.set)
		if c.DryRun {
			counts, accounts, err := eraser.Plan(ctx, target)
			if err != nil {
				return err
			}
			s.say("this counts %s", what)
			return c.tell(ctx, s, api.ErasurePlan{DryRun: true, AccountID: target.Account, AccountName: name, Rows: counts, Accounts: accounts})
		}
		if !c.Yes {
			if err := s.confirm(ctx, fmt.Sprintf("Erase %s? Nothing brings it back.", what)); err != nil {
				return err
			}
		}
		made, err := eraser.Begin(ctx, target, c.actor().Who, c.Reason)
		if err != nil {
			return err
		}
		done, err := finishErasures(ctx, s, eraser, made.ID)
		if err != nil {
			return err
		}
		view := api.NewErasure(done)
		s.say("this erased %s", what)
		return c.tell(ctx, s, api.ErasurePlan{AccountID: target.Account, AccountName: name, Rows: done.Counts, Erasure: &view})
	})
}

// eraseForms says what can be typed.
const eraseForms = "write an account's id, domain or name, or references of a person as email:kim@acme.example, stripe:cus_1 or hubspot/62515:contact:901"

// target reads what is to be erased, and says it for a person; name is the account's.
func (c *eraseCommand) target(ctx context.Context, s *session, pool *pgxpool.Pool) (t erase.Target, name, what string, err error) {
	var texts []string
	for _, text := range c.Targets {
		ref, err := reference(text).parse(s.root.Sources.set)
		if err != nil && len(c.Targets) == 1 && !strings.Contains(text, ":") {
			account, err := s.namedAccount(ctx, pool, text)
			if address, is := source.Email(text); err != nil && is && fault.ReasonOf(err) == fault.NotFound {
				err = fmt.Errorf("%w; did you mean the person: email:%s?", err, address)
			}
			if err != nil {
				return t, "", "", err
			}
			return erase.Target{Account: account.ID}, account.Name, fmt.Sprintf("account %s (%s)", clean(account.Name), account.ID), nil
		}
		switch {
		case err != nil && !strings.Contains(text, ":"):
			return t, "", "", usage("%q is no reference, and an account is erased on its own: %s", text, eraseForms)
		case err != nil:
			return t, "", "", usage("%v: %s", err, eraseForms)
		case ref.Kind == source.KindDomain || ref.Kind == source.KindAccountUUID:
			return t, "", "", usage("%s is no person: name the account, by its id, domain or name: `throughline erase %s`", text, ref.ID)
		}
		if ref.Kind == source.KindEmail {
			ref = source.Reference{Source: source.KindEmail, Kind: source.KindEmail, ID: ref.ID}
		}
		t.References, texts = append(t.References, ref), append(texts, clean(ref.String()))
	}
	return t, "", strings.Join(texts, ", "), nil
}

// tableRows is a row of the result.
type tableRows struct {
	table string
	rows  int64
	does  string
}

// tell prints what became of which tables, and until when topics hold the data.
func (c *eraseCommand) tell(ctx context.Context, s *session, plan api.ErasurePlan) error {
	plan.Topics = c.topics(ctx, s)
	if c.JSON {
		return writeJSON(s, plan)
	}
	var rows []tableRows
	for _, t := range erase.Tables() {
		if n := plan.Rows[t.Name]; n > 0 {
			rows = append(rows, tableRows{t.Name, n, t.Does})
		}
	}
	if err := list(s, false, rows, []column[tableRows]{
		{title: "table", text: func(r tableRows) string { return r.table }},
		{title: "rows", text: func(r tableRows) string { return fmt.Sprint(r.rows) }},
		{title: "what becomes of them", text: func(r tableRows) string { return r.does }, wide: true},
	}); err != nil {
		return err
	}
	switch {
	case plan.DryRun && len(rows) == 0:
		s.say("no table has anything of it; without --dry-run it is kept from coming")
	case plan.DryRun:
		s.say("the events stand on %s; nothing was changed", plural(plan.Accounts, "account"))
	default:
		s.say("erasure %d is done: %s kept from coming back, until `throughline erasures lift %[1]d`", plan.Erasure.ID, plural(plan.Erasure.References, "reference"))
	}
	for _, t := range plan.Topics {
		if t.Why != "" {
			s.say("topic %s may hold it with no end: %s", t.Topic, t.Why)
			continue
		}
		s.say("topic %s may hold it until %s at the latest", t.Topic, stamp(t.Until))
	}
	return nil
}

// topics says until when each topic may hold what was erased.
func (*eraseCommand) topics(ctx context.Context, s *session) []api.TopicHolds {
	client, err := s.kafka(ctx)
	if err != nil {
		s.say("the brokers could not be asked how long topics keep what they have: %v", err)
		return nil
	}
	defer client.Close()
	bounded, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	all, err := stream.Retentions(bounded, client, stream.Config(s.root.Kafka).Names(), s.root.Sources.set.Names())
	if err != nil {
		s.say("the brokers could not be asked how long topics keep what they have: %v", err)
	}
	return api.NewTopicHolds(all, s.now())
}

// finishErasures carries out all erasures that are not finished, and gives this one.
func finishErasures(ctx context.Context, s *session, eraser *erase.Eraser, id int64) (erase.Erasure, error) {
	bar := s.newProgress("erasing", 0)
	err := eraser.Run(ctx, func(_ erase.Erasure, p erase.Progress) {
		bar.of(p.Total)
		var n int64
		for _, rows := range p.Counts {
			n += rows
		}
		bar.at(p.At, fmt.Sprintf("%s: %s", p.Stage, plural(n, "row")))
	})
	bar.end()
	if err != nil {
		s.say("it is not finished: `throughline erasures resume` goes on; new events of it are not kept from now on")
		return erase.Erasure{}, err
	}
	all, err := eraser.List(ctx, maxErasures)
	if i := slices.IndexFunc(all, func(e erase.Erasure) bool { return e.ID == id }); err == nil && i >= 0 {
		return all[i], nil
	}
	return erase.Erasure{}, err
}

// maxErasures is how many are looked through for one.
const maxErasures = 10_000
