package mcpserver

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is no message is answered, and what follows it is passed on.
func TestLines(t *testing.T) {
	t.Parallel()
	const hello = `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	long := `{"jsonrpc":"2.0","params":"` + strings.Repeat("x", 10_000) + `"}`
	for sent, want := range map[string]string{
		"hello\n":         `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error: the line is not JSON"}}`,
		"{\"a\":\n":       `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error: the line is not JSON"}}`,
		long + "\n":       `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error: a message has at most 5000 bytes"}}`,
		"[1]\n":           `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request: the line is no object with \"jsonrpc\": \"2.0\""}}`,
		`{"id":1}` + "\n": `{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"Invalid Request: the line is no object with \"jsonrpc\": \"2.0\""}}`,
		"\n \n":           "",
	} {
		var out bytes.Buffer
		passed, err := io.ReadAll(NewLines(strings.NewReader(hello+"\n"+sent+hello), &out, 5000))
		require.NoError(t, err)
		require.Equal(t, hello+"\n"+hello+"\n", string(passed), sent)
		require.Equal(t, want, strings.TrimSuffix(out.String(), "\n"))
	}
}
