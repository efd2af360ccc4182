package event

import (
	"io/fs"
	"path"
	"testing"

	"github.com/hamba/avro/v2"
	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/schemas"
)

// BACKWARD_TRANSITIVE: today's reader reads what every released schema wrote,
// and the newest released schema is today's (a change must be added to history).
// Forward too, so that a consumer may be older than the normalizer. No version
// changes the fields at the beginning, by which Decoder knows its own.
func TestSchemasReadAllTheirHistory(t *testing.T) {
	t.Parallel()
	firstFields := map[string][]string{"account-events": {"account_id", "event_type"}, "account-events.dlq": {"value", "topic"}, "account-changes": {"source", "source_event_id"}}
	for topic, current := range map[string]string{"account-events": schemas.AccountEvent, "account-events.dlq": schemas.DeadLetter, "account-changes": schemas.AccountChange} {
		reader, err := parse(current)
		require.NoError(t, err)
		files, err := fs.Glob(schemas.History, path.Join("history", topic, "*.avsc"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		released := map[[32]byte]bool{}
		for _, file := range files {
			text, err := fs.ReadFile(schemas.History, file)
			require.NoError(t, err)
			writer, err := parse(string(text))
			require.NoError(t, err, file)
			require.NoError(t, avro.NewSchemaCompatibility().Compatible(reader, writer), file)
			require.NoError(t, avro.NewSchemaCompatibility().Compatible(writer, reader), "a reader of %s, today's writer", file)
			require.Equal(t, firstFields[topic], first(writer), "what tells a record from garbage")
			released[writer.Fingerprint()] = true
		}
		require.True(t, released[reader.Fingerprint()], "%s: the current schema is not in schemas/history", topic)
	}
}

func first(schema avro.Schema) []string {
	var names []string
	for _, field := range schema.(*avro.RecordSchema).Fields()[:2] {
		names = append(names, field.Name())
	}
	return names
}
