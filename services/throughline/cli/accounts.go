package cli

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/resolve"
)

type accountsCommand struct {
	Import accountsImportCommand `cmd:"" help:"Add the accounts and links of a CSV file."`
	Add    accountsAddCommand    `cmd:"" help:"Add one account."`
	List   accountsListCommand   `cmd:"" help:"List accounts by name, with how many links lead to each."`
	Rename accountsRenameCommand `cmd:"" help:"Rename an account."`
	Merge  accountsMergeCommand  `cmd:"" help:"Merge an account into another: its links and events move, and its name and id lead to the other."`
	Split  accountsSplitCommand  `cmd:"" help:"Undo a merge: links, denials and events that were the merged account's lead to it again."`
	Remove accountsRemoveCommand `cmd:"" help:"Remove an account that has neither events nor links."`
	Moves  accountsMovesCommand  `cmd:"" help:"List the moves of events between accounts, or finish those that were interrupted."`
}

// byFlags is embedded in each command that changes something: a change says who.
type byFlags struct {
	By string `name:"by" env:"THROUGHLINE_BY" placeholder:"NAME" help:"Author of the change, as recorded; default: the operating system's user."`
}

// author gives the name that a change is recorded with.
func (f byFlags) author() string {
	if f.By != "" {
		return f.By
	}
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "unknown"
}

func accountColumns() []column[api.Account] {
	return []column[api.Account]{
		{title: "name", text: func(a api.Account) string { return a.Name }, wide: true},
		{title: "domain", text: func(a api.Account) string { return a.Domain }, wide: true},
		{title: "id", text: func(a api.Account) string { return a.ID.String() }},
	}
}

// accountListColumns are also about what NewAccounts counts.
func accountListColumns() []column[api.Account] {
	return append(accountColumns(), column[api.Account]{title: "links", text: func(a api.Account) string { return strconv.Itoa(*a.Links) }, leave: 1})
}

type accountsAddCommand struct {
	Name   string    `arg:"" help:"The account's name."`
	ID     uuid.UUID `name:"id" placeholder:"UUID" help:"Its id; default: a new one."`
	Domain string    `name:"domain" placeholder:"DOMAIN" help:"Its domain. Events that carry an e-mail address of it belong to the account, unless it is a free-mail domain."`
	Anyway bool      `name:"anyway" help:"Add it even when another account has this name or domain."`
	byFlags
	outputFlags
}

func (*accountsAddCommand) needs() need { return needsPostgres }

// Run is kong's.
func (c *accountsAddCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		account := accounts.Account{ID: c.ID, Name: c.Name, Domain: c.Domain}
		add := s.store(pool).AddDistinct
		if c.Anyway {
			add = s.store(pool).AddAccount
		}
		added, err := add(ctx, account, c.author())
		if err != nil {
			return anyway(err, "--anyway adds a second one")
		}
		if added.Domain != "" && resolve.Default(pool).Freemail(added.Domain) {
			s.say("%s is a free-mail domain: no event is resolved by it", added.Domain)
		}
		if c.JSON {
			return writeJSON(s, api.NewAccount(added))
		}
		_, err = fmt.Fprintln(s.Out, added.ID)
		return err
	})
}

type accountsListCommand struct {
	Text  string `arg:"" optional:"" help:"Only those with this in their name or domain."`
	Limit int    `name:"limit" default:"100" placeholder:"N" help:"At most so many (${default})."`
	outputFlags
}

func (*accountsListCommand) needs() need { return needsPostgres }

// Validate is kong's.
func (c *accountsListCommand) Validate() error { return checkLimit(c.Limit) }

// Run is kong's.
func (c *accountsListCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		accounts, err := s.store(pool).Accounts(ctx, accounts.AccountFilter{Text: c.Text, Limit: c.Limit})
		if err != nil {
			return err
		}
		views := api.NewAccounts(accounts)
		s.hintList(len(views), c.Limit, "account", "add some with `throughline accounts import FILE.csv`")
		return list(s, c.JSON, views, accountListColumns())
	})
}

// checkLimit is for lists that always have a bound.
func checkLimit(limit int) error {
	if limit < 1 {
		return fmt.Errorf("--limit should be 1 or more, but is %d", limit)
	}
	return nil
}

// hintList says, beside a list, that it is empty or was cut.
func (s *session) hintList(shown, limit int, what, whenEmpty string) {
	switch {
	case shown == 0 && whenEmpty != "":
		s.say("no %ss: %s", what, whenEmpty)
	case shown == 0:
		s.say("no %ss", what)
	case shown == limit:
		s.say("%s shown; there may be more (--limit)", plural(int64(shown), what))
	}
}

// store gives accounts and links of this database.
func (s *session) store(pool *pgxpool.Pool) *accounts.Store {
	return accounts.NewStore(pool, s.root.Sources.set.Kinds)
}

// findAccount gives the account that a person means.
func (s *session) findAccount(ctx context.Context, pool *pgxpool.Pool, text string) (accounts.Account, error) {
	account, err := s.store(pool).FindAccount(ctx, text)
	return account, listed(err)
}

// namedAccount gives the account that a person names by what is its own, for what is not undone.
func (s *session) namedAccount(ctx context.Context, pool *pgxpool.Pool, text string) (accounts.Account, error) {
	account, err := s.store(pool).NamedAccount(ctx, text)
	return account, listed(err)
}

// listed says where accounts can be looked up, when none is meant, or several.
func listed(err error) error {
	switch fault.ReasonOf(err) {
	case fault.NotFound, fault.Conflict:
		return fmt.Errorf("%w (`throughline accounts list` shows them)", err)
	}
	return err
}

// anyway says how to insist on an account, or a name, that others have.
func anyway(err error, insist string) error {
	var similar *accounts.SimilarError
	if errors.As(err, &similar) {
		return fmt.Errorf("%w; %s", err, insist)
	}
	return err
}
