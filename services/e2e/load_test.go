package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/services/vendors"
)

// load is vendors that go on sending until they are told to stop, each coming
// again with what was not taken, and the ledger of what they were promised.
type load struct {
	place     *place
	simulator *vendors.Simulator
	sender    vendors.Sender
	begun     time.Time
	customers []vendors.Customer // the known ones
	accounts  []uuid.UUID        // theirs
	later     uuid.UUID          // the account that the later customer is linked to

	sent func(delivery)                 // before an event is posted the first time; may be nil
	took func(at time.Time, d delivery) // after each 2xx; may be nil

	serial  atomic.Int64
	acked   atomic.Int64 // events
	refused atomic.Int64 // deliveries without a 2xx
	stop    chan struct{}
	sending sync.WaitGroup

	mu       sync.Mutex
	whose    map[string]string      // of each event that was ever sent, by mark
	promised map[string]bool        // events that a receiver answered 2xx for
	answers  map[string]map[int]int // by source and status; 0: no answer
}

// startLoad makes the accounts and starts every vendor. It stops with the test
// at the latest.
func startLoad(t *testing.T, p *place, url string, random *rand.Rand) *load {
	t.Helper()
	return newLoad(t, p, url, random).start(random)
}

// newLoad makes the accounts and links, and starts nobody.
func newLoad(t *testing.T, p *place, url string, random *rand.Rand) *load {
	t.Helper()
	simulator, err := vendors.New(catalog.Set(), random.Uint64())
	require.NoError(t, err)
	client := &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	l := &load{
		place: p, begun: time.Now(), stop: make(chan struct{}), simulator: simulator,
		sender: vendors.Sender{Sources: catalog.Set(), URL: url, PublicURL: publicURL, Secrets: secrets(), Client: client},
		whose:  map[string]string{}, promised: map[string]bool{}, answers: map[string]map[int]int{},
	}
	t.Cleanup(client.CloseIdleConnections)
	l.linkCustomers()
	return l
}

// start starts every vendor.
func (l *load) start(random *rand.Rand) *load {
	ctx, cancel := context.WithCancel(context.Background())
	for _, v := range loadVendors() {
		choices := rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
		l.sending.Go(func() { l.send(ctx, v, choices) })
	}
	l.place.t.Cleanup(func() {
		cancel()
		l.sending.Wait()
	})
	return l
}

// at is when the n-th delivery's events happened: one second apart, so that
// where a time is part of an identity, no two are one.
func (l *load) at(n int) time.Time {
	return l.begun.UTC().Truncate(time.Second).AddDate(0, 0, -30).Add(time.Duration(n) * time.Second)
}

// end lets every vendor finish what it is at, and stop.
func (l *load) end() {
	l.place.t.Helper()
	close(l.stop)
	finished := make(chan struct{})
	go func() { l.sending.Wait(); close(finished) }()
	await(l.place.t, patience, "the vendors' last deliveries to be taken", func() (bool, string) {
		select {
		case <-finished:
			return true, ""
		default:
			return false, l.told()
		}
	})
}

// send is one vendor's life.
func (l *load) send(ctx context.Context, v vendor, random *rand.Rand) {
	pace := time.NewTicker(time.Second / time.Duration(v.rate))
	defer pace.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.stop:
			return
		case <-pace.C:
		}
		d, err := v.make(l, int(l.serial.Add(1)), random)
		if err != nil {
			l.place.t.Errorf("making a delivery of %s: %v", v.source, err)
			return
		}
		l.mu.Lock()
		for i, mark := range d.marks {
			l.whose[mark] = d.whose[i]
		}
		l.mu.Unlock()
		if l.sent != nil {
			l.sent(d)
		}
		l.deliver(ctx, v, d, random)
		if random.IntN(20) == 0 {
			l.deliver(ctx, v, d, random) // vendors do
		}
	}
}

// deliver posts until it is taken, or once when this vendor never comes again.
func (l *load) deliver(ctx context.Context, v vendor, d delivery, random *rand.Rand) {
	const first, longest = 20 * time.Millisecond, 500 * time.Millisecond
	for wait := first; ; wait = min(2*wait, longest) {
		status := l.post(ctx, d)
		l.note(d, status)
		if status/100 == 2 || v.busy == 0 {
			return
		}
		again := time.NewTimer(wait/2 + time.Duration(random.Int64N(int64(wait))))
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return
		}
	}
}

// post gives the status, or 0 when there was no whole answer.
func (l *load) post(ctx context.Context, d delivery) int {
	answer, err := l.sender.Post(ctx, d.Delivery)
	if err != nil {
		return 0
	}
	return answer.Status
}

func (l *load) note(d delivery, status int) {
	if l.took != nil && status/100 == 2 {
		l.took(time.Now(), d)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.answers[d.Source] == nil {
		l.answers[d.Source] = map[int]int{}
	}
	l.answers[d.Source][status]++
	if status/100 != 2 {
		l.refused.Add(1)
		return
	}
	for _, mark := range d.marks {
		l.promised[mark] = true
	}
	l.acked.Add(int64(len(d.marks)))
}

// answered is how often a source was answered so.
func (l *load) answered(source string, status int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.answers[source][status]
}

// promises is how many events were promised.
func (l *load) promises() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.promised)
}

// told sums up the answers.
func (l *load) told() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d events sent, %d promised; answers %v", len(l.whose), len(l.promised), l.answers)
}

// compare holds the ledger against the database, set against set: every event
// that was promised is there, nothing is there twice, on a timeline and in
// quarantine, on another's timeline, or without ever having been sent.
func (l *load) compare() {
	t := l.place.t
	t.Helper()
	l.place.tap.settle(2 * patience)
	// A release may still be decided for what came in last.
	var wrong string
	await(t, patience, "the ledger and the database to agree", func() (bool, string) {
		wrong = l.differences(t.Context())
		return wrong == "", wrong
	})
	l.place.tap.settle(patience)
	require.Empty(t, l.differences(t.Context()))
	l.place.tap.exactlyOnce()
	t.Log(l.told())
}

func (l *load) differences(ctx context.Context) string {
	found, err := l.place.queryStrings(ctx, `
		SELECT `+markSQL+` || ' on ' || account_id FROM account_events
		UNION ALL SELECT `+markSQL+` || ' in quarantine' FROM quarantine WHERE status <> 'resolved'`)
	if err != nil {
		return err.Error()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	got, sent, promised := map[string]int{}, map[string]int{}, map[string]int{}
	for _, place := range found {
		got[place]++
	}
	for mark, whose := range l.whose {
		sent[mark+l.where(whose)]++
		if l.promised[mark] {
			promised[mark+l.where(whose)]++
		}
	}
	// What was sent and not promised may be there, once: an answer that was
	// lost, to a vendor that never comes again.
	allowed := maps.Clone(promised)
	for place := range sent {
		if allowed[place] == 0 && got[place] == 1 {
			allowed[place] = 1
		}
	}
	return difference(allowed, got)
}

// where is an event's place at the end.
func (l *load) where(whose string) string {
	switch whose {
	case later:
		return " on " + l.later.String()
	case never:
		return " in quarantine"
	default:
		return " on " + l.accounts[whose[0]-'0'].String()
	}
}
