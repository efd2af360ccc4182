package main

import (
	"bufio"
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// An event is written with today's whole schema, and read by the part of it
// that the example knows.
func TestDecode(t *testing.T) {
	t.Parallel()
	server := srfake.New()
	t.Cleanup(server.Close)
	registry, err := sr.NewClient(sr.URLs(server.URL()))
	require.NoError(t, err)
	schema, err := os.ReadFile("../../../schemas/account_event.avsc")
	require.NoError(t, err)
	written, err := registry.CreateSchema(t.Context(), "account-events-value", sr.Schema{Schema: string(schema)})
	require.NoError(t, err)
	value, err := new(sr.ConfluentHeader).AppendEncode(nil, written.ID, nil)
	require.NoError(t, err)
	at := time.Date(2026, 5, 1, 10, 0, 0, 123000, time.UTC)
	value, err = avro.MustParse(string(schema)).AppendEncode(value, map[string]any{
		"account_id": "7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01", "event_type": "invoice.paid", "source": "stripe", "source_event_id": "evt_1",
		"payload": `{"amount":1}`, "occurred_at": at, "ingested_at": at, "tenant": "acct_1", "delivery": "webhook",
	})
	require.NoError(t, err)

	d := newDecoder(registry)
	got, err := d.decode(t.Context(), value)
	require.NoError(t, err)
	require.True(t, at.Equal(got.OccurredAt))
	var out bytes.Buffer
	p := newPrinter(bufio.NewWriter(&out), true)
	require.NoError(t, p.print(got))
	require.NoError(t, p.flush())
	require.Equal(t, `{"account_id":"7f1c1d0e-55b1-4a0e-9d4f-1f3b5a5f0a01","event_type":"invoice.paid","source":"stripe","source_event_id":"evt_1",`+
		`"occurred_at":"2026-05-01T10:00:00.000123Z","payload":{"amount":1}}`+"\n", out.String())

	for name, bad := range map[string][]byte{
		"no header": []byte(`{"a":1}`), "cut off": value[:len(value)-3], "more than one": append(bytes.Clone(value), 0), "unknown schema": append([]byte{0, 0, 0, 9, 9}, value[5:]...),
	} {
		_, err := d.decode(t.Context(), bad)
		require.Error(t, err, name)
	}
}
