package marketo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// The facts of bulk extract. Source: Adobe's developer guide, "Bulk Extract" and "Bulk
// Activity Extract" (31 days an export; two at work and ten waiting; its status changes
// once a minute at most; a file is kept for seven days, its status for thirty; 404 where
// there is no file; 500 MB a day). That a completed export may be without its file for a
// while, and its values with NUL and CR, is what tap-marketo 2.2.9, 2.4.2 and 2.4.3 met.
const (
	mostExport = 31 * day
	keepsFile  = 7 * day
	exportPath = "/bulk/v1/activities/export/"
	statusWait = time.Minute
	// chunk is how much of a file is asked for at a time.
	chunk = 4 << 20
	// mostChunks bounds how many of them one page takes for the checksum.
	mostChunks = 16
)

// export is where a bulk export is. Its file is read twice: for the checksum, before
// anything of it goes on, and then for its lines.
type export struct {
	ID       string `json:"id"`
	Size     int64  `json:"size,omitempty"`
	Checksum string `json:"checksum,omitempty"` // of sha256, in hexadecimal
	Offset   int64  `json:"offset,omitempty"`
	Sum      []byte `json:"sum,omitempty"` // the state of the hash, at the offset
	Verified bool   `json:"verified,omitempty"`
	Columns  string `json:"columns,omitempty"` // with commas
}

// exported is Page for an export: created, then enqueued and waited for, then read.
func exported(ctx context.Context, api source.Doer, q source.Query) (page source.APIPage, err error) {
	var at export
	switch {
	case q.Cursor == nil:
		at, err = createExport(ctx, api, q)
	case json.Unmarshal(q.Cursor, &at) != nil || !isID(at.ID):
		return page, fault.Permanent(fault.Malformed, fmt.Errorf("the cursor cannot be read (%w)", source.ErrCursorGone))
	case at.Size == 0:
		var empty bool
		if empty, err = at.wait(ctx, api); empty {
			return page, err
		}
	case !at.Verified:
		err = at.verify(ctx, api)
	default:
		page, err = at.read(ctx, api, q)
		if err == nil && at.Offset == at.Size {
			return page, nil
		}
	}
	if err != nil {
		return source.APIPage{}, err
	}
	page.Next, err = json.Marshal(at)
	return page, err
}

// createExport makes a job. One that is never enqueued costs nothing.
func createExport(ctx context.Context, api source.Doer, q source.Query) (export, error) {
	type period struct {
		StartAt string `json:"startAt"`
		EndAt   string `json:"endAt"` // included
	}
	type filter struct {
		CreatedAt       period  `json:"createdAt"`
		ActivityTypeIDs []int64 `json:"activityTypeIds,omitempty"`
	}
	f := filter{CreatedAt: period{q.From.UTC().Format(time.RFC3339), q.To.UTC().Add(-time.Second).Format(time.RFC3339)}}
	for _, t := range q.Types {
		id, err := strconv.ParseInt(t, 10, 64)
		if err != nil {
			return export{}, fault.Permanent(fault.Malformed, fmt.Errorf("%.20q is no number of an activity type", t))
		}
		f.ActivityTypeIDs = append(f.ActivityTypeIDs, id)
	}
	body, err := json.Marshal(struct {
		Format string `json:"format"`
		Filter filter `json:"filter"`
	}{"CSV", f})
	if err != nil {
		return export{}, fault.Permanent(fault.Malformed, err)
	}
	job, err := askJob(ctx, api, http.MethodPost, "create.json", body)
	if err != nil {
		return export{}, err
	}
	at := export{ID: job.Get("exportId").Text()}
	if !isID(at.ID) {
		return export{}, lie("the export that was created has no exportId")
	}
	return at, nil
}

// askJob gives the one job of an answer.
func askJob(ctx context.Context, api source.Doer, method, path string, body []byte) (rawjson.Value, error) {
	answer, err := request(ctx, api, method, exportPath+path, nil, body)
	if err != nil {
		return rawjson.Value{}, err
	}
	for _, job := range answer.Get("result").Elements() {
		return job, nil
	}
	return rawjson.Value{}, lie("the answer tells of no export")
}

// wait enqueues the job, asks how it is, and takes its size and checksum once it is
// completed. Until then the error is Transient, with the minute after which its status
// may be another. empty: there is nothing in it.
func (x *export) wait(ctx context.Context, api source.Doer) (empty bool, err error) {
	job, err := x.status(ctx, api)
	if err != nil {
		return false, err
	}
	status := job.Get("status").Text()
	switch status {
	case "Created":
		if _, err := askJob(ctx, api, http.MethodPost, x.ID+"/enqueue.json", []byte("{}")); err != nil {
			return false, err
		}
		return false, waiting("enqueued")
	case "Queued", "Processing":
		return false, waiting(strings.ToLower(status))
	case "Completed":
	case "Failed", "Canceled", "Cancelled":
		return false, fault.Permanent(fault.Unavailable, fmt.Errorf("the export %s is %s (%w)", x.ID, strings.ToLower(status), source.ErrCursorGone))
	default:
		return false, lie("the export has a status that there is not")
	}
	if n, ok := job.Get("numberOfRecords").Int(); ok && n == 0 {
		return true, nil
	}
	size, ok := job.Get("fileSize").Int()
	sum, named := strings.CutPrefix(job.Get("fileChecksum").Text(), "sha256:")
	if _, err := hex.DecodeString(sum); !ok || size <= 0 || !named || err != nil || len(sum) != hex.EncodedLen(sha256.Size) {
		return false, lie("the completed export has no fileSize or no fileChecksum of sha256")
	}
	x.Size, x.Checksum = size, strings.ToLower(sum)
	return false, nil
}

func waiting(how string) error {
	return source.Later(fault.Transient(fault.Unavailable, fmt.Errorf("the export is %s", how)), statusWait)
}

func (x *export) status(ctx context.Context, api source.Doer) (rawjson.Value, error) {
	return askJob(ctx, api, http.MethodGet, x.ID+"/status.json", nil)
}

// verify reads on for the checksum.
func (x *export) verify(ctx context.Context, api source.Doer) error {
	sum, err := x.sum()
	if err != nil {
		return err
	}
	for range mostChunks {
		if x.Offset == x.Size {
			break
		}
		part, err := x.part(ctx, api)
		if err != nil {
			return err
		}
		_, _ = sum.Write(part)
		x.Offset += int64(len(part))
	}
	if x.Offset < x.Size {
		return x.keep(sum)
	}
	if hex.EncodeToString(sum.Sum(nil)) != x.Checksum {
		return fault.Permanent(fault.Malformed, fmt.Errorf("the file of the export %s is not what its checksum says (%w)", x.ID, source.ErrCursorGone))
	}
	x.Verified, x.Offset, x.Sum = true, 0, nil
	return nil
}

// sum is the hash of what was read.
func (x *export) sum() (hash.Hash, error) {
	h := sha256.New()
	if x.Sum == nil {
		return h, nil
	}
	if err := h.(encoding.BinaryUnmarshaler).UnmarshalBinary(x.Sum); err != nil {
		return nil, fault.Permanent(fault.Malformed, fmt.Errorf("the cursor cannot be read (%w)", source.ErrCursorGone))
	}
	return h, nil
}

func (x *export) keep(h hash.Hash) (err error) {
	x.Sum, err = h.(encoding.BinaryMarshaler).MarshalBinary()
	return err
}

// part asks for what follows the offset.
func (x *export) part(ctx context.Context, api source.Doer) ([]byte, error) {
	last := min(x.Offset+chunk, x.Size) - 1
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, exportPath+x.ID+"/file.json", nil)
	if err != nil {
		return nil, fault.Permanent(fault.Malformed, fmt.Errorf("asking for the file: %w", err))
	}
	r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", x.Offset, last))
	resp, err := api.Do(r)
	if err != nil {
		return nil, err
	}
	want := last - x.Offset + 1
	switch resp.StatusCode {
	case http.StatusPartialContent:
		if given := resp.Header.Get("Content-Range"); given != fmt.Sprintf("bytes %d-%d/%d", x.Offset, last, x.Size) {
			resp.Body.Close()
			return nil, lie("the answer is another part of the file than was asked for")
		}
	case http.StatusOK: // all of it, or an error
		if x.Offset != 0 || want != x.Size {
			want = -1
		}
	case http.StatusNotFound:
		resp.Body.Close()
		return nil, x.missing(ctx, api, resp.Header)
	default:
		_, err := source.ReadAnswer(resp)
		return nil, err
	}
	defer resp.Body.Close()
	part, err := readFile(resp.Body, chunk)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK && bytes.HasPrefix(part, []byte("{")) {
		_, err := check(part, resp.Header)
		if errors.Is(err, errToken) {
			source.TokenRefused(api)
			return nil, fault.Transient(fault.Unavailable, err)
		}
		if err != nil {
			return nil, err
		}
	}
	if int64(len(part)) != want {
		return nil, lie("the file's part has %d bytes where %d were asked for", len(part), last-x.Offset+1)
	}
	return part, nil
}

// missing says whether the file is not there yet, or no more.
func (x *export) missing(ctx context.Context, api source.Doer, h http.Header) error {
	job, err := x.status(ctx, api)
	if err != nil {
		return err
	}
	finished, err := source.ParseTime(job.Get("finishedAt").Text())
	if !job.Get("status").Is("Completed") || err == nil && now(h).Sub(finished) > keepsFile {
		return fault.Permanent(fault.NotFound, fmt.Errorf("the file of the export %s is gone (%w)", x.ID, source.ErrCursorGone))
	}
	return waiting("completed, but has no file yet")
}

// read gives the lines of a part of the file, up to the last that is whole.
func (x *export) read(ctx context.Context, api source.Doer, q source.Query) (page source.APIPage, err error) {
	part, err := x.part(ctx, api)
	if err != nil {
		return page, err
	}
	lines := csv.NewReader(bytes.NewReader(part))
	lines.FieldsPerRecord, lines.LazyQuotes, lines.ReuseRecord = -1, true, true
	final := x.Offset+int64(len(part)) == x.Size
	columns, end := strings.Split(x.Columns, ","), int64(0)
	for {
		fields, err := lines.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return source.APIPage{}, fault.Permanent(fault.Malformed, fmt.Errorf("the file of the export %s is no CSV at byte %d", x.ID, x.Offset+end))
		}
		if lines.InputOffset() == int64(len(part)) && !final {
			break // it may go on in the next part
		}
		end = lines.InputOffset()
		if x.Columns == "" {
			if x.Columns = strings.TrimPrefix(strings.Join(fields, ","), "\ufeff"); !strings.Contains(","+x.Columns+",", ",marketoGUID,") || len(x.Columns) > source.MaxCursorBytes/4 {
				return source.APIPage{}, fault.Permanent(fault.Malformed, fmt.Errorf("the file of the export %s has no column marketoGUID", x.ID))
			}
			columns = strings.Split(x.Columns, ",")
			continue
		}
		value, at := activityOf(columns, fields)
		if !at.IsZero() && (at.Before(q.From) || !at.Before(q.To)) {
			page.Others++
			continue
		}
		page.Parts = append(page.Parts, source.Part{Value: value})
	}
	if end == 0 {
		return source.APIPage{}, fault.Permanent(fault.Oversized, fmt.Errorf("the file of the export %s has a line of more than %d bytes", x.ID, len(part)))
	}
	x.Offset += end
	if final {
		x.Offset = x.Size
	}
	page.Others++ // a part of one line is no empty page
	return page, nil
}

// numbers are the columns that the REST API gives as numbers.
var numbers = map[string]bool{"leadId": true, "activityTypeId": true, "campaignId": true, "primaryAttributeValueId": true}

// activityOf makes of a line what the REST API gives: numbers, no member for null, and
// the attributes as an array of names and values, where the file has the text of a JSON
// object. NUL, which a file has where something broke, is left out. What is no
// activity is the text of its fields, for somebody to see.
func activityOf(columns, fields []string) (value []byte, at time.Time) {
	if len(fields) != len(columns) {
		value, _ = json.Marshal(strings.Join(fields, ","))
		return value, at
	}
	value = append(value, '{')
	for i, column := range columns {
		text := fields[i]
		if strings.IndexByte(text, 0) >= 0 {
			text = strings.ReplaceAll(text, "\x00", "")
		}
		if text == "" || text == "null" {
			continue
		}
		if len(value) > 1 {
			value = append(value, ',')
		}
		name, _ := json.Marshal(column)
		value = append(append(value, name...), ':')
		quoted, _ := json.Marshal(text)
		switch {
		case numbers[column] && isNumber(text):
			value = append(value, text...)
		case column == "attributes":
			value = append(value, attributesArray(text, quoted)...)
		default:
			value = append(value, quoted...)
		}
		if column == "activityDate" {
			at, _ = source.ParseTime(text)
		}
	}
	return append(value, '}'), at
}

func isNumber(text string) bool {
	const most = 18
	return len(text) <= most && strings.Trim(text, "0123456789") == "" && (text == "0" || text[0] != '0')
}

// attributesArray gives the REST form of attributes, or else the text.
func attributesArray(text string, quoted []byte) []byte {
	attributes, err := new(rawjson.Doc).ParseBody([]byte(text), 0)
	if err != nil || attributes.Kind() != rawjson.Object {
		return quoted
	}
	out := []byte{'['}
	for name, v := range attributes.Members() {
		if len(out) > 1 {
			out = append(out, ',')
		}
		encoded, _ := json.Marshal(name)
		out = append(append(out, `{"name":`...), encoded...)
		out = append(append(append(out, `,"value":`...), v.Bytes()...), '}')
	}
	return append(out, ']')
}

// isID: what may stand in a path.
func isID(text string) bool {
	return isName(strings.ReplaceAll(text, "-", ""))
}
