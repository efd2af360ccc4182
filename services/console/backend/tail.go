package backend

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// Bounds of live tails.
const (
	mostTails   = 100 // in a process
	mostTailsOf = 8   // of one actor
	// tailBuffer is how many events wait for a reader; what comes above that is skipped, and told.
	tailBuffer = 512
	// tailPage is how many events one look reads, and catchUp how many at most a reader that comes back is told of what it
	// has missed.
	tailPage = 500
	catchUp  = 5_000
)

// tailPlace is what TailEvent.ID is: a place in the feed of all events, whatever the tail is of, so that a reader may
// come back with another filter.
func tailID(p postgres.FeedPlace) string { return writeCursor(p, "tail") }

// tails shares one look at the feed among all who follow it.
type tails struct {
	follow func(ctx context.Context, from postgres.FeedPlace, tell func([]postgres.FeedEvent)) // until ctx ends

	mu      sync.Mutex
	readers map[*tailReader]bool
	of      map[string]int
	stop    context.CancelFunc // of the follower; nil: none runs
	running sync.WaitGroup
	closed  bool
}

type tailReader struct {
	q       TailQuery
	who     string
	events  chan TailEvent
	skipped int64 // since the last one that was told
}

func newTails(follow func(ctx context.Context, from postgres.FeedPlace, tell func([]postgres.FeedEvent))) *tails {
	return &tails{follow: follow, readers: map[*tailReader]bool{}, of: map[string]int{}}
}

// tailRefused is Unavailable, with a text that the reader sees.
func tailRefused(text string) error {
	return problem.Shown(fault.Transient(fault.Unavailable, errors.New(text)))
}

// join lets a reader follow. The first one starts the follower, at the present that the reader knows: it may come to its first
// look later than the reader has caught up.
func (t *tails) join(r *tailReader, now postgres.FeedPlace) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return tailRefused("the console is stopping")
	case len(t.readers) >= mostTails:
		return tailRefused("too many live tails are open here: try again when one was closed")
	case t.of[r.who] >= mostTailsOf:
		return tailRefused("you have 8 live tails open: close one")
	}
	t.readers[r] = true
	t.of[r.who]++
	if t.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		t.stop = cancel
		t.running.Go(func() { t.follow(ctx, now, t.tell) })
	}
	return nil
}

// leave ends the follower with the last reader.
func (t *tails) leave(r *tailReader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.readers, r)
	if t.of[r.who]--; t.of[r.who] <= 0 {
		delete(t.of, r.who)
	}
	if len(t.readers) == 0 && t.stop != nil {
		t.stop()
		t.stop = nil
	}
}

func (t *tails) close() {
	t.mu.Lock()
	t.closed = true
	if t.stop != nil {
		t.stop()
		t.stop = nil
	}
	t.mu.Unlock()
	t.running.Wait()
}

// tell gives events to every reader that wants them, and waits for none.
func (t *tails) tell(events []postgres.FeedEvent) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.readers) == 0 {
		return
	}
	for _, e := range events {
		told := tailEvent(e)
		for r := range t.readers {
			if r.q.wants(told) {
				r.offer(told)
			}
		}
	}
}

func (r *tailReader) offer(e TailEvent) {
	if r.skipped > 0 {
		select {
		case r.events <- TailEvent{ID: e.ID, Skipped: r.skipped}:
			r.skipped = 0
		default:
		}
	}
	if r.skipped > 0 {
		r.skipped++
		return
	}
	select {
	case r.events <- e:
	default:
		r.skipped++
	}
}

func (q TailQuery) wants(e TailEvent) bool {
	return (q.Source == "" || q.Source == e.Event.Source) && (q.Type == "" || q.Type == e.Event.EventType) && (q.Account == uuid.Nil || q.Account == e.AccountID)
}

func tailEvent(e postgres.FeedEvent) TailEvent {
	return TailEvent{ID: tailID(e.Place), AccountID: e.AccountID, AccountName: e.AccountName, Event: api.EventLine{ID: e.ID, OccurredAt: e.OccurredAt, IngestedAt: e.IngestedAt,
		Source: e.Source, EventType: e.EventType, Subject: e.Subject}}
}

// follow looks at the feed of all events from a place on until ctx ends. Where the database does not answer it looks again later, from the
// same place.
func (b *Service) follow(ctx context.Context, from postgres.FeedPlace, tell func([]postgres.FeedEvent)) {
	place := &from
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		pause := b.o.TailEvery
		events, next, err := b.feed(ctx, postgres.FeedQuery{Place: place, Limit: tailPage, WithoutPayloads: true})
		switch {
		case err != nil:
			pause = max(pause, time.Second)
			if fault.IsPermanent(err) {
				place = nil // another database
			}
		default:
			place = &next
			tell(events)
			if len(events) == tailPage {
				pause = 0
			}
		}
		timer.Reset(pause)
	}
}

// TailPlace is Reader's.
func (b *Service) TailPlace(ctx context.Context) (string, error) {
	if err := access.ActorOf(ctx).Require(access.Viewer); err != nil {
		return "", err
	}
	_, now, err := b.feed(ctx, postgres.FeedQuery{Limit: 1})
	if err != nil {
		return "", err
	}
	return tailID(now), nil
}

// Tail is Reader's.
func (b *Service) Tail(ctx context.Context, q TailQuery) (<-chan TailEvent, error) {
	by := access.ActorOf(ctx)
	if err := by.Require(access.Viewer); err != nil {
		return nil, err
	}
	if err := texts("source", q.Source, "type", q.Type); err != nil {
		return nil, err
	}
	if err := b.knownFilters(ctx, q.Source, ""); err != nil {
		return nil, err
	}
	if q.Account != uuid.Nil {
		if err := b.reading(ctx, func(tx pgx.Tx) error { return b.accounts.In(tx).Exists(ctx, q.Account) }); err != nil {
			return nil, inField("account", err)
		}
	}
	after, err := readCursor[postgres.FeedPlace](q.After, "tail")
	if err != nil {
		return nil, malformed("Last-Event-ID", "this is no event of a live tail: leave it out to begin now")
	}
	// From here on events wait in its buffer; what it missed before comes first.
	r := &tailReader{q: q, who: by.Who, events: make(chan TailEvent, tailBuffer)}
	place := after
	_, now, err := b.feed(ctx, postgres.FeedQuery{Limit: 1})
	if err != nil {
		return nil, err
	}
	if place == nil { // from this instant on, and not from the follower's next look on
		place = &now
	} else if _, _, err := b.feed(ctx, postgres.FeedQuery{Place: place, Limit: 1, WithoutPayloads: true}); err != nil {
		if fault.IsPermanent(err) {
			return nil, malformed("Last-Event-ID", "this event is not one of this database: leave it out to begin now")
		}
		return nil, err
	}
	if err := b.tails.join(r, now); err != nil {
		return nil, err
	}
	out := make(chan TailEvent)
	b.tails.running.Go(func() {
		defer close(out)
		defer b.tails.leave(r)
		send := func(e TailEvent) bool {
			select {
			case out <- e:
				return true
			case <-ctx.Done():
				return false
			}
		}
		told, ok := b.catchUp(ctx, q, place, send)
		for ok {
			select {
			case e := <-r.events:
				if e.Skipped == 0 && told[e.Event.ID] {
					delete(told, e.Event.ID)
					continue
				}
				ok = send(e)
			case <-ctx.Done():
				return
			}
		}
	})
	return out, nil
}

// catchUp tells what became visible behind a place until now, at most catchUp events, and gives which: the follower may
// tell them too. ok is false when the reader is gone.
func (b *Service) catchUp(ctx context.Context, q TailQuery, place *postgres.FeedPlace, send func(TailEvent) bool) (told map[int64]bool, ok bool) {
	told = map[int64]bool{}
	for {
		events, next, err := b.feed(ctx, postgres.FeedQuery{Place: place, Source: q.Source, Type: q.Type, AccountID: q.Account, Limit: tailPage, WithoutPayloads: true})
		if err != nil {
			return told, ctx.Err() == nil && send(TailEvent{ID: tailID(*place), Skipped: 1}) // how many is not known
		}
		for _, e := range events {
			told[e.ID] = true
			if !send(tailEvent(e)) {
				return told, false
			}
		}
		place = &next
		switch {
		case len(events) < tailPage:
			return told, true
		case len(told) >= catchUp:
			return told, send(TailEvent{ID: tailID(next), Skipped: 1})
		}
	}
}
