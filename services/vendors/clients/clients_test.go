//go:build vendorclients

package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serve gives the address of a fake.
func serve(t *testing.T, fake http.Handler) string {
	t.Helper()
	server := httptest.NewServer(fake)
	t.Cleanup(server.Close)
	return server.URL
}

// mostTime is longer than any client takes.
const mostTime = 2 * time.Minute

// read runs a client against the fake at url, and gives the lines that it printed.
// more are variables that it gets, beside API_URL: "NAME=value".
func read(t *testing.T, client, url string, more ...string) [][]byte {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("../../../bin/vendor-clients", client))
	require.NoError(t, err)
	require.DirExists(t, dir, "the client is not installed: run make vendor-clients")
	command := []string{"node", "client.mjs"}
	if _, err := os.Stat(filepath.Join(dir, "requirements.txt")); err == nil {
		command = []string{filepath.Join(dir, "env/bin/python"), "tap.py"}
	}
	ctx, cancel := context.WithTimeout(t.Context(), mostTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var said bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), append(more, "API_URL="+url)...), &said
	out, err := cmd.Output()
	require.NoError(t, ctx.Err(), "%s has not ended after %s: it pages for ever. It said:\n%s\n%s", client, mostTime, out, said.String())
	require.NoError(t, err, "%s said:\n%s\n%s", client, out, said.String())
	return bytes.Split(bytes.TrimSpace(out), []byte("\n"))
}

// records counts the records that a tap gave, by stream; each has an id of its own.
func records(t *testing.T, lines [][]byte, id string) map[string]int {
	t.Helper()
	counts, seen := map[string]int{}, map[string]bool{}
	for _, line := range lines {
		var message struct {
			Type, Stream string
			Record       map[string]any
		}
		require.NoError(t, json.Unmarshal(line, &message), "%s", line)
		if key := fmt.Sprint(message.Stream, message.Record[id]); message.Type == "RECORD" {
			require.False(t, seen[key], "%s came twice", key)
			seen[key] = true
			counts[message.Stream]++
		}
	}
	return counts
}
