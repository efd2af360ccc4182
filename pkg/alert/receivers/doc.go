// Package receivers tells people: by e-mail, in Slack and Teams, at PagerDuty, and programs by a webhook. What it says and
// when is pkg/alert's.
package receivers
