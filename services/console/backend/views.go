package backend

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/services/console/problem"
)

const (
	// maxViews bounds how many views somebody saves.
	maxViews = 100
	// maxShared bounds how many views of others are listed.
	maxShared = 200
	// maxViewPath bounds the address of a view, in characters, and maxViewBytes, which the table has too, its form in a URL.
	maxViewPath, maxViewBytes = 2000, 4000
	// maxViewName bounds its name, in characters.
	maxViewName = 100
)

// viewPaths are the pages that a view may be of.
var viewPaths = regexp.MustCompile(`^/(accounts(/[0-9a-f-]{36}(/links)?)?|events/[0-9]{1,19}|live|quarantine(/records|/[0-9]{1,19})?|references|links|jobs|drift|alerts|patterns|sources(/[a-z0-9_-]{1,64})?|audit|search)?$`)

// ViewPath gives the address of a view in one form, for a text that somebody gave: a path of a page of the console, and
// its query. Errors are Permanent, Malformed, about the field path: another host, a fragment, anything but a page.
func ViewPath(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || utf8.RuneCountInString(text) > maxViewPath || strings.ContainsAny(text, `\#`):
	case u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || !viewPaths.MatchString(u.EscapedPath()) || u.Path == "":
	default:
		query, err := url.ParseQuery(u.RawQuery)
		if err != nil {
			break
		}
		query.Del("cursor") // a view begins at its first page
		for name, values := range query {
			if !source.IsText(name) || slices.ContainsFunc(values, func(v string) bool { return !source.IsText(v) }) {
				return "", malformed("path", "the address holds bytes that are no text")
			}
		}
		if len(query) == 0 {
			return u.Path, nil
		}
		// As people read it, and as an erasure finds addresses and references in it.
		if path := u.Path + "?" + strings.NewReplacer("%40", "@", "%3A", ":", "%2F", "/").Replace(query.Encode()); len(path) <= maxViewBytes {
			return path, nil
		}
	}
	return "", malformed("path", "a view is a page of this console, such as /quarantine?reason=malformed: its path and query, without a host or a fragment, at most %d characters, and %d bytes as a URL writes it", maxViewPath, maxViewBytes)
}

// ViewName refuses what is no name of a view. Errors are Permanent, Malformed, about the field name.
func ViewName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if n := len([]rune(name)); n == 0 || n > maxViewName || !source.IsText(name) {
		return "", malformed("name", "a view has a name of 1 to %d characters", maxViewName)
	}
	return name, nil
}

const viewColumns = "id, name, path, shared, owner, created_at, updated_at"

func scanView(by access.Actor) pgx.RowToFunc[api.SavedView] {
	return func(row pgx.CollectableRow) (v api.SavedView, err error) {
		err = row.Scan(&v.ID, &v.Name, &v.Path, &v.Shared, &v.Owner, &v.CreatedAt, &v.UpdatedAt)
		v.CreatedAt, v.UpdatedAt, v.Own = v.CreatedAt.UTC(), v.UpdatedAt.UTC(), v.Owner == by.Who
		return v, err
	}
}

// isDuplicate says that a row with the same key is there.
func isDuplicate(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "23505" // unique_violation
}

// viewError marks what Postgres says about a view.
func viewError(doing string, err error) error {
	switch {
	case err == nil || errors.Is(err, pgx.ErrNoRows):
		return err
	case isDuplicate(err):
		return problem.Field("name", fault.Permanent(fault.Conflict, errors.New("a view of this owner has that name already: take another, or delete that one")))
	}
	return postgres.Classify(fmt.Errorf("%s: %w", doing, err))
}

// SavedViews is Reader's.
func (b *Service) SavedViews(ctx context.Context) ([]api.SavedView, error) {
	by := access.ActorOf(ctx)
	var list []api.SavedView
	err := b.reading(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "(SELECT "+viewColumns+" FROM saved_views WHERE owner = $1 ORDER BY lower(name), id LIMIT $2) UNION ALL (SELECT "+viewColumns+" FROM saved_views WHERE shared AND owner <> $1 ORDER BY name, id LIMIT $3)",
			by.Who, maxViews, maxShared)
		if err == nil {
			list, err = pgx.CollectRows(rows, scanView(by))
		}
		return viewError("reading saved views", err)
	})
	if err != nil {
		return nil, err
	}
	return append([]api.SavedView{}, list...), nil
}

// sharing refuses who may not share.
func sharing(by access.Actor, shared bool) error {
	if !shared || by.Role.May(access.Operator) {
		return nil
	}
	return fault.Permanent(fault.Forbidden, errors.New("operators share views: save it for yourself"))
}

// SaveView is Reader's.
func (b *Service) SaveView(ctx context.Context, name, path string, shared bool) (api.SavedView, error) {
	d := deed{role: access.Viewer, action: "saveView"}
	return act(ctx, b, d, func(ctx context.Context, by access.Actor) (v api.SavedView, err error) {
		if err := sharing(by, shared); err != nil {
			return v, err
		}
		if name, err = ViewName(name); err != nil {
			return v, err
		}
		if path, err = ViewPath(path); err != nil {
			return v, err
		}
		rows, err := b.o.Pool.Query(ctx, `INSERT INTO saved_views (owner, name, path, shared) SELECT $1, $2, $3, $4
			WHERE (SELECT count(*) FROM saved_views WHERE owner = $1) < $5 RETURNING `+viewColumns, by.Who, name, path, shared, maxViews)
		if err == nil {
			v, err = pgx.CollectExactlyOneRow(rows, scanView(by))
		}
		if errors.Is(err, pgx.ErrNoRows) {
			return v, fault.Permanent(fault.Conflict, fmt.Errorf("you have %d views: delete one first", maxViews))
		}
		return v, viewError("saving a view", err)
	})
}

// ChangeView is Reader's.
func (b *Service) ChangeView(ctx context.Context, id int64, name *string, shared *bool) (api.SavedView, error) {
	d := deed{role: access.Viewer, action: "changeView", target: strconv.FormatInt(id, 10)}
	return act(ctx, b, d, func(ctx context.Context, by access.Actor) (v api.SavedView, err error) {
		if name == nil && shared == nil {
			return v, malformed("name", "say what is to change: name or shared")
		}
		if err := sharing(by, shared != nil && *shared); err != nil {
			return v, err
		}
		if name != nil {
			plain, err := ViewName(*name)
			if err != nil {
				return v, err
			}
			name = &plain
		}
		rows, err := b.o.Pool.Query(ctx, "UPDATE saved_views SET name = coalesce($1, name), shared = coalesce($2, shared), updated_at = now() WHERE id = $3 AND (owner = $4 OR shared AND $5) RETURNING "+viewColumns,
			name, shared, id, by.Who, by.Role.May(access.Operator))
		if err == nil {
			v, err = pgx.CollectExactlyOneRow(rows, scanView(by))
		}
		if errors.Is(err, pgx.ErrNoRows) {
			return v, b.notMine(ctx, id)
		}
		return v, viewError("changing a view", err)
	})
}

// DeleteView is Reader's.
func (b *Service) DeleteView(ctx context.Context, id int64) error {
	d := deed{role: access.Viewer, action: "deleteView", target: strconv.FormatInt(id, 10)}
	_, err := act(ctx, b, d, func(ctx context.Context, by access.Actor) (none struct{}, err error) {
		tag, err := b.o.Pool.Exec(ctx, "DELETE FROM saved_views WHERE id = $1 AND (owner = $2 OR shared AND $3)", id, by.Who, by.Role.May(access.Operator))
		if err == nil && tag.RowsAffected() == 0 {
			return none, b.notMine(ctx, id)
		}
		return none, viewError("deleting a view", err)
	})
	return err
}

// notMine says why a view is not changed: it is another's and shared, or nobody need know whether there is one.
func (b *Service) notMine(ctx context.Context, id int64) error {
	var shared bool
	err := b.o.Pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM saved_views WHERE id = $1 AND shared)", id).Scan(&shared)
	switch {
	case err != nil:
		return viewError("reading a view", err)
	case shared:
		return fault.Permanent(fault.Forbidden, errors.New("operators change what others share"))
	}
	return fault.Permanent(fault.NotFound, fmt.Errorf("you have no view %d, and none is shared with that number", id))
}
