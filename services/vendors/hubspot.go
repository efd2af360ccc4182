package vendors

// hubspotVendor: arrays of notices, of the classic subscriptions and of custom objects.
// Shapes: developers.hubspot.com webhooks guide, and its changelog "New
// subscription types for Webhooks" for merges and associations.
func hubspotVendor() *vendor {
	v := &vendor{name: "hubspot", tenant: "62515", numericTenant: true, kinds: map[string]string{
		"company": "number company 7000000000 33", "contact": "number contact 90000000 33", "deal": "number deal 267000000000 36",
		"ticket": "number ticket 5500000000 33", "conversation": "number conversation 5530000000 33", "line_item": "number line 8800000000 33",
		"product": "number product 1200000000 33", "object": "typed 2-4040/ 901 33",
	}}
	// A property of each thing that changes often and points at nobody, and one
	// whose change has a type of its own.
	things := []struct{ name, property, value, stage, to string }{
		{"contact", "hs_lead_status", "OPEN", "lifecyclestage", "company"},
		{"company", "industry", "ROBOTICS", "lifecyclestage", "contact"},
		{"deal", "amount", "1299.00", "dealstage", "company"},
		{"ticket", "hs_ticket_priority", "HIGH", "hs_pipeline_stage", "company"},
		{"line_item", "quantity", "12", "", "deal"},
		{"product", "price", "99.00", "", "deal"},
		{"conversation", "status", "CLOSED", "", ""},
		{"object", "status", "active", "", "company"},
	}
	stages := map[string]string{"lifecyclestage": "customer", "dealstage": "closed_won", "hs_pipeline_stage": "4"}
	for _, t := range things {
		object := `, "objectId": {{refnumber ` + t.name + `}}`
		if t.name == "object" {
			object = `, "objectTypeId": "{{refhead object}}", "objectId": {{reftail object}}`
		}
		add := func(action, suffix, object, detail string) {
			v.forms = append(v.forms, &form{vendor: t.name + "." + action + suffix, file: "notice", batch: "notices", vars: parts(
				"type", t.name+"."+action, "object", object, "detail", detail)})
		}
		changed := func(name, value string) string {
			return `, "propertyName": "` + name + `", "propertyValue": "{{text ` + value + `}}", "isSensitive": false`
		}
		add("creation", "", object, `, "changeFlag": "CREATED"`)
		add("deletion", "", object, `, "changeFlag": "DELETED"`)
		add("propertyChange", "", object, changed(t.property, t.value))
		if t.stage != "" {
			add("propertyChange", " ("+t.stage+")", object, changed(t.stage, stages[t.stage]))
		}
		switch t.name {
		case "conversation":
			add("newMessage", "", object, `, "messageId": "{{hex message}}", "messageType": "MESSAGE"`)
			add("newMessage", " (COMMENT)", object, `, "messageId": "{{hex message}}", "messageType": "COMMENT"`)
			add("privacyDeletion", "", object, "")
			continue
		case "contact":
			add("privacyDeletion", "", object, "")
		}
		add("restore", "", object, "")
		add("merge", "", object, mergeOf(t.name))
		add("associationChange", "", "", associationOf(t.name, t.to))
	}
	return v
}

func mergeOf(thing string) string {
	primary := "{{refnumber " + thing + "}}"
	if thing == "object" {
		primary = "{{reftail object}}"
	}
	return `, "primaryObjectId": ` + primary + `, "mergedObjectIds": [{{number merged 902 36}}], "newObjectId": {{number new 903 36}}, "numberOfPropertiesMoved": 12`
}

// associationOf is a change of an association: it has no objectId.
func associationOf(from, to string) string {
	if from == "object" {
		return `, "fromObjectId": {{reftail object}}, "fromObjectTypeId": "{{refhead object}}", "toObjectId": {{refnumber company}}, "toObjectTypeId": "0-2",` +
			` "associationCategory": "USER_DEFINED", "associationTypeId": 36, "associationRemoved": false, "isPrimaryAssociation": false`
	}
	names := map[string]string{"contact": "CONTACT", "company": "COMPANY", "deal": "DEAL", "ticket": "TICKET", "line_item": "LINE_ITEM", "product": "PRODUCT"}
	return `, "associationType": "` + names[from] + "_TO_" + names[to] + `", "fromObjectId": {{refnumber ` + from + `}}, "toObjectId": {{refnumber ` + to + `}},` +
		` "associationRemoved": false, "isPrimaryAssociation": true`
}
