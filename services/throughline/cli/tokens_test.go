package cli_test

import (
	"regexp"
	"testing"
)

var anyToken = regexp.MustCompile(`tl_[A-Za-z0-9_-]{43}`)

func TestTokens(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.golden("tokens", func(text string) string { return scrubTimes(anyToken.ReplaceAllString(text, "tl_TOKEN")) },
		[]string{"tokens"},
		[]string{"tokens", "create", "reports", "--role", "viewer", "--by", "sam"},
		[]string{"tokens", "create", "reports", "--role", "admin", "--by", "sam"},
		[]string{"tokens", "create", "night job", "--role", "operator", "--expires-in", "720h", "--by", "sam", "--json"},
		[]string{"tokens", "create", "x", "--role", "root"},
		[]string{"tokens", "create", "x"},
		[]string{"tokens", "revoke", "1", "--by", "sam"},
		[]string{"tokens", "revoke", "9"},
		[]string{"tokens"},
		[]string{"tokens", "list", "--json"},
	)
}
