package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
	"github.com/spdx/tools-golang/spdxlib"
	"github.com/stretchr/testify/require"
)

func readBOM(t *testing.T, content []byte) (*v2_3.Document, map[string]*v2_3.Package) {
	t.Helper()
	doc, err := spdxjson.Read(bytes.NewReader(content))
	require.NoError(t, err)
	require.NoError(t, spdxlib.ValidateDocument(doc))
	require.Equal(t, "SPDX-2.3", doc.SPDXVersion)
	byName := map[string]*v2_3.Package{}
	for _, p := range doc.Packages {
		require.NotContains(t, byName, string(p.PackageSPDXIdentifier))
		byName[p.PackageName+"/"+p.PrimaryPackagePurpose] = p
	}
	return doc, byName
}

func related(doc *v2_3.Document, from *v2_3.Package, how string, to *v2_3.Package) bool {
	return slices.ContainsFunc(doc.Relationships, func(r *v2_3.Relationship) bool {
		return r.RefA.ElementRefID == from.PackageSPDXIdentifier && r.Relationship == how && r.RefB.ElementRefID == to.PackageSPDXIdentifier
	})
}

// requireBOM holds an image's bill of materials to the programs below root.
func requireBOM(t *testing.T, content []byte, root string) {
	t.Helper()
	doc, packages := readBOM(t, content)
	require.Equal(t, "2023-11-14T22:13:20Z", doc.CreationInfo.Created)
	image := packages["throughline/CONTAINER"]
	require.NotNil(t, image)
	require.NotNil(t, packages[rootsFrom+"/LIBRARY"])
	require.True(t, related(doc, image, common.TypeRelationshipContains, packages[rootsFrom+"/LIBRARY"]))
	for _, program := range programs {
		p := packages[program+"/APPLICATION"]
		require.NotNil(t, p, program)
		file, err := os.ReadFile(filepath.Join(root, binDir, program))
		require.NoError(t, err)
		require.Equal(t, digest(file), p.PackageChecksums[0].Value)
		require.True(t, related(doc, image, common.TypeRelationshipContains, p))
		require.True(t, related(doc, p, common.TypeRelationshipDependsOn, packages["std/LIBRARY"]), program)
	}
	kafka, postgres := packages["github.com/twmb/franz-go/LIBRARY"], packages["github.com/jackc/pgx/v5/LIBRARY"]
	require.Equal(t, "pkg:golang/github.com/twmb/franz-go@"+kafka.PackageVersion, kafka.PackageExternalReferences[0].Locator)
	require.Contains(t, kafka.PackageSourceInfo, "go.sum h1:")
	require.True(t, related(doc, packages["sink/APPLICATION"], common.TypeRelationshipDependsOn, postgres))
	require.False(t, related(doc, packages["receiver/APPLICATION"], common.TypeRelationshipDependsOn, postgres), "the receiver has no database")
}

// requireReferrer finds the bill of materials by the image, as scanners do.
func requireReferrer(t *testing.T, repository name.Repository, image v1.Image, want bom) {
	t.Helper()
	hash, err := image.Digest()
	require.NoError(t, err)
	index, err := remote.Referrers(repository.Digest(hash.String()), remote.WithContext(t.Context()))
	require.NoError(t, err)
	list, err := index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, list.Manifests, 1)
	artifact, err := remote.Image(repository.Digest(list.Manifests[0].Digest.String()), remote.WithContext(t.Context()))
	require.NoError(t, err)
	manifest, err := artifact.Manifest()
	require.NoError(t, err)
	require.Equal(t, "application/spdx+json", manifest.ArtifactType)
	require.Equal(t, hash, manifest.Subject.Digest)
	layers, err := artifact.Layers()
	require.NoError(t, err)
	require.Len(t, layers, 1)
	content, err := layers[0].Compressed()
	require.NoError(t, err)
	got, err := io.ReadAll(content)
	require.NoError(t, err)
	require.Equal(t, string(want.content), string(got))
}

// requireLayout finds the image in a layout by its tag, and its bill of materials beside it.
func requireLayout(t *testing.T, built *built, digest v1.Hash) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "image")
	require.NoError(t, built.write(dir, "v1.2.3-test"))
	require.ErrorContains(t, built.write(dir, "v1.2.3-test"), "file exists")
	index, err := layout.ImageIndexFromPath(dir)
	require.NoError(t, err)
	list, err := index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, list.Manifests, 1+len(built.boms))
	require.Equal(t, digest, list.Manifests[0].Digest)
	require.Equal(t, "1.2.3-test", list.Manifests[0].Annotations["org.opencontainers.image.ref.name"])
	require.Equal(t, "application/spdx+json", list.Manifests[1].ArtifactType)
	require.NoError(t, layoutBlobs(dir))
}

// layoutBlobs checks that each blob is what its name says.
func layoutBlobs(dir string) error {
	path, err := layout.FromPath(dir)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(filepath.Join(dir, "blobs", "sha256"))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		blob, err := path.Bytes(v1.Hash{Algorithm: "sha256", Hex: entry.Name()})
		if err != nil {
			return err
		}
		if digest(blob) != entry.Name() {
			return os.ErrInvalid
		}
	}
	return nil
}

// Two modules that SPDX identifiers can't tell apart are an error, not one package.
func TestIdentifiersAreUnique(t *testing.T) {
	t.Parallel()
	b := builder{version: "v1.2.3"}
	holder := b.pack("archive", "throughline", "v1.2.3", "ARCHIVE", "")
	_, err := b.document("x", holder, nil, &debug.Module{Path: "a/b", Version: "v1"}, &debug.Module{Path: "a-b", Version: "v1"})
	require.ErrorContains(t, err, "a/b@v1 and a-b@v1 have one SPDX identifier")
}
