package pull

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The states of a Request.
const (
	Requested = "requested" // nobody has begun
	Claimed   = "claimed"   // a puller works on it, or did when it was killed
	Done      = "done"
	Cancelled = "cancelled"
	Failed    = "failed"
)

const (
	// mostRequests bounds the requests of one source that have not ended.
	mostRequests = 100
	// pullerSeen is how long after a puller of a source was seen last it is expected back: a restart takes less.
	pullerSeen = 10 * time.Minute
	// MaxIdempotencyKey bounds Ask.Key, in characters.
	MaxIdempotencyKey = 200
	maxReason         = 2000
	// clocksDiffer is how much later than ours the clock of who asks may be.
	clocksDiffer = time.Minute
)

// Earliest is before any vendor of ours was: nobody asks for events from before it.
func Earliest() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }

// Ask is a backfill that the puller is asked for.
type Ask struct {
	Source source.Pager
	// Stream is one of the source's; "": all of them, one after the other.
	Stream       string
	Types        []string  // the vendor's own; none: all
	Anyway       bool      // also types that the vendor did not have when this version was made
	Since, Until time.Time // a zero Since is as far back as the vendor keeps events, a zero Until now
	DryRun       bool      // read and count, and publish nothing
	KeySetting   string    // the variable of the API's key, for who has to set it for the puller
	By           string    // who asks: "user:kim@us.example"
	Key          string    // "": none; the same of the same asker gives the same request
}

// Request is one that was asked for.
type Request struct {
	ID                             int64
	Source, Tenant, Stream         string // Stream "": all of the source's
	Types                          []string
	Since, Until                   time.Time
	DryRun                         bool
	State                          string
	Reason                         string // for a person
	Pages, Events                  int64  // of all its runs
	AskedBy                        string
	AskedAt, ClaimedAt, FinishedAt time.Time
}

// Ended says that nothing more will come of it.
func (r Request) Ended() bool { return r.State != Requested && r.State != Claimed }

const requestColumns = `id, source, tenant, stream, types, since, until, dry_run, state, reason, pages, events, asked_by, asked_at, claimed_at, ended_at`

func scanRequest(row pgx.CollectableRow) (r Request, err error) {
	var claimed, ended *time.Time
	err = row.Scan(&r.ID, &r.Source, &r.Tenant, &r.Stream, &r.Types, &r.Since, &r.Until, &r.DryRun, &r.State, &r.Reason, &r.Pages, &r.Events, &r.AskedBy, &r.AskedAt, &claimed, &ended)
	r.Since, r.Until, r.AskedAt = r.Since.UTC(), r.Until.UTC(), r.AskedAt.UTC()
	for from, to := range map[*time.Time]*time.Time{claimed: &r.ClaimedAt, ended: &r.FinishedAt} {
		if from != nil {
			*to = from.UTC()
		}
	}
	return r, err
}

// one gives the request of a statement, or none (ID 0).
func (s *Store) one(ctx context.Context, doing, sql string, args ...any) (Request, error) {
	rows, err := s.pool.Query(ctx, sql, args...)
	if err == nil {
		var r Request
		if r, err = pgx.CollectExactlyOneRow(rows, scanRequest); err == nil {
			return r, nil
		}
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return Request{}, nil
	}
	return Request{}, broken(doing, err)
}

// Ask keeps a request, for the puller to find within seconds. Errors are Permanent: Malformed where the source could not
// be asked so, Unsupported where no puller has the key of the source's API, Conflict where too many wait, or where the key
// was used for another request.
func (s *Store) Ask(ctx context.Context, a Ask) (Request, error) {
	name := a.Source.Name()
	now := time.Now()
	if a.Until.After(now.Add(clocksDiffer)) {
		return Request{}, wrong("until, %s, lies in the future: leave it out to bring in what there is until now", a.Until.UTC().Format(time.RFC3339))
	}
	if a.Until.IsZero() || a.Until.After(now) {
		a.Until = now
	}
	if !a.Since.IsZero() && a.Since.Before(Earliest()) {
		return Request{}, wrong("no vendor has events from before %s", Earliest().Format(time.DateOnly))
	}
	var since time.Time
	for _, stream := range a.Source.Streams() {
		if a.Stream != "" && a.Stream != stream.Name {
			continue
		}
		l, _, err := prepare(Options{Source: a.Source, Stream: stream.Name, Types: a.Types, Anyway: a.Anyway, From: a.Since, To: a.Until})
		if err != nil {
			return Request{}, err
		}
		if since.IsZero() || l.period.From.Before(since) {
			since = l.period.From
		}
	}
	a.Since = since
	if utf8.RuneCountInString(a.Key) > MaxIdempotencyKey {
		return Request{}, wrong("an idempotency key has at most %d characters", MaxIdempotencyKey)
	}
	types := slices.Compact(slices.Sorted(slices.Values(a.Types)))
	a.Until = a.Until.UTC().Truncate(time.Second)
	var key *string
	if a.Key != "" {
		key = &a.Key
		before, err := s.one(ctx, "looking for the request", "SELECT "+requestColumns+" FROM pull_requests WHERE asked_by = $1 AND idempotency_key = $2", a.By, a.Key)
		if err != nil || before.ID != 0 {
			return before, errors.Join(err, sameAsk(a, types, before))
		}
	}
	var seen bool
	var open int
	if err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pull_leases WHERE (name = $1 OR starts_with(name, $1 || ' ')) AND until > clock_timestamp() - $2::interval),
		(SELECT count(*) FROM (SELECT FROM pull_requests WHERE source = $3 AND state IN ('requested', 'claimed') LIMIT $4) AS few)`,
		RequestLease(name, ""), pullerSeen, name, mostRequests).Scan(&seen, &open); err != nil {
		return Request{}, broken("looking for a puller", err)
	}
	switch {
	case !seen:
		return Request{}, fault.Permanent(fault.Unsupported, fmt.Errorf("no puller that has the key of %s's API has run in the last %s: set %s for the puller, and start it",
			a.Source.Profile().Title, span(pullerSeen), a.KeySetting))
	case open >= mostRequests:
		return Request{}, fault.Permanent(fault.Conflict, fmt.Errorf("%d requests for %s have not ended: cancel some, or wait", open, a.Source.Profile().Title))
	}
	r, err := s.one(ctx, "keeping the request", `INSERT INTO pull_requests (source, stream, types, since, until, dry_run, asked_by, idempotency_key) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (asked_by, idempotency_key) DO NOTHING RETURNING `+requestColumns, name, a.Stream, nonNil(types), a.Since, a.Until, a.DryRun, a.By, key)
	if err == nil && r.ID == 0 { // the same came in between
		return Request{}, fault.Transient(fault.Unavailable, errors.New("the same request is being kept at the moment"))
	}
	return r, err
}

// sameAsk says whether a key stands for what was asked before. Until may have been left out.
func sameAsk(a Ask, types []string, before Request) error {
	if before.Source != a.Source.Name() || before.Stream != a.Stream || !before.Since.Equal(a.Since) || before.DryRun != a.DryRun || !slices.Equal(before.Types, types) {
		return fault.Permanent(fault.Conflict, fmt.Errorf("this idempotency key was used for request %d, which asks for something else", before.ID))
	}
	return nil
}

// RequestLease is what the lease (Store.Hold) is named that a puller of a source has while it works on requests.
func RequestLease(sourceName, tenant string) string {
	return strings.TrimSuffix("request "+sourceName+" "+tenant, " ")
}

// Claim gives the oldest request of a source that has not ended, one that was claimed before first: whoever claimed it is
// gone, because the caller holds the RequestLease. ID 0: there is none.
func (s *Store) Claim(ctx context.Context, sourceName, tenant string) (Request, error) {
	return s.one(ctx, "claiming a request", `UPDATE pull_requests SET state = 'claimed', tenant = $2, claimed_at = coalesce(claimed_at, now()) WHERE id = (
		SELECT id FROM pull_requests WHERE source = $1 AND (state = 'requested' OR state = 'claimed' AND tenant = $2)
		ORDER BY state, id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING `+requestColumns, sourceName, tenant)
}

// Progressed keeps what was brought in for a claimed request. It is false when the request is not claimed any more: it was
// cancelled.
func (s *Store) Progressed(ctx context.Context, id, pages, events int64) (bool, error) {
	tag, err := s.pool.Exec(ctx, "UPDATE pull_requests SET pages = $2, events = $3 WHERE id = $1 AND state = 'claimed'", id, pages, events)
	return tag.RowsAffected() > 0, broken("keeping the progress of a request", err)
}

// EndRequest keeps how a claimed request ended: Done or Failed. One that was cancelled stays so.
func (s *Store) EndRequest(ctx context.Context, id int64, state, reason string, pages, events int64) error {
	if text := []rune(reason); len(text) > maxReason {
		reason = string(text[:maxReason]) + "…"
	}
	_, err := s.pool.Exec(ctx, `UPDATE pull_requests SET pages = $4, events = $5, state = CASE state WHEN 'claimed' THEN $2 ELSE state END,
		reason = CASE state WHEN 'claimed' THEN $3 ELSE reason END, ended_at = coalesce(ended_at, now()) WHERE id = $1`, id, state, reason, pages, events)
	return broken("keeping how a request ended", err)
}

// Brought gives the streams of which a request's period is brought in as a whole.
func (s *Store) Brought(ctx context.Context, id int64) ([]string, error) {
	rows, err := s.pool.Query(ctx, "SELECT DISTINCT c.stream FROM pull_runs r JOIN pull_checkpoints c ON c.id = r.checkpoint_id WHERE r.request_id = $1 AND r.status = 'done'", id)
	if err != nil {
		return nil, broken("looking for what a request has brought", err)
	}
	streams, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return streams, broken("looking for what a request has brought", err)
}

// Cancel ends a request. A puller that works on it stops within seconds; its checkpoint stays, and a later backfill of the
// period goes on from there. It is Permanent(NotFound), or Permanent(Conflict) where the request has ended.
func (s *Store) Cancel(ctx context.Context, id int64, by string) (Request, error) {
	r, err := s.one(ctx, "cancelling a request", `UPDATE pull_requests SET state = 'cancelled', reason = $2, ended_at = now() WHERE id = $1 AND state IN ('requested', 'claimed') RETURNING `+requestColumns,
		id, "cancelled by "+by)
	if err != nil || r.ID != 0 {
		return r, err
	}
	if r, err = s.one(ctx, "looking for a request", "SELECT "+requestColumns+" FROM pull_requests WHERE id = $1", id); err != nil {
		return r, err
	}
	if r.ID == 0 {
		return r, fault.Permanent(fault.NotFound, fmt.Errorf("no request has the number %d", id))
	}
	return r, fault.Permanent(fault.Conflict, fmt.Errorf("request %d has ended already: it is %s", id, r.State))
}

// RequestFilter says which requests Requests gives.
type RequestFilter struct {
	Source string // "": of all
	Open   bool   // only those that have not ended
	Before int64  // only older ones than this; 0: from the newest
	Limit  int
}

// Requests gives requests, the newest first.
func (s *Store) Requests(ctx context.Context, f RequestFilter) ([]Request, error) {
	rows, err := s.pool.Query(ctx, "SELECT "+requestColumns+` FROM pull_requests WHERE ($1 = '' OR source = $1) AND (NOT $2 OR state IN ('requested', 'claimed')) AND ($3 = 0 OR id < $3)
		ORDER BY id DESC LIMIT $4`, f.Source, f.Open, f.Before, f.Limit)
	if err != nil {
		return nil, broken("listing requests", err)
	}
	list, err := pgx.CollectRows(rows, scanRequest)
	return list, broken("listing requests", err)
}

// Cancelled gives those of these requests that a person cancelled.
func (s *Store) Cancelled(ctx context.Context, ids []int64) ([]int64, error) {
	rows, err := s.pool.Query(ctx, "SELECT id FROM pull_requests WHERE id = ANY ($1) AND state = 'cancelled'", ids)
	if err != nil {
		return nil, broken("looking for cancelled requests", err)
	}
	cancelled, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	return cancelled, broken("looking for cancelled requests", err)
}

// span is a whole number of minutes, for people.
func span(d time.Duration) string { return fmt.Sprintf("%d minutes", int(d.Minutes())) }
