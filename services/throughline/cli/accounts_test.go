package cli_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What would find another account is no name without --anyway.
func TestANameThatIsAnothersID(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.must("accounts", "add", "Acme GmbH", "--id", acme, "--domain", "acme.example")
	for _, name := range []string{acme, "acme.example"} {
		r := sh.run("accounts", "add", name)
		require.Equal(t, 1, r.code)
		require.Contains(t, r.err, "there is a similar account: Acme GmbH")
	}
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	inDatabase(t).golden("accounts", scrubTimes,
		[]string{"accounts", "list"},
		[]string{"accounts", "add", "Acme GmbH", "--id", acme, "--domain", "https://www.Acme.example/about"},
		[]string{"accounts", "add", "Acme GmbH", "--id", acme, "--domain", "acme.example"},
		[]string{"accounts", "add", "Other", "--id", acme},
		[]string{"accounts", "add", "Bad", "--domain", "not a domain"},
		[]string{"accounts", "add", "acme gmbh"},
		[]string{"accounts", "add", "Kim", "--domain", "gmail.com", "--id", "0f6e9b1c-6f0e-4c5e-9b61-3f6f6d2a0003"},
		[]string{"accounts", "add", "Acme Labs", "--domain", "acme.example"},
		[]string{"accounts", "add", "Acme Labs", "--domain", "acme.example", "--anyway", "--id", "0f6e9b1c-6f0e-4c5e-9b61-3f6f6d2a0009"},
		[]string{"accounts", "add", "Nimbus", "--id", "0f6e9b1c-6f0e-4c5e-9b61-3f6f6d2a0002", "--json"},
		[]string{"accounts", "list"},
		[]string{"accounts", "list", "nimb", "--json"},
		[]string{"accounts", "list", "--limit", "1"},
		[]string{"accounts", "list", "--limit", "-1"},
		[]string{"accounts", "rename", "Nimbus", "acme GMBH"},
		[]string{"accounts", "rename", "Nimbus", "Nimbus AG", "--dry-run"},
		[]string{"accounts", "rename", "Nimbus", "Nimbus AG"},
		[]string{"accounts", "rename", "Nimbus AG", "Nimbus", "--json"},
		[]string{"accounts", "remove", "Nimbus", "--dry-run"},
		[]string{"accounts", "remove", "Nimbus", "--reason", "made by mistake"},
		[]string{"accounts", "remove", "Nimbus"},
		[]string{"links", "log"},
	)
}

func TestImport(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	sh.input = "id,name,domain,stripe,hubspot/62515:contact,email\n" +
		acme + ",Acme GmbH,acme.example,cus_1;cus_2,901,kim@acme.example\n" +
		"0f6e9b1c-6f0e-4c5e-9b61-3f6f6d2a0002,Nimbus,,cus_3,,\n"
	sh.golden("import", scrubTimes,
		[]string{"accounts", "import", "-"},
		[]string{"accounts", "import", "-", "--json"},
		[]string{"accounts", "list"},
		[]string{"links", acme},
		[]string{"links", "--source", "stripe", "--id", "cus_3", "--json"},
		[]string{"links", "--source", "zendesk"},
		[]string{"links", "--source", "zendsk"},
		[]string{"links", "--kind", "kustomer"},
		[]string{"links", "--source", "stripe", "--kind", "contact"},
		[]string{"timeline", "acme.example", "--source", "strype"},
		[]string{"quarantine", "list", "--source", "strype"},
		[]string{"accounts", "import", "no-such-file.csv"},
	)
}

func TestImportNamesEveryProblemAndChangesNothing(t *testing.T) {
	t.Parallel()
	sh := inDatabase(t)
	file := filepath.Join(t.TempDir(), "accounts.csv")
	require.NoError(t, os.WriteFile(file, []byte("name,id,domain\nAcme,4711,acme.example\n,,\nNimbus,,not a domain\n"), 0o600))
	r := sh.run("accounts", "import", file)
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, file+":2: ")
	require.Contains(t, r.err, file+":4: ")
	require.Contains(t, r.err, "nothing was imported: fix ")
	require.Empty(t, sh.must("accounts", "list"))
}
