package quarantine

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/fault"
)

// heldNow is the ruling of a record that is held off.
const heldNow = `CASE WHEN held_until > now() THEN coalesce(ruling, '') ELSE '' END`

// WaitingPage gives the open records without an account whose ids are above after, at most limit, by id.
func (s *Store) WaitingPage(ctx context.Context, after int64, limit int) ([]Waiting, error) {
	return s.waiting(ctx, `SELECT id, "references", `+heldNow+` FROM (
			SELECT id AS found_id FROM quarantine_states WHERE status = 'open' AND reason = $1 AND id > $2 ORDER BY id LIMIT $3) AS found
		CROSS JOIN `+recordFound+` ORDER BY id`, string(fault.Unresolved), after, limit)
}

// WaitingIDs gives the ids, in order, of all the open records without an account that a change of these keys
// (resolve.Keys) may concern: for WaitingAmong, page by page.
//
// The CTE keeps the planner from walking all open records by id in the hope to meet some soon.
func (s *Store) WaitingIDs(ctx context.Context, keys []string) ([]int64, error) {
	rows, err := s.pool.Query(ctx, `WITH hit AS MATERIALIZED (SELECT id, reason FROM quarantine_states WHERE reference_keys && $2 AND status = 'open')
		SELECT id FROM hit WHERE reason = $1 ORDER BY id`, string(fault.Unresolved), keys)
	if err != nil {
		return nil, broken("looking for what waits for an account", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	return ids, broken("looking for what waits for an account", err)
}

// ReleasingIDs gives the ids, in order, of the records with these keys whose release is under way: few at any time.
func (s *Store) ReleasingIDs(ctx context.Context, keys []string) ([]int64, error) {
	rows, err := s.pool.Query(ctx, "SELECT id FROM quarantine_states WHERE status = 'replaying' AND reference_keys && $1 ORDER BY id", keys)
	if err != nil {
		return nil, broken("looking for what is being released", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	return ids, broken("looking for what is being released", err)
}

// WaitingAmong gives those of the records that are still open without an account, by id. None counts as held off,
// because whoever changed a link has a reason.
//
// The lateral look-up with its limit is by the primary key whatever the statistics say.
func (s *Store) WaitingAmong(ctx context.Context, ids []int64) ([]Waiting, error) {
	return s.waiting(ctx, `SELECT q.id, q."references", '' FROM unnest($2::bigint[]) AS r (id)
		CROSS JOIN LATERAL (SELECT * FROM quarantine WHERE id = r.id LIMIT 1) AS q
		WHERE q.status = 'open' AND q.reason = $1 ORDER BY q.id`, string(fault.Unresolved), ids)
}

// Unsettled gives those of the records, by id, that are open or replaying.
//
// The lateral look-up with its limit is by the primary key whatever the statistics say.
func (s *Store) Unsettled(ctx context.Context, ids []int64) ([]int64, error) {
	rows, err := s.pool.Query(ctx, `SELECT q.id FROM unnest($1::bigint[]) AS r (id)
		CROSS JOIN LATERAL (SELECT id, status FROM quarantine_states WHERE id = r.id LIMIT 1) AS q
		WHERE q.status IN ('open', 'replaying') ORDER BY q.id`, ids)
	if err != nil {
		return nil, broken("looking for what is not on the timeline yet", err)
	}
	left, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	return left, broken("looking for what is not on the timeline yet", err)
}

func (s *Store) waiting(ctx context.Context, query string, args ...any) ([]Waiting, error) {
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, broken("reading what waits for an account", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Waiting])
	return list, broken("reading what waits for an account", err)
}
