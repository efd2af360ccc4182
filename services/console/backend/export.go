package backend

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/throughline-dev/throughline/pkg/access"
	"github.com/throughline-dev/throughline/pkg/api"
	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/source"
	"github.com/throughline-dev/throughline/services/console/problem"
)

// The forms of an export.
const (
	CSV    = "csv"    // a line for each, without payloads, for spreadsheets
	NDJSON = "ndjson" // what the API's lists have, with payloads, for programs
)

const (
	// MaxExport bounds the rows of one export.
	MaxExport = 100_000
	// exportPage is how many rows are read at a time, and kept: a payload may have megabytes.
	exportPage = 100
	// exportTime bounds an export; one that takes longer is cut.
	exportTime = 10 * time.Minute
	// exportsAtOnce bounds how many run at a time in a process.
	exportsAtOnce = 4
	// exportWrite bounds one write: a client that does not read is dropped.
	exportWrite = 30 * time.Second
)

// ExportPolicy says who may export.
type ExportPolicy string

// The policies.
const (
	ExportViewer   ExportPolicy = "viewer"   // everybody who may read
	ExportOperator ExportPolicy = "operator" // operators and admins
	ExportOff      ExportPolicy = "off"      // nobody
)

// Require is nil where the policy lets the actor export, else Permanent, Forbidden.
func (p ExportPolicy) Require(a access.Actor) error {
	switch p {
	case ExportViewer:
		return a.Require(access.Viewer)
	case ExportOperator:
		return a.Require(access.Operator)
	default:
		return fault.Permanent(fault.Forbidden, errors.New("exporting is switched off here (THROUGHLINE_CONSOLE_EXPORT)"))
	}
}

// ExportQuery says what is exported, and in which form: exactly one of the queries is set. Their Limit does not count;
// with a Cursor the export goes on from there.
type ExportQuery struct {
	Timeline   *TimelineQuery
	Search     *SearchQuery
	Quarantine *QuarantineQuery
	Format     string // CSV or NDJSON
}

// Export is one that is allowed, and whose first page was read. Serve has to be called, once.
type Export struct {
	Name        string // of the file: letters, digits, dots and hyphens
	ContentType string

	query  ExportQuery
	list   exportList
	first  exportRows
	ended  func(rows int, complete bool, err error)
	header []string
}

// exportList reads a page of at most limit rows behind the cursor.
type exportList func(ctx context.Context, cursor string, limit int) (exportRows, error)

type exportRows struct {
	rows []exportRow
	next string
}

type exportRow struct {
	cells []string
	value any
}

// Export is Reader's.
func (b *Service) Export(ctx context.Context, q ExportQuery) (*Export, error) {
	by := access.ActorOf(ctx)
	record := func(action, result, why string, rows *int, complete bool) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), auditTime)
		defer cancel()
		return b.o.Access.Record(ctx, by, action, q.audited(rows, complete), result, why, false)
	}
	if err := b.o.Export.Require(by); err != nil {
		if failed := record("export", access.Refused, err.Error(), nil, false); failed != nil {
			return nil, failed
		}
		return nil, err
	}
	select {
	case b.exports <- struct{}{}:
	default:
		return nil, problem.Shown(fault.Transient(fault.Unavailable, fmt.Errorf("%d exports run already: try again when one of them has ended", exportsAtOnce)))
	}
	e, err := NewExport(ctx, b, q, func(rows int, complete bool, err error) {
		<-b.exports
		result := access.Done
		if err != nil {
			result = access.Failed
		}
		_ = record("export", result, "", &rows, complete) // beginExport is there
	})
	if err == nil {
		// Before the first byte leaves: what ends in the middle is on record too.
		err = record("beginExport", access.Done, "", nil, false)
	}
	if err != nil {
		<-b.exports
		return nil, err
	}
	return e, nil
}

// MayExport is Reader's.
func (b *Service) MayExport(ctx context.Context) bool {
	return b.o.Export.Require(access.ActorOf(ctx)) == nil
}

// NewExport reads the first page of an export, for a Reader's Export. ended is called when Serve is through, with how many
// rows it has written, whether these are all that there are, and what has ended it. Errors are those of the lists, and
// Malformed.
func NewExport(ctx context.Context, r Reader, q ExportQuery, ended func(rows int, complete bool, err error)) (*Export, error) {
	e := &Export{query: q, ended: ended}
	switch q.Format {
	case CSV:
		e.ContentType = "text/csv; charset=utf-8; header=present"
	case NDJSON:
		e.ContentType = "application/x-ndjson"
	default:
		return nil, malformed("format", "format is csv or ndjson")
	}
	var cursor string
	var name string
	switch {
	case q.Timeline != nil:
		name, cursor, e.header = "timeline-"+q.Timeline.Account.String(), q.Timeline.Cursor, eventHeader
		e.list = func(ctx context.Context, cursor string, limit int) (exportRows, error) {
			t := *q.Timeline
			t.Paging, t.WithoutBodies = Paging{cursor, limit}, q.Format == CSV
			p, err := r.Timeline(ctx, t)
			return exported(p.Items, p.Next, eventCells), err
		}
	case q.Search != nil:
		name, cursor, e.header = "search", q.Search.Cursor, append(slices.Clone(eventHeader), "account_name")
		e.list = func(ctx context.Context, cursor string, limit int) (exportRows, error) {
			s := *q.Search
			s.Paging = Paging{cursor, limit}
			p, err := r.Search(ctx, s)
			return exported(p.Items, p.Next, func(f api.Found) []string { return append(eventCells(f.Event), f.AccountName) }), err
		}
	case q.Quarantine != nil:
		name, cursor, e.header = "quarantine", q.Quarantine.Cursor, recordHeader
		e.list = func(ctx context.Context, cursor string, limit int) (exportRows, error) {
			s := *q.Quarantine
			s.Paging = Paging{cursor, limit}
			p, err := r.Quarantine(ctx, s)
			return exported(p.Items, p.Next, recordCells), err
		}
	}
	e.Name = "throughline-" + name + "." + q.Format
	var err error
	e.first, err = e.list(ctx, cursor, exportPage)
	return e, err
}

func exported[T any](items []T, next string, cells func(T) []string) exportRows {
	page := exportRows{next: next}
	for _, item := range items {
		page.rows = append(page.rows, exportRow{cells(item), item})
	}
	return page
}

var (
	eventHeader  = []string{"id", "occurred_at", "ingested_at", "account_id", "source", "event_type", "source_event_id", "subject"}
	recordHeader = []string{"id", "reason", "error", "source", "tenant", "event_type", "source_event_id", "references", "status", "outcome", "attempts", "first_seen", "last_seen", "topic", "partition", "offset"}
)

func eventCells(e api.Event) []string {
	return []string{strconv.FormatInt(e.ID, 10), stamp(e.OccurredAt), stamp(e.IngestedAt), e.AccountID.String(), e.Source, e.EventType, e.SourceEventID, e.Subject}
}

func recordCells(r api.QuarantineRecord) []string {
	refs := make([]string, len(r.References))
	for i, ref := range r.References {
		refs[i] = source.Reference{Source: ref.Source, Tenant: ref.Tenant, Kind: ref.Kind, ID: ref.ID}.String()
	}
	return []string{strconv.FormatInt(r.ID, 10), r.Reason, r.Error, r.Source, r.Tenant, r.EventType, r.SourceEventID, strings.Join(refs, " "), r.Status, r.Outcome,
		strconv.Itoa(int(r.Attempts)), stamp(r.FirstSeen), stamp(r.LastSeen), r.Topic, strconv.Itoa(int(r.Partition)), strconv.FormatInt(r.Offset, 10)}
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// Serve writes the export as a file, page by page, until ctx ends. What does not come to its end says so in its last line,
// with the cursor to go on with; where the reason is an error, it ends the connection too (http.ErrAbortHandler), so that
// no client takes it for whole.
func (e *Export) Serve(ctx context.Context, w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", e.ContentType)
	h.Set("Content-Disposition", `attachment; filename="`+e.Name+`"`)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Accel-Buffering", "no") // nginx
	w.WriteHeader(http.StatusOK)
	ctx, cancel := context.WithTimeout(ctx, exportTime)
	defer cancel()
	out := &exportWriter{to: w, control: http.NewResponseController(w)}
	rows, complete, err := e.write(ctx, bufio.NewWriterSize(out, 64<<10), out)
	e.ended(rows, complete, err)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// exportWriter gives each write its time.
type exportWriter struct {
	to      http.ResponseWriter
	control *http.ResponseController
}

// Write is io.Writer's.
func (w *exportWriter) Write(b []byte) (int, error) {
	_ = w.control.SetWriteDeadline(time.Now().Add(exportWrite)) // not every writer has one
	return w.to.Write(b)
}

// write gives how many rows are out, whether they are all, and what has ended it.
func (e *Export) write(ctx context.Context, buffer *bufio.Writer, out *exportWriter) (rows int, complete bool, err error) {
	if e.query.Format == CSV {
		if err := writeRecord(buffer, e.header); err != nil {
			return 0, false, err
		}
	}
	for page := e.first; ; {
		for _, row := range page.rows {
			if err := e.writeRow(buffer, row); err != nil {
				return rows, false, err
			}
		}
		if err := buffer.Flush(); err != nil {
			return rows, false, err
		}
		_ = out.control.Flush() // not every writer can
		rows += len(page.rows)
		if page.next == "" {
			return rows, true, nil
		}
		if rows >= MaxExport {
			return rows, false, e.writeEnd(buffer, fmt.Sprintf("cut after %d rows", rows), rows, page.next)
		}
		next, err := e.list(ctx, page.next, min(exportPage, MaxExport-rows))
		switch {
		case err == nil:
			page = next
		case errors.Is(ctx.Err(), context.DeadlineExceeded):
			return rows, false, e.writeEnd(buffer, "cut after "+exportTime.String(), rows, page.next)
		default:
			_ = e.writeEnd(buffer, "ended by an error", rows, page.next)
			return rows, false, err
		}
	}
}

func (e *Export) writeRow(buffer *bufio.Writer, row exportRow) error {
	if e.query.Format == CSV {
		return writeRecord(buffer, row.cells)
	}
	return writeJSON(buffer, row.value)
}

// writeEnd writes the line behind what is not all.
func (e *Export) writeEnd(buffer *bufio.Writer, why string, rows int, next string) error {
	var err error
	if e.query.Format == CSV {
		line := make([]string, len(e.header))
		line[0] = "# not complete: " + why + "; the rest is at the same address with cursor=" + next
		err = writeRecord(buffer, line)
	} else {
		err = writeJSON(buffer, struct {
			Incomplete string `json:"incomplete"`
			Rows       int    `json:"rows"`
			Next       string `json:"next"`
		}{why, rows, next})
	}
	if err != nil {
		return err
	}
	return buffer.Flush()
}

func writeJSON(buffer *bufio.Writer, value any) error {
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// writeRecord writes a line of RFC 4180, whose cells no spreadsheet takes for a formula.
func writeRecord(buffer *bufio.Writer, cells []string) error {
	safe := make([]string, len(cells))
	for i, cell := range cells {
		safe[i] = harmless(cell)
	}
	var line bytes.Buffer
	w := csv.NewWriter(&line)
	w.UseCRLF = true
	if err := w.Write(safe); err != nil {
		return err
	}
	w.Flush()
	_, err := buffer.Write(line.Bytes())
	return err
}

// harmless puts an apostrophe before what a spreadsheet would run as a formula: OWASP's list (CSV Injection), also behind
// spaces, which some take away, and in the wide forms that some read as the narrow ones.
func harmless(cell string) string {
	if strings.HasPrefix(cell, "\t") || strings.HasPrefix(cell, "\r") || strings.HasPrefix(cell, "\n") {
		return "'" + cell
	}
	start := strings.TrimLeftFunc(cell, func(r rune) bool { return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) || unicode.IsControl(r) })
	for _, sign := range []string{"=", "+", "-", "@", "＝", "＋", "－", "＠"} {
		if strings.HasPrefix(start, sign) {
			return "'" + cell
		}
	}
	return cell
}

// audited says what was exported for the audit log: the filters as a JSON object. Texts that people searched for are told
// by their digests, since the log is kept for good.
func (q ExportQuery) audited(rows *int, complete bool) string {
	a := struct {
		Of        string `json:"of"`
		Format    string `json:"format"`
		Account   string `json:"account,omitempty"`
		Source    string `json:"source,omitempty"`
		Type      string `json:"type,omitempty"`
		Reason    string `json:"reason,omitempty"`
		Status    string `json:"status,omitempty"`
		Reference string `json:"reference,omitempty"`
		Since     string `json:"since,omitempty"`
		Until     string `json:"until,omitempty"`
		Contains  string `json:"contains,omitempty"`
		Path      string `json:"path,omitempty"`
		Words     string `json:"words,omitempty"`
		Behind    bool   `json:"behind_cursor,omitempty"`
		Rows      *int   `json:"rows,omitempty"`
		Complete  *bool  `json:"complete,omitempty"`
	}{Format: told(q.Format), Rows: rows}
	if rows != nil {
		a.Complete = &complete
	}
	var since, until time.Time
	switch {
	case q.Timeline != nil:
		t := q.Timeline
		a.Of, a.Account, a.Source, a.Type, since, until, a.Behind = "timeline", t.Account.String(), told(t.Source), told(t.Type), t.Since, t.Until, t.Cursor != ""
	case q.Search != nil:
		s := q.Search
		a.Of, a.Source, a.Type, since, a.Behind = "search", told(s.Source), told(s.Type), s.Since, s.Cursor != ""
		a.Contains, a.Path, a.Words, a.Account = digest(s.Contains), digest(s.Path), digest(s.Words), s.Account
		if _, err := uuid.Parse(s.Account); err != nil {
			a.Account = digest(s.Account)
		}
	case q.Quarantine != nil:
		r := q.Quarantine
		a.Of, a.Reason, a.Source, a.Status, a.Reference, since, a.Behind = "quarantine", told(r.Reason), told(r.Source), told(r.Status), told(r.Reference), r.Since, r.Cursor != ""
	}
	if !since.IsZero() {
		a.Since = stamp(since)
	}
	if !until.IsZero() {
		a.Until = stamp(until)
	}
	text, _ := json.Marshal(a) // texts and numbers
	return string(text)
}

// told gives a filter as it is, and one that is too long or no text by its digest.
func told(text string) string {
	if len(text) > 200 || !source.IsText(text) {
		return digest(text)
	}
	return text
}

func digest(text string) string {
	if text == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:12])
}
