package marketoapi

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// job is a bulk export.
type job struct {
	id, status string
	polls      int
	noFile     int
	file       []byte
	records    int
}

// columns are those of an export of activities that names none.
var columns = []string{"marketoGUID", "leadId", "activityDate", "activityTypeId", "campaignId", "primaryAttributeValueId", "primaryAttributeValue", "attributes"}

func (a *API) exportRoutes(mux *http.ServeMux) {
	one := func(then func(http.ResponseWriter, *http.Request, *job)) http.Handler {
		return a.guard(func(w http.ResponseWriter, r *http.Request) {
			at := slices.IndexFunc(a.exports, func(j *job) bool { return j.id == r.PathValue("id") })
			if at < 0 {
				a.refuse(w, "1013", "Export job not found")
				return
			}
			then(w, r, a.exports[at])
		})
	}
	mux.Handle("POST /bulk/v1/activities/export/create.json", a.guard(a.createExport))
	mux.Handle("GET /bulk/v1/activities/export.json", a.guard(func(w http.ResponseWriter, _ *http.Request) {
		found := []map[string]any{}
		for _, j := range a.exports {
			found = append(found, a.told(j))
		}
		a.answer(w, found, nil)
	}))
	mux.Handle("POST /bulk/v1/activities/export/{id}/enqueue.json", one(a.enqueue))
	mux.Handle("GET /bulk/v1/activities/export/{id}/status.json", one(a.status))
	mux.Handle("GET /bulk/v1/activities/export/{id}/file.json", one(a.serveFile))
	mux.Handle("POST /bulk/v1/leads/export/create.json", a.guard(func(w http.ResponseWriter, _ *http.Request) {
		a.refuse(w, "1035", "Unsupported filter type for target subscription")
	}))
}

// overQuota refuses once the day's megabytes are used up.
func (a *API) overQuota(w http.ResponseWriter) bool {
	if a.ExportBytes < 0 {
		a.refuse(w, "1029", "Export daily quota 500MB exceeded.")
	}
	return a.ExportBytes < 0
}

func (a *API) createExport(w http.ResponseWriter, r *http.Request) {
	if a.overQuota(w) {
		return
	}
	var asked struct {
		Format string
		Fields []string
		Filter struct {
			CreatedAt       struct{ StartAt, EndAt time.Time }
			ActivityTypeIDs []int `json:"activityTypeIds"`
		}
	}
	err := json.NewDecoder(r.Body).Decode(&asked)
	from, to := asked.Filter.CreatedAt.StartAt, asked.Filter.CreatedAt.EndAt
	switch {
	case err != nil:
		a.refuse(w, "609", "Invalid JSON")
		return
	case from.IsZero() || to.Sub(from) > 31*24*time.Hour:
		a.refuse(w, "1003", "Invalid data: 'createdAt' must span 31 days at most")
		return
	}
	var found []Activity
	for _, one := range a.activities {
		ofType := len(asked.Filter.ActivityTypeIDs) == 0 || slices.Contains(asked.Filter.ActivityTypeIDs, one.Type)
		if one.Type != 37 && ofType && !one.At.Before(from) && !one.At.After(to) {
			found = append(found, one)
		}
	}
	j := &job{id: fmt.Sprintf("ce45a7a1-f19d-4ce2-882c-%012d", len(a.exports)), status: "Created", noFile: a.NoFile, file: file(found), records: len(found)}
	a.exports = append(a.exports, j)
	a.answer(w, []map[string]any{a.told(j)}, nil)
}

// file is the CSV of activities. What encoding/csv would write otherwise (it ends lines
// within a field in its own way) is written as it is.
func file(found []Activity) []byte {
	var out bytes.Buffer
	out.WriteString(strings.Join(columns, ",") + "\n")
	w := csv.NewWriter(&out)
	for _, one := range found {
		attributes := map[string]any{}
		for _, at := range one.Attributes {
			attributes[at.Name] = at.Value
		}
		text, _ := json.Marshal(attributes)
		orNull := func(n int64) string {
			if n == 0 {
				return "null"
			}
			return strconv.FormatInt(n, 10)
		}
		primary := one.Primary
		if primary == "" {
			primary = "null"
		}
		_ = w.Write([]string{strconv.FormatInt(one.GUID, 10), strconv.FormatInt(one.Lead, 10), one.At.UTC().Format(time.RFC3339), strconv.Itoa(one.Type),
			orNull(one.CampaignID), orNull(one.PrimaryID), primary, string(text)})
	}
	w.Flush()
	return out.Bytes()
}

func (a *API) enqueue(w http.ResponseWriter, _ *http.Request, j *job) {
	if a.overQuota(w) {
		return
	}
	waiting := 0
	for _, other := range a.exports {
		if other.status == "Queued" || other.status == "Processing" {
			waiting++
		}
	}
	const most = 10
	if waiting >= most {
		a.refuse(w, "1029", "Too many jobs (10) in queue")
		return
	}
	j.status, j.polls = "Queued", a.Polls
	a.answer(w, []map[string]any{a.told(j)}, nil)
}

func (a *API) status(w http.ResponseWriter, _ *http.Request, j *job) {
	switch {
	case j.status != "Queued" && j.status != "Processing":
	case j.polls > 0:
		j.polls--
		j.status = "Processing"
	default:
		j.status = "Completed"
		if a.ExportBytes > 0 {
			if a.ExportBytes -= int64(len(j.file)); a.ExportBytes <= 0 {
				a.ExportBytes = -1
			}
		}
	}
	a.answer(w, []map[string]any{a.told(j)}, nil)
}

func (a *API) told(j *job) map[string]any {
	m := map[string]any{"exportId": j.id, "status": j.status, "format": "CSV", "createdAt": stamp(a.now())}
	if j.status == "Completed" {
		sum := sha256.Sum256(j.file)
		if a.WrongChecksum {
			sum[0]++
		}
		m["numberOfRecords"], m["fileSize"], m["fileChecksum"], m["finishedAt"] = j.records, len(j.file), fmt.Sprintf("sha256:%x", sum), stamp(a.now().Add(-a.Finished))
	}
	return m
}

// serveFile knows ranges; what is wrong it says in plain text.
func (a *API) serveFile(w http.ResponseWriter, r *http.Request, j *job) {
	if j.status != "Completed" || j.noFile > 0 {
		j.noFile--
		w.Header().Set("Content-Type", "text/plain")
		http.Error(w, "file not found", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/csv")
	body := j.file
	from, to := 0, len(body)-1
	if given := r.Header.Get("Range"); given != "" {
		first, last, _ := strings.Cut(strings.TrimPrefix(given, "bytes="), "-")
		from, _ = strconv.Atoi(first)
		if n, err := strconv.Atoi(last); err == nil {
			to = min(n, to)
		}
		if from > to {
			http.Error(w, "range", http.StatusRequestedRangeNotSatisfiable)
			return
		}
		w.Header().Set("Accept-Ranges", "bytes")
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(body)))
		w.WriteHeader(http.StatusPartialContent)
	}
	body = body[from : to+1]
	if a.ShortRange > 0 {
		a.ShortRange--
		body = body[:len(body)-1]
	}
	_, _ = w.Write(body)
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// Change changes an export's file, which then is not what its status says.
func (a *API) Change(export int, change func(file []byte) []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.exports[export].file = change(a.exports[export].file)
}
