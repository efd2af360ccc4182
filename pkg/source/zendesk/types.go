package zendesk

import (
	"slices"
	"strings"
	"sync"

	"github.com/throughline-dev/throughline/pkg/source"
)

const (
	ticketCreated       = "ticket.created"
	userCreated         = "user.created"
	organizationCreated = "organization.created"
	commentAdded        = "ticket.comment_added"

	ticketOrganizationChanged = "ticket.organization_changed"

	vendorPrefix = "zen:event-type:"
)

// trimPrefix takes Zendesk's prefix off; its documentation also has it with a
// slash ("zen:event-type/user.merged").
func trimPrefix(vendor string) string {
	return strings.TrimPrefix(strings.TrimPrefix(vendor, vendorPrefix), "zen:event-type/")
}

// typeName gives the event_type: ticket.status_changed is ticket.status.changed,
// by rule, so that a type of tomorrow reads like today's; a few read better
// under another name.
func typeName(vendor string) string {
	switch vendor {
	case commentAdded:
		return "ticket.replied" // a private note too: event.comment.is_public in the payload tells
	case "ticket.comment_made_private":
		return "ticket.comment.made_private"
	case "ticket.attachment_linked_to_comment":
		return "ticket.attachment.linked"
	case "ticket.attachment_redacted_from_comment":
		return "ticket.attachment.redacted"
	case "ticket.soft_deleted":
		return "ticket.deleted"
	case "ticket.permanently_deleted":
		return vendor
	}
	verbs := []string{"added", "changed", "created", "deleted", "published", "received", "redacted", "removed", "requested", "unpublished"}
	if at := strings.LastIndexByte(vendor, '_'); at > strings.IndexByte(vendor, '.') && slices.Contains(verbs, vendor[at+1:]) {
		vendor = vendor[:at] + "." + vendor[at+1:]
	}
	return source.TypeName(vendor)
}

// named is one of Zendesk's types, without the prefix, and its event_type.
type named struct{ vendor, eventType string }

// typeNames has those of Zendesk's types that types lists, with the prefix and without.
var typeNames = sync.OnceValue(func() map[string]named {
	names := map[string]named{}
	for _, t := range types() {
		vendor := trimPrefix(t.Vendor)
		n := named{vendor, typeName(vendor)}
		names[vendor], names[vendorPrefix+vendor] = n, n
	}
	return names
})

// types lists what Zendesk documents for tickets, users and organizations.
// Source: developer.zendesk.com/api-reference/webhooks/event-types/ (its pages
// ticket-events, user-events and organization-events).
func types() []source.EventType {
	domains := []struct{ domain, events string }{
		{"ticket", `created comment_added comment_made_private comment_redacted status_changed custom_status_changed
			priority_changed type_changed subject_changed description_changed agent_assignment_changed
			group_assignment_changed requester_changed submitter_changed organization_changed brand_changed
			form_changed custom_field_changed tags_changed external_id_changed email_ccs_changed followers_changed
			problem_link_changed task_due_at_changed schedule_changed sla_policy_changed ola_policy_changed
			next_sla_breach_changed attachment_linked_to_comment attachment_redacted_from_comment merged
			marked_as_spam soft_deleted permanently_deleted undeleted csat_requested csat_received`},
		{"user", `created deleted merged active_changed alias_changed custom_field_changed custom_role_changed
			default_group_changed details_changed external_id_changed group_membership_created
			group_membership_deleted identity_changed identity_created identity_deleted last_login_changed
			name_changed notes_changed only_private_comments_changed organization_membership_created
			organization_membership_deleted password_changed photo_changed role_changed suspended_changed
			tags_changed time_zone_changed`},
		{"organization", `created deleted name_changed external_id_changed tags_changed custom_field_changed`},
	}
	var out []source.EventType
	for _, d := range domains {
		for event := range strings.FieldsSeq(d.events) {
			vendor := d.domain + "." + event
			out = append(out, source.EventType{Vendor: vendorPrefix + vendor, Type: typeName(vendor)})
		}
	}
	return out
}
