package learn

import (
	"strings"

	"github.com/throughline-dev/throughline/pkg/source"
)

// blockedWords are ids that programs write where they have none, and that testers
// write. Such an id would join strangers.
// Sources: Segment's identity resolution settings (blocked values), PostHog's issues
// 12008 and posthog-js 34.
var blockedWords = map[string]bool{
	"null": true, "nil": true, "none": true, "undefined": true, "nan": true, "n/a": true, "na": true, "empty": true, "unknown": true,
	"anonymous": true, "guest": true, "id": true, "user": true, "email": true, "true": true, "false": true, "-1": true, "not_authenticated": true,
	"distinct_id": true, "distinctid": true, "[object object]": true, "nan/nan": true, "default": true,
	"test": true, "testing": true, "test@test.com": true, "test@example.com": true, "a@a.com": true, "a@b.com": true, "asdf": true,
	"00000000-0000-0000-0000-000000000000": true,
}

// Blocked decides which references are nobody's (rule 0). The zero value knows the
// built-in ones.
type Blocked struct{ constants map[string]bool }

// NewBlocked adds constants of the operator's, such as a tester's id: "cus_test", for
// every source, or the whole reference, "stripe:customer:cus_test".
func NewBlocked(constants []string) Blocked {
	b := Blocked{constants: map[string]bool{}}
	for _, c := range constants {
		b.constants[strings.ToLower(strings.TrimSpace(c))] = true
	}
	return b
}

// Has reports whether a reference says nothing of whose an event is.
func (b Blocked) Has(ref source.Reference) bool {
	id := strings.ToLower(strings.Trim(ref.ID, " \t\"'"))
	return strings.Trim(id, "0-") == "" || blockedWords[id] || b.constants[id] || b.constants[strings.ToLower(ref.String())] ||
		len(ref.ID) > source.MaxReferenceBytes || !source.IsText(ref.ID)
}
