package resolve

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Resolution is what became of one event's references.
type Resolution struct {
	Found     bool
	AccountID uuid.UUID        // when found
	Rule      string           // when found: the rule that found it
	Reference source.Reference // when found: the reference that led there
	Why       string           // when not found: one sentence for a person
	// Erased: it is not found because what decides about it was erased on request, or the event mentions a person who
	// was. Nobody may keep such an event.
	Erased bool
}

// Resolver finds accounts. It is safe for concurrent use. What it keeps between calls, if anything, holds only as
// long as no link and no account changes: a link that was committed before a call counts in it.
type Resolver struct {
	pool     *pgxpool.Pool
	rules    Rules
	freemail domains
	cache    *cache // nil: none
}

// New makes a Resolver with c's rules and lists of domains. The error says what is wrong with c.
func New(pool *pgxpool.Pool, c Config) (*Resolver, error) {
	rules, err := c.Rules()
	if err != nil {
		return nil, err
	}
	freemail, err := c.domains()
	if err != nil {
		return nil, err
	}
	return &Resolver{pool: pool, rules: rules, freemail: freemail}, nil
}

// WithCache gives a Resolver with r's rules that remembers where references led (see cache), for a service that
// resolves many events of few customers.
func (r *Resolver) WithCache() *Resolver {
	with := *r
	with.cache = newCache(maxCachedReferences, maxCachedBytes)
	return &with
}

// Default makes a Resolver with all rules and the built-in free-mail list.
func Default(pool *pgxpool.Pool) *Resolver {
	return &Resolver{pool: pool, rules: AllRules()}
}

// Rules says which rules are on.
func (r *Resolver) Rules() Rules { return r.rules }

// Resolve answers for each event of a batch, given its references (most telling first), in the batch's order. It
// costs one query whatever the batch's size, and none for one without references; with a cache it costs what Ahead
// says. An error is the database's, marked by postgres.Classify, and leaves nothing half done.
func (r *Resolver) Resolve(ctx context.Context, batch [][]source.Reference) ([]Resolution, error) {
	if r.cache != nil && count(batch) > 0 {
		return r.Ahead(ctx).Resolve(ctx, batch)
	}
	return r.ResolveIn(ctx, r.pool, batch)
}

// DB is what a query can be sent to: a pool, a connection or a transaction.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// ResolveIn is Resolve as seen by one transaction; no cache takes part.
func (r *Resolver) ResolveIn(ctx context.Context, db DB, batch [][]source.Reference) ([]Resolution, error) {
	verdicts := make([]*verdict, count(batch))
	if len(verdicts) > 0 {
		if _, err := r.ask(ctx, db, batch, verdicts, allUnknown); err != nil {
			return nil, err
		}
	}
	return decide(batch, verdicts), nil
}

func count(batch [][]source.Reference) (total int) {
	for _, refs := range batch {
		total += len(refs)
	}
	return total
}

// Which of an event's unknown references are asked for.
type extent int

const (
	firstUnknown extent = iota
	allUnknown          // but for those behind a link
	everyUnknown        // those, too
)

// ask fills in verdicts that are nil (but for those behind a link, which do not count) in one query, and gives nil
// answers when there are none. verdicts are those of all the batch's references, in order.
func (r *Resolver) ask(ctx context.Context, db DB, batch [][]source.Reference, verdicts []*verdict, which extent) (*answers, error) {
	q := newQuestion(r.rules, r.freemail)
	type asked struct{ place, number int32 }
	var open []asked
	place := 0
	for _, refs := range batch {
		of := verdicts[place : place+len(refs)]
		for i, v := range of {
			if v == nil {
				open = append(open, asked{int32(place + i), q.ask(refs[i])})
				if which == firstUnknown {
					break
				}
			} else if v.rule == RuleLinks && which != everyUnknown {
				break
			}
		}
		place += len(refs)
	}
	if len(open) == 0 {
		return nil, nil
	}
	a, err := postgres.Bound(ctx, postgres.BatchTimeout, func(ctx context.Context) (*answers, error) { return q.answer(ctx, db) })
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("resolving a batch of %d events: %w", len(batch), err))
	}
	for _, o := range open {
		verdicts[o.place] = a.verdict(o.number)
	}
	return a, nil
}

// verdict is where one reference leads, whatever else its event has.
type verdict struct {
	account  uuid.UUID
	rule     string // "": nowhere
	obstacle string // why it nearly led to an account, or ""
	erased   bool   // it would lead, by the rule, to what is erased
	mention  bool   // and an event that has it is erased, whatever it leads to besides
}

// nowhere is the verdict on a reference that says nothing.
var nowhere = &verdict{}

// rank orders the rules: that of the smaller one goes first.
func (v *verdict) rank() int {
	switch v.rule {
	case RuleLinks:
		return 0
	case RuleAccountUUID:
		return 1
	case RuleEmail, RuleDomain:
		return 2
	}
	return 3
}

// decide applies the rules in order to each event. verdicts are those of all references, in the batch's order.
func decide(batch [][]source.Reference, verdicts []*verdict) []Resolution {
	out := make([]Resolution, len(batch))
	for i, refs := range batch {
		out[i] = decideOne(refs, verdicts[:len(refs)])
		verdicts = verdicts[len(refs):]
	}
	return out
}

func decideOne(refs []source.Reference, verdicts []*verdict) Resolution {
	best, first := nowhere, 0
	for i, v := range verdicts {
		if v == nil {
			continue // behind a link, and not asked for
		}
		if v.mention {
			return erased
		}
		if v.rank() < best.rank() {
			best, first = v, i
		}
	}
	if best.erased {
		return erased
	}
	if best.rule == "" {
		return Resolution{Why: why(refs, verdicts)}
	}
	if best.rule == RuleAccountUUID {
		for i, v := range verdicts {
			if v.rule == RuleAccountUUID && v.account != best.account {
				return Resolution{Why: fmt.Sprintf("conflict: it carries the ids of two accounts, %s and %s; a link of one of its references decides", refs[first].ID, refs[i].ID)}
			}
		}
	}
	return Resolution{Found: true, AccountID: best.account, Rule: best.rule, Reference: refs[first]}
}

// erased is what becomes of an event that nobody may keep.
var erased = Resolution{Erased: true, Why: "what it refers to was erased on request"}

// whyMost bounds how many references a sentence names.
const whyMost = 3

// why explains an event that was not resolved: what stood in the way where a rule nearly held, and what a link
// would have to name.
func why(refs []source.Reference, verdicts []*verdict) string {
	if len(refs) == 0 {
		return "the event has no reference to a customer"
	}
	var reasons, keys []string
	for i, v := range verdicts {
		if v.obstacle != "" && len(reasons) < whyMost && !slices.Contains(reasons, v.obstacle) {
			reasons = append(reasons, v.obstacle)
		}
		if len(keys) < whyMost {
			keys = append(keys, strings.ToValidUTF8(refs[i].Key(), "\uFFFD"))
		}
	}
	unlinked := "no link or account for " + strings.Join(keys, ", ")
	if more := len(refs) - len(keys); more > 0 {
		unlinked += fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(append(reasons, unlinked), "; ")
}
