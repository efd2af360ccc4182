package salesforce

import (
	"fmt"
	"strings"
	"time"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// Describe reads a notification's record; see the package comment.
func (salesforce) Describe(r source.Record) (source.Event, error) {
	notification := r.Object.Get("Notification")
	object := notification.Get("sObject")
	id, ok := ID(notification.Get("Id").Text())
	kind := object.At("attributes", "type").Text()
	if !ok || kind == "" {
		return source.Event{}, source.Malformed("this is no notification of an outbound message: it needs Notification.Id and the type of its sObject")
	}
	tenant, ok := ID(r.Object.Get("OrganizationId").Text())
	if !ok {
		tenant = r.Tenant
	}
	event := source.Event{ID: source.ID(tenant, id), Type: typeOf(kind), Tenant: tenant}
	var err error
	if event.OccurredAt, err = changedAt(object, r.ReceivedAt); err != nil {
		return event, err
	}
	event.References, event.Subject = references(object, kind, tenant), subject(object)
	return event, nil
}

// changedAt is when the record was changed last, or the receipt.
func changedAt(object rawjson.Value, received time.Time) (time.Time, error) {
	for _, field := range [...]string{"LastModifiedDate", "SystemModstamp"} {
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
		if text := object.Get(field).Text(); text != "" {
			return text
		}
	}
	return ""
}

// typeOf names the change of a record of this object: Invoice__c is invoice.changed.
func typeOf(object string) string {
	return source.TypeName(strings.TrimSuffix(object, "__c") + ".changed")
}

func eventTypes() (types []source.EventType) {
	for _, o := range objects {
		types = append(types, source.EventType{Vendor: o.name, Type: typeOf(o.name)})
	}
	return append(types, source.EventType{Vendor: "Invoice__c (any object of your own)", Type: "invoice.changed"})
}
