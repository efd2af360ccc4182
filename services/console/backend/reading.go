package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// reading does a viewer's reading in one transaction under the statement limit.
func (b *Service) reading(ctx context.Context, read func(tx pgx.Tx) error) error {
	if err := access.ActorOf(ctx).Require(access.Viewer); err != nil {
		return err
	}
	return postgres.Reading(ctx, b.o.Pool, b.o.StatementLimit, read)
}

func malformed(field, format string, args ...any) error {
	return problem.Field(field, fault.Permanent(fault.Malformed, fmt.Errorf(format, args...)))
}

// texts takes names of parameters and their values, and refuses what cannot stand in any column: NUL, bytes that are not UTF-8, control characters.
func texts(fields ...string) error {
	for pair := range slices.Chunk(fields, 2) {
		if !source.IsText(pair[len(pair)-1]) {
			return malformed(pair[0], "%s holds bytes that are no text: NUL, another control character, or not UTF-8", pair[0])
		}
	}
	return nil
}

// knownFilters refuses a source that there is not, and a reason that nothing has: a list of them would be empty, and a live
// tail wait, for ever. "" is any. A source that this installation does not have any more is known by what it left.
func (b *Service) knownFilters(ctx context.Context, sourceName, reason string) error {
	if reason != "" && !slices.Contains(fault.Reasons(), fault.Reason(reason)) {
		return malformed("reason", "there is no such reason: they are %s", join(fault.Reasons()))
	}
	shared := []string{source.KindEmail, source.KindDomain, source.KindAccountUUID} // links of no source in particular have these
	if sourceName == "" || slices.Contains(b.o.Sources.Names(), sourceName) || slices.Contains(shared, sourceName) {
		return nil
	}
	left := false
	err := b.reading(ctx, func(tx pgx.Tx) error {
		return postgres.Classify(tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM account_events WHERE source = $1) OR EXISTS (SELECT FROM quarantine_states WHERE source = $1 AND status = 'open')
			OR EXISTS (SELECT FROM pull_checkpoints WHERE source = $1) OR EXISTS (SELECT FROM account_links WHERE source = $1) OR EXISTS (SELECT FROM shape_findings WHERE source = $1)`, sourceName).Scan(&left))
	})
	if err == nil && !left {
		return malformed("source", "there is no such source: they are %s", strings.Join(b.o.Sources.Names(), ", "))
	}
	return err
}

// KnownSource is Reader's.
func (b *Service) KnownSource(ctx context.Context, name string) error {
	if err := texts("source", name); err != nil {
		return err
	}
	return b.knownFilters(ctx, name, "")
}

func join[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i, text := range list {
		texts[i] = string(text)
	}
	return strings.Join(texts, ", ")
}

// first gives one error of several.
func first(err error) error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()[0]
	}
	return err
}

// newestFirst reads a page of a list whose cursor is an id that falls.
func (b *Service) newestFirst(ctx context.Context, p Paging, read func(tx pgx.Tx, before int64, limit int) error, id func(i int) int64, n func() int, of ...any) (int, string, error) {
	limit, err := p.size()
	if err != nil {
		return 0, "", err
	}
	place, err := readCursor[int64](p.Cursor, of...)
	if err != nil {
		return 0, "", err
	}
	var before int64
	if place != nil {
		before = *place
	}
	if err := b.reading(ctx, func(tx pgx.Tx) error { return read(tx, before, limit+1) }); err != nil {
		return 0, "", err
	}
	if n() <= limit {
		return limit, "", nil
	}
	return limit, writeCursor(id(limit-1), of...), nil
}
