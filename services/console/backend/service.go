package backend

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/alert"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/learn"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// Access keeps tokens and the audit log: access.Store.
type Access interface {
	Record(ctx context.Context, a access.Actor, action, target, result, why string, dryRun bool) error
	Audit(ctx context.Context, who, action string, after int64, limit int) ([]api.AuditEntry, error)
	CreateToken(ctx context.Context, by access.Actor, name string, role access.Role, expires time.Time) (api.NewTokenMade, error)
	Tokens(ctx context.Context, after int64, limit int) ([]api.Token, error)
	RevokeToken(ctx context.Context, id int64) error
}

// Options are what a Service works with.
type Options struct {
	Pool    *pgxpool.Pool
	Sources source.Set
	// Resolver should have the rules of the services; nil: all rules.
	Resolver *resolve.Resolver
	Access   Access
	// Raw reads a record of a raw topic, within about two seconds; nil: there are no brokers to ask. Errors are
	// stream.ErrRecordGone, Permanent(Oversized), or Transient.
	Raw func(ctx context.Context, topic string, partition int32, offset int64) (*kgo.Record, error)
	// Rejected gives the requests that the receivers have rejected, by source and reason; nil: not known. It is called
	// under a lock, and must not wait.
	Rejected func(ctx context.Context) (map[string]map[string]int64, error)
	// StatementLimit ends a statement of the database that takes longer; 0: DefaultStatementLimit.
	StatementLimit time.Duration
	// Export says who may export; "": ExportOperator.
	Export ExportPolicy
	// TailEvery is how often a live tail looks for events; 0: 250 ms.
	TailEvery time.Duration
}

// DefaultStatementLimit is how long one statement may take.
const DefaultStatementLimit = 5 * time.Second

// Service is the Backend on Postgres, and on Kafka where raw records are asked for. It is safe for concurrent use.
type Service struct {
	o           Options
	accounts    *accounts.Store
	quarantine  *quarantine.Store
	suggestions *learn.Suggestions
	pulls       *pull.Store
	drift       *postgres.Drift
	alerts      *alert.Store
	tails       *tails
	activity    *postgres.Activity
	raws        chan struct{} // who reads raw records
	patterns    chan struct{} // who looks for a pattern
	exports     chan struct{} // who exports

	mu      sync.Mutex // of what follows
	sources cached[[]api.SourceState]
	open    quarantine.Openness // of all, read with sources
}

// cached is an answer that is given again for a while.
type cached[T any] struct {
	value T
	until time.Time
}

// rawsAtOnce bounds how many raw records are read at a time: each is a connection.
const rawsAtOnce = 4

// New makes a Service. Close ends its live tails.
func New(o Options) *Service {
	if o.StatementLimit <= 0 {
		o.StatementLimit = DefaultStatementLimit
	}
	if o.TailEvery <= 0 {
		o.TailEvery = 250 * time.Millisecond
	}
	if o.Export == "" {
		o.Export = ExportOperator
	}
	if o.Resolver == nil {
		o.Resolver = resolve.Default(o.Pool)
	}
	store := accounts.NewStore(o.Pool, o.Sources.Kinds).WithResolver(o.Resolver)
	b := &Service{o: o, accounts: store, quarantine: quarantine.NewStore(o.Pool).WithSources(o.Sources), suggestions: learn.NewSuggestions(o.Pool, store),
		pulls: pull.NewStore(o.Pool), drift: postgres.NewDrift(o.Pool), alerts: alert.NewStore(o.Pool), activity: postgres.NewActivity(), raws: make(chan struct{}, rawsAtOnce), patterns: make(chan struct{}, patternsAtOnce),
		exports: make(chan struct{}, exportsAtOnce)}
	b.tails = newTails(b.follow)
	return b
}

// Close ends all live tails, and waits for what they run. Nothing else may be called then.
func (b *Service) Close() { b.tails.close() }

var _ Backend = (*Service)(nil)

// auditTime bounds the writing of an entry of the audit log, also where whoever asked is gone.
const auditTime = 5 * time.Second

// changeTime bounds a change: a decision counts the events that it concerns.
const changeTime = 60 * time.Second

// deed is what somebody wants to do.
type deed struct {
	role           access.Role
	action, target string
	why            string
	said           string // the name of why in the request; "": reason
	dryRun         bool
	made           string // the id of what is made, which is the target once it is there
}

// act does a deed and writes to the audit log what became of it. An error that says so was made although the entry could
// not be written.
func act[T any](ctx context.Context, b *Service, d deed, do func(ctx context.Context, by access.Actor) (T, error)) (T, error) {
	var none T
	by := access.ActorOf(ctx)
	said := cmp.Or(d.said, "reason")
	if len([]rune(d.why)) > 500 {
		return none, malformed(said, "a %s is at most 500 characters", said)
	}
	if err := texts(said, d.why); err != nil {
		return none, err
	}
	record := func(result, why string) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTime)
		defer cancel()
		return b.o.Access.Record(ctx, by, d.action, d.target, result, why, d.dryRun)
	}
	if err := by.Require(d.role); err != nil {
		if failed := record(access.Refused, err.Error()); failed != nil {
			return none, failed
		}
		return none, err
	}
	changing, cancel := context.WithTimeout(ctx, changeTime)
	defer cancel()
	done, err := do(changing, by)
	if err != nil {
		switch column := postgres.ErasedColumn(err); column {
		case "":
		case "reason", "note", "comment":
			err = problem.Field(said, err)
		default:
			err = problem.Field(column, err)
		}
		result := access.Failed
		if fault.IsPermanent(err) {
			result = access.Refused
		}
		_ = record(result, problem.From(err).Detail) // the error is told, and nothing was changed
		return none, err
	}
	if d.made != "" {
		d.target = d.made
	}
	if err := record(access.Done, d.why); err != nil {
		if d.dryRun {
			return none, err
		}
		return none, problem.Shown(fault.Transient(fault.Unavailable, errors.New("the change was made, but it could not be written to the audit log: look before you do it again")))
	}
	return done, nil
}

// Allowed is Reader's.
func (b *Service) Allowed(ctx context.Context, role access.Role, action, target string) error {
	if access.ActorOf(ctx).Role.May(role) {
		return nil
	}
	if texts("", target) != nil {
		target = ""
	}
	_, err := act(ctx, b, deed{role: role, action: action, target: target}, func(context.Context, access.Actor) (struct{}, error) { return struct{}{}, nil })
	return err
}

// allowed refuses who may not decide before it is looked at what they ask, and writes that down.
func (b *Service) allowed(ctx context.Context, action, target string, dryRun bool) error {
	if access.ActorOf(ctx).Role.May(access.Operator) {
		return nil
	}
	if texts("", target) != nil {
		target = ""
	}
	_, err := act(ctx, b, deed{role: access.Operator, action: action, target: target, dryRun: dryRun}, func(context.Context, access.Actor) (struct{}, error) { return struct{}{}, nil })
	return err
}
