package cli

import (
	"context"
	"fmt"
	"os/user"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
)

type accountsCommand struct {
	Import accountsImportCommand `cmd:"" help:"Add the accounts and links of a CSV file."`
	Add    accountsAddCommand    `cmd:"" help:"Add one account."`
	List   accountsListCommand   `cmd:"" help:"List accounts by name, with how many links lead to each."`
}

// byFlags is embedded in each command that changes something: a change says who.
type byFlags struct {
	By string `name:"by" env:"THROUGHLINE_BY" placeholder:"NAME" help:"Who makes the change, as the record shall say; the operating system's user otherwise."`
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

// accountView is an account as --json shows it.
type accountView struct {
	ID        uuid.UUID `json:"id"`
	Name      string    `json:"name"`
	Domain    string    `json:"domain,omitempty"`
	Links     *int      `json:"links,omitempty"`
	CreatedBy string    `json:"created_by,omitempty"`
	CreatedAt time.Time `json:"created_at"`
}

func viewAccount(a accounts.Account) accountView {
	return accountView{ID: a.ID, Name: a.Name, Domain: a.Domain, CreatedBy: a.CreatedBy, CreatedAt: a.CreatedAt.UTC()}
}

func accountColumns() []column[accountView] {
	return []column[accountView]{
		{title: "name", text: func(a accountView) string { return a.Name }, wide: true},
		{title: "domain", text: func(a accountView) string { return a.Domain }},
		{title: "id", text: func(a accountView) string { return a.ID.String() }},
	}
}

type accountsAddCommand struct {
	Name   string    `arg:"" help:"The account's name."`
	ID     uuid.UUID `name:"id" placeholder:"UUID" help:"Its id, where it has one already; a new one otherwise."`
	Domain string    `name:"domain" placeholder:"DOMAIN" help:"Its domain. Events that carry an e-mail address of it belong to the account, unless it is a free-mail domain."`
	byFlags
	outputFlags
}

func (*accountsAddCommand) needs() need { return needsPostgres }

// Run is kong's.
func (c *accountsAddCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		added, err := store(pool).AddAccount(ctx, accounts.Account{ID: c.ID, Name: c.Name, Domain: c.Domain}, c.author())
		if err != nil {
			return err
		}
		if c.JSON {
			return writeJSON(s, viewAccount(added))
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
		accounts, err := store(pool).Accounts(ctx, accounts.AccountFilter{Text: c.Text, Limit: c.Limit})
		if err != nil {
			return err
		}
		views := make([]accountView, len(accounts))
		for i, a := range accounts {
			views[i] = viewAccount(a)
			views[i].Links = &accounts[i].Links
		}
		columns := append(accountColumns(), column[accountView]{title: "links", text: func(a accountView) string { return strconv.Itoa(*a.Links) }})
		s.hintList(len(views), c.Limit, "account", "add some with `throughline accounts import FILE.csv`")
		return list(s, c.JSON, views, columns)
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

// store gives accounts and links of this database, with the catalog's kinds.
func store(pool *pgxpool.Pool) *accounts.Store { return accounts.NewStore(pool, catalog.Kinds) }

// findAccount gives the account that a person means.
func (s *session) findAccount(ctx context.Context, pool *pgxpool.Pool, text string) (accounts.Account, error) {
	account, err := store(pool).FindAccount(ctx, text)
	switch fault.ReasonOf(err) {
	case fault.NotFound, fault.Conflict: // none, or several
		err = fmt.Errorf("%w (`throughline accounts list` shows them)", err)
	}
	return account, err
}
