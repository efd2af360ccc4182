package pgserver

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/xi2/xz"
)

// The release that is fetched where none is installed: the archives of
// https://github.com/zonkyio/embedded-postgres-binaries, which Maven Central keeps.
const (
	fetchMajor   = 18
	fetchVersion = "18.3.0"
	repository   = "https://repo1.maven.org/maven2/io/zonky/test/postgres"
)

// Bounds of a fetch; the release has 15 MB, and 60 MB unpacked.
const (
	maxArchiveBytes  = 128 << 20
	maxUnpackedBytes = 1 << 30
	fetchTimeout     = 10 * time.Minute
)

// fetch returns the bin directory of the release kept in cacheDir, fetching it into there first if need be, through
// the proxy that HTTPS_PROXY names if there is one.
func fetch(ctx context.Context, repository, cacheDir string) (bin string, err error) {
	final := filepath.Join(cacheDir, fetchVersion)
	if complete(final) {
		return filepath.Join(final, "bin"), nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	defer func() {
		if err != nil {
			err = fmt.Errorf("fetching postgres %s: %w", fetchVersion, err)
		}
	}()
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cacheDir, "unpack-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)                      // gone already when all went well
	if err := os.Chmod(work, 0o755); err != nil { // the server's user has to pass
		return "", err
	}
	jar, err := download(ctx, repository)
	if err != nil {
		return "", err
	}
	if err := unpack(jar, work); err != nil {
		return "", fmt.Errorf("unpacking: %w", err)
	}
	if !complete(work) {
		return "", errors.New("programs are missing in the archive")
	}
	// Another process may have finished first: its copy is as good, and the rename onto it is refused.
	if err := os.Rename(work, final); err != nil && !complete(final) {
		return "", err
	}
	return filepath.Join(final, "bin"), nil
}

func complete(dir string) bool {
	return executable(filepath.Join(dir, "bin", "initdb")) && executable(filepath.Join(dir, "bin", "postgres"))
}

// download gives the archive for this platform, whose SHA-256 it has checked.
func download(ctx context.Context, repository string) ([]byte, error) {
	platform := runtime.GOOS + "-" + runtime.GOARCH
	if runtime.GOARCH == "arm64" {
		platform += "v8"
	}
	if _, err := os.Stat("/etc/alpine-release"); err == nil {
		platform += "-alpine"
	}
	name := "embedded-postgres-binaries-" + platform
	url := fmt.Sprintf("%s/%s/%s/%s-%s.jar", repository, name, fetchVersion, name, fetchVersion)
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}}
	defer client.CloseIdleConnections()
	jar, err := get(ctx, client, url)
	if err != nil {
		return nil, err
	}
	want, err := get(ctx, client, url+".sha256")
	if err != nil {
		return nil, err
	}
	if got := sha256.Sum256(jar); hex.EncodeToString(got[:]) != strings.TrimSpace(string(want)) {
		return nil, fmt.Errorf("%s has another SHA-256 than %s.sha256 says", url, url)
	}
	return jar, nil
}

func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return io.ReadAll(http.MaxBytesReader(nil, response.Body, maxArchiveBytes))
}

// unpack writes the files of the archive's tar, which is the one *.txz in the jar, to dir and nowhere else.
func unpack(jar []byte, dir string) error {
	archive, err := zip.NewReader(bytes.NewReader(jar), int64(len(jar)))
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, file := range archive.File {
		if !strings.HasSuffix(file.Name, ".txz") {
			continue
		}
		compressed, err := file.Open()
		if err != nil {
			return err
		}
		defer compressed.Close()
		plain, err := xz.NewReader(compressed, 0)
		if err != nil {
			return err
		}
		return unpackTar(tar.NewReader(io.LimitReader(plain, maxUnpackedBytes)), root)
	}
	return errors.New("no *.txz in the archive")
}

func unpackTar(files *tar.Reader, root *os.Root) error {
	for {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := root.MkdirAll(filepath.Dir(header.Name), 0o755); err != nil {
			return err
		}
		switch header.Typeflag {
		case tar.TypeDir:
			err = root.MkdirAll(header.Name, 0o755)
		case tar.TypeSymlink:
			err = root.Symlink(header.Linkname, header.Name)
		case tar.TypeReg:
			err = writeFile(root, header.Name, os.FileMode(header.Mode)&0o755, files)
		}
		if err != nil {
			return err
		}
	}
}

func writeFile(root *os.Root, name string, mode os.FileMode, content io.Reader) error {
	file, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}
