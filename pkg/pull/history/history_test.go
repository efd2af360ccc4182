package history

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/pull"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/pkg/source/catalog"
	"github.com/throughline-dev/throughline/pkg/source/stripe"
)

func event(n int) string {
	return fmt.Sprintf(`{"id":"evt_%d","object":"event","created":%d,"type":"invoice.paid","data":{"object":{"object":"invoice","id":"in_%[1]d","customer":"cus_%d"}}}`,
		n, 1760000000+n, n%7)
}

// events gives so many lines.
func events(n int) string {
	var out strings.Builder
	for i := range n {
		out.WriteString(event(i) + "\n")
	}
	return out.String()
}

func zipped(text string) string {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return out.String()
}

func open(t *testing.T, name, content string, o Options) *File {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	f, err := Open(stripe.New(), path, o)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

// drain pulls all of a file, as pull does, and gives the values.
func drain(t *testing.T, f *File) (got []string, err error) {
	t.Helper()
	_, err = pull.Run(t.Context(), pull.Options{
		Source: f, API: nil, From: From, To: To, MostPages: MostPages, By: "test",
		Publish: func(_ context.Context, records []source.Record) error {
			for _, r := range records {
				got = append(got, string(r.Value))
			}
			return nil
		},
	})
	return got, err
}

func TestReadsEveryForm(t *testing.T) {
	t.Parallel()
	const most = 2500
	want := strings.Split(strings.TrimSpace(events(most)), "\n")
	crlf := strings.ReplaceAll(events(most), "\n", "\r\n")
	page := `[` + strings.Join(want[:most/2], ",") + "]\n" + `{"object":"list","has_more":false,"data":[` + strings.Join(want[most/2:], ",") + `]}`
	csv := "id,payload,note\n"
	for i, line := range want {
		csv += fmt.Sprintf("%d,\"%s\",\"a\nb\"\n", i, strings.ReplaceAll(line, `"`, `""`))
	}
	for name, content := range map[string]string{
		"lines.jsonl": events(most), "without-end.jsonl": strings.TrimSpace(events(most)), "crlf.jsonl": crlf,
		"bom.jsonl": "\ufeff" + events(most), "blank.jsonl": "\n \n" + strings.ReplaceAll(events(most), "\n", "\n\n\t\n"),
		"lines.jsonl.gz": zipped(events(most)), "named-wrongly.jsonl": zipped(events(most)), "members.gz": zipped(events(0)) + zipped(events(most)),
		"pages.jsonl": page, "table.csv": csv, "table.csv.gz": zipped("\ufeff" + csv), "table-crlf.CSV": strings.ReplaceAll(csv, "\n", "\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := open(t, name, content, Options{CountTypes: true})
			got, err := drain(t, f)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.Equal(t, map[string]int64{"invoice.paid": most}, f.Types())
			require.Equal(t, f.Size(), f.Read())
		})
	}
}

// Wherever a process dies, its successor goes on with the line after what was published: nothing is missing, nothing comes twice.
func TestGoesOnFromEveryPage(t *testing.T) {
	t.Parallel()
	want := strings.Split(strings.TrimSpace(events(4200)), "\n")
	csv := "payload\n"
	for _, line := range want {
		csv += `"` + strings.ReplaceAll(line, `"`, `""`) + "\"\n"
	}
	for name, content := range map[string]string{"lines.jsonl": "\ufeff" + events(4200), "lines.gz": zipped(events(4200)), "table.csv": "\ufeff" + csv, "table.csv.gz": zipped(csv)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			first := open(t, name, content, Options{})
			var got []string
			for q := (source.Query{}); ; {
				f, err := Open(stripe.New(), first.path, Options{}) // another process each time
				require.NoError(t, err)
				page, err := f.Page(t.Context(), nil, q)
				require.NoError(t, err)
				for _, part := range page.Parts {
					got = append(got, string(part.Value))
				}
				require.NoError(t, f.Close())
				if q.Cursor = page.Next; page.Next == nil {
					break
				}
			}
			require.Equal(t, want, got)
		})
	}
}

// What is wrong is told with its line, and what lies before it came.
func TestWrongFiles(t *testing.T) {
	t.Parallel()
	long := `{"a":"` + strings.Repeat("x", mostLine) + `"}`
	cut := zipped(events(3000))
	row := `"` + strings.ReplaceAll(event(0), `"`, `""`) + "\"\n"
	for name, c := range map[string]struct {
		name, content string
		before        int // events; -1: some
		want          string
	}{
		"text":            {"a.jsonl", events(1500) + "no JSON\n" + event(1), 1500, "line 1501: "},
		"half a line":     {"a.jsonl", events(2) + event(3)[:40], 2, "line 3: "},
		"a number":        {"a.jsonl", events(2) + "4711\n", 2, "line 3: a JSON number is neither an event nor a page"},
		"NUL":             {"a.jsonl", events(2) + "\x00\n", 2, "line 3: "},
		"two on a line":   {"a.jsonl", event(1) + event(2), 0, "line 1: more data follows"},
		"too deep":        {"a.jsonl", events(1) + strings.Repeat("[", 200) + strings.Repeat("]", 200), 1, "line 2: "},
		"too long":        {"a.jsonl", events(1) + long + "\n" + event(2), 1, "line 2: it has more than 8388608 bytes"},
		"many elements":   {"a.jsonl", events(1) + "[" + strings.Repeat("1,", mostElements) + "1]", 1, "line 2: it has 100001 elements"},
		"UTF-16":          {"a.jsonl", "\xff\xfe{\x00}\x00", 0, "line 1: it is in UTF-16"},
		"gzip cut off":    {"a.jsonl.gz", cut[:len(cut)/2], -1, "the gzip file breaks off or is damaged"},
		"gzip bytes":      {"a.jsonl.gz", cut[:len(cut)/2] + "\xff\xff\xff\xff" + cut[len(cut)/2+4:], -1, "the gzip file breaks off or is damaged"},
		"gzip's checksum": {"a.jsonl.gz", cut[:len(cut)-8] + "12345678", 3000, "the gzip file breaks off or is damaged"},
		"not gzip":        {"a.jsonl.gz", "\x1f\x8bhello", 0, "the gzip file breaks off or is damaged"},
		"CSV quote":       {"a.csv", "payload\n" + row + "a\"b\n" + row, 1, "line 3: it is no row of CSV"},
		"CSV open quote":  {"a.csv", "payload\n" + row + "\"abc\n\n", 1, "line 3: it is no row of CSV"},
		"CSV cells":       {"a.csv", "payload,b\n" + strings.TrimSpace(row) + ",1\n" + row, 1, "line 3: it has 1 cells, the header has 2"},
		"CSV row":         {"a.csv", "payload\n" + row + "\"" + strings.Repeat("x\n", mostLine/2+readAhead), 1, "it has more than 8388608 bytes"},
		"CSV of others":   {"a.csv", "id,amount\nin_1,5\n", 0, "line 2: the row is no event of Stripe"},
		"CSV wide":        {"a.csv", strings.Repeat(",", 4096) + "\n", 0, "it has more than 4096 columns"},
		"CSV names":       {"a.csv", "payload,payload\n", 0, `two columns are named "payload"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := drain(t, open(t, c.name, c.content, Options{}))
			require.ErrorContains(t, err, c.want)
			require.True(t, fault.IsPermanent(err))
			if c.before >= 0 {
				require.Len(t, got, c.before)
			} else {
				require.NotEmpty(t, got)
			}
		})
	}
}

func TestSkipsWhatIsBad(t *testing.T) {
	t.Parallel()
	row := `"` + strings.ReplaceAll(event(0), `"`, `""`) + "\"\n"
	long := `{"a":"` + strings.Repeat("x", mostLine+readAhead) + `"}`
	for name, content := range map[string]string{
		"a.jsonl": "no JSON\n" + events(1500) + long + "\n" + event(1) + "\n7\n",
		"a.csv":   "payload\n\"no JSON\"\n" + strings.Repeat(row, 1501) + "a\"b\na,b\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := open(t, name, content, Options{SkipBad: true})
			got, err := drain(t, f)
			require.NoError(t, err)
			require.Len(t, got, 1501)
			require.EqualValues(t, 3, f.Skipped())
		})
	}
}

// A bomb ends with an error before it has filled anything.
func TestBombs(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{"blank lines": "\n", "one line": "x", "bad lines": strings.Repeat("x", 4095) + "\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const most = 1 << 20
			bomb := zipped(event(1) + "\n" + strings.Repeat(line, (mostLine+2*most)/len(line)))
			require.Less(t, len(bomb), 64<<10)
			f := open(t, "a.jsonl.gz", bomb, Options{SkipBad: true})
			f.junk = most
			got, err := drain(t, f)
			require.Error(t, err)
			require.Contains(t, err.Error(), "bytes", err)
			require.Len(t, got, 1)
		})
	}
}

// An event that cannot be stored, or is none of the source's, is JSON all the same: it becomes a dead letter, which people see.
func TestWhatIsNoEventGoesOn(t *testing.T) {
	t.Parallel()
	content := events(1) + `{"id":"evt_1","a":"\u0000"}` + "\n" + `{"hello":"world"}` + "\n[7,{}]\n"
	got, err := drain(t, open(t, "a.jsonl", content, Options{}))
	require.NoError(t, err)
	require.Len(t, got, 5)
}

// The same event again and again is no lie, where it is a file's.
func TestRepeatedLines(t *testing.T) {
	t.Parallel()
	got, err := drain(t, open(t, "a.jsonl", strings.Repeat(event(1)+"\n", 9000), Options{}))
	require.NoError(t, err)
	require.Len(t, got, 9000)
}

func TestStandardInput(t *testing.T) {
	t.Parallel()
	for _, content := range []string{events(2500), zipped(events(2500)), "\n " + events(2500)} {
		f, err := Open(stripe.New(), "-", Options{Stdin: strings.NewReader(content)})
		require.NoError(t, err)
		require.False(t, f.Resumes())
		got, err := drain(t, f)
		require.NoError(t, err)
		require.Len(t, got, 2500)
	}
	f, err := Open(stripe.New(), "-", Options{Stdin: strings.NewReader("payload\n" + `"{""id"":""evt_1"",""created"":1760000000,""type"":""a.b""}"`)})
	require.NoError(t, err)
	got, err := drain(t, f)
	require.NoError(t, err)
	require.Len(t, got, 1)
	f, err = Open(stripe.New(), "-", Options{Stdin: strings.NewReader(events(1500) + "x")})
	require.NoError(t, err)
	got, err = drain(t, f)
	require.ErrorContains(t, err, "line 1501: ", "and not that it cannot be read again")
	require.Len(t, got, 1500)
	for _, empty := range []string{"", "\n", "\ufeff"} {
		f, err := Open(stripe.New(), "-", Options{Stdin: strings.NewReader(empty)})
		require.NoError(t, err)
		got, err := drain(t, f)
		require.NoError(t, err)
		require.Empty(t, got)
	}
}

// Rows of a vendor's own export are events as objects, where the source reads such.
func TestRowsAreEvents(t *testing.T) {
	t.Parallel()
	looker, _ := catalog.Set().Find("looker")
	path := filepath.Join(t.TempDir(), "history.csv")
	require.NoError(t, os.WriteFile(path, []byte("history.id,history.created_time,user.id,user.email\n1,2026-01-02 03:04:05,7,kim@acme.example\n2,2026-01-02 03:05:05,,\n"), 0o600))
	f, err := Open(looker, path, Options{CountTypes: true})
	require.NoError(t, err)
	defer f.Close()
	got, err := drain(t, f)
	require.NoError(t, err)
	require.Equal(t, []string{
		`{"history.id":"1","history.created_time":"2026-01-02 03:04:05","user.id":"7","user.email":"kim@acme.example"}`,
		`{"history.id":"2","history.created_time":"2026-01-02 03:05:05","user.id":null,"user.email":null}`,
	}, got)
	require.Len(t, f.Types(), 1)
}

func TestOpen(t *testing.T) {
	t.Parallel()
	_, err := Open(stripe.New(), filepath.Join(t.TempDir(), "none"), Options{})
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Open(stripe.New(), t.TempDir(), Options{})
	require.ErrorContains(t, err, "it is a directory")
	a, b := open(t, "a", events(3), Options{}), open(t, "b", events(3), Options{})
	require.Equal(t, a.Streams(), b.Streams(), "a file is known by what it is")
	require.NotEqual(t, a.Streams(), open(t, "c", events(4), Options{}).Streams())
	_, err = a.Page(t.Context(), nil, source.Query{Cursor: []byte("in_1")})
	require.ErrorContains(t, err, "the checkpoint is none of a file's")
}

// Stopping does not wait for the file's end.
func TestEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	_, err := open(t, "a.jsonl", events(10), Options{}).Page(ctx, nil, source.Query{})
	require.ErrorContains(t, err, "enough")
}

// FuzzFile holds whatever a file holds to the bounds, and a reading that is broken off after each page to the whole one.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		events(3), "\ufeff" + events(2), zipped(events(3)), zipped(events(3))[:40], "payload\n\"{}\"\n", "id,payload\r\n1,\"[{},{}]\"\r\n2,x\n",
		"{}\r\n\r\n[]\n[1,2]\n\x00\n{", "\xff\xfe{", "\x1f\x8b", `{"object":"list","data":[{},{}]}`, "a,b\n\"x\ny\",2\n\"", "\"payload\"\n\"{\"\"a\"\":1}\"",
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte, isCSV bool) {
		path := filepath.Join(dir, fmt.Sprintf("%d", time.Now().UnixNano()))
		if isCSV {
			path += ".csv"
		}
		require.NoError(t, os.WriteFile(path, content, 0o600))
		defer os.Remove(path)
		read := func(anew bool) (got []string, last string) {
			file, err := Open(stripe.New(), path, Options{SkipBad: true})
			require.NoError(t, err)
			defer func() { file.Close() }()
			for q := (source.Query{}); ; {
				page, err := file.Page(t.Context(), nil, q)
				for _, part := range page.Parts {
					got = append(got, string(part.Value))
				}
				if err != nil {
					require.True(t, fault.IsPermanent(err), "%v", err)
					return got, err.Error()
				}
				if q.Cursor = page.Next; page.Next == nil {
					return got, ""
				}
				if anew {
					file.Close()
					file, err = Open(stripe.New(), path, Options{SkipBad: true})
					require.NoError(t, err)
				}
			}
		}
		whole, wrong := read(false)
		parts, wrongAgain := read(true)
		require.Equal(t, whole, parts)
		require.Equal(t, wrong != "", wrongAgain != "")
	})
}

func BenchmarkFile(b *testing.B) {
	path := filepath.Join(b.TempDir(), "a.jsonl.gz")
	content := events(50_000)
	require.NoError(b, os.WriteFile(path, []byte(zipped(content)), 0o600))
	b.SetBytes(int64(len(content)))
	for b.Loop() {
		f, err := Open(stripe.New(), path, Options{})
		require.NoError(b, err)
		for q := (source.Query{}); ; {
			page, err := f.Page(b.Context(), nil, q)
			require.NoError(b, err)
			if q.Cursor = page.Next; page.Next == nil {
				break
			}
		}
		f.Close()
	}
	b.ReportMetric(float64(b.N)*50_000/b.Elapsed().Seconds(), "events/s")
}

// Who stops a backfill need not wait for what nobody writes: to standard input, or into
// a named pipe, which nobody may have opened yet.
func TestStopsWhileNothingComes(t *testing.T) {
	t.Parallel()
	read, write, err := os.Pipe()
	require.NoError(t, err)
	defer read.Close()
	fifo := filepath.Join(t.TempDir(), "fifo.jsonl")
	require.NoError(t, syscall.Mkfifo(fifo, 0o600))
	for name, path := range map[string]string{"standard input": "-", "a named pipe": fifo} {
		f, err := Open(stripe.New(), path, Options{Stdin: read})
		require.NoError(t, err, name)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, err = f.Page(ctx, nil, source.Query{})
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, name)
		require.NoError(t, f.Close())
	}
	write.Close()
	late, err := os.OpenFile(fifo, os.O_WRONLY, 0) // ends who still waits
	require.NoError(t, err)
	late.Close()

	f, err := Open(stripe.New(), fifo, Options{})
	require.NoError(t, err)
	defer f.Close()
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(fifo, []byte(events(2500)), 0) }()
	got, err := drain(t, f)
	require.NoError(t, err)
	require.Len(t, got, 2500)
	require.NoError(t, <-written)
}
