package prove_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/throughline-dev/throughline/services/prove"
)

func TestReadRefusesWhatIsNoLedger(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no JSON":              {"x\n", "line 1 of the ledger: invalid character"},
		"never sent":           {`{"acked":"a"}` + "\n", `line 1 of the ledger: "a" is acknowledged and was not sent`},
		"sent twice":           {`{"sent":{"mark":"a"}}` + "\n" + `{"sent":{"mark":"a"}}` + "\n", "line 2 of the ledger: a is sent a second time"},
		"its last line is cut": {`{"sent":{"mark":"a"}}` + "\n" + `{"acked":"a`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ledger")
			require.NoError(t, os.WriteFile(path, []byte(c.text), 0o600))
			promises, err := prove.Read(path)
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.False(t, promises["a"].Acked)
		})
	}
}

func TestDigest(t *testing.T) {
	same := prove.Digest([]byte(`{"e2e":"a","n":1.50,"o":{"x":1,"y":2}}`))
	require.Equal(t, same, prove.Digest([]byte(`{"o":{"y":2,"x":1},"n":15e-1,"e2e":"a"}`)))
	require.NotEqual(t, same, prove.Digest([]byte(`{"e2e":"a","n":"1.5","o":{"x":1,"y":2}}`)))
	require.Equal(t, prove.Digest([]byte(`{"e2e":"a"}`)), prove.Digest([]byte(`{"row":{"e2e":"a"},"query":1}`)), "of Looker's row alone")
	require.Empty(t, prove.Digest([]byte(`[]`)))
}
