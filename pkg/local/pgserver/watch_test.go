package pgserver

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAFetchSaysHowMuchHasCome(t *testing.T) {
	t.Parallel()
	archive := bytes.Repeat([]byte("x"), 2_500_000)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/maven2/archive.jar" {
			w.Header().Set("Content-Length", "2500000")
			_, _ = w.Write(archive)
			return
		}
		_, _ = io.WriteString(w, "a checksum")
	}))
	var lines []string
	w, err := watch(upstream.URL+"/maven2", "fetching PostgreSQL 18", func(line string) { lines = append(lines, line) })
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) (int, []byte) {
		answer, err := client.Get(w.url + path)
		require.NoError(t, err)
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		return answer.StatusCode, body
	}
	_, body := get("/archive.jar")
	require.Equal(t, archive, body)
	_, body = get("/archive.jar.sha256")
	require.Equal(t, "a checksum", string(body))
	require.NoError(t, w.failed())
	upstream.Close()
	status, _ := get("/archive.jar")
	require.Equal(t, http.StatusBadGateway, status)
	require.ErrorContains(t, w.failed(), "refused", "the cause is the repository's, not the library's")
	w.close()
	require.Equal(t, "fetching PostgreSQL 18, once: 2.5 of 2.5 MB", lines[len(lines)-1])
}
