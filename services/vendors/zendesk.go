package vendors

import "strings"

// zendeskVendor: event subscriptions.
// Shapes: developer.zendesk.com/api-reference/webhooks/event-types/ (its pages
// ticket-events, user-events and organization-events).
func zendeskVendor() *vendor {
	v := &vendor{name: "zendesk", tenant: "12514403", numericTenant: true, kinds: map[string]string{
		"organization": "number organization 8440000000000 40", "user": "number user 9440000000000 40", "organization_external": "id crm- 11",
	}}
	const (
		ticket       = "{{object number ticket 5000 32}}"
		user         = "{{ref user}}"
		organization = "{{ref organization}}"
	)
	add := func(domain, types, id, version string, event func(of string) string) {
		for t := range strings.FieldsSeq(types) {
			v.forms = append(v.forms, &form{vendor: "zen:event-type:" + domain + "." + t, file: "envelope", vars: parts(
				"type", "zen:event-type:"+domain+"."+t, "domain", domain, "detail", "@"+domain, "id", id, "version", version, "event", event(t))})
		}
	}
	add("ticket", `created comment_added comment_made_private comment_redacted status_changed custom_status_changed
		priority_changed type_changed subject_changed description_changed agent_assignment_changed
		group_assignment_changed requester_changed submitter_changed organization_changed brand_changed
		form_changed custom_field_changed tags_changed external_id_changed email_ccs_changed followers_changed
		problem_link_changed task_due_at_changed schedule_changed sla_policy_changed ola_policy_changed
		next_sla_breach_changed attachment_linked_to_comment attachment_redacted_from_comment merged
		marked_as_spam soft_deleted permanently_deleted undeleted csat_requested csat_received`, ticket, "2022-11-06", ticketEvent)
	add("user", "created", "{{object number user 9440000000000 40}}", "2022-06-20", userEvent)
	add("user", `deleted merged active_changed alias_changed custom_field_changed custom_role_changed
		default_group_changed details_changed external_id_changed group_membership_created
		group_membership_deleted identity_changed identity_created identity_deleted last_login_changed
		name_changed notes_changed only_private_comments_changed organization_membership_created
		organization_membership_deleted password_changed photo_changed role_changed suspended_changed
		tags_changed time_zone_changed`, user, "2022-06-20", userEvent)
	// A creation is one fact for each organization, so it has an id of its own; its
	// external id is the customer's.
	add("organization", "created", "{{object number organization 8440000000000 40}}", "2022-11-06", userEvent)
	add("organization", "deleted name_changed external_id_changed tags_changed custom_field_changed", organization, "2022-11-06", userEvent)
	return v
}

// ticketEvent is what happened to a ticket, with the sequence that it is part of.
func ticketEvent(t string) string {
	const (
		meta       = `"meta": {"sequence": {"id": "{{id 01K74SEQ 18}}", "position": 1}}`
		comment    = `"comment": {"id": "{{number comment 9876543210 40}}"`
		author     = `, "body": "{{text We refund the second charge today.}}", "is_public": true, "author": {"id": "8447388090495", "is_staff": true, "name": "Ana"}}`
		attachment = `, "attachment": {"id": "{{number attachment 8447388000000 40}}", "content_type": "image/png", "content_url": "https://zendesk.example/attachments/1", "filename": "invoice.png", "is_public": true}`
	)
	changed := map[string]string{
		"status_changed": `"current": "SOLVED", "previous": "OPEN"`, "priority_changed": `"current": "HIGH", "previous": "NORMAL"`,
		"type_changed": `"current": "PROBLEM", "previous": "QUESTION"`, "subject_changed": `"current": "charged twice", "previous": "charged"`,
		"description_changed": `"current": "Two charges", "previous": "Two"`, "external_id_changed": `"current": "case-7", "previous": null`,
		"task_due_at_changed":  `"current": "{{rfc3339 86400}}", "previous": null`,
		"tags_changed":         `"tags_added": ["billing"], "tags_removed": []`,
		"email_ccs_changed":    `"users_added": ["{{ref user}}"], "users_removed": []`,
		"followers_changed":    `"users_added": ["8447388090495"], "users_removed": []`,
		"custom_field_changed": customField,
		"merged":               `"target_ticket_id": "{{number target 4000 32}}"`,
		"csat_received":        `"rating": {"score": "GOOD", "comment": "Quick help"}`,
		"created":              "", "marked_as_spam": "", "soft_deleted": "", "permanently_deleted": "", "undeleted": "", "csat_requested": "",
		"comment_added":                    comment + author,
		"comment_made_private":             comment + "}",
		"comment_redacted":                 comment + "}",
		"attachment_linked_to_comment":     comment + "}" + attachment,
		"attachment_redacted_from_comment": comment + "}" + attachment,
	}
	event, ok := changed[t]
	if !ok { // an assignee, a group, a brand: an id
		event = `"current": "8447388090495", "previous": "0"`
	}
	if event != "" {
		event += ", "
	}
	return "{" + event + meta + "}"
}

// customField is a change of a field that the customer added.
const customField = `"current": {"value": "gold"}, "previous": {"value": "silver"}, "custom_field": {"id": "8447346000001", "title": "Plan", "type": "text"}`

// userEvent is what happened to a user or an organization.
func userEvent(t string) string {
	switch t {
	case "created", "deleted", "password_changed", "details_changed":
		return "{}"
	case "merged":
		return `{"user": {"id": "{{number other 9440000000000 40}}"}}`
	case "tags_changed":
		return `{"added": {"tags": ["vip"]}, "removed": {"tags": []}}`
	case "custom_field_changed":
		return "{" + customField + "}"
	case "group_membership_created", "group_membership_deleted":
		return `{"group": {"id": "8447320466430"}}`
	case "organization_membership_created", "organization_membership_deleted":
		return `{"organization": {"id": "{{ref organization}}"}}`
	case "identity_created", "identity_deleted":
		return `{"identity": {"id": "{{number identity 9440000000000 40}}", "primary": false, "type": "email", "value": "{{email}}"}}`
	case "identity_changed":
		return `{"current": {"identity": {"id": "{{number identity 9440000000000 40}}", "primary": true, "type": "email", "value": "{{email}}"}}, "previous": {"identity": {"primary": false}}}`
	case "active_changed", "suspended_changed", "only_private_comments_changed":
		return `{"current": true, "previous": false}`
	case "last_login_changed":
		return `{"current": "{{rfc3339}}", "previous": "{{rfc3339 -86400}}"}`
	case "role_changed":
		return `{"current": "end-user", "previous": "agent"}`
	}
	return `{"current": "{{text Kim}}", "previous": ""}`
}
