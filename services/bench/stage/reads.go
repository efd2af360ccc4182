package stage

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/stage"
	"github.com/throughline-dev/throughline/services/console/console"
)

// runConsole is the console until ctx ends.
func runConsole(ctx context.Context, job Job, ready func(string)) (Result, error) {
	pool, err := postgres.Open(ctx, postgres.Config{URL: settings.URL(job.Postgres), MaxConns: 16}, "bench-console")
	if err != nil {
		return Result{}, err
	}
	defer pool.Close()
	var o console.Options
	settings.Defaults(&o.Server)
	settings.Defaults(&o.SignIn)
	o.Server.Listen = "127.0.0.1:0"
	d := stage.Deps{Pool: pool, Sources: catalog.Set(), Runtime: newRuntime("console")}
	c, err := console.New(d, o)
	if err != nil {
		return Result{}, err
	}
	return serving(ctx, d.Group(c).Run, func(ctx context.Context) (string, error) {
		for c.Addr() == "" {
			select {
			case <-ctx.Done():
				return "", context.Cause(ctx)
			case <-time.After(sampleEvery):
			}
		}
		return c.Addr(), nil
	}, ready)
}

// The questions that runReads asks, in the order of the report.
const (
	AskTimeline    = "timeline, first page"
	AskTimelineSQL = "timeline, first page, in SQL alone"
	AskAgain       = "timeline, first page, of 100 accounts"
	AskAgainSQL    = "timeline, first page, of 100 accounts, in SQL alone"
	AskContains    = "search by containment"
	AskWords       = "search of words"
	AskHome        = "home"
	AskHomeFresh   = "home, not asked for 6 s"
	AskAccounts    = "accounts, first page"
	AskGroups      = "quarantine, groups"
)

// reader asks a console as a program does.
type reader struct {
	client  *http.Client
	address string
	token   string
}

func (r *reader) ask(ctx context.Context, path string, accept ...string) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.address+path, nil)
	if err != nil {
		return err
	}
	q.Header.Set("Authorization", "Bearer "+r.token)
	a, err := r.client.Do(q)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	body, err := io.ReadAll(a.Body)
	if err != nil {
		return fmt.Errorf("reading the answer to %s: %w", path, err)
	}
	if a.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %d: %s", path, a.StatusCode, body[:min(len(body), 300)])
	}
	for _, want := range accept {
		if !strings.Contains(string(body), want) {
			return fmt.Errorf("%s answered without %s", path, want)
		}
	}
	return nil
}

// newToken makes a viewer's token, as `throughline tokens create` does.
func newToken(ctx context.Context, pool *pgxpool.Pool, name string) (string, error) {
	made, err := access.NewStore(pool).CreateToken(ctx, access.Actor{Who: "cli:bench", Role: access.Admin}, name, access.Viewer, time.Time{})
	return made.Secret, err
}

// runReads asks the console at Address each kind of question for Duration, Connections at a time, always about others.
func runReads(ctx context.Context, job Job, _ func(string)) (r Result, err error) {
	pool, err := postgres.Open(ctx, postgres.Config{URL: settings.URL(job.Postgres), MaxConns: int32(job.Connections) + 1}, "bench-reads")
	if err != nil {
		return r, err
	}
	defer pool.Close()
	token, err := newToken(ctx, pool, "reads")
	if err != nil {
		return r, err
	}
	api := &reader{&http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: job.Connections}}, job.Address, token}
	defer api.client.CloseIdleConnections()
	var ids []uuid.UUID
	if err := pool.QueryRow(ctx, "SELECT array_agg(id ORDER BY md5(id::text)) FROM accounts").Scan(&ids); err != nil {
		return r, fmt.Errorf("reading the accounts: %w", err)
	}
	const base = "/api/v1"
	account := func(n int) uuid.UUID { return ids[n*7919%len(ids)] }
	timeline := func(of func(n int) uuid.UUID) func(ctx context.Context, n int) error {
		return func(ctx context.Context, n int) error {
			return api.ask(ctx, base+"/accounts/"+of(n).String()+"/events?order=desc", `"items"`)
		}
	}
	timelineSQL := func(of func(n int) uuid.UUID) func(ctx context.Context, n int) error {
		return func(ctx context.Context, n int) error {
			_, err := postgres.Timeline(ctx, pool, postgres.TimelineQuery{AccountID: of(n), Newest: true, Limit: 101})
			return err
		}
	}
	// What was never asked for lies on the disk, what is asked for again in memory.
	const few = 100
	backwards := func(n int) uuid.UUID { return account(max(len(ids)-n, 0)) }
	again := func(n int) uuid.UUID { return account(n % few) }
	r.Asked = map[string]Latency{}
	for _, question := range []struct {
		name string
		at   int // at a time
		ask  func(ctx context.Context, n int) error
	}{
		{AskTimeline, job.Connections, timeline(account)},
		{AskTimelineSQL, 1, timelineSQL(backwards)},
		{AskAgain, job.Connections, timeline(again)},
		{AskAgainSQL, 1, timelineSQL(again)},
		{AskContains, job.Connections, func(ctx context.Context, n int) error {
			contains := []string{`{"data": {"object": {"number": %d}}}`, `{"id": "evt_bench_%d"}`, `{"data": {"object": {"email": "kim+%[2]d@acme.example", "status": "open"}}}`, `{"data": {"object": {"currency": "eur"}}}`,
				`{"data": {"object": {"rare": "yes"}}}`}[n%5]
			if strings.Contains(contains, "[2]") {
				contains = strings.ReplaceAll(contains, "%[2]d", fmt.Sprint(n*31%5000))
			} else if strings.Contains(contains, "%d") {
				contains = fmt.Sprintf(contains, n*104_729%max(job.Records, 1))
			}
			return api.ask(ctx, base+"/search?contains="+url.QueryEscape(contains), `"items"`)
		}},
		{AskWords, 2, func(ctx context.Context, n int) error {
			words := []string{"renewal", "invoice outage", fmt.Sprintf("%d security", n*104_729%max(job.Records, 1)), "nothing like it"}[n%4]
			return api.ask(ctx, base+"/search?words="+url.QueryEscape(words), `"items"`)
		}},
		{AskHome, job.Connections, func(ctx context.Context, _ int) error { return api.ask(ctx, "/api/v1/overview", `"sources"`) }},
		{AskHomeFresh, 1, func(ctx context.Context, n int) error { return api.ask(ctx, "/api/v1/overview", `"sources"`) }},
		{AskAccounts, job.Connections, func(ctx context.Context, n int) error {
			return api.ask(ctx, base+"/accounts?limit=50"+[]string{"", "&q=Account", fmt.Sprintf("&q=account-%d", n%1000)}[n%3], `"items"`)
		}},
		{AskGroups, 2, func(ctx context.Context, _ int) error { return api.ask(ctx, base+"/quarantine/groups", `"items"`) }},
	} {
		pause := time.Duration(0)
		if question.name == AskHomeFresh {
			pause = 6 * time.Second
		}
		took, err := askFor(ctx, job.Duration, question.at, pause, question.ask)
		if err != nil {
			return r, fmt.Errorf("%s: %w", question.name, err)
		}
		r.Asked[question.name] = latencyOf(took)
		r.Requests += len(took)
	}
	return r, nil
}

// askFor asks for so long, so many at a time, and gives how long each answer took. With a pause each question waits for it.
func askFor(ctx context.Context, duration time.Duration, at int, pause time.Duration, ask func(ctx context.Context, n int) error) ([]time.Duration, error) {
	end := time.Now().Add(max(duration, pause+pause/10))
	var n atomic.Int64
	var mu sync.Mutex
	var all []time.Duration
	group, ctx := errgroup.WithContext(ctx)
	for range at {
		group.Go(func() error {
			for {
				if pause > 0 {
					select {
					case <-time.After(pause):
					case <-ctx.Done():
						return context.Cause(ctx)
					}
				}
				began := time.Now()
				if err := ask(ctx, int(n.Add(1))); err != nil {
					return err
				}
				took := time.Since(began)
				mu.Lock()
				all = append(all, took)
				mu.Unlock()
				if time.Now().After(end) {
					return nil
				}
			}
		})
	}
	err := group.Wait()
	slices.Sort(all)
	return all, err
}
