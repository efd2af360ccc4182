package sink

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// conflict is a row of a batch whose identity is on the timeline already, with an
// event that says something else.
type conflict struct {
	row int
	err error // Permanent(Conflict)
}

// resolve gives the work that finds the conflicts of a batch, for into, and then
// resolves the quarantine's records whose events are on the timeline: one that is
// a conflict is not.
func (s *Sink) resolve(rows []postgres.Row, arrivals []quarantine.Arrival, into *[]conflict) postgres.After {
	return func(ctx context.Context, tx pgx.Tx, inserted postgres.Inserted) error {
		c := comparer{sources: s.deps.Sources, differs: map[*postgres.Row]string{}}
		found, err := postgres.Conflicts(ctx, tx, rows, inserted, postgres.Comparison{Ignore: c.ignore, Contradicts: c.contradicts})
		if err != nil {
			return err
		}
		*into = nil
		for _, i := range found {
			*into = append(*into, conflict{i, source.ConflictError(c.differs[&rows[i]])})
		}
		arrived := slices.DeleteFunc(slices.Clone(arrivals), func(a quarantine.Arrival) bool { return slices.Contains(found, a.Row) })
		if len(arrived) == 0 {
			return nil
		}
		return quarantine.ResolveArrivals(arrived)(ctx, tx, inserted)
	}
}

// comparer knows what of two events of one identity may differ.
type comparer struct {
	sources      source.Set
	differs      map[*postgres.Row]string // where, for each that contradicts
	came, stored rawjson.Doc              // scratch memory
}

// ignore gives the volatile members at the top: they are what mostly differs
// between two deliveries. contradicts looks at the others.
func (c *comparer) ignore(name string) (members []string) {
	for _, pointer := range c.sources.Volatile(name) {
		if member := strings.TrimPrefix(pointer, "/"); !strings.ContainsAny(member, "/~") {
			members = append(members, member)
		}
	}
	return members
}

// contradicts compares by the source's forms, without the subject, which is ours.
// Another form of the event must at least lead to the same account. What cannot be
// read was written by version 1, or by nobody of ours; Postgres has said that it
// differs.
func (c *comparer) contradicts(row *postgres.Row, stored postgres.Stored) bool {
	came, err := c.came.ParseBody(row.Payload, 0)
	if err != nil {
		return true
	}
	there, err := c.stored.ParseBody(stored.Payload, 0)
	if err != nil {
		return true
	}
	relation, pointer := c.sources.Compare(row.Source, came, there, "/subject")
	switch relation {
	case source.Same:
		return false
	case source.Contradiction:
		c.differs[row] = pointer
		return true
	default:
		return stored.AccountID != row.AccountID
	}
}
