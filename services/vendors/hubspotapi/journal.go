package hubspotapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Journal is the webhooks journal: entries, each of which is a file of events.
type Journal struct {
	entries []entry
	expired bool // the addresses of files
}

type entry struct {
	offset    string
	published time.Time
	events    []json.RawMessage
}

const filePath = "/journal-files/"

var journalPath = regexp.MustCompile(`^/webhooks-journal/(journal|journal-local)/\d{4}-\d{2}(?:-beta)?/(earliest|latest|offset/([^/]+)/next)$`)

// Journal adds an entry with these events, under an offset of its own, which it gives.
func (a *API) Journal(published time.Time, events ...string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := entry{offset: fmt.Sprintf("550e8400-e29b-41d4-a716-%012d", len(a.journal.entries)+1), published: published}
	for _, event := range events {
		e.events = append(e.events, json.RawMessage(event))
	}
	a.journal.entries = append(a.journal.entries, e)
	return e.offset
}

// Forget takes the journal's entries of before this time away, as HubSpot does after
// three days.
func (a *API) Forget(before time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.journal.entries = slices.DeleteFunc(a.journal.entries, func(e entry) bool { return e.published.Before(before) })
}

// Expire lets the addresses of files be refused, or be good again.
func (a *API) Expire(expired bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.journal.expired = expired
}

func (a *API) serveJournal(w http.ResponseWriter, r *http.Request) bool {
	m := journalPath.FindStringSubmatch(r.URL.Path)
	if m == nil || r.Method != http.MethodGet {
		return false
	}
	entries := a.journal.entries
	switch {
	case len(entries) == 0 && m[3] == "":
		w.WriteHeader(http.StatusNoContent)
		return true
	case m[2] == "latest":
		entries = entries[len(entries)-1:]
	case m[3] != "":
		at := slices.IndexFunc(entries, func(e entry) bool { return e.offset == m[3] })
		if at < 0 {
			refuse(w, http.StatusNotFound, "OBJECT_NOT_FOUND", "the offset has expired or does not exist")
			return true
		}
		entries = entries[at+1:]
		if len(entries) == 0 {
			w.WriteHeader(http.StatusNoContent)
			return true
		}
	}
	address := "http://" + r.Host + filePath + entries[0].offset + "?X-Amz-Signature=0123456789abcdef"
	if m[1] == "journal-local" {
		address += "&portal=" + r.URL.Query().Get("installPortalId")
	}
	write(w, http.StatusOK, map[string]any{"currentOffset": entries[0].offset, "url": address, "expiresAt": stamp(time.Now().Add(5 * time.Minute))})
	return true
}

// serveFile gives an entry's file to whoever has its address, as S3 does: a key beside
// the signature is refused.
func (a *API) serveFile(w http.ResponseWriter, r *http.Request) {
	at := slices.IndexFunc(a.journal.entries, func(e entry) bool { return filePath+e.offset == r.URL.Path })
	q := r.URL.Query()
	if r.Header.Get("Authorization") != "" || q.Get("X-Amz-Signature") == "" || at < 0 || a.journal.expired {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>`)
		return
	}
	e := a.journal.entries[at]
	events := []json.RawMessage{}
	for _, event := range e.events {
		if portal := q.Get("portal"); portal == "" || strings.Contains(string(event), `"portalId":`+portal+",") {
			events = append(events, event)
		}
	}
	write(w, http.StatusOK, map[string]any{"offset": e.offset, "publishedAt": stamp(e.published), "journalEvents": events})
}

// JournalEvent gives an event of the journal in its form; more are members with a comma
// before them.
func JournalEvent(portal int64, objectType string, object int64, action string, at time.Time, more string) string {
	return fmt.Sprintf(`{"type":"object","portalId":%d,"occurredAt":%q,"action":%q,"objectTypeId":%q,"objectId":%s%s}`,
		portal, stamp(at), action, objectType, strconv.FormatInt(object, 10), more)
}
