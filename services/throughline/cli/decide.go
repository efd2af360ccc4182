package cli

import (
	"context"
	"fmt"
	"maps"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/accounts"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/quarantine"
	"github.com/throughline-dev/throughline/pkg/resolve"
)

// movingFlags are those of commands after which events may change their account: the rules of the services say where.
type movingFlags struct {
	Rules resolve.Config `embed:"" group:"Resolution"`
}

// decideFlags are those of the commands that make a decision about links or accounts.
type decideFlags struct {
	DryRun bool   `name:"dry-run" help:"Print what would change, with the number of events by account, without changing it."`
	Reason string `name:"reason" placeholder:"TEXT" help:"Reason of the change, as recorded."`
	movingFlags
	byFlags
	outputFlags
}

func (*decideFlags) needs() need { return needsPostgres | needsSources }

// moving is what carries out decisions and the history that follows.
type moving struct {
	store *accounts.Store
	mover *accounts.Mover
}

func (f *movingFlags) moving(s *session, pool *pgxpool.Pool) (moving, error) {
	resolver, err := resolve.New(pool, f.Rules)
	if err != nil {
		return moving{}, usage("%v", err)
	}
	return moving{store: s.store(pool).WithResolver(resolver), mover: accounts.NewMover(pool, resolver, quarantine.Returning(s.root.Sources.set))}, nil
}

// decide makes a decision, tells its effect, and carries out the moves.
func (f *decideFlags) decide(ctx context.Context, s *session, pool *pgxpool.Pool, d accounts.Decision) error {
	m, err := f.moving(s, pool)
	if err != nil {
		return err
	}
	d.Author, d.Reason, d.DryRun = f.author(), f.Reason, f.DryRun
	names, err := m.store.Names(ctx, []uuid.UUID{d.From, d.To}) // before one of them is removed
	if err != nil {
		return err
	}
	effect, err := m.store.Decide(ctx, d)
	if err != nil {
		return err
	}
	if f.JSON {
		err = writeJSON(s, api.NewEffect(d, effect))
	} else {
		err = f.tell(ctx, s, m.store, names, d, effect)
	}
	if err != nil {
		return err
	}
	return m.finish(ctx, s, effect.MoveIDs)
}

// tell prints the effect of a decision.
func (f *decideFlags) tell(ctx context.Context, s *session, store *accounts.Store, names map[uuid.UUID]string, d accounts.Decision, e accounts.Effect) error {
	ids := []uuid.UUID{e.From, e.To}
	for _, m := range e.Moves {
		ids = append(ids, m.From, m.To)
	}
	for _, u := range e.Undone {
		ids = append(ids, u.AccountID)
	}
	more, err := store.Names(ctx, ids)
	if err != nil {
		return err
	}
	maps.Copy(names, more)
	t := telling{session: s, dryRun: f.DryRun, names: names}
	_, err = fmt.Fprintln(s.Out, clean(t.sentence(d, e)))
	t.moves(e)
	return err
}

// telling words an effect for people.
type telling struct {
	*session
	dryRun bool
	names  map[uuid.UUID]string
}

func (t telling) account(id uuid.UUID) string {
	if name := t.names[id]; name != "" {
		return fmt.Sprintf("%s (%s)", name, id)
	}
	return id.String()
}

// sentence says what was decided.
func (t telling) sentence(d accounts.Decision, e accounts.Effect) string {
	if !e.Changed {
		return "nothing to do: it is so already"
	}
	did := map[bool]string{false: "", true: "would be "}[t.dryRun]
	switch d.Verb {
	case accounts.VerbUnlink:
		if e.From == uuid.Nil {
			return fmt.Sprintf("%s: %sno longer kept from any account", d.Reference, did)
		}
		return fmt.Sprintf("%s: %sunlinked from %s", d.Reference, did, t.account(e.From))
	case accounts.VerbRelink:
		return fmt.Sprintf("%s: %srelinked from %s to %s", d.Reference, did, t.account(e.From), t.account(e.To))
	case accounts.VerbMerge:
		return fmt.Sprintf("%s: %smerged into %s", t.account(e.From), did, t.account(e.To))
	case accounts.VerbSplit:
		return fmt.Sprintf("%s: %ssplit from %s", t.account(e.To), did, t.account(e.From))
	case accounts.VerbNotThisAccount:
		return fmt.Sprintf("%s: %skept from %s", d.Reference, did, t.account(e.From))
	case accounts.VerbRemove:
		return fmt.Sprintf("%s: %sremoved", t.account(e.From), did)
	}
	return fmt.Sprintf("%s: %slinked to %s", d.Reference, did, t.account(e.To))
}

// moves says beside the result what else happens.
func (t telling) moves(e accounts.Effect) {
	verb := map[bool]string{false: "", true: "would "}[t.dryRun]
	for _, u := range e.Undone {
		t.say("the automatic link of %s to %s rested on it, and %sgo%s with it", u.Reference, t.account(u.AccountID), verb, map[bool]string{false: "es"}[t.dryRun])
	}
	for _, m := range e.Moves {
		if m.To == uuid.Nil {
			t.say("%s %sleave %s and are resolved anew: they go back through their raw topic, and wait in quarantine where nothing else says whose they are",
				plural(m.Events, "event"), verb, t.account(m.From))
			continue
		}
		t.say("%s %smove from %s to %s", plural(m.Events, "event"), verb, t.account(m.From), t.account(m.To))
	}
	if e.Changed && len(e.Moves) == 0 {
		t.say("no event %s", map[bool]string{false: "moves", true: "would move"}[t.dryRun])
	}
	if e.Untraced > 0 {
		t.say("%s of it stay: they were stored before it was written down how events find their account", plural(e.Untraced, "event"))
	}
	if e.Pending > 0 {
		t.say("%s not finished, and what they still move is not counted (`throughline accounts moves`)", plural(int64(e.Pending), "earlier move"))
	}
}
