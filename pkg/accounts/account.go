package accounts

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Account is a customer, as far as Throughline needs to know it.
type Account struct {
	ID        uuid.UUID
	Name      string
	Domain    string // lower case, without "www."; "" when it has none
	CreatedAt time.Time
	CreatedBy string // "" for accounts that were not made by Store
	Links     int    // how many links lead to it; filled by Accounts only
}

// maxNameBytes bounds an account's name, so that a wrong file is noticed.
const maxNameBytes = 500

// check brings an account into the form that is stored.
func (a *Account) check() error {
	if a.Name = strings.TrimSpace(a.Name); a.Name == "" {
		return refuse(fault.Malformed, "the account has no name")
	}
	if len(a.Name) > maxNameBytes || !source.IsText(a.Name) {
		return refuse(fault.Malformed, "the name is longer than %d bytes or holds control characters", maxNameBytes)
	}
	if strings.TrimSpace(a.Domain) == "" {
		a.Domain = ""
		return nil
	}
	domain, ok := source.Domain(a.Domain)
	if !ok {
		return refuse(fault.Malformed, "domain %q: not a domain like acme.example", a.Domain)
	}
	a.Domain = domain
	return nil
}

// AddAccount adds an account made by this person or program; a zero ID gets a new one. An id that exists already
// with the same name and domain is no error and no change; with others it is one. It gives what is stored.
func (s *Store) AddAccount(ctx context.Context, a Account, by string) (Account, error) {
	if err := a.check(); err != nil {
		return Account{}, err
	}
	if a.ID == uuid.Nil {
		id, err := uuid.NewV7()
		if err != nil {
			return Account{}, broken("making an account id", err)
		}
		a.ID = id
	}
	rows, err := s.pool.Query(ctx, `INSERT INTO accounts (id, name, domain, created_by) VALUES ($1, $2, nullif($3, ''), $4)
		ON CONFLICT (id) DO NOTHING RETURNING `+accountColumns, a.ID, a.Name, a.Domain, by)
	if err != nil {
		return Account{}, broken("adding an account", err)
	}
	added, err := pgx.CollectExactlyOneRow(rows, scanAccount)
	if err == nil {
		return added, nil
	}
	if !notFound(err) {
		return Account{}, broken("adding an account", err)
	}
	there, err := s.accountsWhere(ctx, "id = $1", a.ID)
	if err != nil {
		return Account{}, err
	}
	if len(there) == 1 && there[0].Name == a.Name && there[0].Domain == a.Domain {
		return there[0], nil
	}
	return Account{}, refuse(fault.Unsupported, "account %s exists already, with another name or domain", a.ID)
}

// FindAccount gives the account that a person means: by its id, its exact domain, or its whole name if only one
// has it (upper and lower case are the same). None, or several, is an error that says so.
func (s *Store) FindAccount(ctx context.Context, text string) (Account, error) {
	text = strings.TrimSpace(text)
	if !source.IsText(text) || text == "" {
		return Account{}, refuse(fault.Malformed, "name an account by its id, domain or name")
	}
	if id, ok := source.UUID(text); ok {
		return s.one(ctx, text, "id = $1", id)
	}
	if domain, ok := source.Domain(text); ok {
		found, err := s.accountsWhere(ctx, "lower(domain) = $1", domain)
		if err != nil || len(found) == 1 {
			return first(found), err
		}
		if len(found) > 1 {
			return Account{}, ambiguous(text, found)
		}
	}
	return s.one(ctx, text, "lower(name) = lower($1)", text)
}

func first(accounts []Account) Account {
	if len(accounts) == 0 {
		return Account{}
	}
	return accounts[0]
}

func (s *Store) one(ctx context.Context, text, where string, arg any) (Account, error) {
	found, err := s.accountsWhere(ctx, where, arg)
	switch {
	case err != nil:
		return Account{}, err
	case len(found) == 0:
		return Account{}, refuse(fault.Unresolved, "no account has the id, domain or name %q", text)
	case len(found) > 1:
		return Account{}, ambiguous(text, found)
	}
	return found[0], nil
}

func ambiguous(text string, found []Account) error {
	var list []string
	for _, a := range found[:min(len(found), 5)] {
		list = append(list, fmt.Sprintf("%s (%s)", a.ID, a.Name))
	}
	return refuse(fault.Unresolved, "more than one account is meant by %q, name one by its id: %s", text, strings.Join(list, ", "))
}

const accountColumns = "id, name, coalesce(domain, ''), created_at, created_by"

func scanAccount(row pgx.CollectableRow) (Account, error) {
	var a Account
	var id [16]byte
	err := row.Scan(&id, &a.Name, &a.Domain, &a.CreatedAt, &a.CreatedBy)
	a.ID = id
	return a, err
}

// accountsWhere gives at most ten.
func (s *Store) accountsWhere(ctx context.Context, where string, arg any) ([]Account, error) {
	rows, err := s.pool.Query(ctx, "SELECT "+accountColumns+" FROM accounts WHERE "+where+" ORDER BY created_at, id LIMIT 10", arg)
	if err != nil {
		return nil, broken("looking for an account", err)
	}
	found, err := pgx.CollectRows(rows, scanAccount)
	return found, broken("looking for an account", err)
}

// AccountFilter says which accounts to list; the zero value lists the first 100.
type AccountFilter struct {
	Text  string // part of the name or domain, upper and lower case the same
	Limit int    // 0: 100
}

// Accounts lists accounts by name, with the number of their links.
func (s *Store) Accounts(ctx context.Context, f AccountFilter) ([]Account, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	rows, err := s.pool.Query(ctx, "SELECT "+accountColumns+`, (SELECT count(*) FROM account_links l WHERE l.account_id = accounts.id)
		FROM accounts WHERE $1 = '' OR position(lower($1) IN lower(name)) > 0 OR position(lower($1) IN lower(domain)) > 0
		ORDER BY lower(name), id LIMIT $2`, f.Text, f.Limit)
	if err != nil {
		return nil, broken("listing accounts", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Account, error) {
		var a Account
		var id [16]byte
		err := row.Scan(&id, &a.Name, &a.Domain, &a.CreatedAt, &a.CreatedBy, &a.Links)
		a.ID = id
		return a, err
	})
	return list, broken("listing accounts", err)
}
