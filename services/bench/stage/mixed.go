package stage

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/event"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stream"
	"github.com/throughline-dev/throughline/services/bench/traffic"
	"github.com/throughline-dev/throughline/services/vendors"
)

const (
	// watchEvery is the pause between two looks at the table, which is what a row's age may be measured too long.
	watchEvery = 25 * time.Millisecond
	// mixedPatience is how long nothing may come through before what is missing counts as lost.
	mixedPatience = time.Minute
	// tellEvery is how often the load says how far it is.
	tellEvery = 10 * time.Second
	// Refused vendors come again after retryFirst, and twice as late each time, up to retryMost.
	retryFirst, retryMost = 2 * time.Second, 30 * time.Second
	// twiceWithin is when a vendor sends what it sent before at the latest.
	twiceWithin = 5 * time.Second
)

// Mixed is what a load of all sources found.
type Mixed struct {
	Began          time.Time
	Events         int // each of its own
	Acknowledged   int // of them
	Deliveries     int
	Twice, Late    int                       // deliveries that came twice; events
	Answers        map[string]map[string]int // POSTs by source and status; 0: no answer
	AnsweredEvents map[string]int            // events in POSTs that were answered with a 2xx, by source
	Given          int                       // events of vendors that never come again, that were refused
	Posting        float64                   // seconds from the first POST to the last answer
	Seconds        float64                   // from the first POST until the last event was seen
	Answered       Latency                   // from POST to 2xx; in an open loop from when it was due
	Shown          Latency                   // from the answer until the event's row was seen
	Stretches      []Stretch
	Samples        []MixedSample
	Verdict        Verdict
}

// MixedSample is how far a load was when.
type MixedSample struct {
	Seconds                           float64 // since it began
	Acknowledged, Visible, Quarantine int
	Waiting                           int // deliveries that were refused and come again
}

// mixed is one load.
type mixed struct {
	job      Job
	mix      *traffic.Mix
	sender   vendors.Sender
	retries  map[string]bool // sources whose vendors come again
	promises *promises
	work     chan *errand
	open     atomic.Int64 // errands that are not done, and 1 while more are made
	done     chan struct{}
	waiting  atomic.Int64
	ended    atomic.Int64 // nanoseconds after began, of the last answer

	mu     sync.Mutex
	posts  []post
	result Mixed
}

// errand is a delivery that is to be posted.
type errand struct {
	traffic.Shipment
	places []int32
	due    time.Duration // since the load began; 0: as soon as a connection is free
	again  int           // attempts before
	second bool          // it was taken before
}

// runMixed posts Records events of all sources, or Rate a second for Duration, and waits until all that was acknowledged
// is seen. Refused vendors that come again do. Then it looks for each event.
func runMixed(ctx context.Context, job Job, _ func(string)) (Result, error) {
	deliveries := job.Records
	if job.Rate > 0 && job.Duration > 0 {
		deliveries = int(job.Duration.Seconds() * float64(job.Rate))
	}
	set := catalog.Set()
	m := &mixed{
		job: job, retries: map[string]bool{}, promises: newPromises(deliveries), done: make(chan struct{}), work: make(chan *errand, job.Connections),
		sender: vendors.Sender{Sources: set, URL: "http://" + job.Address, PublicURL: publicURL, Secrets: map[string]string{}},
		result: Mixed{Answers: map[string]map[string]int{}, AnsweredEvents: map[string]int{}},
	}
	if job.Rate > 0 {
		m.work = make(chan *errand, 1<<20) // what is due must not wait for an answer
	}
	for _, src := range set.Sources() {
		m.sender.Secrets[src.Name()] = secret
		m.retries[src.Name()] = !src.Profile().NeverRetries
	}
	var err error
	if m.mix, err = job.Accounts.Mix(time.Now().Add(-traffic.Span(deliveries) - time.Hour).Truncate(time.Millisecond)); err != nil {
		return Result{}, err
	}
	conn, err := pgx.Connect(ctx, job.Postgres)
	if err != nil {
		return Result{}, fmt.Errorf("connecting to Postgres: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var before marks
	if before, err = readMarks(ctx, conn); err != nil {
		return Result{}, err
	}
	m.promises.began = time.Now()
	m.result.Began = m.promises.began.UTC()
	if err := m.run(ctx, conn, before); err != nil {
		return Result{}, err
	}
	if err := m.finish(ctx, conn, before); err != nil {
		return Result{}, err
	}
	return Result{Mixed: &m.result}, nil
}

// run posts and watches until all is seen, or nothing comes any more.
func (m *mixed) run(ctx context.Context, conn *pgx.Conn, from marks) error {
	group, ctx := errgroup.WithContext(ctx)
	m.open.Store(1)
	for range m.job.Connections {
		group.Go(func() error { return m.post(ctx) })
	}
	group.Go(func() error {
		defer m.closeOne()
		return m.make(ctx)
	})
	group.Go(func() error { return m.watch(ctx, conn, from) })
	return group.Wait()
}

// closeOne ends the posting when nothing is left to post.
func (m *mixed) closeOne() {
	if m.open.Add(-1) == 0 {
		close(m.done)
	}
}

// make makes the deliveries, and hands each on when it is due.
func (m *mixed) make(ctx context.Context) error {
	events := 0
	for n := 0; m.job.Duration > 0 || events < m.job.Records; n++ {
		s, err := m.mix.Delivery(n)
		if err != nil {
			return err
		}
		e := &errand{Shipment: s}
		if m.job.Rate > 0 {
			e.due = max(1, time.Duration(float64(events)/float64(m.job.Rate)*float64(time.Second)))
			if m.job.Duration > 0 && e.due >= m.job.Duration {
				return nil
			}
			pause(ctx, e.due-m.promises.now())
		}
		events += len(s.Facts)
		m.open.Add(1)
		if err := m.hand(ctx, e); err != nil {
			return err
		}
		m.mu.Lock()
		m.result.Deliveries++
		m.result.Late += s.Late
		m.mu.Unlock()
	}
	return nil
}

func (m *mixed) hand(ctx context.Context, e *errand) error {
	select {
	case m.work <- e:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// later hands an errand on after a while.
func (m *mixed) later(ctx context.Context, after time.Duration, e *errand) {
	time.AfterFunc(after, func() {
		_ = m.hand(ctx, e) // its error is ctx's end, which ends all
	})
}

// post is one connection's life.
func (m *mixed) post(ctx context.Context) error {
	var c *connection
	defer func() {
		if c != nil {
			c.Close() //nolint:errcheck // nothing is left to do about it
		}
	}()
	for {
		var e *errand
		select {
		case e = <-m.work:
		case <-m.done:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if e.places == nil {
			e.places = m.promises.send(&e.Shipment)
		}
		request, err := wire(&m.sender, e.Delivery, m.job.Address)
		if err != nil {
			return err
		}
		if e.again > 0 {
			m.waiting.Add(-1)
		}
		began := m.promises.now()
		if e.due > 0 && e.again == 0 && !e.second {
			began = e.due
		}
		status := 0
		if c == nil {
			if c, err = dial(ctx, m.job.Address); err != nil {
				c = nil
			}
		}
		if c != nil {
			var closing bool
			if status, closing, err = c.do(request); err != nil || closing {
				c.Close() //nolint:errcheck // nothing is left to do about it
				c = nil
			}
		}
		m.answered(ctx, e, status, began)
	}
}

// answered does what a vendor does with an answer.
func (m *mixed) answered(ctx context.Context, e *errand, status int, began time.Duration) {
	now := m.promises.now()
	m.ended.Store(int64(now))
	taken := status/100 == 2
	if taken {
		m.promises.ack(e.places)
	}
	m.mu.Lock()
	if m.result.Answers[e.Source] == nil {
		m.result.Answers[e.Source] = map[string]int{}
	}
	m.result.Answers[e.Source][fmt.Sprint(status)]++
	if taken {
		m.result.AnsweredEvents[e.Source] += len(e.Facts)
		m.posts = append(m.posts, post{now, now - began})
	}
	switch {
	case taken && e.Twice && !e.second:
		m.result.Twice++
	case !taken && !m.retries[e.Source] && !e.second:
		m.result.Given += len(e.Facts)
	}
	m.mu.Unlock()
	switch {
	case taken && e.Twice && !e.second:
		e.second, e.again = true, 0
		m.later(ctx, time.Duration(rand.Int64N(int64(twiceWithin))), e)
	case !taken && m.retries[e.Source]:
		wait := min(retryFirst<<min(e.again, 10), retryMost)
		e.again++
		m.waiting.Add(1)
		m.later(ctx, wait/2+time.Duration(rand.Int64N(int64(wait))), e)
	default:
		m.closeOne()
	}
}

// marks are the highest ids of the tables.
type marks struct{ row, record int64 }

func readMarks(ctx context.Context, conn *pgx.Conn) (at marks, err error) {
	err = conn.QueryRow(ctx, "SELECT (SELECT coalesce(max(id), 0) FROM account_events), (SELECT coalesce(max(id), 0) FROM quarantine)").Scan(&at.row, &at.record)
	if err != nil {
		return at, fmt.Errorf("looking at the tables: %w", err)
	}
	return at, nil
}

// watch notes when each event is there for others. One sink writes, one transaction after the other, so ids become
// visible in their order; whoever comes between is found at the end, without a time.
func (m *mixed) watch(ctx context.Context, conn *pgx.Conn, at marks) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var posted bool
	began := time.Now()
	came, told, sampled := began, began, began
	before := 0
	for {
		select {
		case <-m.done: // before the look
			posted = true
		default:
		}
		rows, err := m.look(ctx, conn, "SELECT id, source, source_event_id FROM account_events WHERE id > $1 ORDER BY id", &at.row, false)
		if err != nil {
			return err
		}
		now := time.Now()
		if now.Sub(sampled) >= time.Second || posted {
			records, err := m.look(ctx, conn, "SELECT id, source, coalesce(source_event_id, '') FROM quarantine WHERE id > $1 ORDER BY id", &at.record, true)
			if err != nil {
				return err
			}
			rows += records
		}
		sent, acked, shown, quarantined := m.promises.counts()
		if rows > 0 || sent+acked != before {
			came, before = now, sent+acked
		}
		if now.Sub(sampled) >= time.Second {
			sampled = now
			m.result.Samples = append(m.result.Samples, MixedSample{now.Sub(m.promises.began).Seconds(), acked, shown, quarantined, int(m.waiting.Load())})
		}
		if now.Sub(told) >= tellEvery {
			told = now
			m.job.tell("%s", m.progress(sent, acked, shown, quarantined))
		}
		if posted && (shown+quarantined >= acked || now.Sub(came) > mixedPatience) {
			m.result.Seconds = came.Sub(m.promises.began).Seconds()
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func (m *mixed) progress(sent, acked, shown, quarantined int) string {
	var left string
	took := m.promises.now()
	switch {
	case m.job.Duration > 0:
		left = max(0, m.job.Duration-took).Round(time.Second).String()
	case m.job.Rate > 0:
		left = time.Duration(float64(m.job.Records-sent) / float64(m.job.Rate) * float64(time.Second)).Round(time.Second).String()
	default:
		left = time.Duration(float64(took) * float64(m.job.Records-shown-quarantined) / float64(max(1, shown+quarantined))).Round(time.Second).String()
	}
	return fmt.Sprintf("%d events acknowledged, %d visible, %d in quarantine, %d deliveries to come again; about %s left", acked, shown, quarantined, m.waiting.Load(), left)
}

// look notes what lies above a mark, and moves it.
func (m *mixed) look(ctx context.Context, conn *pgx.Conn, query string, above *int64, quarantined bool) (n int, err error) {
	rows, err := conn.Query(ctx, query, *above)
	if err == nil {
		var source, id string
		_, err = pgx.ForEachRow(rows, []any{above, &source, &id}, func() error {
			n++
			m.promises.show(source, id, quarantined)
			return nil
		})
	}
	if err != nil {
		return n, fmt.Errorf("looking at the tables: %w", err)
	}
	return n, nil
}

// finish looks for each event and sums up.
func (m *mixed) finish(ctx context.Context, conn *pgx.Conn, from marks) error {
	p, r := m.promises, &m.result
	m.job.tell("all is through; looking for each event")
	rows, err := conn.Query(ctx, "SELECT source, source_event_id, account_id FROM account_events WHERE id > $1", from.row)
	var source, id string
	var account uuid.UUID
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&source, &id, &account}, func() error {
			p.find(&r.Verdict, source, id, account)
			return nil
		})
	}
	if err == nil {
		rows, err = conn.Query(ctx, "SELECT source, coalesce(source_event_id, '') FROM quarantine WHERE id > $1 AND status <> 'resolved'", from.record)
	}
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&source, &id}, func() error {
			p.find(&r.Verdict, source, id, uuid.Nil)
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("looking for each event: %w", err)
	}
	p.missing(&r.Verdict)
	if m.job.Ordered {
		if err := m.checkOrder(ctx); err != nil {
			return err
		}
	}
	r.Events, r.Acknowledged = len(p.all), p.acked
	r.Posting = time.Duration(m.ended.Load()).Seconds()
	every := m.job.Every
	if every <= 0 {
		every = time.Minute
	}
	r.Stretches = p.stretches(m.posts, every, time.Duration(r.Seconds*float64(time.Second)))
	took := make([]time.Duration, len(m.posts))
	for i, post := range m.posts {
		took[i] = post.took
	}
	r.Answered, r.Shown = latencyOf(took), latencyOf(p.ages())
	return nil
}

// checkOrder reads account-events, as a consumer does that keeps a copy.
func (m *mixed) checkOrder(ctx context.Context) error {
	registry, err := m.job.registry()
	if err != nil {
		return err
	}
	decoder, err := event.NewDecoder(registry)
	if err != nil {
		return err
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(m.job.Brokers...), kgo.ConsumeTopics(stream.AccountEvents),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	if err != nil {
		return fmt.Errorf("making the Kafka client: %w", err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx, stream.AccountEvents)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("asking for the end of account-events: %w", err)
	}
	order := m.promises.order()
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) { // what lies last is a transaction's marker
		if o.Offset > 0 {
			left[o.Partition] = o.Offset - 1
		}
	})
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := errors.Join(fetches.Err0(), ctx.Err()); err != nil {
			return fmt.Errorf("reading account-events: %w", err)
		}
		var e event.AccountEvent
		for _, rec := range fetches.Records() {
			if !rec.Attrs.IsControl() {
				if err := decoder.AccountEvent(ctx, rec.Value, &e); err != nil {
					return err
				}
				order.next(&m.result.Verdict, e.Source, e.SourceEventID)
			}
			if end, there := left[rec.Partition]; there && rec.Offset >= end {
				delete(left, rec.Partition)
			}
		}
	}
	return nil
}
