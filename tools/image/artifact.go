package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	spdxType  types.MediaType = "application/spdx+json"
	emptyType types.MediaType = "application/vnd.oci.empty.v1+json"
)

// artifact is a bill of materials as registries keep it: a manifest whose subject is the image, so that the registry's
// list of referrers of the image has it.
type artifact struct {
	raw   []byte
	blobs []v1.Layer
}

func newArtifact(b bom) (*artifact, error) {
	config, content := static.NewLayer([]byte("{}"), emptyType), static.NewLayer(b.content, spdxType)
	manifest := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: string(spdxType), Subject: &b.subject}
	var err error
	if manifest.Config, err = descriptor(config); err != nil {
		return nil, err
	}
	layer, err := descriptor(content)
	if err != nil {
		return nil, err
	}
	layer.Annotations = map[string]string{"org.opencontainers.image.title": b.file()}
	manifest.Layers = []v1.Descriptor{layer}
	raw, err := json.Marshal(manifest)
	if err != nil {
		return nil, fmt.Errorf("writing the manifest of a bill of materials: %w", err)
	}
	return &artifact{raw: raw, blobs: []v1.Layer{config, content}}, nil
}

func descriptor(blob v1.Layer) (v1.Descriptor, error) {
	hash, err := blob.Digest()
	if err != nil {
		return v1.Descriptor{}, err
	}
	size, err := blob.Size()
	if err != nil {
		return v1.Descriptor{}, err
	}
	media, err := blob.MediaType()
	return v1.Descriptor{MediaType: media, Size: size, Digest: hash}, err
}

// RawManifest and MediaType make it something that a registry can be given.
func (a *artifact) RawManifest() ([]byte, error) { return a.raw, nil }

// MediaType is that of the manifest.
func (a *artifact) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

func (a *artifact) hash() v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: digest(a.raw)} }

// write makes an OCI image layout in dir, which must not exist: the image under its version as tag, and the bills of
// materials.
func (b *built) write(dir, version string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("making the directory of the image: %w", err)
	}
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("writing the image layout: %w", err)
	}
	err = path.AppendIndex(b.index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": strings.TrimPrefix(version, "v")}))
	if err != nil {
		return fmt.Errorf("writing the image layout: %w", err)
	}
	for _, one := range b.boms {
		a, err := newArtifact(one)
		if err != nil {
			return err
		}
		if err := a.write(path); err != nil {
			return fmt.Errorf("writing the bill of materials into the image layout: %w", err)
		}
	}
	return nil
}

func (a *artifact) write(path layout.Path) error {
	for _, blob := range a.blobs {
		hash, err := blob.Digest()
		if err != nil {
			return err
		}
		content, err := blob.Compressed()
		if err != nil {
			return err
		}
		if err := path.WriteBlob(hash, content); err != nil {
			return err
		}
	}
	if err := path.WriteBlob(a.hash(), io.NopCloser(bytes.NewReader(a.raw))); err != nil {
		return err
	}
	return path.AppendDescriptor(v1.Descriptor{MediaType: types.OCIManifestSchema1, Size: int64(len(a.raw)), Digest: a.hash(), ArtifactType: string(spdxType)})
}

// push sends the image to a registry, and then the bills of materials that refer to it.
func (b *built) push(ctx context.Context, to name.Tag) error {
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	if err := remote.WriteIndex(to, b.index, options...); err != nil {
		return fmt.Errorf("pushing to %s: %w", to, err)
	}
	for _, one := range b.boms {
		a, err := newArtifact(one)
		if err != nil {
			return err
		}
		for _, blob := range a.blobs {
			if err := remote.WriteLayer(to.Repository, blob, options...); err != nil {
				return fmt.Errorf("pushing the bill of materials to %s: %w", to.Repository, err)
			}
		}
		if err := remote.Put(to.Digest(a.hash().String()), a, options...); err != nil {
			return fmt.Errorf("pushing the bill of materials to %s: %w", to.Repository, err)
		}
	}
	return nil
}
