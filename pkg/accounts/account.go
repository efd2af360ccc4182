package accounts

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/text/unicode/norm"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Account is a customer, as far as Throughline needs to know it.
type Account struct {
	ID         uuid.UUID
	Name       string
	Domain     string    // lower case, without "www."; "" when it has none
	ParentID   uuid.UUID // the account that it is a part of; Nil: none
	MergedInto uuid.UUID // the account that has taken its place; Nil: none. Find gives that one
	CreatedAt  time.Time
	UpdatedAt  time.Time
	Owner      string // who looks after the customer; "": nobody
	CreatedBy  string // "" for accounts that were not made by Store
	Links      int    // how many links lead to it; filled by Accounts only
}

// MaxName bounds an account's name and owner, in characters, so that a wrong file is noticed. openapi.yaml has the same.
const MaxName = 500

// check brings an account into the form that is stored.
func (a *Account) check() error {
	if a.Name = strings.TrimSpace(a.Name); !strings.ContainsFunc(a.Name, unicode.IsGraphic) {
		return refuse(fault.Malformed, "the account has no name")
	}
	if utf8.RuneCountInString(a.Name) > MaxName || !source.IsText(a.Name) {
		return refuse(fault.Malformed, "the name is longer than %d characters or holds control characters", MaxName)
	}
	if a.Owner = strings.TrimSpace(a.Owner); utf8.RuneCountInString(a.Owner) > MaxName || !source.IsText(a.Owner) {
		return refuse(fault.Malformed, "the owner is longer than %d characters or holds control characters", MaxName)
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

// SimilarError refuses an account, or a name, that another account could be confused with. It is Permanent(Conflict).
type SimilarError struct{ Accounts []Account }

// Error names them.
func (e *SimilarError) Error() string {
	texts := make([]string, len(e.Accounts))
	for i, a := range e.Accounts {
		texts[i] = strings.TrimSuffix(fmt.Sprintf("%s (%s, %s", a.Name, a.ID, a.Domain), ", ") + ")"
	}
	return "there is a similar account: " + strings.Join(texts, ", ")
}

// Distinct is a *SimilarError where Similar finds others.
func (s *Store) Distinct(ctx context.Context, a Account) error {
	similar, err := s.Similar(ctx, a)
	if err == nil && len(similar) > 0 {
		return fault.Permanent(fault.Conflict, &SimilarError{similar})
	}
	return err
}

// distinctLock is held while it is looked whether an account has namesakes, until it is there.
const distinctLock = 0x74686163636f756e // "thaccoun"

// distinct runs change in a transaction, in which nobody else adds or renames an account by it, where a has no namesakes.
func (s *Store) distinct(ctx context.Context, a Account, change func(s *Store) (Account, error)) (Account, error) {
	var changed Account
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := postgres.LockAdvisory(ctx, tx, distinctLock, "new accounts", s.wait); err != nil {
			return err
		}
		within := s.In(tx)
		if err := within.Distinct(ctx, a); err != nil {
			return err
		}
		var err error
		changed, err = change(within)
		return err
	})
	return changed, broken("changing accounts", err)
}

// AddDistinct is AddAccount, but refuses one that Similar finds others for: a *SimilarError.
func (s *Store) AddDistinct(ctx context.Context, a Account, by string) (Account, error) {
	return s.distinct(ctx, a, func(s *Store) (Account, error) { return s.AddAccount(ctx, a, by) })
}

// RenameDistinct is Rename, but refuses a name that Similar finds others for: a *SimilarError.
func (s *Store) RenameDistinct(ctx context.Context, id uuid.UUID, name, by, reason string) (Account, error) {
	return s.distinct(ctx, Account{ID: id, Name: name}, func(s *Store) (Account, error) { return s.Rename(ctx, id, name, by, reason) })
}

// back says how what was erased is let in.
const back = "a customer who is back is let in with `throughline erasures lift %s`"

// erased says which part of an account was erased on request.
func erased(a Account, err error) error {
	switch postgres.ErasedColumn(err) {
	case "domain":
		return refuse(fault.Conflict, "the domain %s was erased on request: its events are passed over, and no account gets it; "+back, a.Domain, "domain:"+a.Domain)
	case "id":
		return refuse(fault.Conflict, "account %s was erased on request, and is not made again; "+back, a.ID, source.KindAccountUUID+":"+a.ID.String())
	default: // of what is written, it says which
		return postgres.Classify(err)
	}
}

// erasedReference is the error of a decision about a reference that was erased on request; nil: err is another.
func (d *deciding) erasedReference(err error) error {
	if !postgres.IsErased(err) || postgres.ErasedColumn(err) != "" {
		return nil
	}
	where := ""
	if d.Reference.Tenant == "" && d.s.scoped(d.Reference) {
		where = ", in one tenant at least"
	}
	return refuse(fault.Conflict, "%s was erased on request%s, and nothing is decided about it again; "+back, d.Reference, where, d.Reference)
}

// AddAccount adds an account made by this person or program; a zero ID gets a new one. An id that exists already
// with the same name and domain is no error and no change; with others it is one. What was erased on request, a domain,
// an id or an address, is Conflict. It gives what is stored.
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
	rows, err := s.pool.Query(ctx, `INSERT INTO accounts (id, name, domain, created_by, owner, parent_id) VALUES ($1, $2, nullif($3, ''), $4, $5, $6)
		ON CONFLICT (id) DO NOTHING RETURNING `+accountColumns, a.ID, a.Name, a.Domain, by, a.Owner, orNull(a.ParentID))
	if err != nil {
		return Account{}, broken("adding an account", err)
	}
	added, err := pgx.CollectExactlyOneRow(rows, scanAccount)
	switch {
	case err == nil:
		return added, nil
	case postgres.IsErased(err):
		return Account{}, erased(a, err)
	case !notFound(err):
		return Account{}, broken("adding an account", err)
	}
	there, err := s.accountsWhere(ctx, "id = $1", a.ID)
	if err != nil {
		return Account{}, err
	}
	if len(there) == 1 && there[0].Name == a.Name && there[0].Domain == a.Domain {
		return there[0], nil
	}
	return Account{}, refuse(fault.Conflict, "account %s exists already, with another name or domain", a.ID)
}

// Similar gives accounts, at most ten, that a's namesakes would be confused with: of the same name or the same
// domain, upper and lower case being the same, or with an id or a domain that is a's name. a's own id is left out.
func (s *Store) Similar(ctx context.Context, a Account) ([]Account, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	// Composed letters and single spaces are how most names are written.
	plain := strings.Join(strings.Fields(norm.NFKC.String(a.Name)), " ")
	// A name that is another's id or domain would find that one.
	id, _ := source.UUID(a.Name)
	domain, _ := source.Domain(a.Name)
	return s.accountsWhere(ctx, "(lower(name) IN (lower($1), lower($4)) OR lower(domain) IN ($2, $6) OR id = $5) AND id <> $3 AND merged_into IS NULL", a.Name, a.Domain, a.ID, plain, id, domain)
}

// Rename gives an account another name, and writes that to the ledger with its author and reason. The name that it has
// is no error and no entry. Malformed and NotFound are Permanent.
func (s *Store) Rename(ctx context.Context, id uuid.UUID, name, by, reason string) (Account, error) {
	a := Account{ID: id, Name: name}
	if err := a.check(); err != nil {
		return Account{}, err
	}
	if id == uuid.Nil {
		return Account{}, refuse(fault.NotFound, "no account has the id %s", id)
	}
	d := Decision{Verb: VerbRemove, From: id, Author: by, Reason: reason} // checked like one
	if err := s.check(&d); err != nil {
		return Account{}, err
	}
	rows, err := s.pool.Query(ctx, `WITH before AS (
			SELECT id, name FROM accounts WHERE id = $1 AND merged_into IS NULL FOR UPDATE
		), noted AS (
			INSERT INTO link_decisions (verb, to_account, learned, author, reason, evidence)
			SELECT $3, id, $4, $5, $6, jsonb_build_object('was', name, 'name', $2::text) FROM before WHERE name <> $2
		)
		UPDATE accounts a SET name = $2, updated_at = now() FROM before WHERE a.id = before.id RETURNING a.id, a.name, coalesce(a.domain, ''), a.parent_id, a.merged_into, a.created_at, a.updated_at, a.created_by, a.owner`,
		id, a.Name, string(VerbRename), d.Learned, d.Author, d.Reason)
	if err != nil {
		return Account{}, broken("renaming an account", err)
	}
	renamed, err := pgx.CollectExactlyOneRow(rows, scanAccount)
	switch {
	case notFound(err):
		return Account{}, refuse(fault.NotFound, "no account has the id %s", id)
	case postgres.IsErased(err):
		return Account{}, erased(a, err)
	}
	return renamed, broken("renaming an account", err)
}

// FindMerged gives the account that a person means, by its id, whole name or domain, among those that were merged into
// another. None, or several, is an error that says so.
func (s *Store) FindMerged(ctx context.Context, text string) (Account, error) {
	if text = strings.TrimSpace(text); !source.IsText(text) || text == "" {
		return Account{}, refuse(fault.Malformed, "name an account by its id, domain or name")
	}
	domain, _ := source.Domain(text)
	found, err := s.accountsWhere(ctx, "merged_into IS NOT NULL AND (lower(name) = lower($1) OR id::text = lower($1) OR lower(domain) = $2)", text, domain)
	switch {
	case err != nil:
		return Account{}, err
	case len(found) == 0:
		return Account{}, refuse(fault.NotFound, "no account with the id, domain or name %q was merged into another", text)
	case len(found) > 1:
		return Account{}, ambiguous(text, found)
	}
	return found[0], nil
}

// FindAccount gives the account that a person means: by its id, its exact domain, or its whole name if only one
// has it (upper and lower case are the same). What an account that was merged into another had stands for that one.
// None, or several, is an error that says so.
func (s *Store) FindAccount(ctx context.Context, text string) (Account, error) {
	text = strings.TrimSpace(text)
	if !source.IsText(text) || text == "" {
		return Account{}, refuse(fault.Malformed, "name an account by its id, domain or name")
	}
	if id, ok := source.UUID(text); ok {
		return s.one(ctx, text, "id = $1", id)
	}
	if domain, ok := source.Domain(text); ok {
		found, err := s.meant(ctx, "lower(domain) = $1", domain)
		if err != nil || len(found) == 1 {
			return first(found), err
		}
		if len(found) > 1 {
			return Account{}, ambiguous(text, found)
		}
	}
	return s.one(ctx, text, "lower(name) = lower($1)", text)
}

// NamedAccount is FindAccount for what is not undone: it gives the account that is named by what is its own. A person's address
// at its domain, and what an account had that was merged into it, are Conflict, with what to write instead.
func (s *Store) NamedAccount(ctx context.Context, text string) (Account, error) {
	found, err := s.FindAccount(ctx, text)
	if err != nil {
		return Account{}, err
	}
	text = strings.TrimSpace(text)
	domain, _ := source.Domain(text)
	if strings.Contains(text, "@") {
		domain = ""
	}
	id, _ := source.UUID(text)
	named, err := s.accountsWhere(ctx, "id = $1 AND (id = $2 OR lower(name) = lower($3) OR lower(domain) = $4)", found.ID, id, text, domain)
	switch {
	case err != nil:
		return Account{}, err
	case len(named) == 1:
		return found, nil
	}
	if address, ok := source.Email(text); ok {
		return Account{}, refuse(fault.Conflict, "%s is an address of the domain %s, which the account %s (%s) has: name a person by email:%s, and the account by its id, its name or its domain",
			text, found.Domain, found.Name, found.ID, address)
	}
	return Account{}, refuse(fault.Conflict, "what %q names was merged into the account %s (%s): name that one by its id, its own name or domain if it is meant, with all that was merged into it, or take the merge back first with `throughline accounts split %s`",
		text, found.Name, found.ID, quoted(text))
}

// quoted is a text as a shell takes it.
func quoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

func first(accounts []Account) Account {
	if len(accounts) == 0 {
		return Account{}
	}
	return accounts[0]
}

// meant gives the accounts that the accounts where the condition holds are now, each once.
func (s *Store) meant(ctx context.Context, where string, arg any) ([]Account, error) {
	return s.accountsWhere(ctx, "id IN (SELECT coalesce(merged_into, id) FROM accounts WHERE "+where+")", arg)
}

func (s *Store) one(ctx context.Context, text, where string, arg any) (Account, error) {
	found, err := s.meant(ctx, where, arg)
	switch {
	case err != nil:
		return Account{}, err
	case len(found) == 0:
		return Account{}, refuse(fault.NotFound, "no account has the id, domain or name %q", text)
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
	return refuse(fault.Conflict, "more than one account is meant by %q, name one by its id: %s", text, strings.Join(list, ", "))
}

const accountColumns = "id, name, coalesce(domain, ''), parent_id, merged_into, created_at, updated_at, created_by, owner"

func scanAccount(row pgx.CollectableRow) (Account, error) { return scanAccountAnd(row) }

// scanAccountAnd reads accountColumns and what stands behind them.
func scanAccountAnd(row pgx.CollectableRow, more ...any) (Account, error) {
	var a Account
	var parent, into *uuid.UUID
	err := row.Scan(append([]any{&a.ID, &a.Name, &a.Domain, &parent, &into, &a.CreatedAt, &a.UpdatedAt, &a.CreatedBy, &a.Owner}, more...)...)
	if parent != nil {
		a.ParentID = *parent
	}
	if into != nil {
		a.MergedInto = *into
	}
	return a, err
}

// accountsWhere gives at most ten.
func (s *Store) accountsWhere(ctx context.Context, where string, args ...any) ([]Account, error) {
	rows, err := s.pool.Query(ctx, "SELECT "+accountColumns+" FROM accounts WHERE "+where+" ORDER BY created_at, id LIMIT 10", args...)
	if err != nil {
		return nil, broken("looking for an account", err)
	}
	found, err := pgx.CollectRows(rows, scanAccount)
	return found, broken("looking for an account", err)
}

// Exists is NotFound where there is no account with the id, merged ones counted.
func (s *Store) Exists(ctx context.Context, id uuid.UUID) error {
	var found bool
	if err := s.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM accounts WHERE id = $1)", id).Scan(&found); err != nil {
		return broken("looking for an account", err)
	}
	if !found {
		return refuse(fault.NotFound, "no account has the id %s", id)
	}
	return nil
}

// Names gives the names of those of the accounts that exist, merged ones too.
func (s *Store) Names(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]string, error) {
	rows, err := s.pool.Query(ctx, "SELECT id, name FROM accounts WHERE id = ANY ($1)", ids)
	if err != nil {
		return nil, broken("reading accounts' names", err)
	}
	names := map[uuid.UUID]string{}
	var id uuid.UUID
	var name string
	_, err = pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		names[id] = name
		return nil
	})
	return names, broken("reading accounts' names", err)
}

// AccountFilter says which accounts to list; the zero value lists the first 100.
type AccountFilter struct {
	Text  string // part of the name or domain, upper and lower case the same
	Limit int    // 0: 100
}

// Accounts lists accounts by name, with the number of their links. Merged ones are left out.
func (s *Store) Accounts(ctx context.Context, f AccountFilter) ([]Account, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	rows, err := s.pool.Query(ctx, "SELECT "+accountColumns+`, (SELECT count(*) FROM account_links l WHERE l.account_id = accounts.id)
		FROM accounts WHERE merged_into IS NULL AND ($1 = '' OR position(lower($1) IN lower(name)) > 0 OR position(lower($1) IN lower(domain)) > 0)
		ORDER BY lower(name), id LIMIT $2`, f.Text, f.Limit)
	if err != nil {
		return nil, broken("listing accounts", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Account, error) {
		var links int
		a, err := scanAccountAnd(row, &links)
		a.Links = links
		return a, err
	})
	return list, broken("listing accounts", err)
}
