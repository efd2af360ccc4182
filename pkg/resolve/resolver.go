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
}

// Resolver finds accounts. It is safe for concurrent use and keeps nothing between calls: a link holds for the
// next batch.
type Resolver struct {
	pool     *pgxpool.Pool
	rules    Rules
	freemail domains
}

// New makes a Resolver with c's rules and free-mail list. The error says what is wrong with c.
func New(pool *pgxpool.Pool, c Config) (*Resolver, error) {
	rules, err := c.Rules()
	if err != nil {
		return nil, err
	}
	freemail, err := c.freemail()
	if err != nil {
		return nil, err
	}
	return &Resolver{pool: pool, rules: rules, freemail: freemail}, nil
}

// Default makes a Resolver with all rules and the built-in free-mail list.
func Default(pool *pgxpool.Pool) *Resolver {
	return &Resolver{pool: pool, rules: AllRules(), freemail: builtinFreemail()}
}

// Resolve answers for each event of a batch, given its references (most telling first), in the batch's order. It
// costs one query whatever the batch's size, and none for one without references. An error is the database's, marked
// by postgres.Classify, and leaves nothing half done.
func (r *Resolver) Resolve(ctx context.Context, batch [][]source.Reference) ([]Resolution, error) {
	return r.ResolveIn(ctx, r.pool, batch)
}

// DB is what a query can be sent to: a pool, a connection or a transaction.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// ResolveIn is Resolve as seen by one transaction.
func (r *Resolver) ResolveIn(ctx context.Context, db DB, batch [][]source.Reference) ([]Resolution, error) {
	total := 0
	for _, refs := range batch {
		total += len(refs)
	}
	q := newQuestion(r.rules, r.freemail, total)
	numbers := make([]int32, 0, total) // of all references, in the batch's order
	for _, refs := range batch {
		for _, ref := range refs {
			numbers = append(numbers, q.ask(ref))
		}
	}
	a, err := q.answer(ctx, db)
	if err != nil {
		return nil, postgres.Classify(fmt.Errorf("resolving a batch of %d events: %w", len(batch), err))
	}
	out := make([]Resolution, len(batch))
	for i, refs := range batch {
		out[i] = a.decide(refs, numbers[:len(refs)])
		numbers = numbers[len(refs):]
	}
	return out, nil
}

// Freemail reports whether this domain (in the form of NormalizeDomain) is nobody's company: no rule leads from one of
// its addresses to an account by the domain.
func (r *Resolver) Freemail(domain string) bool { return r.freemail.has(domain) }

// decide applies the rules in order to one event, whose references have these numbers.
func (a *answers) decide(refs []source.Reference, numbers []int32) Resolution {
	for i, n := range numbers {
		if n < 0 {
			continue
		}
		if id, ok := a.link(n); ok {
			return Resolution{Found: true, AccountID: id, Rule: RuleLinks, Reference: refs[i]}
		}
	}
	for i, n := range numbers {
		if n < 0 {
			continue
		}
		if id, ok := a.account(n); ok {
			return Resolution{Found: true, AccountID: id, Rule: RuleAccountUUID, Reference: refs[i]}
		}
	}
	for i, n := range numbers {
		if n < 0 {
			continue
		}
		if id, ok := a.domain(n); ok {
			return Resolution{Found: true, AccountID: id, Rule: domainRule(refs[i]), Reference: refs[i]}
		}
	}
	return Resolution{Why: a.why(refs, numbers)}
}

func domainRule(ref source.Reference) string {
	if ref.Kind == source.KindEmail {
		return RuleEmail
	}
	return RuleDomain
}

// whyMost bounds how many references a sentence names.
const whyMost = 3

// why explains an event that was not resolved: what stood in the way where a rule nearly held, and what a link
// would have to name.
func (a *answers) why(refs []source.Reference, numbers []int32) string {
	if len(refs) == 0 {
		return "the event names nobody: it has no reference to a customer"
	}
	var reasons, keys []string
	for i, n := range numbers {
		if n >= 0 && len(reasons) < whyMost {
			if reason := a.obstacle(n); reason != "" && !slices.Contains(reasons, reason) {
				reasons = append(reasons, reason)
			}
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
