package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"
)

// TestImage builds the image for this machine, twice, pushes it to a registry, pulls it back, and starts each program
// in its file system, as its user. It needs root, for chroot(2).
func TestImage(t *testing.T) {
	t.Parallel()
	platform := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	b := builder{root: "../..", version: "v1.2.3-test", revision: "abc", created: time.Unix(1_700_000_000, 0).UTC(), dir: t.TempDir()}
	built, err := b.build(t.Context(), []v1.Platform{platform}, func(line string) { t.Log(line) })
	require.NoError(t, err)
	b.dir = t.TempDir()
	again, err := b.build(t.Context(), []v1.Platform{platform}, func(string) {})
	require.NoError(t, err)
	digest, err := built.index.Digest()
	require.NoError(t, err)
	digestAgain, err := again.index.Digest()
	require.NoError(t, err)
	require.Equal(t, digest, digestAgain, "two builds of one source are one image")
	require.Equal(t, built.boms, again.boms, "and are said to be made of the same")

	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(true)))
	t.Cleanup(server.Close)
	tag, err := name.NewTag(strings.TrimPrefix(server.URL, "http://") + "/throughline:1.2.3")
	require.NoError(t, err)
	require.NoError(t, built.push(t.Context(), tag))
	descriptor, err := remote.Get(tag, remote.WithContext(t.Context()), remote.WithPlatform(platform))
	require.NoError(t, err)
	require.Equal(t, digest, descriptor.Digest)
	image, err := descriptor.Image()
	require.NoError(t, err)

	config, err := image.ConfigFile()
	require.NoError(t, err)
	require.Equal(t, "65532:65532", config.Config.User)
	require.Equal(t, "v1.2.3-test", config.Config.Labels["org.opencontainers.image.version"])
	root := t.TempDir()
	require.NoError(t, os.Chmod(root, 0o755))
	unpack(t, image, root)
	requireBOM(t, built.boms[0].content, root)
	requireReferrer(t, tag.Repository, image, built.boms[0])
	requireLayout(t, built, digest)
	for _, p := range programs {
		out, err := started(t, root, "/usr/local/bin/"+p, "--help")
		require.NoError(t, err, out)
		require.Contains(t, out, "Usage: "+p)
	}
	out, err := started(t, root, "/usr/local/bin/throughline", "version")
	require.NoError(t, err, out)
	require.Contains(t, out, "v1.2.3-test")
	out, err = started(t, root, "/usr/local/bin/sink", "--validate")
	require.Error(t, err)
	require.Contains(t, out, "THROUGHLINE_POSTGRES_URL")
}

// started runs a program with root as its file system, which it may not change.
func started(t *testing.T, root string, command ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir, cmd.Env = "/", []string{"PATH=/usr/local/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: user, Gid: user}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func unpack(t *testing.T, image v1.Image, root string) {
	t.Helper()
	stream := mutate.Extract(image)
	defer stream.Close()
	archive := tar.NewReader(stream)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		path := filepath.Join(root, header.Name)
		require.Equal(t, filepath.Clean(header.Name) == spoolDir, header.Uid == user, header.Name)
		if header.Typeflag == tar.TypeDir {
			require.NoError(t, os.MkdirAll(path, 0o755))
			require.NoError(t, os.Chmod(path, header.FileInfo().Mode()))
			require.NoError(t, os.Chown(path, header.Uid, header.Gid))
			continue
		}
		content, err := io.ReadAll(archive)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, content, header.FileInfo().Mode().Perm()))
	}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	text := certificates()
	require.Greater(t, strings.Count(text, "BEGIN CERTIFICATE"), 50, fmt.Sprint(len(text)))
}
