package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
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
	return a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
}

func (a *archive) file(name string, mode int64, content []byte) error {
	err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content)), ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR})
	if err != nil {
		return err
	}
	_, err = a.tar.Write(content)
	return err
}

func (a *archive) layer() (v1.Layer, error) {
	if err := a.tar.Close(); err != nil {
		return nil, fmt.Errorf("ending the archive: %w", err)
	}
	return layerOf(a.buf.Bytes())
}

// baseLayer has what a static program looks for: root certificates, the user's name, and /tmp. Time zones are in the
// programs.
func baseLayer() (v1.Layer, error) {
	a := newArchive()
	for _, d := range []struct {
		name string
		mode int64
	}{{"etc", 0o755}, {"etc/ssl", 0o755}, {"etc/ssl/certs", 0o755}, {"tmp", 0o1777}} {
		if err := a.dir(d.name, d.mode); err != nil {
			return nil, fmt.Errorf("adding %s: %w", d.name, err)
		}
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
	return a.layer()
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

// programLayer holds the programs that were compiled into dir.
func programLayer(dir string) (v1.Layer, error) {
	a := newArchive()
	for _, d := range []string{"usr", "usr/local", binDir} {
		if err := a.dir(d, 0o755); err != nil {
			return nil, fmt.Errorf("adding %s: %w", d, err)
		}
	}
	for _, p := range programs {
		content, err := os.ReadFile(filepath.Join(dir, p))
		if err != nil {
			return nil, fmt.Errorf("reading a program: %w", err)
		}
		if err := a.file(path.Join(binDir, p), 0o755, content); err != nil {
			return nil, fmt.Errorf("adding %s: %w", p, err)
		}
	}
	return a.layer()
}

// opener reads content from its beginning each time.
func opener(content []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
}
