package cli

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/throughline-dev/throughline/pkg/accounts"
)

type linksCommand struct {
	Account string `arg:"" optional:"" help:"Only links to this account: its id, domain or name."`
	Source  string `name:"source" help:"Only links of ids of this source (or email, domain)."`
	Kind    string `name:"kind" help:"Only links of this kind of id, like customer."`
	ID      string `name:"id" help:"Only links of exactly this id at the vendor."`
	Limit   int    `name:"limit" default:"100" placeholder:"N" help:"At most so many, the newest (${default})."`
	outputFlags
}

func (*linksCommand) needs() need { return needsPostgres }

// Validate is kong's.
func (c *linksCommand) Validate() error { return checkLimit(c.Limit) }

// linkView is a link as --json shows it.
type linkView struct {
	Reference   string          `json:"reference"`
	AccountID   uuid.UUID       `json:"account_id"`
	AccountName string          `json:"account_name"`
	Learned     string          `json:"learned"`
	Evidence    json.RawMessage `json:"evidence,omitempty"`
	CreatedBy   string          `json:"created_by"`
	CreatedAt   time.Time       `json:"created_at"`
}

// Run is kong's.
func (c *linksCommand) Run(ctx context.Context, s *session) error {
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		filter := accounts.LinkFilter{Source: c.Source, Kind: c.Kind, ID: c.ID, Limit: c.Limit}
		if c.Account != "" {
			account, err := s.findAccount(ctx, pool, c.Account)
			if err != nil {
				return err
			}
			filter.AccountID = account.ID
		}
		links, err := store(pool).Links(ctx, filter)
		if err != nil {
			return err
		}
		views := make([]linkView, len(links))
		for i, l := range links {
			views[i] = linkView{Reference: l.Key(), AccountID: l.AccountID, AccountName: l.AccountName, Learned: l.Learned,
				Evidence: l.Evidence, CreatedBy: l.CreatedBy, CreatedAt: l.CreatedAt.UTC()}
		}
		s.hintList(len(views), c.Limit, "link", "make one with `throughline link REFERENCE ACCOUNT`")
		return list(s, c.JSON, views, []column[linkView]{
			{title: "reference", text: func(l linkView) string { return l.Reference }},
			{title: "account", text: func(l linkView) string { return l.AccountName }, wide: true},
			{title: "account_id", text: func(l linkView) string { return l.AccountID.String() }},
			{title: "learned", text: func(l linkView) string { return l.Learned }},
			{title: "created_by", text: func(l linkView) string { return l.CreatedBy }},
			{title: "created_at", text: func(l linkView) string { return stamp(l.CreatedAt) }},
		})
	})
}
