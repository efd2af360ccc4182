package learn

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/resolve"
	"github.com/throughline-dev/throughline/pkg/retry"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Author is who the ledger names for automatic links; Learned is how they were learned.
const (
	Author  = "learner"
	Learned = "learner"
)

// API is a vendor's API that may be asked.
type API struct {
	Learner source.Learner
	// Doer makes the requests, with the key (pkg/pull/egress).
	Doer source.Doer
	// Tenant is the vendor account of the key; "": that of the events, of which there
	// may then be one only.
	Tenant string
}

// Options say what a Learner works with.
type Options struct {
	Pool    *pgxpool.Pool
	Sources source.Set
	// Resolver has the rules of the services.
	Resolver *resolve.Resolver
	// APIs are those that may be asked; none: only the timeline is.
	APIs []API
	// Blocked are ids of nobody's.
	Blocked Blocked
	// Batch is how many references are worked on at once; 0: 2,000.
	Batch int
	// Every is how often it looks for work; 0: 2 s.
	Every time.Duration
	// Told gives who hears of a piece of work under this name; nil: nobody does.
	Told func(name string) *retry.Told
	// Observe hears of what was done; nil: nobody does.
	Observe func(Done)
	// Log gets a line for each conflict of good evidence, by reference. nil: none.
	Log *zap.Logger
}

// Done is what a pass has done, for metrics. It holds counts only.
type Done struct {
	Source    string // of Calls and Answers
	Collected int
	Blocked   int
	Looked    int // references that were looked up on the timeline
	Calls     int
	Answers   int
	Lies      int // answers that no such API gives
	Links     map[accounts.Level]int
	ByRule    map[Rule]int
	Suggested int
	Conflicts int
	Merges    int
	Suspects  int // domains that were found to behave like public ones
}

const (
	defaultBatch = 2000
	defaultEvery = 2 * time.Second
	// sweepEvery is how often all that waits is looked at from the beginning, in case
	// it was missed: a record's transaction may commit behind a later one's.
	sweepEvery = 5 * time.Minute
	// judgeAllEvery is how soon a change of links or accounts by others counts.
	judgeAllEvery = 30 * time.Second
	// collectBehind is how many records before the newest are read again.
	collectBehind = 5000
)

// Learner learns. Make it with New; Run is called once.
type Learner struct {
	o        Options
	store    store
	accounts *accounts.Store
	apis     map[string]*asker

	mu     sync.Mutex // of what one process remembers to save work
	after  int64      // the record up to which was collected
	swept  time.Time
	epoch  string // of links and accounts, when all was judged last
	judged time.Time
	names  nameIndex
}

// New makes a Learner. It does not connect.
func New(o Options) *Learner {
	o.Batch, o.Every = cmp.Or(o.Batch, defaultBatch), cmp.Or(o.Every, defaultEvery)
	if o.Told == nil {
		o.Told = func(string) *retry.Told { return nil }
	}
	if o.Observe == nil {
		o.Observe = func(Done) {}
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	l := &Learner{o: o, store: store{o.Pool}, accounts: accounts.NewStore(o.Pool, o.Sources.Kinds).WithResolver(o.Resolver), apis: map[string]*asker{}}
	for _, api := range o.APIs {
		l.apis[api.Learner.Name()] = newAsker(api)
	}
	return l
}

// Run works until ctx ends, and then gives nil. A request that is under way is given
// up; nothing is lost by it.
func (l *Learner) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	loop := func(name, doing string, every time.Duration, pass func(context.Context) (int, error)) {
		told := l.o.Told("learner-" + name)
		group.Go(func() error { return repeat(ctx, every, doing, told, pass) })
	}
	loop("collecting", "collecting what waits for an account", l.o.Every, l.Collect)
	loop("timeline", "looking references up on the timeline", l.o.Every, l.Look)
	loop("judging", "judging what was learned", l.o.Every, l.Judge)
	loop("merges", "reading merges at vendors", 30*l.o.Every, l.Merges)
	loop("domains", "looking for domains that behave like public ones", time.Minute, l.Domains)
	loop("tidying", "removing what is not needed any more", time.Minute, l.Tidy)
	for _, name := range l.sourceNames() {
		a := l.apis[name]
		group.Go(func() error { return l.askForever(ctx, a) })
	}
	return group.Wait()
}

func (l *Learner) sourceNames() []string {
	var names []string
	for name := range l.apis {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// repeat does a pass again as long as it finds work, and then after each period, until
// ctx ends.
func repeat(ctx context.Context, every time.Duration, doing string, told *retry.Told, pass func(context.Context) (int, error)) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		var did int
		err := retry.Forever(ctx, retry.Policy{}, doing, told, func(ctx context.Context) (err error) {
			did, err = pass(ctx)
			return err
		})
		if err != nil {
			return nil // ctx has ended: Forever tries everything else again
		}
		if did > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// Settle does what there is to do, pass after pass, until nothing is left that is due:
// for tests, and for whoever wants to wait. A vendor's error ends it.
func (l *Learner) Settle(ctx context.Context) error {
	for {
		total := 0
		passes := []func(context.Context) (int, error){l.Collect, l.Look}
		for _, name := range l.sourceNames() {
			passes = append(passes, func(ctx context.Context) (int, error) { return l.Ask(ctx, name) })
		}
		for _, pass := range append(passes, l.Merges, l.Judge) {
			n, err := pass(ctx)
			if err != nil {
				return err
			}
			total += n
		}
		if total == 0 {
			return nil
		}
	}
}

// Collect takes in what waiting events refer to, one page, and gives how many
// references were new.
func (l *Learner) Collect(ctx context.Context) (int, error) {
	l.mu.Lock()
	if time.Since(l.swept) > sweepEvery {
		l.swept, l.after = time.Now(), 0
	}
	after := l.after
	l.mu.Unlock()
	total := 0
	for {
		next, more, fresh, err := l.store.collect(ctx, after, l.o.Batch)
		if err != nil {
			return total, err
		}
		total += fresh
		if fresh > 0 {
			l.o.Observe(Done{Collected: fresh})
		}
		if !more {
			l.mu.Lock()
			l.after = max(0, max(after, next)-collectBehind)
			l.mu.Unlock()
			return total, nil
		}
		after = next
		if ctx.Err() != nil {
			return total, fmt.Errorf("collecting what waits: %w", context.Cause(ctx))
		}
	}
}

// errUnknownSource is the error of a source that no API was given for.
var errUnknownSource = errors.New("no API of this source was given")
