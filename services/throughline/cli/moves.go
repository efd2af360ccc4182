package cli

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/api"
)

type accountsMovesCommand struct {
	Pending bool `name:"pending" help:"Only those that are not finished."`
	Resume  bool `name:"resume" help:"Finish interrupted moves, and list them."`
	Limit   int  `name:"limit" default:"100" placeholder:"N" help:"At most so many, the newest (${default})."`
	movingFlags
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*accountsMovesCommand) Help() string {
	return "An unlink, relink or merge moves the events that it concerns, in batches. One that was interrupted is finished by the quarantine service, or by --resume."
}

func (*accountsMovesCommand) needs() need { return needsPostgres }

// Validate is kong's.
func (c *accountsMovesCommand) Validate() error { return checkLimit(c.Limit) }

// Run is kong's.
func (c *accountsMovesCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		m, err := c.moving(s, pool)
		if err != nil {
			return err
		}
		filter := accounts.MoveFilter{Pending: c.Pending || c.Resume, Limit: c.Limit}
		moves, err := m.store.Moves(ctx, filter)
		if err != nil {
			return err
		}
		if c.Resume && len(moves) > 0 {
			filter = accounts.MoveFilter{Limit: c.Limit}
			for _, move := range moves {
				filter.IDs = append(filter.IDs, move.ID)
			}
			if err := m.finish(ctx, s, filter.IDs); err != nil {
				return err
			}
			if moves, err = m.store.Moves(ctx, filter); err != nil {
				return err
			}
		}
		return c.show(ctx, s, m.store, moves)
	})
}

func (c *accountsMovesCommand) show(ctx context.Context, s *session, store *accounts.Store, moves []accounts.Move) error {
	views := make([]api.Move, len(moves))
	var ids []uuid.UUID
	for i, m := range moves {
		views[i], ids = api.NewMove(m), append(ids, m.From, m.To)
	}
	names, err := store.Names(ctx, ids)
	if err != nil {
		return err
	}
	what := "move"
	if c.Pending || c.Resume {
		what = "unfinished move"
	}
	s.hintList(len(moves), c.Limit, what, "")
	number := func(n func(api.Move) int64) func(api.Move) string {
		return func(m api.Move) string { return fmt.Sprint(n(m)) }
	}
	return list(s, c.JSON, views, []column[api.Move]{
		{title: "id", text: number(func(m api.Move) int64 { return m.ID })},
		{title: "decision", text: number(func(m api.Move) int64 { return m.DecisionID }), leave: 1},
		{title: "verb", text: func(m api.Move) string { return m.Verb }},
		{title: "reference", text: func(m api.Move) string { return m.Reference }, wide: true},
		{title: "from", text: func(m api.Move) string { return names[m.FromAccount] }, wide: true},
		{title: "to", text: func(m api.Move) string { return names[m.ToAccount] }, wide: true},
		{title: "events", text: number(func(m api.Move) int64 { return m.Events })},
		{title: "moved", text: number(func(m api.Move) int64 { return m.Moved })},
		{title: "returned", text: number(func(m api.Move) int64 { return m.Returned }), leave: 3},
		{title: "finished_at", text: func(m api.Move) string { return stamp(m.FinishedAt) }, leave: 2},
	})
}

// finish carries out all moves that are not finished: these, and earlier ones, which come first.
func (m moving) finish(ctx context.Context, s *session, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	pending, err := m.store.Moves(ctx, accounts.MoveFilter{Pending: true, Limit: maxMoves})
	if err != nil {
		return err
	}
	var total int64
	done := map[int64]int64{}
	for _, move := range pending {
		total += move.Events
		done[move.ID] = move.Moved + move.Returned
	}
	bar := s.newProgress("moving events", total)
	defer bar.end()
	err = m.mover.Run(ctx, func(move accounts.Move) {
		done[move.ID] = move.Moved + move.Returned
		var sum int64
		for _, n := range done {
			sum += n
		}
		bar.at(sum, fmt.Sprintf("%d of %d", sum, total))
	})
	if err != nil {
		bar.end()
		s.say("not all events are moved yet: the quarantine service continues, or `throughline accounts moves --resume`")
	}
	return err
}

// maxMoves is how many unfinished moves are counted for the progress.
const maxMoves = 10_000
