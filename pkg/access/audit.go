package access

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/postgres"
)

// What became of what somebody did (Record).
const (
	Done    = "done"
	Refused = "refused" // they may not, or it was asked wrongly
	Failed  = "failed"  // it could not be done
)

// Record writes an entry of the audit log: what the actor did to what, and what became of it. Target is the id of a
// thing and never text of an event; why is the reason given, at most 1,000 bytes of it.
func (s *Store) Record(ctx context.Context, a Actor, action, target, result, why string, dryRun bool) error {
	if _, err := s.pool.Exec(ctx, `INSERT INTO audit_log (who, role, action, target, result, why, via, dry_run) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		clip(a.Who, 200), string(a.Role), clip(action, 100), clip(target, 1200), result, clip(why, 1000), clip(a.Via, 20), dryRun); err != nil {
		return postgres.Classify(fmt.Errorf("writing the audit log: %w", err))
	}
	return nil
}

// Audit lists entries whose id is below after (0: all), the newest first: all, or those of one actor or one action.
func (s *Store) Audit(ctx context.Context, who, action string, after int64, limit int) ([]api.AuditEntry, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, at, who, role, action, target, result, why, via, dry_run FROM audit_log
		WHERE ($1 = '' OR who = $1) AND ($2 = '' OR action = $2) AND ($3 = 0 OR id < $3) ORDER BY id DESC LIMIT $4`, who, action, after, limit)
	if err == nil {
		var list []api.AuditEntry
		if list, err = pgx.CollectRows(rows, scanEntry); err == nil {
			return list, nil
		}
	}
	return nil, postgres.Classify(fmt.Errorf("reading the audit log: %w", err))
}

func scanEntry(row pgx.CollectableRow) (e api.AuditEntry, err error) {
	err = row.Scan(&e.ID, &e.At, &e.Who, &e.Role, &e.Action, &e.Target, &e.Result, &e.Why, &e.Via, &e.DryRun)
	e.At = e.At.UTC()
	return e, err
}
