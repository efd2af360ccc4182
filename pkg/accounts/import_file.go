package accounts

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/source"
)

// maxProblems bounds an error's length; a file with more is the wrong file.
const maxProblems = 1000

// importFile is a file that was read and checked as far as it goes without the database.
type importFile struct {
	accounts []importAccount
	links    []importLink
	problems []LineProblem
}

type importAccount struct {
	line         int
	id           uuid.UUID // Nil: by name and domain
	name, domain string
}

type importLink struct {
	line    int
	account int32 // in accounts
	ref     source.Reference
}

// layout says what the columns hold.
type layout struct {
	id, name, domain int // -1: not there
	references       map[int]prefix
}

func (f *importFile) complain(line int, format string, args ...any) {
	if len(f.problems) < maxProblems {
		f.problems = append(f.problems, LineProblem{line, fmt.Sprintf(format, args...)})
	}
}

func readImport(r io.Reader, kinds Kinds, o ImportOptions) (*importFile, error) {
	buffered := bufio.NewReader(r)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
		_, _ = buffered.Discard(3) // a spreadsheet's byte order mark; it was just peeked
	}
	reader := csv.NewReader(buffered)
	reader.FieldsPerRecord = -1 // a line with too few is one problem of many
	f := &importFile{}
	header, err := reader.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil, importError([]LineProblem{{1, "the file is empty: it needs a header with id,name,domain"}})
		}
		return nil, unreadable(err)
	}
	columns := f.readHeader(header, kinds, o.EveryTenant)
	if len(f.problems) > 0 {
		return nil, importError(f.problems)
	}
	for {
		cells, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, unreadable(err)
		}
		line, _ := reader.FieldPos(0)
		if len(cells) != len(header) {
			f.complain(line, "has %d fields, the header has %d", len(cells), len(header))
			continue
		}
		if slices.ContainsFunc(cells, func(cell string) bool { return !utf8.ValidString(cell) }) {
			f.complain(line, "is not UTF-8, but perhaps Latin-1 or Windows-1252: save the file as CSV UTF-8")
			break // so is the rest
		}
		f.readLine(line, cells, columns)
	}
	f.findDoubles(o.Anyway)
	if len(f.problems) > 0 {
		slices.SortStableFunc(f.problems, func(a, b LineProblem) int { return a.Line - b.Line })
		return nil, importError(f.problems)
	}
	return f, nil
}

// unreadable: the file is not CSV from here on, or cannot be read.
func unreadable(err error) error {
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return importError([]LineProblem{{parse.Line, parse.Err.Error()}})
	}
	return fmt.Errorf("reading the file: %w", err)
}

func (f *importFile) readHeader(header []string, kinds Kinds, everyTenant bool) layout {
	if text := strings.Join(header, ""); !utf8.ValidString(text) || strings.Contains(text, "\x00") {
		f.complain(1, "is not UTF-8, but perhaps UTF-16 or no text at all: save the file as CSV UTF-8")
		return layout{}
	}
	if len(header) == 1 && strings.Contains(header[0], ";") {
		f.complain(1, "the fields are separated by semicolons: save the file as CSV with commas")
		return layout{}
	}
	columns := layout{id: -1, name: -1, domain: -1, references: map[int]prefix{}}
	seen := map[string]bool{}
	for i, title := range header {
		title = strings.TrimSpace(title)
		if key := strings.ToLower(title); seen[key] {
			f.complain(1, "column %q is there twice", title)
		} else {
			seen[key] = true
		}
		switch strings.ToLower(title) {
		case "id":
			columns.id = i
		case "name":
			columns.name = i
		case "domain":
			columns.domain = i
		default:
			p, err := parsePrefix(title, kinds)
			if err != nil {
				f.complain(1, "column %q is neither id, name, domain nor the beginning of a reference: %v", title, err)
				continue
			}
			if p.tenant == "" && !everyTenant && p.scoped() {
				f.complain(1, "column %q: an id of %s is unique within one tenant only; name the tenant (%s), or say that every tenant is meant",
					title, p.source, strings.TrimSuffix(p.source+"/TENANT:"+p.kind, ":"))
			}
			columns.references[i] = p
		}
	}
	if columns.name < 0 {
		f.complain(1, "there is no column name")
	}
	return columns
}

func (f *importFile) readLine(line int, cells []string, columns layout) {
	a := Account{Name: cells[columns.name]}
	if columns.domain >= 0 {
		a.Domain = cells[columns.domain]
	}
	if columns.id >= 0 {
		if text := strings.TrimSpace(cells[columns.id]); text != "" {
			id, err := uuid.Parse(text)
			if err != nil || id == uuid.Nil {
				f.complain(line, "id %q is not a UUID", text)
			}
			a.ID = id
		}
	}
	if err := a.check(); err != nil {
		f.complain(line, "%v", err)
	}
	number := int32(len(f.accounts))
	f.accounts = append(f.accounts, importAccount{line: line, id: a.ID, name: a.Name, domain: a.Domain})
	for i := range cells {
		if p, ok := columns.references[i]; ok {
			f.readIDs(line, number, cells[i], p)
		}
	}
}

func (f *importFile) readIDs(line int, account int32, cell string, p prefix) {
	for id := range strings.SplitSeq(cell, ";") {
		if id = strings.TrimSpace(id); id == "" {
			continue
		}
		one := p
		if one.kind == "" {
			one, id = one.withKind(id)
		}
		ref, err := one.reference(id)
		if err != nil {
			f.complain(line, "%v", err)
			continue
		}
		f.links = append(f.links, importLink{line: line, account: account, ref: ref})
	}
}

// findDoubles complains of accounts that are there twice, of references that two accounts claim and, unless anyway, of
// a domain that two new accounts have, and drops links that one account has twice.
func (f *importFile) findDoubles(anyway bool) {
	type nameless struct{ name, domain string }
	ids, names, domains := map[uuid.UUID]int{}, map[nameless]int{}, map[string]int{}
	for _, a := range f.accounts {
		if a.id != uuid.Nil {
			if before, twice := ids[a.id]; twice {
				f.complain(a.line, "id %s is on line %d already", a.id, before)
			} else {
				ids[a.id] = a.line
			}
			continue
		}
		key := nameless{a.name, a.domain}
		if before, twice := names[key]; twice {
			f.complain(a.line, "the account %q is on line %d already; give them ids if they are two", a.name, before)
			continue
		}
		names[key] = a.line
		if before, twice := domains[a.domain]; twice && a.domain != "" && !anyway {
			f.complain(a.line, "the account on line %d has the domain %s already: give both an id if they are two", before, a.domain)
		} else {
			domains[a.domain] = a.line
		}
	}
	owners := make(map[source.Reference]importLink, len(f.links))
	f.links = slices.DeleteFunc(f.links, func(l importLink) bool {
		before, twice := owners[l.ref]
		if !twice {
			owners[l.ref] = l
			return false
		}
		if before.account != l.account {
			f.complain(l.line, "%s belongs to the account on line %d already", l.ref.Key(), before.line)
		}
		return true
	})
}
