package cli

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// typedLine is a command line that can be typed, behind "throughline", and what it does.
type typedLine struct{ line, does string }

// examples gives those of commands, by their path.
func examples() map[string][]typedLine {
	return map[string][]typedLine{
		"timeline": {
			{"timeline acme.example", "the last 90 days, by the account's domain"},
			{"timeline 'Acme Robotics' --since 2026-01-01 --source stripe", "by its name, of one source"},
			{"timeline acme.example --follow", "and what comes, until Ctrl-C"},
			{"timeline acme.example --since all --json", "one JSON object a line, for programs"},
		},
		"find": {
			{"find 'charge.dispute.created, then subscription.deleted within 120 days'", "accounts on which both happened"},
			{"find 'invoice.payment_failed, then 14 days without invoice.paid' --now", "on which it may still happen"},
			{"find 'subscription.deleted' --by-month", "how often"},
		},
		"accounts add": {
			{"accounts add 'Acme Robotics' --domain acme.example", "it has its people's addresses at once"},
		},
		"accounts import": {
			{"accounts import accounts.csv", "a column for each: name, id, domain, and ids at vendors"},
		},
		"accounts merge": {
			{"accounts merge 'Acme Inc' 'Acme Robotics' --dry-run", "say how many links and events would move"},
			{"accounts merge 'Acme Inc' 'Acme Robotics' --reason 'bought in May'", "the first becomes the second"},
		},
		"link": {
			{"link stripe:customer:cus_Tz1Acme 'Acme Robotics' --wait", "and wait until its events have left quarantine"},
			{"link email:kim@acme.example acme.example --dry-run", "say what it would release and move"},
		},
		"unlink": {{"unlink stripe:customer:cus_Tz1Acme --reason 'a test customer'", "its events are resolved again"}},
		"relink": {{"relink stripe:customer:cus_Tz1Acme 'Nimbus Lab'", "its events move with it"}},
		"links list": {
			{"links list 'Acme Robotics'", "what leads to it"},
		},
		"links deny": {{"links deny zendesk:organization:77 'Acme Robotics' --reason 'a reseller'", "no rule resolves it there again"}},
		"quarantine list": {
			{"quarantine list", "what is open, the newest first"},
			{"quarantine list --reason unresolved_account --source stripe", "what waits for a link"},
		},
		"quarantine show": {{"quarantine show 42", "the record, why it is there, and what to do about it"}},
		"quarantine release": {
			{"quarantine release 42 43", "process two records again"},
			{"quarantine release --reason malformed --source hubspot --dry-run", "say how many these are"},
		},
		"quarantine discard": {
			{"quarantine discard 42 --note 'a test event'", "give a record up; it stays listed"},
			{"quarantine discard --reason test_data --yes", "all of a reason, without a question"},
		},
		"backfill": {
			{"backfill stripe --since 30d", "bring in what the vendor still has of a month"},
			{"backfill hubspot --since 2026-01-01 --dry-run", "count it first"},
		},
		"reconcile": {{"reconcile stripe --days 30", "compare a month with the vendor, and bring in what is missing"}},
		"replay": {
			{"replay --source stripe --since 2h --dry-run", "count what would be published once more"},
			{"replay --source stripe --since 2h --reason 'a wrong link'", "publish it"},
		},
		"erase": {
			{"erase --dry-run email:kim@acme.example zendesk:user:77", "rows by table, without erasing"},
			{"erase email:kim@acme.example --reason 'request 17'", "a person"},
			{"erase 'Acme Robotics'", "an account, with all that is known of it"},
		},
		"doctor": {
			{"doctor", "with the settings of the services"},
			{"doctor --only kafka,postgres --strict", "some checks; warnings fail, too"},
			{"doctor --admin http://127.0.0.1:9090 --json", "and ask a service, for programs"},
		},
		"connect":       {{"connect stripe", "the steps at the vendor, or the subscriptions that are there"}},
		"tokens create": {{"tokens create --role viewer grafana", "prints the token once"}},
		"drift diff":    {{"drift diff", "fields that somebody reads and that are missing or changed"}},
		"topics apply":  {{"topics apply --replication-factor 3 --raw-retention 30d", "of all sources"}},
		"roles apply":   {{"roles apply --member eraser=ada", "make the roles, and give ada the eraser's"}},
	}
}

// tellExamples adds them to what --help says.
func tellExamples(node *kong.Node, of map[string][]typedLine) {
	for _, child := range node.Children {
		tellExamples(child, of)
		list := of[strings.TrimPrefix(child.FullPath(), name+" ")]
		if len(list) == 0 {
			continue
		}
		wide := 0
		for _, e := range list {
			wide = max(wide, len(e.line))
		}
		var b strings.Builder
		for _, e := range list {
			fmt.Fprintf(&b, "\n    %s %-*s   %s", name, wide, e.line, e.does)
		}
		child.Detail = strings.TrimSpace(child.Detail + "\n\nExamples:\n" + b.String())
	}
}
