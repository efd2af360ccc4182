package looker_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/looker"
)

// attached is a delivery of this attachment, whose data is JSON.
func attached(mime, extension, data string) string {
	return fmt.Sprintf(`{"type":"query","scheduled_plan":%s,"attachment":{"mimetype":%q,"extension":%q,"data":%s}}`, plan, mime, extension, data)
}

func text(data []byte) string {
	quoted, _ := json.Marshal(strings.ToValidUTF8(string(data), "\ufffd"))
	return string(quoted)
}

type entry struct{ name, content string }

// zipped is a dashboard's delivery.
func zipped(t testing.TB, entries ...entry) string {
	t.Helper()
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for _, e := range entries {
		w, err := z.Create(e.name)
		require.NoError(t, err)
		_, err = w.Write([]byte(e.content))
		require.NoError(t, err)
	}
	require.NoError(t, z.Close())
	return attached("application/zip;base64", "zip", text([]byte(base64.StdEncoding.EncodeToString(archive.Bytes()))))
}

// A bad attachment is refused once and clearly, and never costs more than its bounds.
func TestBadAttachments(t *testing.T) {
	t.Parallel()
	const good = "accounts.id,n\n1,2\n"
	var many []entry
	for n := range 501 {
		many = append(many, entry{fmt.Sprint(n, ".csv"), good})
	}
	wide := "c0"
	for n := range 2000 {
		wide += fmt.Sprint(",c", n+1)
	}
	column := strings.Repeat("x", 4000)
	for name, tt := range map[string]struct {
		body, says string
		reason     fault.Reason
	}{
		"too many files":          {zipped(t, many...), "501 files", fault.Oversized},
		"a bomb":                  {zipped(t, entry{"a.csv", "accounts.id\n" + strings.Repeat("1\n", 10<<20)}), "bytes", fault.Oversized},
		"a bomb of many files":    {zipped(t, entry{"a.csv", "n\n" + strings.Repeat(" ", 9<<20)}, entry{"b.csv", "n\n" + strings.Repeat(" ", 9<<20)}), "bytes", fault.Oversized},
		"a long name":             {zipped(t, entry{strings.Repeat("n", 201) + ".csv", good}), "name of 201 bytes", fault.Malformed},
		"too many columns":        {attached("text/csv", "csv", text([]byte(wide+"\n"))), "2001 columns", fault.Oversized},
		"names repeated in rows":  {attached("text/csv", "csv", text([]byte(column+"\n"+strings.Repeat("1\n", 10_000)))), "bytes as JSON", fault.Oversized},
		"two columns of one name": {attached("text/csv", "csv", text([]byte("n,n\n1,2\n"))), "two columns", fault.Malformed},
		"an uneven row":           {attached("text/csv", "csv", text([]byte("a,b\n1\n"))), "1 cells", fault.Malformed},
		"a quote that stays open": {attached("text/csv", "csv", text([]byte("a,b\n\"1,2\n"))), "cannot be read", fault.Malformed},
		"no base64":               {attached("application/zip;base64", "zip", `"%%%"`), "not in base64", fault.Malformed},
		"no zip":                  {attached("application/zip;base64", "zip", `"AAAA"`), "cannot be read", fault.Malformed},
		"detail, too deep":        {attached("application/json", "json", text([]byte(`{"fields":{},"data":[{"a":{"value":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+`}}]}`))), "deep", fault.Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records, err := split(tt.body, received)
			require.ErrorContains(t, err, tt.says)
			require.Equal(t, tt.reason, fault.ReasonOf(err))
			require.True(t, fault.IsPermanent(err))
			require.Less(t, len(err.Error()), 300)
			require.Empty(t, records)
		})
	}
}

// The names of an archive's files are texts: one that leads elsewhere leads nowhere, and a file beside the tiles is left out.
func TestNamesOfAnArchive(t *testing.T) {
	t.Parallel()
	const good = "accounts.id,n\n1,2\n"
	records, err := split(zipped(t, entry{"../../etc/passwd.csv", good}, entry{`..\..\autoexec.csv`, good}, entry{"/abs/top.csv", good}, entry{"inner.zip", "PK"}, entry{"read.me", "x"}, entry{"dir.csv/", ""}), received)
	require.NoError(t, err)
	var tiles []string
	for _, r := range records {
		var value struct{ Row struct{ Tile string } }
		require.NoError(t, json.Unmarshal(r.Value, &value))
		tiles = append(tiles, value.Row.Tile)
	}
	require.Equal(t, []string{"passwd", "autoexec", "top"}, tiles)
}

// FuzzAttachment: whatever an attachment has, nothing panics, and a refusal is Permanent.
func FuzzAttachment(f *testing.F) {
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	w, _ := z.Create("a.csv")
	_, _ = w.Write([]byte("accounts.id,n\n1,2\n"))
	_ = z.Close()
	f.Add("zip", archive.Bytes())
	f.Add("csv", []byte("accounts.id,events.created_date\n1,2025-10-09\n"))
	f.Add("csv", []byte("a,\"b\nc\"\n\"\"\"\",\x00\n"))
	f.Add("json", []byte(`{"fields":{},"data":[{"a":{"value":1,"rendered":"1"}},7]}`))
	f.Fuzz(func(t *testing.T, extension string, data []byte) {
		mime, quoted := "", text(data)
		if extension == "zip" {
			mime, quoted = "application/zip;base64", text([]byte(base64.StdEncoding.EncodeToString(data)))
		}
		for part, err := range looker.New().Split(&source.Delivery{Body: []byte(attached(mime, strings.ToValidUTF8(extension, ""), quoted)), ReceivedAt: received}) {
			if err != nil {
				require.True(t, fault.IsPermanent(err))
				return
			}
			if _, _, err := source.Keyed(looker.New(), source.Record{Value: part.Value, ReceivedAt: received}); err != nil {
				require.True(t, fault.IsPermanent(err))
			}
		}
	})
}
