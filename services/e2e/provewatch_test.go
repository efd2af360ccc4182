//go:build prove

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/service"
)

// watch looks from outside: which events are visible, and what the services say about themselves.
type watch struct {
	pool   *pgxpool.Pool
	admins map[*child]string
	client *http.Client

	mu      sync.Mutex
	waiting map[string]time.Time // acknowledged and not seen, by mark
	seen    map[string]bool
	visible []visible // of the fault that is made now
	began   time.Time
	said    []string // what services that were not ready said, since begin
}

// visible is when an event was acknowledged, and how long after that it was seen.
type visible struct {
	acked time.Time
	after time.Duration
}

// newWatch begins to look. It ends with the test.
func newWatch(t *testing.T, pool *pgxpool.Pool, admins map[*child]string) *watch {
	t.Helper()
	w := &watch{pool: pool, admins: admins, client: &http.Client{Timeout: 3 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}},
		waiting: map[string]time.Time{}, seen: map[string]bool{}}
	ctx, cancel := context.WithCancel(context.Background())
	var looking sync.WaitGroup
	looking.Go(func() { w.rows(ctx, "account_events", markSQL) })
	looking.Go(func() { w.rows(ctx, "quarantine", markSQL) })
	for c, address := range admins {
		looking.Go(func() { w.ready(ctx, c.name, address) })
	}
	t.Cleanup(func() {
		cancel()
		looking.Wait()
	})
	return w
}

const lookEvery = 50 * time.Millisecond

// rows reads what is new in a table. Ids become visible out of order, so that it looks again at those before the last:
// a few each time, and many more when something waits for long.
func (w *watch) rows(ctx context.Context, table, mark string) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var last int64
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		back := int64(300)
		if n%60 == 0 && w.late() {
			back = 20_000
		}
		if next, err := w.look(ctx, table, mark, last-back); err == nil {
			last = next
		}
	}
}

func (w *watch) look(ctx context.Context, table, mark string, from int64) (last int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	rows, err := w.pool.Query(ctx, "SELECT id, "+mark+" FROM "+table+" WHERE id > $1 ORDER BY id", from)
	if err != nil {
		return 0, err
	}
	var id int64
	var name string
	_, err = pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		last = id
		w.see(name)
		return nil
	})
	return last, err
}

func (w *watch) see(mark string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[mark] {
		return
	}
	w.seen[mark] = true
	if at, waits := w.waiting[mark]; waits {
		delete(w.waiting, mark)
		w.visible = append(w.visible, visible{at, time.Since(at)})
	}
}

// acked begins to wait for events.
func (w *watch) acked(at time.Time, marks []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, mark := range marks {
		if _, waits := w.waiting[mark]; waits {
			continue
		}
		if w.seen[mark] { // before its answer came, or once more
			w.visible = append(w.visible, visible{at, 0})
			continue
		}
		w.waiting[mark] = at
	}
}

// late says whether something waits for more than a few seconds.
func (w *watch) late() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, at := range w.waiting {
		if time.Since(at) > 3*time.Second {
			return true
		}
	}
	return false
}

// pending gives what is acknowledged and not seen yet.
func (w *watch) pending() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var marks []string
	for mark := range w.waiting {
		marks = append(marks, mark)
	}
	return marks
}

// left is how many of these are not seen yet.
func (w *watch) left(marks []string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, mark := range marks {
		if !w.seen[mark] {
			n++
		}
	}
	return n
}

// begin forgets what was seen before a fault.
func (w *watch) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.began, w.visible, w.said = time.Now(), nil, nil
}

// end gives the latencies of what was acknowledged since begin and before the fault was healed, and what services said.
func (w *watch) end(healed time.Time) (p50, p99 time.Duration, said []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []time.Duration
	for _, v := range w.visible {
		if !v.acked.Before(w.began) && !v.acked.After(healed) {
			all = append(all, v.after)
		}
	}
	slices.Sort(all)
	if len(all) > 0 {
		p50, p99 = all[len(all)/2], all[len(all)*99/100]
	}
	return p50, p99, w.said
}

// ready asks a service how it is.
func (w *watch) ready(ctx context.Context, name, address string) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, text := range w.ask(ctx, address) {
			w.say(name + ": " + text)
		}
	}
}

func (w *watch) ask(ctx context.Context, address string) (texts []string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz?verbose", http.NoBody)
	if err != nil {
		return nil
	}
	answer, err := w.client.Do(request)
	if err != nil {
		return nil // it is killed, or frozen
	}
	defer answer.Body.Close()
	var report service.HealthReport
	if json.NewDecoder(answer.Body).Decode(&report) != nil {
		return nil
	}
	for _, c := range report.Components {
		if !c.Ready && c.Error != "stopping" {
			texts = append(texts, fmt.Sprintf("%s: %s", c.Name, c.Error))
		}
	}
	return texts
}

var address = regexp.MustCompile(`127\.0\.0\.1:\d+|\d{3,}`)

// say keeps a text, once for all addresses and numbers in it.
func (w *watch) say(text string) {
	const most, longest = 6, 160
	text = address.ReplaceAllString(strings.Join(strings.Fields(text), " "), "…")
	if runes := []rune(text); len(runes) > longest {
		text = string(runes[:longest]) + "…"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.said) < most && !slices.Contains(w.said, text) {
		w.said = append(w.said, text)
	}
}
