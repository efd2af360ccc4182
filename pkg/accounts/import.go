package accounts

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// ImportResult counts what an import did.
type ImportResult struct {
	Lines           int // of the file, without the header
	AccountsAdded   int
	AccountsChanged int // name or domain
	LinksAdded      int
	LinksPresent    int // were there already, to the same account
}

// ImportError holds everything that is wrong with a file. Nothing of it was written.
type ImportError struct{ Problems []LineProblem }

// LineProblem is one thing wrong with one line; the header is line 1.
type LineProblem struct {
	Line    int
	Problem string
}

// Error gives the problems, one a line.
func (e *ImportError) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = fmt.Sprintf("line %d: %s", p.Line, p.Problem)
	}
	return strings.Join(lines, "\n")
}

func importError(problems []LineProblem) error {
	return fault.Permanent(fault.Malformed, &ImportError{Problems: problems})
}

// Import reads accounts and their links from CSV (RFC 4180, UTF-8, commas, a header) and writes them in one
// transaction, or, when anything is wrong with any line, nothing: the error is then an *ImportError with all of it.
//
// Columns, in any order: name (needed), id (a UUID), domain, and any number named like the beginning of a
// reference ("stripe", "hubspot:contact", "zendesk/1234:organization", "email"), whose cells hold the account's
// ids there, several separated by ';'. A line without an id means the account with the same name and domain, else
// a new one. A line with the id of an existing account changes its name and domain; an empty domain keeps it.
// Links are only ever added, so a file may be imported again at will.
//
// progress, if not nil, is called now and then with how many of the total rows (accounts and links) are on their way.
// by is the person or program who imports.
func (s *Store) Import(ctx context.Context, r io.Reader, by string, progress func(done, total int)) (ImportResult, error) {
	file, err := readImport(r, s.kinds)
	if err != nil {
		return ImportResult{}, err
	}
	if progress == nil {
		progress = func(int, int) {}
	}
	result := ImportResult{Lines: len(file.accounts)}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return file.write(ctx, tx, by, progress, &result) })
	if err != nil {
		return ImportResult{}, broken("importing accounts", err)
	}
	return result, nil
}
