package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func repository(t *testing.T) (root string, git func(args ...string)) {
	t.Helper()
	root = t.TempDir()
	git = func(args ...string) {
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	git("init", "-q")
	require.NoError(t, os.WriteFile(filepath.Join(root, "a"), []byte("a"), 0o600))
	git("add", "a")
	git("commit", "-q", "-m", "a")
	return root, git
}

func TestReleaseIsRefused(t *testing.T) {
	t.Parallel()
	root, git := repository(t)
	check := func(version string) error {
		return release{root: root, version: version}.check(t.Context(), filepath.Join("dist", "release", version))
	}
	for _, version := range []string{"", "1.2.3", "v1.2", "v1", "latest", "v1.2.3+linux", "v01.2.3", "../v1.2.3"} {
		require.ErrorContains(t, check(version), "it should be like v1.2.3 or v1.2.3-rc.1", version)
	}
	require.NoError(t, check("v1.2.3"))
	require.NoError(t, check("v1.2.3-rc.1"))
	git("tag", "v1.2.3")
	require.NoError(t, check("v1.2.3"))

	require.NoError(t, os.WriteFile(filepath.Join(root, "b"), []byte("b"), 0o600))
	require.EqualError(t, check("v1.2.3"), "the working tree has what is not committed (b): commit, stash or remove it")
	require.NoError(t, os.WriteFile(filepath.Join(root, "a"), []byte("c"), 0o600))
	require.EqualError(t, check("v1.2.3"), "the working tree has what is not committed (a and 1 more): commit, stash or remove it")
	git("add", ".")
	git("commit", "-q", "-m", "b")
	require.ErrorContains(t, check("v1.2.3"), "the tag v1.2.3 is another commit, ")
	require.NoError(t, check("v1.2.4"))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "dist", "release", "v1.2.3"), 0o755))
	err := check("v1.2.3")
	require.ErrorContains(t, err, "dist/release/v1.2.3 is there already")
	require.ErrorContains(t, err, "the tag v1.2.3", "all problems at once")
}

func TestChangelogSection(t *testing.T) {
	t.Parallel()
	const log = "# Changelog\n\n## Unreleased\n\n- later\n\n## 1.2.3 - 2026-01-31\n\n### Changed\n- this\n\n## [v1.2.2]\n- that\n"
	require.Equal(t, "## 1.2.3 - 2026-01-31\n\n### Changed\n- this\n", sectionOf(log, "1.2.3"))
	require.Equal(t, "## [v1.2.2]\n- that\n", sectionOf(log, "1.2.2"))
	require.Empty(t, sectionOf(log, "1.2"))
}

// A chart that Helm packs at another time is the same package.
func TestRepack(t *testing.T) {
	t.Parallel()
	pack := func(at time.Time, names ...string) []byte {
		var out bytes.Buffer
		zip := gzip.NewWriter(&out)
		zip.Comment, zip.ModTime = "Helm", at
		archive := tar.NewWriter(zip)
		for _, name := range names {
			require.NoError(t, archive.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(name)), ModTime: at}))
			_, err := archive.Write([]byte(name))
			require.NoError(t, err)
		}
		require.NoError(t, archive.Close())
		require.NoError(t, zip.Close())
		return out.Bytes()
	}
	one, err := repack(pack(time.Unix(1, 0), "c/values.yaml", "c/Chart.yaml", "c/a"))
	require.NoError(t, err)
	other, err := repack(pack(time.Unix(1000, 0), "c/Chart.yaml", "c/a", "c/values.yaml"))
	require.NoError(t, err)
	require.Equal(t, one, other)
	zip, err := gzip.NewReader(bytes.NewReader(one))
	require.NoError(t, err)
	header, err := tar.NewReader(zip).Next()
	require.NoError(t, err)
	require.Equal(t, "c/Chart.yaml", header.Name)
}

func TestSums(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"b", "a"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	require.NoError(t, writeSums(dir))
	cmd := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", sumsFile)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Equal(t, "a: OK\nb: OK\n", string(out))
}
