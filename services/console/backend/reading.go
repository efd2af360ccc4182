package backend

import (
	"context"
	"errors"
	"fmt"
	"slices"

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
