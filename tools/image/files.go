package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// archive is a tar archive whose bytes depend on its files alone.
type archive struct {
	buf bytes.Buffer
	tar *tar.Writer
}

func newArchive() *archive {
	a := &archive{}
	a.tar = tar.NewWriter(&a.buf)
	return a
}

func (a *archive) dir(name string, mode int64) error {
	return a.ownedDir(name, mode, 0)
}

func (a *archive) ownedDir(name string, mode int64, owner int) error {
	return a.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: owner, Gid: owner, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
	})
}

func (a *archive) file(name string, mode int64, content []byte) error {
	err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
	if err != nil {
		return err
	}
	_, err = a.tar.Write(content)
	return err
}

// bytes ends the archive and gives it.
func (a *archive) bytes() ([]byte, error) {
	if err := a.tar.Close(); err != nil {
		return nil, fmt.Errorf("ending the archive: %w", err)
	}
	return a.buf.Bytes(), nil
}

// compressed ends the archive and gives it with gzip.
func (a *archive) compressed() ([]byte, error) {
	content, err := a.bytes()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(content); err != nil {
		return nil, fmt.Errorf("compressing the archive: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compressing the archive: %w", err)
	}
	return out.Bytes(), nil
}

func (a *archive) layer() (v1.Layer, error) {
	content, err := a.bytes()
	if err != nil {
		return nil, err
	}
	return layerOf(content)
}

// spoolDir is the user's own, because a new volume of a container engine takes its owner from what it covers.
const spoolDir = "var/lib/throughline/spool"

// baseArchive has what a static program looks for: root certificates, the user's name, /tmp, and a place for the spool.
// Time zones are in the programs.
func baseArchive() (*archive, error) {
	a := newArchive()
	for _, d := range []struct {
		name string
		mode int64
	}{{"etc", 0o755}, {"etc/ssl", 0o755}, {"etc/ssl/certs", 0o755}, {"tmp", 0o1777}, {"var", 0o755}, {"var/lib", 0o755}, {"var/lib/throughline", 0o755}} {
		if err := a.dir(d.name, d.mode); err != nil {
			return nil, fmt.Errorf("adding %s: %w", d.name, err)
		}
	}
	if err := a.ownedDir(spoolDir, 0o700, user); err != nil {
		return nil, fmt.Errorf("adding %s: %w", spoolDir, err)
	}
	for _, f := range []struct{ name, text string }{
		{"etc/group", fmt.Sprintf("root:x:0:\nthroughline:x:%d:\n", user)},
		{"etc/passwd", fmt.Sprintf("root:x:0:0:root:/:/sbin/nologin\nthroughline:x:%d:%d:throughline:/:/sbin/nologin\n", user, user)},
		{"etc/ssl/certs/ca-certificates.crt", certificates()},
	} {
		if err := a.file(f.name, 0o644, []byte(f.text)); err != nil {
			return nil, fmt.Errorf("adding %s: %w", f.name, err)
		}
	}
	return a, nil
}

// certificates are Mozilla's roots, without those that it trusts under conditions only, which a file cannot say.
func certificates() string {
	var text bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}) // a buffer takes everything
		}
	}
	return text.String()
}

// programLayer holds the programs.
func programLayer(binaries []binary) (v1.Layer, error) {
	a := newArchive()
	for _, d := range []string{"usr", "usr/local", binDir} {
		if err := a.dir(d, 0o755); err != nil {
			return nil, fmt.Errorf("adding %s: %w", d, err)
		}
	}
	for _, b := range binaries {
		if err := a.program(path.Join(binDir, b.name), b); err != nil {
			return nil, err
		}
	}
	return a.layer()
}

// program adds a program under a path in the archive.
func (a *archive) program(name string, b binary) error {
	content, err := os.ReadFile(b.path)
	if err != nil {
		return fmt.Errorf("reading a program: %w", err)
	}
	if err := a.file(name, 0o755, content); err != nil {
		return fmt.Errorf("adding %s: %w", name, err)
	}
	return nil
}

// opener reads content from its beginning each time.
func opener(content []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
}
