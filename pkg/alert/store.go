package alert

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
)

// Store keeps alerts, what receivers were told, and silences. It is safe for concurrent use. Errors are marked by
// postgres.Classify, or Permanent for the person who asked for what there is not.
type Store struct{ pool postgres.DB }

// NewStore makes a Store on a migrated database.
func NewStore(pool *pgxpool.Pool) *Store { return &Store{pool} }

// In gives a Store that works within a transaction.
func (s *Store) In(tx pgx.Tx) *Store { return &Store{tx} }

// CountFiring counts the alerts that fire and are not silenced. Errors are marked by postgres.Classify.
func CountFiring(ctx context.Context, db postgres.DB) (n int64, err error) {
	err = db.QueryRow(ctx, `SELECT count(*) FROM alert_states a WHERE state = 'firing' AND NOT EXISTS (
		SELECT FROM alert_silences s WHERE s.until > now() AND s.rule IN ('', a.rule) AND s.source IN ('', a.source))`).Scan(&n)
	return n, broken("counting alerts", err)
}

// leaseFor is longer than an evaluation may take; whoever evaluates has it to itself for so long.
const leaseFor = 2 * time.Minute

// errNotMine is that another process evaluates.
var errNotMine = errors.New("another process evaluates alerts")

// take takes the right to evaluate; errNotMine: another process has it.
func (s *Store) take(ctx context.Context, holder uuid.UUID) error {
	tag, err := s.pool.Exec(ctx, `UPDATE alert_evaluation SET holder = $1, until = clock_timestamp() + $2::interval WHERE until < clock_timestamp() OR holder = $1`, holder, leaseFor)
	if err == nil && tag.RowsAffected() == 0 {
		return errNotMine
	}
	return broken("taking the lease of alerts", err)
}

// give gives the right back, so that another need not wait. Where this fails it has to.
func (s *Store) give(ctx context.Context, holder uuid.UUID) {
	_, _ = s.pool.Exec(ctx, `UPDATE alert_evaluation SET until = '-infinity' WHERE holder = $1`, holder)
}

// Evaluated is when alerts were evaluated last; zero: never.
func (s *Store) Evaluated(ctx context.Context) (time.Time, error) {
	var at *time.Time
	err := s.pool.QueryRow(ctx, "SELECT evaluated_at FROM alert_evaluation").Scan(&at)
	if err != nil || at == nil {
		return time.Time{}, broken("looking when alerts were evaluated", err)
	}
	return at.UTC(), nil
}

// States gives all alerts, those that are over for up to 7 days, ordered by rule and key.
func (s *Store) States(ctx context.Context) ([]State, error) {
	rows, err := s.pool.Query(ctx, `SELECT rule, key, source, severity, summary, state, since, began_at, seen_at FROM alert_states ORDER BY rule, key`)
	if err != nil {
		return nil, broken("reading alerts", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (a State, err error) {
		err = row.Scan(&a.Rule, &a.Key, &a.Source, &a.Severity, &a.Summary, &a.State, &a.Since, &a.Began, &a.Seen)
		a.Since, a.Began, a.Seen = a.Since.UTC(), a.Began.UTC(), a.Seen.UTC()
		return a, err
	})
	return all, broken("reading alerts", err)
}

// save replaces all alerts, where holder still has the right to.
func (s *Store) save(ctx context.Context, holder uuid.UUID, now time.Time, all []State) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "UPDATE alert_evaluation SET evaluated_at = $2 WHERE holder = $1 AND until > clock_timestamp()", holder, now)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return errNotMine
		}
		var rules, keys []string
		batch := &pgx.Batch{}
		for _, a := range all {
			rules, keys = append(rules, a.Rule), append(keys, a.Key)
			batch.Queue(`INSERT INTO alert_states (rule, key, source, severity, summary, state, since, began_at, seen_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
				ON CONFLICT (rule, key) DO UPDATE SET source = EXCLUDED.source, severity = EXCLUDED.severity, summary = EXCLUDED.summary, state = EXCLUDED.state,
				since = EXCLUDED.since, began_at = EXCLUDED.began_at, seen_at = EXCLUDED.seen_at`,
				a.Rule, a.Key, a.Source, a.Severity, a.Summary, a.State, a.Since, a.Began, a.Seen)
		}
		batch.Queue("DELETE FROM alert_states WHERE (rule, key) NOT IN (SELECT * FROM unnest($1::text[], $2::text[]))", append([]string{}, rules...), append([]string{}, keys...))
		return tx.SendBatch(ctx, batch).Close()
	})
	if errors.Is(err, errNotMine) {
		return err
	}
	return broken("saving alerts", err)
}

// Receiver is how telling one goes.
type Receiver struct {
	Name         string
	KnownSince   time.Time
	Delivered    time.Time // zero: never
	FailingSince time.Time // zero: it is not
	Error        string
	RetryAt      time.Time
}

// Receivers gives those that were ever told, or tried, ordered by name.
func (s *Store) Receivers(ctx context.Context) ([]Receiver, error) {
	rows, err := s.pool.Query(ctx, "SELECT receiver, known_since, delivered_at, failing_since, error, retry_at FROM alert_receivers ORDER BY receiver")
	if err != nil {
		return nil, broken("reading receivers", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r Receiver, err error) {
		var delivered, failing, retry *time.Time
		err = row.Scan(&r.Name, &r.KnownSince, &delivered, &failing, &r.Error, &retry)
		r.KnownSince = r.KnownSince.UTC()
		for from, to := range map[*time.Time]*time.Time{delivered: &r.Delivered, failing: &r.FailingSince, retry: &r.RetryAt} {
			if from != nil {
				*to = from.UTC()
			}
		}
		return r, err
	})
	return all, broken("reading receivers", err)
}

// meet gives the receivers of these names, and keeps that they are known. Others are not configured any more: that they could
// not be told is over. What they were told stays, for when they are configured again.
func (s *Store) meet(ctx context.Context, names []string, now time.Time) (map[string]Receiver, error) {
	if _, err := s.pool.Exec(ctx, "INSERT INTO alert_receivers (receiver, known_since) SELECT n, $2 FROM unnest($1::text[]) AS n ON CONFLICT DO NOTHING", append([]string{}, names...), now); err != nil {
		return nil, broken("keeping receivers", err)
	}
	if _, err := s.pool.Exec(ctx, "UPDATE alert_receivers SET failing_since = NULL, error = '', retry_at = NULL WHERE receiver <> ALL ($1::text[]) AND (failing_since IS NOT NULL OR retry_at IS NOT NULL)", append([]string{}, names...)); err != nil {
		return nil, broken("forgetting receivers", err)
	}
	all, err := s.Receivers(ctx)
	known := map[string]Receiver{}
	for _, r := range all {
		known[r.Name] = r
	}
	return known, err
}

// told gives what each receiver was told, by receiver.
func (s *Store) told(ctx context.Context) (map[string]map[[2]string]Told, error) {
	rows, err := s.pool.Query(ctx, "SELECT receiver, rule, key, state, at FROM alert_told")
	if err != nil {
		return nil, broken("reading what was told", err)
	}
	all := map[string]map[[2]string]Told{}
	var receiver, rule, key string
	var t Told
	_, err = pgx.ForEachRow(rows, []any{&receiver, &rule, &key, &t.State, &t.At}, func() error {
		if all[receiver] == nil {
			all[receiver] = map[[2]string]Told{}
		}
		all[receiver][[2]string{rule, key}] = Told{t.State, t.At.UTC()}
		return nil
	})
	return all, broken("reading what was told", err)
}

// keepTold keeps that a receiver was told of these alerts, or that this failed.
func (s *Store) keepTold(ctx context.Context, receiver string, now time.Time, told []State, delivered bool, failure string, retryAt time.Time) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		for _, a := range told {
			batch.Queue(`INSERT INTO alert_told (receiver, rule, key, state, at) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (rule, key, receiver) DO UPDATE SET state = EXCLUDED.state, at = EXCLUDED.at`, receiver, a.Rule, a.Key, a.State, now)
		}
		switch {
		case failure != "":
			var retry *time.Time
			if !retryAt.IsZero() {
				retry = &retryAt
			}
			batch.Queue("UPDATE alert_receivers SET failing_since = coalesce(failing_since, $2), error = $3, retry_at = $4 WHERE receiver = $1", receiver, now, failure, retry)
		case delivered:
			batch.Queue("UPDATE alert_receivers SET delivered_at = $2, failing_since = NULL, error = '', retry_at = NULL WHERE receiver = $1", receiver, now)
		}
		return tx.SendBatch(ctx, batch).Close()
	})
	return broken("keeping what was told", err)
}

// Silences gives those that are active, or with ended also those that have ended, the newest first, at most 100.
func (s *Store) Silences(ctx context.Context, ended bool) ([]Silence, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, rule, source, until, comment, created_by, created_at, ended_by FROM alert_silences
		WHERE $1 OR until > now() ORDER BY id DESC LIMIT 100`, ended)
	if err != nil {
		return nil, broken("reading silences", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (q Silence, err error) {
		err = row.Scan(&q.ID, &q.Rule, &q.Source, &q.Until, &q.Comment, &q.By, &q.Created, &q.EndedBy)
		q.Until, q.Created = q.Until.UTC(), q.Created.UTC()
		return q, err
	})
	return all, broken("reading silences", err)
}

const (
	// MaxSilence is how long a silence may last.
	MaxSilence = 90 * 24 * time.Hour
	// maxSilences is how many may be active at once.
	maxSilences = 100
	// MaxComment bounds a silence's comment, in characters.
	MaxComment = 500
)

// Silence keeps alerts of a rule, of a source, or of both from being told for so long. Whoever makes one says why. What an
// active one, also of all rules or sources, keeps quiet for as long already is Permanent(Conflict); what would keep nothing
// quiet is Malformed.
func (s *Store) Silence(ctx context.Context, rule, source string, long time.Duration, comment, by string) (Silence, error) {
	refuse := func(format string, args ...any) (Silence, error) {
		return Silence{}, fault.Permanent(fault.Malformed, fmt.Errorf(format, args...))
	}
	switch {
	case rule == "" && source == "":
		return refuse("a silence needs a rule or a source")
	case rule != "" && !slices.Contains(Names(), rule):
		return refuse("there is no rule %q: they are %s", rule, strings.Join(Names(), ", "))
	case rule != "" && source != "" && kinds()[rule].whole:
		return refuse("no alert of %s is of a source, so that this would keep nothing quiet: leave the source out", rule)
	case long < time.Minute || long > MaxSilence:
		return refuse("a silence of %s: it lasts 1m to %s, which is %d days", short(long), short(MaxSilence), int(MaxSilence/(24*time.Hour)))
	case strings.TrimSpace(comment) == "":
		return refuse("a silence needs a comment: why")
	case strings.ContainsFunc(comment, unicode.IsControl) || !utf8.ValidString(comment):
		return refuse("the comment holds control characters, or bytes that are no text")
	case utf8.RuneCountInString(comment) > MaxComment:
		return refuse("a comment of %d characters: %d are the most", utf8.RuneCountInString(comment), MaxComment)
	}
	q := Silence{Rule: rule, Source: source, Comment: comment, By: by}
	err := s.pool.QueryRow(ctx, `INSERT INTO alert_silences (rule, source, until, comment, created_by) SELECT $1, $2, now() + $3::interval, $4, $5
		WHERE (SELECT count(*) FROM alert_silences WHERE until > now()) < $6
			AND NOT EXISTS (SELECT FROM alert_silences WHERE rule IN ('', $1) AND source IN ('', $2) AND until >= now() + $3::interval) RETURNING id, until, created_at`, rule, source, long, comment, by, maxSilences).
		Scan(&q.ID, &q.Until, &q.Created)
	if errors.Is(err, pgx.ErrNoRows) {
		var same int64
		var until time.Time
		err := s.pool.QueryRow(ctx, "SELECT id, until FROM alert_silences WHERE rule IN ('', $1) AND source IN ('', $2) AND until >= now() + $3::interval ORDER BY until DESC LIMIT 1", rule, source, long).Scan(&same, &until)
		switch {
		case err == nil:
			return Silence{}, fault.Permanent(fault.Conflict, fmt.Errorf("silence %d keeps that quiet already, until %s: one that lasts longer would be taken (`throughline alerts unsilence %[1]d` ends it)", same, until.UTC().Format(time.RFC3339)))
		case !errors.Is(err, pgx.ErrNoRows):
			return Silence{}, broken("looking for the same silence", err)
		}
		return refuse("%d silences are active: end one first (`throughline alerts silences` lists them)", maxSilences)
	}
	q.Until, q.Created = q.Until.UTC(), q.Created.UTC()
	return q, broken("keeping a silence", err)
}

// Unsilence ends a silence. One that is not there or has ended is Permanent(NotFound).
func (s *Store) Unsilence(ctx context.Context, id int64, by string) error {
	tag, err := s.pool.Exec(ctx, "UPDATE alert_silences SET until = now(), ended_by = $2 WHERE id = $1 AND until > now()", id, by)
	if err == nil && tag.RowsAffected() == 0 {
		return fault.Permanent(fault.NotFound, fmt.Errorf("there is no active silence %d: `throughline alerts silences` lists them", id))
	}
	return broken("ending a silence", err)
}

func broken(doing string, err error) error {
	if err == nil {
		return nil
	}
	return postgres.Classify(fmt.Errorf("%s: %w", doing, err))
}
