package cli_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/services/throughline/cli"
)

// An agent's program speaks with the command over pipes, as it does with a child process.
func TestMCP(t *testing.T) {
	t.Parallel()
	sh := withStory(t)
	requests, toServer := io.Pipe()
	answers, fromServer := io.Pipe()
	var errs bytes.Buffer
	streams := sh.streams(fromServer, &errs)
	streams.In = requests
	done := make(chan int, 1)
	go func() { done <- cli.Run(t.Context(), []string{"mcp"}, streams) }()
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), &mcp.IOTransport{Reader: answers, Writer: toServer}, nil)
	require.NoError(t, err)
	for tool, arguments := range map[string]map[string]any{
		"timeline":     {"account_id": acme, "event_type": "invoice.paid"},
		"find_pattern": {"pattern": "contact.created then ticket.created within 2 days then invoice.paid", "since": "2026-01-01"},
	} {
		r, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: arguments})
		require.NoError(t, err)
		text := r.Content[0].(*mcp.TextContent).Text
		require.False(t, r.IsError, text)
		require.Contains(t, text, "2026-01-07T09:30:15.25Z")
	}
	r, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "find_pattern", Arguments: map[string]any{"pattern": "a, then b", "now": true, "by_month": true}})
	require.NoError(t, err)
	require.True(t, r.IsError, "a month counts what is complete")
	require.NoError(t, session.Close())
	require.Zero(t, <-done, "the end of the agent's program is the normal end")
	require.Empty(t, errs.String())
}
