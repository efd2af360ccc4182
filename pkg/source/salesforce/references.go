package salesforce

import (
	"strings"

	"github.com/throughline-dev/throughline/pkg/rawjson"
	"github.com/throughline-dev/throughline/pkg/source"
)

// object is a standard object whose records point at a customer.
type object struct{ name, kind, prefix string }

// objects, the most telling first: a record's account is whose event it is.
// Source: "Standard Field Record ID Prefix Decoder".
var objects = []object{
	{"Account", "account", "001"},
	{"Contact", "contact", "003"},
	{"Lead", "lead", "00Q"},
	{"Opportunity", "opportunity", "006"},
	{"Case", "case", "500"},
	{"Contract", "contract", "800"},
	{"Order", "order", "801"},
	{"Asset", "asset", "02i"},
}

// lookups are the fields that hold the id of whom a record is about. ParentId is
// another account's on an account, and a case's on its comment.
var lookups = []string{
	"AccountId", "Account__c", "ContactId", "Contact__c", "WhoId", "WhatId", "OpportunityId", "Opportunity__c", "CaseId",
	"ConvertedAccountId", "ConvertedContactId", "ConvertedOpportunityId", "ContractId", "OrderId", "AssetId",
}

// references reads the fields of a record; id is the record's own.
func references(o rawjson.Value, kind, id, tenant string) []source.Reference {
	refs := source.References{Source: name, Tenant: tenant}
	byStranger := kind == "Lead" || kind == "Case"
	if kind == "Account" {
		for field, value := range o.Members() {
			if isAccountUUID(strings.ToLower(strings.ReplaceAll(strings.TrimSuffix(field, "__c"), "_", ""))) {
				refs.Add(source.KindAccountUUID, value.Text())
			}
		}
	}
	for _, want := range objects {
		if strings.HasPrefix(id, want.prefix) {
			refs.Add(want.kind, id)
		}
		for _, field := range lookups {
			if byStranger && strings.HasSuffix(field, "__c") {
				continue
			}
			if id, ok := ID(o.Get(field).Text()); ok && strings.HasPrefix(id, want.prefix) {
				refs.Add(want.kind, id)
			}
		}
	}
	for _, field := range [...]string{"Email", "PersonEmail", "ContactEmail", "SuppliedEmail"} {
		refs.Add(source.KindEmail, o.Get(field).Text())
	}
	if kind == "Account" {
		refs.Add(source.KindDomain, o.Get("Website").Text())
	}
	return refs.List()
}

// isAccountUUID knows the field of an account that holds its id here, by its name in
// lower case and without underscores.
func isAccountUUID(field string) bool {
	return field == "accountuuid" || field == "throughlineaccountuuid" || field == "throughlineaccountid"
}
