package sourcetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// goldenFile is all that a source makes of one delivery.
type goldenFile struct {
	Records []goldenRecord `json:"records"`
	Error   string         `json:"error,omitempty"`
	Reason  fault.Reason   `json:"reason,omitempty"`
}

type goldenRecord struct {
	Offset      *int            `json:"offset,omitempty"` // where in the body it starts, when it is a part of it
	SHA256      string          `json:"value_sha256"`
	Key         string          `json:"key,omitempty"`
	Tenant      string          `json:"tenant,omitempty"` // the event's
	ID          string          `json:"id,omitempty"`
	Type        string          `json:"type,omitempty"`
	OccurredAt  string          `json:"occurred_at,omitempty"`
	References  []string        `json:"references,omitempty"`
	Subject     string          `json:"subject,omitempty"`
	Test        bool            `json:"test,omitempty"`
	Payload     json.RawMessage `json:"payload,omitempty"` // when it differs from the value
	Error       string          `json:"error,omitempty"`
	ErrorReason fault.Reason    `json:"reason,omitempty"`
}

// readDelivery splits and describes as the receiver would.
func (s *suite) readDelivery(c file) goldenFile {
	records, err := s.split(c.body)
	out := goldenFile{Records: []goldenRecord{}}
	for _, r := range records {
		out.Records = append(out.Records, s.readRecord(r, c.body))
	}
	if err != nil {
		out.Error, out.Reason = err.Error(), fault.ReasonOf(err)
	}
	return out
}

// readPage takes a list apart as the normalizer would.
func (s *suite) readPage(t require.TestingT, c file) goldenFile {
	out := goldenFile{Records: []goldenRecord{}}
	for _, r := range s.listed(t, c.body) {
		out.Records = append(out.Records, s.readRecord(r, c.body))
	}
	return out
}

func (s *suite) readRecord(r source.Record, body []byte) goldenRecord {
	sum := sha256.Sum256(r.Value)
	out := goldenRecord{SHA256: hex.EncodeToString(sum[:]), Tenant: r.Tenant}
	if at := bytes.Index(body, r.Value); at >= 0 {
		out.Offset = &at
	}
	keyed, event, err := source.Keyed(s.src, r)
	if err != nil {
		out.Error, out.ErrorReason = err.Error(), fault.ReasonOf(err)
		return out
	}
	out.Key, out.Tenant, out.Test = string(keyed.Key), keyed.Tenant, event.Test
	out.ID, out.Type, out.Subject = event.ID, event.Type, event.Subject
	out.OccurredAt = event.OccurredAt.UTC().Format(time.RFC3339Nano)
	for _, ref := range event.References {
		out.References = append(out.References, ref.Key())
	}
	payload, err := rawjson.WithSubject(r.Value, event.Subject)
	if err != nil {
		out.Error = err.Error()
	}
	if !bytes.Equal(payload, bytes.TrimSpace(r.Value)) {
		out.Payload = payload
	}
	return out
}

func (s *suite) golden(t *testing.T, c file, got goldenFile) {
	t.Helper()
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	require.NoError(t, enc.Encode(got))
	if *update {
		require.NoError(t, os.WriteFile(c.golden, text.Bytes(), 0o644))
		return
	}
	want, err := os.ReadFile(c.golden)
	require.NoError(t, err, "write it with go test -update, then read it")
	require.Equal(t, string(want), text.String())
}
