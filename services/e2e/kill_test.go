package e2e

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/throughline-dev/throughline/pkg/stream/streamtest"
)

// killRounds is how often each service is killed; some 6 s a round.
const killRounds = 2

// TestKill kills receiver, normalizer, sink and quarantine with SIGKILL, in
// turn and at last together, under load on Apache Kafka, starts them again, and
// finds every acknowledged event exactly once.
func TestKill(t *testing.T) {
	t.Parallel()
	random := newRand(t)
	f := newFleet(t, streamtest.Kafka(t, 1).Brokers())
	f.startAll()
	l := startLoad(t, f.place, f.url(), random)
	f.works(l, "before the first kill")

	for round := range killRounds {
		order := f.all()
		random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, victim := range order {
			f.killUnderLoad(l, victim, random)
			if victim == f.quarantine && round == 1 {
				// It hears of this link only when it lives again.
				l.linkLater()
			}
			victim.start(stable)
			f.works(l, "after "+victim.name+" was killed and started again")
		}
	}

	// A normalizer without a stable name cannot take its predecessor's
	// partitions and transaction over, and waits until Kafka gives them up.
	f.killUnderLoad(l, f.normalizer, random)
	f.normalizer.start()
	began := time.Now()
	f.works(l, "after the normalizer was replaced by one with another name")
	t.Logf("a normalizer under a new name was at work after %s", time.Since(began).Round(10*time.Millisecond))

	for _, p := range f.all() {
		p.kill()
	}
	f.startAll()
	f.works(l, "after all were killed at once")
	l.end()
	l.compare()
}

// killUnderLoad kills one service in the middle of its work, and returns when
// the vendors have noticed, or have gone on without it.
func (f *fleet) killUnderLoad(l *load, victim *child, random *rand.Rand) {
	f.t.Helper()
	// Anywhere in a batch: so many events after the last step, at some
	// microsecond of one.
	at := l.acked.Load() + 20 + random.Int64N(60)
	f.await("more events to be acknowledged before "+victim.name+" is killed", func() (bool, string) { return l.acked.Load() >= at, l.told() })
	victim.kill()
	count, more := &l.acked, int64(100)
	if victim == f.receiver {
		count, more = &l.refused, 5
	}
	at = count.Load() + more
	f.await("the vendors to go on while "+victim.name+" is dead", func() (bool, string) { return count.Load() >= at, l.told() })
}

// works waits until events that were promised after now, and with them all that
// were promised before, are on timelines or in quarantine.
func (f *fleet) works(l *load, when string) {
	f.t.Helper()
	at := l.acked.Load() + 50
	f.await("more events to be acknowledged "+when, func() (bool, string) { return l.acked.Load() >= at, l.told() })
	promised := l.promises()
	f.await("what was acknowledged to be seen "+when, func() (bool, string) {
		seen := f.count("SELECT (SELECT count(*) FROM account_events) + (SELECT count(*) FROM quarantine WHERE status <> 'resolved')")
		return seen >= promised, fmt.Sprintf("%d of %d", seen, promised)
	})
}
