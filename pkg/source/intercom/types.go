package intercom

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/throughline-dev/throughline/pkg/source"
)

// renamed are the topics with a name of their own here: who did it stays in the
// payload, and contact.user.*, the 1.x topics and those of 2.0 to 2.5 (without
// user or lead) say what contact.lead.* say.
var renamed = map[string]string{
	"conversation.user.created":             "conversation.created",
	"conversation.admin.single.created":     "conversation.created",
	"conversation.user.replied":             "conversation.replied",
	"conversation.admin.replied":            "conversation.replied",
	"conversation.operator.replied":         "conversation.replied",
	"conversation.admin.replied.translated": "conversation.reply.translated",
	"conversation.admin.noted":              "conversation.noted",
	"conversation.admin.assigned":           "conversation.assigned",
	"conversation.admin.open.assigned":      "conversation.assigned",
	"conversation.admin.closed":             "conversation.closed",
	"conversation.admin.opened":             "conversation.opened",
	"conversation.admin.snoozed":            "conversation.snoozed",
	"conversation.admin.unsnoozed":          "conversation.unsnoozed",
	"conversation_part.tag.created":         "conversation.tagged",
	"conversation_part.redacted":            "conversation.redacted",
	"contact.user.created":                  "contact.created",
	"contact.user.updated":                  "contact.updated",
	"contact.user.tag.created":              "contact.tagged",
	"contact.user.tag.deleted":              "contact.untagged",
	"contact.unarchive":                     "contact.unarchived",
	"contact.archive":                       "contact.archived",
	"contact.added_email":                   "contact.email.added",
	"contact.tag.created":                   "contact.tagged",
	"contact.tag.deleted":                   "contact.untagged",
	"ticket.admin.snoozed":                  "ticket.snoozed",
	"ticket.admin.unsnoozed":                "ticket.unsnoozed",
	"contact.lead.created":                  "lead.created",
	"contact.lead.updated":                  "lead.updated",
	"contact.lead.signed_up":                "lead.signed_up",
	"contact.lead.added_email":              "lead.email.added",
	"contact.lead.tag.created":              "lead.tagged",
	"contact.lead.tag.deleted":              "lead.untagged",
	"ticket.admin.replied":                  "ticket.replied",
	"ticket.contact.replied":                "ticket.replied",
	"ticket.admin.replied.translated":       "ticket.reply.translated",
	"ticket.note.created":                   "ticket.noted",
	"ticket.admin.assigned":                 "ticket.assigned",
	"ticket.team.assigned":                  "ticket.assigned",
	"ticket.rating.provided":                "ticket.rating.added",
	"granular.subscribe":                    "contact.subscription.added",
	"granular.unsubscribe":                  "contact.subscription.removed",
	"user.created":                          "contact.created",
	"user.deleted":                          "contact.deleted",
	"user.unsubscribed":                     "contact.unsubscribed",
	"user.email.updated":                    "contact.email.updated",
	"user.tag.created":                      "contact.tagged",
	"user.tag.deleted":                      "contact.untagged",
}

// named is a topic and its event_type.
type named struct{ topic, eventType string }

// typeNames has the topics of renamed and verbatim.
var typeNames = sync.OnceValue(func() map[string]named {
	names := map[string]named{}
	add := func(topic string) { names[topic] = named{topic, typeName(topic, "")} }
	for topic := range renamed {
		add(topic)
	}
	for topic := range strings.FieldsSeq(verbatim) {
		add(topic)
	}
	return names
})

// verbatim are the documented topics that read as thing.happened already.
const verbatim = `conversation.rating.added conversation.priority.updated conversation.read conversation.deleted
	conversation.contact.attached conversation.contact.detached conversation.company.updated
	contact.email.updated contact.merged contact.archived contact.deleted contact.subscribed contact.unsubscribed
	company.created company.updated company.deleted company.contact.attached company.contact.detached
	ticket.created ticket.state.updated ticket.resolved ticket.closed ticket.contact.attached ticket.contact.detached
	ticket.attribute.updated event.created visitor.signed_up contact.created contact.updated contact.signed_up call.started call.ended
	call.transcription_available call.recording_available`

// stats are what a content_stat topic counts, by its kind of content.
var stats = []struct{ content, types string }{
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

const contentStat = "content_stat."

// typeName gives the event_type of a topic, and of the statistic where the topic
// is content_stat.*: content_stat.email with click is email.clicked.
func typeName(topic, stat string) string {
	if content, ok := strings.CutPrefix(topic, contentStat); ok && content != "" && stat != "" {
		return source.TypeName(content + "." + statName(content, stat))
	}
	if name, ok := renamed[topic]; ok {
		return name
	}
	return source.TypeName(topic)
}

func statName(content, stat string) string {
	switch stat {
	case "receipt":
		switch content {
		case "email", "chat", "post", "push", "sms", "series.webhook":
			return "sent"
		case "series":
			return "entered"
		}
		return "shown"
	case "open", "click", "answer":
		return stat + "ed"
	case "reply", "keyword_reply":
		return "replied"
	case "goal_success":
		return "goal.reached"
	case "hard_bounce", "soft_bounce":
		return stat + "d"
	case "spam_complaint":
		return "complained"
	case "unsubscribe":
		return "unsubscribed"
	case "completion", "series_completion":
		return "completed"
	case "dismissal":
		return "dismissed"
	case "reaction":
		return "reacted"
	case "failure", "push_failure", "sms_failure":
		return "failed"
	case "tour_step_failure":
		return "step.failed"
	case "series_exit":
		return "exited"
	case "series_disengagement":
		return "disengaged"
	case "button_tap":
		return "button.tapped"
	case "permission_grant":
		return "permission.granted"
	case "collected_email":
		return "email.collected"
	}
	return stat
}

// types lists the topics that Intercom documents for customers' objects.
// Source: developers.intercom.com/docs/references/2.16/webhooks/webhook-models
// and, for user.*, .../1.1/webhooks/webhook-models.
func types() []source.EventType {
	var out []source.EventType
	for _, topic := range slices.Sorted(maps.Keys(renamed)) {
		out = append(out, source.EventType{Vendor: topic, Type: renamed[topic]})
	}
	for topic := range strings.FieldsSeq(verbatim) {
		out = append(out, source.EventType{Vendor: topic, Type: typeName(topic, "")})
	}
	for _, s := range stats {
		for stat := range strings.FieldsSeq(s.types) {
			out = append(out, source.EventType{
				Vendor: contentStat + s.content + " (" + stat + ")", Type: typeName(contentStat+s.content, stat),
			})
		}
	}
	return out
}
