package erase

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/postgres"
	"github.com/throughline-dev/throughline/pkg/postgres/postgrestest"
	"github.com/throughline-dev/throughline/pkg/stream"
)

// Whoever adds a table or a topic decides what an erasure does with it, and says so in Tables or Topics.
func TestEveryTableAndTopicIsDecidedAbout(t *testing.T) {
	t.Parallel()
	require.Empty(t, undecided(), "say in Tables what these hold of a person, and what becomes of it")
	known := map[string]bool{}
	for _, table := range Tables() {
		require.False(t, known[table.Name], "%s twice", table.Name)
		require.NotEmpty(t, table.Holds, table.Name)
		require.NotEmpty(t, table.Does, table.Name)
		require.Contains(t, postgres.Tables(), table.Name)
		known[table.Name] = true
	}
	rows, err := postgrestest.New(t).Query(t.Context(), "SELECT relname::text FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = current_schema()::regnamespace")
	require.NoError(t, err)
	there, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	for _, name := range there {
		require.True(t, known[name], "the table %s: say in Tables what it holds of a person, and what becomes of it", name)
	}
	topics := map[string]bool{}
	for _, topic := range Topics() {
		require.NotEmpty(t, topic.Does)
		topics[topic.Name] = true
	}
	for _, name := range (stream.Names{}).All([]string{"*"}) {
		require.True(t, topics[name], "the topic %s: say in Topics what it holds of a person, and until when", name)
	}
}
