package cli_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A name of an account that was merged stands for the one that took its place: that one is named.
func TestEraseSaysWhatItCounts(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme", "--id", acme)
	sh.must("accounts", "add", "Old Acme")
	sh.must("accounts", "merge", "Old Acme", "Acme", "--yes")
	sh.env["THROUGHLINE_KAFKA_BROKERS"] = "127.0.0.1:1"
	r := sh.run("erase", "Old Acme", "--dry-run")
	require.Contains(t, r.err, "this counts account Acme ("+acme+")")
	require.Contains(t, sh.run("erase", "Old Acme", "--dry-run", "--json").out, `"account_id":"`+acme+`"`)
}

// What cannot be erased is told with what can be typed.
func TestEraseForms(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme", "--id", acme, "--domain", "acme.example")
	for args, want := range map[string]string{
		"email:":                      "email:kim@acme.example, stripe:cus_1 or hubspot/62515:contact:901",
		"email:kim":                   "email:kim@acme.example, stripe:cus_1",
		"mail:kim@acme.example":       "email:kim@acme.example, stripe:cus_1",
		"Acme email:":                 "an account is erased on its own: write an account's id, domain or name, or references",
		"Acme email:kim@acme.example": "an account is erased on its own",
		"domain:acme.example":         "name the account, by its id, domain or name: `throughline erase acme.example`",
		"stripe:":                     "stripe:cus_1",
		"account_uuid:" + acme:        "`throughline erase " + acme + "`",
	} {
		r := sh.run(append(append([]string{"erase"}, strings.Fields(args)...), "--dry-run")...)
		require.Equal(t, 2, r.code, "%s: %s", args, r.err)
		require.Contains(t, r.err, want, args)
	}
}
