package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is erased, and what is merged away, is named by what is its own: neither by somebody's address at its domain nor by what
// an account had that was merged into it. The refusal says what to type.
func TestWhatIsGoneForEverIsNamedByItsOwn(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Tiny Co", "--id", acme, "--domain", "tiny.example")
	sh.must("accounts", "add", "Old Tiny", "--domain", "old.example")
	sh.must("accounts", "add", "Other")
	sh.must("accounts", "merge", "Old Tiny", "Tiny Co", "--yes")
	sh.env["THROUGHLINE_KAFKA_BROKERS"] = "127.0.0.1:1"
	for text, want := range map[string]string{
		"kim@tiny.example":   "is an address of the domain tiny.example, which the account Tiny Co (" + acme + ") has: name a person by email:kim@tiny.example, and the account by its id, its name or its domain",
		"Kim@Tiny.example":   "email:kim@tiny.example",
		"kim@old.example":    "email:kim@old.example",
		"Old Tiny":           "was merged into the account Tiny Co (" + acme + "): name that one by its id, its own name or domain if it is meant, with all that was merged into it, or take the merge back first with `throughline accounts split 'Old Tiny'`",
		"old.example":        "was merged into the account Tiny Co (" + acme + ")",
		"kim@nobody.example": "no account has the id, domain or name",
		"//kim@tiny.example": "an address of the domain tiny.example",
	} {
		for _, args := range [][]string{{"erase", text, "--yes"}, {"erase", text, "--dry-run"}, {"accounts", "merge", text, "Other", "--yes"}, {"accounts", "remove", text}} {
			r := sh.run(args...)
			require.NotZero(t, r.code, "%s: %s", args, r.out)
			require.Contains(t, r.err, want, args)
		}
	}
	require.Contains(t, sh.run("erase", "kim@nobody.example", "--yes").err, "did you mean the person: email:kim@nobody.example?")
	require.Contains(t, sh.run("erasures", "lift", "kim@tiny.example").err, "did you mean email:kim@tiny.example?")
	require.Equal(t, 3, counted(t, sh, "SELECT count(*) FROM accounts"))
	for _, text := range []string{acme, "tiny co", "tiny.example", "TINY.example"} {
		require.Contains(t, sh.run("erase", text, "--dry-run").err, "this counts account Tiny Co ("+acme+")")
	}
	require.Contains(t, sh.run("erase", acme, "--dry-run", "--json").out, `"account_id":"`+acme+`","account_name":"Tiny Co"`)
	r := sh.run("erase", "tiny.example", "--yes")
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.err, "this erased account Tiny Co ("+acme+")")
	require.Equal(t, 1, counted(t, sh, "SELECT count(*) FROM accounts"))
}

func counted(t *testing.T, sh *shell, sql string) (n int) {
	t.Helper()
	require.NoError(t, sh.pool().QueryRow(t.Context(), sql).Scan(&n))
	return n
}

// An erasure is lifted as a whole, and whoever names one reference of it is told what else is let in.
func TestLiftingMoreThanWasNamed(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Wombat", "--id", acme, "--domain", "wombat.example")
	sh.must("link", "email:kim@wombat.example", acme)
	sh.must("link", "stripe:cus_1", acme)
	sh.env["THROUGHLINE_KAFKA_BROKERS"] = "127.0.0.1:1"
	sh.must("erase", "Wombat", "--yes")
	sh.must("erase", "email:lee@wombat.example", "--yes")
	r := sh.run("erasures", "lift", "email:kim@wombat.example")
	require.NotZero(t, r.code)
	require.Contains(t, r.err, "erasure 1 is of an account, and keeps more than email:kim@wombat.example away: 1 account_uuid, 1 domain, 1 email, 1 stripe customer; lift it with --yes or by its id")
	require.Zero(t, sh.run("erasures", "lift", "email:lee@wombat.example").code, "nothing else is let in")
	r = sh.run("erasures", "lift", "email:kim@wombat.example", "--yes")
	require.Zero(t, r.code, r.err)
	require.Contains(t, r.err, "let in: 1 account_uuid, 1 domain, 1 email, 1 stripe customer")
}

// Whoever decides about what was erased is told how it is let in, by a command that can be typed.
func TestDecidingAboutWhatWasErased(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme", "--id", acme)
	sh.env["THROUGHLINE_KAFKA_BROKERS"] = "127.0.0.1:1"
	sh.must("erase", "stripe:cus_1", "email:zara@far.example", "--yes")
	file := filepath.Join(t.TempDir(), "accounts.csv")
	require.NoError(t, os.WriteFile(file, []byte("name,id,email\nAcme,"+acme+",zara@far.example\n"), 0o600))
	for _, args := range [][]string{{"link", "stripe:cus_1", acme}, {"links", "deny", "stripe:cus_1", acme}, {"accounts", "import", file}} {
		r := sh.run(args...)
		require.NotZero(t, r.code, args)
		require.NotContains(t, r.err, "SQLSTATE", args)
		require.Regexp(t, "`throughline erasures lift (stripe:customer:cus_1|email:zara@far.example)`", r.err, args)
	}
	require.Contains(t, sh.run("accounts", "add", "Lee", "--by", "zara@far.example").err, "the author (--by) holds an address that was erased on request")
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
