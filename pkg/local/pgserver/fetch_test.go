package pgserver

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
)

// repositoryOf serves one archive, and its checksum, under every name.
func repositoryOf(t *testing.T, txz string, damage byte) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", txz))
	require.NoError(t, err)
	var jar bytes.Buffer
	writer := zip.NewWriter(&jar)
	for name, content := range map[string][]byte{"META-INF/MANIFEST.MF": nil, "postgres-any.txz": content} {
		file, err := writer.Create(name)
		require.NoError(t, err)
		_, err = file.Write(content)
		require.NoError(t, err)
	}
	require.NoError(t, writer.Close())
	sum := sha256.Sum256(jar.Bytes())
	sum[0] ^= damage
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".sha256") {
			_, _ = w.Write([]byte(hex.EncodeToString(sum[:])))
			return
		}
		_, _ = w.Write(jar.Bytes())
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestFetch(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	bin, err := fetch(t.Context(), repositoryOf(t, "programs.txz", 0), cache)
	require.NoError(t, err)
	require.Equal(t, []binaries{{dir: bin, major: 18}}, installed(t.Context(), []string{bin}))
	left, err := os.ReadDir(cache)
	require.NoError(t, err)
	require.Len(t, left, 1)
	again, err := fetch(t.Context(), "nowhere", cache)
	require.NoError(t, err)
	require.Equal(t, bin, again)

	// The version that made a data directory runs it, whatever else is installed.
	data := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte("18\n"), 0o600))
	found, err := locate(t.Context(), Options{DataDir: data, CacheDir: cache, Log: zap.NewNop()})
	require.NoError(t, err)
	require.Equal(t, 18, found.major)
}

func TestFetchRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		txz    string
		damage byte
		says   string
	}{
		"a wrong checksum":              {"programs.txz", 1, "another SHA-256"},
		"a file outside its directory":  {"escape.txz", 0, "escape"},
		"what is missing in repository": {"", 0, "404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := ""
			if tt.txz != "" {
				url = repositoryOf(t, tt.txz, tt.damage)
			} else {
				server := httptest.NewServer(http.NotFoundHandler())
				defer server.Close()
				url = server.URL
			}
			parent := t.TempDir()
			_, err := fetch(t.Context(), url, filepath.Join(parent, "cache"))
			require.ErrorContains(t, err, tt.says)
			left, err := os.ReadDir(filepath.Join(parent, "cache"))
			require.NoError(t, err)
			require.Empty(t, left)
			left, err = os.ReadDir(parent)
			require.NoError(t, err)
			require.Len(t, left, 1)
		})
	}
}
