package salesforce

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Describe reads a notification's record, a change event or a record of the REST
// API; see the package comment.
func (salesforce) Describe(r source.Record) (source.Event, error) {
	tenant := r.Tenant
	if id, ok := ID(tenant); ok {
		tenant = id
	}
	if c, ok := changeOf(r.Object); ok {
		return c.describe(r, tenant)
	}
	if notification := r.Object.Get("Notification"); notification.Exists() {
		if id, ok := ID(r.Object.Get("OrganizationId").Text()); ok {
			tenant = id
		}
		return describeRecord(notification.Get("sObject"), notification.Get("Id").Text(), r, tenant)
	}
	return describeRecord(r.Object, "", r, tenant)
}

// describeRecord describes a record of Salesforce's as it was at a time, which r is
// or holds. notification is the id of the one that brought it, or "".
func describeRecord(object rawjson.Value, notification string, r source.Record, tenant string) (source.Event, error) {
	kind := object.At("attributes", "type").Text()
	record, _ := ID(object.Get("Id").Text())
	stamp := object.Get("SystemModstamp")
	event := source.Event{Tenant: tenant, Type: typeOf(kind, "changed")}
	if object.Get("IsDeleted").Is("true") || object.Get("IsDeleted").Bool() {
		event.Type = typeOf(kind, "deleted")
	}
	told, isNotification := ID(notification)
	at, err := source.ParseTime(stamp.Literal())
	switch {
	case kind == "" || record == "" && !isNotification:
		return source.Event{}, source.Malformed("this is no notification (Notification.Id, the type of its sObject), no change event (ChangeEventHeader) and no record (attributes.type, Id, SystemModstamp)")
	case err == nil && record != "":
		event.ID = source.ID(tenant, record, strconv.FormatInt(at.UnixMilli(), 10))
	case isNotification:
		event.ID = source.ID(tenant, told)
	default:
		return source.Event{Type: event.Type, Tenant: tenant}, source.Malformed("the record has no SystemModstamp that can be read, which its identity needs")
	}
	if event.OccurredAt, err = changedAt(object, r.ReceivedAt); err != nil {
		return event, err
	}
	if !r.Brief {
		event.References, event.Subject = references(object, kind, record, tenant), subject(object)
	}
	return event, nil
}

// changedAt is when the record was changed last, or the receipt.
func changedAt(object rawjson.Value, received time.Time) (time.Time, error) {
	for _, field := range [...]string{"SystemModstamp", "LastModifiedDate"} {
		v := object.Get(field)
		if !v.Exists() || v.Kind() == rawjson.Null {
			continue
		}
		at, err := source.ParseTime(v.Literal())
		if err != nil {
			return at, fmt.Errorf("reading %s: %w", field, err)
		}
		return at, nil
	}
	return received, nil
}

func subject(object rawjson.Value) string {
	for _, field := range [...]string{"Subject", "Name", "CaseNumber"} {
		v := object.Get(field)
		if text := v.Text(); text != "" {
			return text
		}
		if name := strings.TrimSpace(v.Get("FirstName").Text() + " " + v.Get("LastName").Text()); name != "" {
			return name // a change event of a person
		}
	}
	return ""
}

// typeOf names what happened to a record of this object: Invoice__c is invoice.changed.
func typeOf(object, happened string) string {
	return source.TypeName(strings.TrimSuffix(object, "__c") + "." + happened)
}

func eventTypes() (types []source.EventType) {
	for _, o := range objects {
		types = append(types, source.EventType{Vendor: o.name, Type: typeOf(o.name, "changed")})
	}
	types = append(types,
		source.EventType{Vendor: "Invoice__c (any object of your own)", Type: "invoice.changed"},
		source.EventType{Vendor: "Account, IsDeleted (so of any object)", Type: "account.deleted"})
	for _, c := range changes {
		types = append(types, source.EventType{Vendor: "AccountChangeEvent " + c.vendor + " (so of any object)", Type: typeOf("Account", c.happened)})
	}
	return types
}
