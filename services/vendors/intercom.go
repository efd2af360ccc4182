package vendors

import "strings"

// intercomVendor: notifications of API version 2.x, and the user.* topics of 1.x.
// Shapes: developers.intercom.com/docs/references/2.16/webhooks/webhook-models
// and its OpenAPI models; .../1.1/webhooks/webhook-models for user.*.
func intercomVendor() *vendor {
	v := &vendor{name: "intercom", tenant: "a86dr8yl", kinds: map[string]string{
		"company": "id acct- 11", "contact": "hex contact", "external": "id user- 11", "conversation": "number conversation 137324500000000 40",
	}}
	add := func(topics string, vars map[string]string) {
		for topic := range strings.FieldsSeq(topics) {
			v.forms = append(v.forms, &form{vendor: topic, file: "envelope", vars: with(vars, "topic", topic)})
		}
	}
	intercomConversations(add)
	intercomContacts(add)
	intercomTickets(add)
	for _, s := range intercomStats() {
		for stat := range strings.FieldsSeq(s.types) {
			v.forms = append(v.forms, &form{vendor: "content_stat." + s.content + " (" + stat + ")", file: "envelope", vars: with(person("user"),
				"topic", "content_stat."+s.content, "item", "@content_stat", "content", s.content, "stat", stat, "contact", "@contact_reference")})
		}
	}
	return v
}

const (
	customerAuthor = `{"type": "user", "id": "{{ref contact}}", "name": "{{person}}", "email": "{{email}}"}`
	teammateAuthor = `{"type": "admin", "id": "991267", "name": "Ana", "email": "ana@throughline.example"}`
	botAuthor      = `{"type": "bot", "id": "278", "name": "Operator", "email": "operator+a86dr8yl@intercom.example"}`
)

func person(role string) map[string]string { return parts("role", role, "companies", "@companies") }

func intercomConversations(add func(topics string, vars map[string]string)) {
	bare := parts("item", "@conversation", "created", "{{unix -600}}", "subject", "{{subject }}", "opener", customerAuthor, "state", "open",
		"rating", "null", "part", "", "count", "0")
	part := func(kind, body, author string) map[string]string {
		return with(bare, "part", "@conversation_part", "count", "1", "parttype", kind, "partbody", body, "author", author)
	}
	const said = `"<p>{{text Any news?}}</p>"`
	add("conversation.user.created", with(bare, "created", "{{unix}}", "subject", "{{subject billing question}}"))
	add("conversation.admin.single.created", with(bare, "created", "{{unix}}", "subject", "{{subject Your renewal}}", "opener", teammateAuthor))
	add("conversation.user.replied", part("comment", said, customerAuthor))
	add("conversation.admin.replied conversation.admin.replied.translated conversation_part.tag.created conversation_part.redacted",
		part("comment", said, teammateAuthor))
	add("conversation.operator.replied", part("comment", said, botAuthor))
	add("conversation.admin.noted", part("note", said, teammateAuthor))
	add("conversation.admin.assigned conversation.admin.open.assigned", part("assignment", "null", teammateAuthor))
	add("conversation.admin.closed", with(part("close", "null", teammateAuthor), "state", "closed"))
	add("conversation.admin.opened", part("open", "null", teammateAuthor))
	add("conversation.admin.snoozed", with(part("snoozed", "null", teammateAuthor), "state", "snoozed"))
	add("conversation.admin.unsnoozed", part("unsnoozed", "null", teammateAuthor))
	add("conversation.rating.added", with(bare, "rating", `{"rating": 5, "remark": "Quick help", "created_at": {{unix}},
		"contact": {"type": "contact", "id": "{{ref contact}}", "external_id": "{{ref external}}"}, "teammate": {"type": "admin", "id": "991267"}}`))
	add("conversation.priority.updated conversation.read conversation.company.updated", bare)
	add("conversation.deleted", parts("item", `{"type": "conversation", "conversation_id": "{{ref conversation}}"}`))
	add("conversation.contact.attached conversation.contact.detached", with(person("user"), "item",
		`{"conversation": {"model": {"app_id": 3239765, "id": {{refnumber conversation}}, "company_id": "-1"}}, "contact": {{=contact}}}`, "contact", "@contact_reference"))
	add("call.started", with(person("user"), "item", "@call", "contact", "@contact_reference", "state", "in_progress", "ended", "null"))
	add("call.ended", with(person("user"), "item", "@call", "contact", "@contact_reference", "state", "ended", "ended", "{{unix}}"))
	add("call.transcription_available", with(person("user"), "item", "@call", "contact", "@contact_reference", "state", "ended", "ended", "{{unix}}"))
	add("call.recording_available", with(person("user"), "item", "@call", "contact", "@contact_reference", "state", "ended", "ended", "{{unix}}"))
}

func intercomContacts(add func(topics string, vars map[string]string)) {
	created, user, lead := with(person("user"), "item", "@contact_created"), with(person("user"), "item", "@contact_reference"), with(person("lead"), "item", "@contact_reference")
	add("contact.user.created contact.created", created)
	add("contact.lead.created", with(created, "role", "lead"))
	add("contact.user.updated contact.email.updated contact.updated contact.archived contact.archive contact.unarchive contact.subscribed contact.unsubscribed granular.subscribe granular.unsubscribe", user)
	add("contact.lead.updated contact.lead.signed_up contact.lead.added_email contact.signed_up contact.added_email", lead)
	add("visitor.signed_up", parts("item",
		`{"type": "visitor", "id": "{{ref contact}}", "user_id": "{{ref external}}", "email": "{{email}}", "name": "{{person}}", "created_at": {{unix -30}}}`))
	tag := `{"type": "contact_tag", "created_at": {{unix}}, "tag": {"type": "tag", "id": "2525085", "name": "vip"}, "contact": {{=contact}}}`
	add("contact.user.tag.created contact.user.tag.deleted contact.tag.created contact.tag.deleted", with(user, "item", tag, "contact", "@contact_reference"))
	add("contact.lead.tag.created contact.lead.tag.deleted", with(lead, "item", tag, "contact", "@contact_reference"))
	add("contact.merged", with(user, "item", `{"type": "contact", "id": "{{ref contact}}", "workspace_id": "{{tenant}}", "external_id": "{{ref external}}",
		"role": "user", "email": "{{email}}", "name": "{{person}}", "created_at": {{unix -500000}}, "updated_at": {{unix}}, "companies": {{=companies}},
		"merged_from": {"type": "contact", "id": "{{hex merged}}"}}`))
	add("contact.deleted", parts("item", `{"type": "contact", "id": "{{ref contact}}", "external_id": "{{ref external}}"}`))
	add("event.created", parts("item", "@event"))

	// A creation is one fact for each company, so it has an id of its own.
	add("company.created", parts("item", "@company", "id", "{{object hex company}}"))
	add("company.updated", parts("item", "@company", "id", "{{own hex company}}"))
	add("company.deleted", parts("item", `{"id": "{{ref company}}", "type": "company", "deleted": true}`))
	add("company.contact.attached company.contact.detached", with(user, "item", `{"company": {"type": "company", "id": "{{own hex company}}",
		"company_id": "{{ref company}}", "app_id": "{{tenant}}", "name": "{{company}}", "created_at": {{unix -500000}}}, "contact": {{=contact}}}`, "contact", "@contact_reference"))

	old := parts("item", "@user", "id", "{{ref contact}}", "created", "{{unix -500000}}")
	add("user.created", with(old, "id", "{{object hex contact}}", "created", "{{unix}}"))
	add("user.deleted user.email.updated user.unsubscribed", old)
	add("user.tag.created user.tag.deleted", with(old, "item",
		`{"type": "user_tag", "created_at": {{unix}}, "tag": {"type": "tag", "id": "17513", "name": "vip"}, "user": {{=user}}}`, "user", "@user"))
}

func intercomTickets(add func(topics string, vars map[string]string)) {
	ticket := parts("item", "@ticket", "created", "{{unix -600}}", "category", "submitted", "ticket", "@ticket")
	add("ticket.created", with(ticket, "created", "{{unix}}"))
	add("ticket.state.updated ticket.admin.assigned ticket.admin.snoozed ticket.admin.unsnoozed ticket.team.assigned ticket.rating.provided", with(ticket, "category", "in_progress"))
	add("ticket.resolved", with(ticket, "category", "resolved"))
	add("ticket.closed", with(ticket, "item", `{"type": "ticket_closed", "ticket": {{=ticket}}}`, "category", "resolved"))
	add("ticket.attribute.updated", with(ticket, "item", `{"type": "ticket_attribute_updated", "ticket": {{=ticket}}}`))
	add("ticket.contact.attached ticket.contact.detached", with(ticket, "item", `{"ticket": {{=ticket}}, "contact": {{=contact}}}`,
		"contact", "@contact_reference", "role", "user", "companies", "@companies"))
	part := func(kind, author string) map[string]string {
		return with(ticket, "item", "@ticket_part", "parttype", kind, "author", author)
	}
	add("ticket.admin.replied ticket.admin.replied.translated", part("comment", teammateAuthor))
	add("ticket.contact.replied", part("comment", customerAuthor))
	add("ticket.note.created", part("note", teammateAuthor))
}

// stats are the statistics of one kind of content.
type stats struct{ content, types string }

// intercomStats are what the content_stat.* topics count.
func intercomStats() []stats {
	return []stats{
		{"email", "receipt open click reply goal_success hard_bounce soft_bounce spam_complaint unsubscribe"},
		{"chat", "receipt open click reply collected_email goal_success"},
		{"post", "receipt open click reply reaction goal_success"},
		{"push", "receipt open goal_success push_failure"},
		{"sms", "receipt keyword_reply goal_success sms_failure unsubscribe"},
		{"banner", "receipt click collected_email reaction goal_success"},
		{"carousel", "receipt button_tap completion dismissal permission_grant goal_success"},
		{"checklist", "receipt goal_success"},
		{"custom_bot", "receipt reply completion goal_success"},
		{"news_item", "receipt open click reaction"},
		{"series", "receipt series_completion series_disengagement series_exit goal_success"},
		{"series.webhook", "receipt failure"},
		{"survey", "receipt answer click completion dismissal goal_success"},
		{"tooltip_group", "receipt goal_success"},
		{"tour", "receipt completion tour_step_failure goal_success"},
	}
}
