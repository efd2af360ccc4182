package hubspot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/throughline-dev/throughline/pkg/fault"
	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// journalPage reads one entry of the webhooks journal: where it lies, and then the
// file, which has some thousand events at most.
//
// A 204 is the end; so is a 404 where nothing is in the journal at all. A 404 for an
// offset says that HubSpot, which keeps three days, has forgotten it: what happened
// between is lost to the journal (Stream.Keeps), and the walk begins with the earliest.
// Sources: developers.hubspot.com "Webhook journal APIs"; the form of a file's events,
// which no page of the documentation has: sejal27/sej-webhooks-journal, an application
// by one of HubSpot's people.
func (h hubspot) journalPage(ctx context.Context, api source.Doer, q source.Query) (source.APIPage, error) {
	entry, err := get(ctx, api, h.journalPath(string(q.Cursor)))
	switch {
	case entry.status == http.StatusNotFound && q.Cursor == nil, entry.status == http.StatusNoContent:
		return source.APIPage{}, nil
	case entry.status == http.StatusNotFound:
		return source.APIPage{}, fmt.Errorf("the journal has forgotten the offset: %w (%w)", err, source.ErrCursorGone)
	case err != nil:
		return source.APIPage{}, fmt.Errorf("reading the journal: %w", err)
	}
	offset, address := entry.top.Get("currentOffset").Text(), entry.top.Get("url").Text()
	switch {
	case offset == "" || len(offset) > source.MaxCursorBytes:
		return source.APIPage{}, lie(errors.New("the journal's entry has no currentOffset that is a text"))
	case offset == string(q.Cursor):
		return source.APIPage{}, lie(errors.New("the cursor does not move: the journal gives the same offset again"))
	}
	file, err := journalFile(ctx, api, address)
	if err != nil {
		return source.APIPage{}, err
	}
	events := file.Get("journalEvents")
	if events.Kind() != rawjson.Array {
		return source.APIPage{}, lie(errors.New("the journal's file has no array of journalEvents"))
	}
	page := source.APIPage{Next: []byte(offset), Others: 1}
	for _, event := range events.Elements() {
		if !slices.Contains(h.o.Portals, AllPortals) && !slices.Contains(h.o.Portals, id(event.Get("portalId"))) {
			continue // another customer's of the app
		}
		if at, err := source.ParseTime(event.Get("occurredAt").Literal()); err == nil && (at.Before(q.From) || !at.Before(q.To)) {
			continue
		}
		for _, notice := range journalNotices(event) {
			text, err := json.Marshal(notice)
			if err != nil {
				return source.APIPage{}, lie(fmt.Errorf("an event of the journal cannot be written: %w", err))
			}
			page.Parts = append(page.Parts, source.Part{Value: text})
		}
	}
	return page, nil
}

// journalPath is that of the entry after an offset, or of the earliest.
func (h hubspot) journalPath(offset string) string {
	path, ask := "/webhooks-journal/journal/", ""
	if len(h.o.Portals) == 1 && h.o.Portals[0] != AllPortals {
		path, ask = "/webhooks-journal/journal-local/", "?installPortalId="+queryEscape(h.o.Portals[0])
	}
	path += h.version()
	if offset == "" {
		return path + "/earliest" + ask
	}
	return path + "/offset/" + url.PathEscape(offset) + "/next" + ask
}

// journalFile reads the file of an entry. Its address holds its own permission, for
// some minutes, and gets no key. One that has expired is asked for anew.
func journalFile(ctx context.Context, api source.Doer, address string) (rawjson.Value, error) {
	r, err := http.NewRequestWithContext(source.WithoutKey(ctx), http.MethodGet, address, nil)
	if err != nil || address == "" {
		return rawjson.Value{}, lie(errors.New("the journal's entry has no url"))
	}
	file, err := do(api, r)
	if file.status == http.StatusForbidden || file.status == http.StatusNotFound || file.status == http.StatusBadRequest {
		return rawjson.Value{}, fault.Transient(fault.Malformed, fmt.Errorf("the address of the journal's file has expired: the file's host answered %d", file.status))
	}
	if err != nil {
		return rawjson.Value{}, fmt.Errorf("reading the journal's file: %w", err)
	}
	return file.top, nil
}

// journalActions are the journal's words for what webhooks tell.
var journalActions = map[string]string{
	"CREATE": "creation", "UPDATE": actionProperty, "DELETE": "deletion", "MERGE": actionMerge, "RESTORE": "restore",
	"ASSOCIATION_ADDED": actionAssociation, "ASSOCIATION_REMOVED": actionAssociation, "GDPR_DELETE": "privacyDeletion",
}

// journalNotices makes of a journal's event what webhooks would have told: for an
// update one notice for each property. What tells of the app and not of an object
// (installations), or was asked for (snapshots), is left out.
func journalNotices(event rawjson.Value) []map[string]json.RawMessage {
	action := event.Get("action").Text()
	base := map[string]json.RawMessage{}
	for name, member := range event.Members() {
		switch name {
		case "action", "type", "propertyChanges", "associatedObjectId", "associatedObjectTypeId":
		default:
			base[name] = member.Bytes()
		}
	}
	what, ok := journalActions[action]
	if !ok {
		what = strings.ToLower(action)
	}
	base["subscriptionType"], base["api"] = quoted(thingObject+"."+what), quoted(journal)
	switch {
	case action == "" || action == "SNAPSHOT" || strings.HasPrefix(action, "APP_"):
		return nil
	case what == actionAssociation:
		base["fromObjectId"], base["fromObjectTypeId"] = base["objectId"], base["objectTypeId"]
		base["toObjectId"], base["toObjectTypeId"] = event.Get("associatedObjectId").Bytes(), event.Get("associatedObjectTypeId").Bytes()
		delete(base, "objectId")
		delete(base, "objectTypeId")
		if action == "ASSOCIATION_REMOVED" {
			base["associationRemoved"] = json.RawMessage("true")
		}
		maps.DeleteFunc(base, func(_ string, member json.RawMessage) bool { return member == nil })
		return []map[string]json.RawMessage{base}
	case what != actionProperty:
		return []map[string]json.RawMessage{base}
	}
	var notices []map[string]json.RawMessage
	for property, change := range event.Get("propertyChanges").Members() {
		value := change
		if change.Kind() == rawjson.Object {
			value = change.Get("value")
		}
		notice := maps.Clone(base)
		notice["propertyName"] = quoted(property)
		if value.Exists() {
			notice["propertyValue"] = value.Bytes()
		}
		notices = append(notices, notice)
	}
	return notices
}

func quoted(text string) json.RawMessage {
	out, _ := json.Marshal(text) // a string always can be
	return out
}

func queryEscape(text string) string { return url.QueryEscape(text) }
