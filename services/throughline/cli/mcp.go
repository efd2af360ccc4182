package cli

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/pattern"
	"github.com/throughline-dev/throughline/pkg/settings"
	"github.com/throughline-dev/throughline/services/console/backend"
	"github.com/throughline-dev/throughline/services/throughline/mcpserver"
)

// maxRequest bounds one line of an agent's.
const maxRequest = 1 << 20

type mcpCommand struct{}

// Help is kong's: what --help says beyond the summary.
func (*mcpCommand) Help() string {
	return "An agent's program starts it and speaks the Model Context Protocol with it on standard input and output; it is not for people to type. " +
		"The tools are accounts_search, timeline, event, search, quarantine_list, alerts, drift_findings, pulls and find_pattern. Nothing can be changed by them. docs/operations/agents.md says how agents are set up, and what they must not be trusted with."
}

func (*mcpCommand) needs() need { return needsPostgres | needsSources }

// Run is kong's.
func (*mcpCommand) Run(ctx context.Context, s *session) error {
	if s.InTerminal {
		s.say("speaking the Model Context Protocol on standard input; an agent's program should be there. Ctrl-C ends")
	}
	return s.withDatabase(ctx, func(pool *pgxpool.Pool) error {
		reader := backend.New(backend.Options{Pool: pool, Sources: s.root.Sources.set})
		defer reader.Close()
		server := mcpserver.New(mcpserver.Options{Reader: reader, Who: "cli:mcp", Version: settings.Version(),
			Find: func(ctx context.Context, text string, now bool, since time.Time, limit int) (api.PatternMatches, error) {
				p, err := pattern.Parse(text)
				if err == nil && now {
					p, err = p.Begun()
				}
				if err != nil {
					return api.PatternMatches{}, err
				}
				return pattern.Find(ctx, pool, pattern.DefaultLimit, p, pattern.Query{Now: s.now(), Since: since, Limit: limit})
			},
			Months: func(ctx context.Context, text string, since time.Time, limit int) ([]api.PatternMonth, error) {
				p, err := pattern.Parse(text)
				if err != nil {
					return nil, err
				}
				return pattern.Months(ctx, pool, pattern.DefaultLimit, p, pattern.Query{Since: since, Limit: limit})
			}})
		lines := mcpserver.NewLines(s.In, s.Out, maxRequest)
		err := server.Run(ctx, &mcp.IOTransport{Reader: lines, Writer: lines.Writer(), MaxLineLength: maxRequest + 1})
		if ctx.Err() != nil || errors.Is(err, io.EOF) { // the agent's program has gone
			return settings.ErrDone
		}
		return err
	})
}
