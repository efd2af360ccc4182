package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

const (
	home      = "https://github.com/throughline-dev/throughline"
	license   = "Apache-2.0"
	unstated  = "NOASSERTION"
	rootsFrom = "golang.org/x/crypto/x509roots/fallback" // the certificates in the image
)

// binary is a compiled program.
type binary struct {
	name string
	path string
	sum  string // SHA-256, in hexadecimal
	info *buildinfo.BuildInfo
}

func readBinary(path string) (binary, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return binary{}, fmt.Errorf("reading a program: %w", err)
	}
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		return binary{}, fmt.Errorf("reading what %s is made of: %w", path, err)
	}
	return binary{name: filepath.Base(path), path: path, sum: digest(content), info: info}, nil
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// bom is a software bill of materials: SPDX 2.3 as JSON.
type bom struct {
	name    string // of the document, and of its file before .spdx.json
	content []byte
	subject v1.Descriptor // of the image, if it is one's
}

func (b bom) file() string { return b.name + ".spdx.json" }

// write makes its file in dir.
func (b bom) write(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, b.file()), b.content, 0o644); err != nil {
		return fmt.Errorf("writing a bill of materials: %w", err)
	}
	return nil
}

// imageBOM is that of the image for one platform.
func (b builder) imageBOM(image v1.Image, platform v1.Platform, binaries []binary) (bom, error) {
	raw, err := image.RawManifest()
	if err != nil {
		return bom{}, fmt.Errorf("reading the manifest: %w", err)
	}
	media, err := image.MediaType()
	if err != nil {
		return bom{}, fmt.Errorf("reading the manifest: %w", err)
	}
	sum := digest(raw)
	holder := b.pack("image", "throughline", b.version, "CONTAINER", "pkg:oci/throughline@sha256%3A"+sum+"?arch="+platform.Architecture)
	holder.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: sum}}
	made, ok := debug.ReadBuildInfo()
	if !ok {
		return bom{}, fmt.Errorf("this program does not know what it is made of: build it with modules")
	}
	at := slices.IndexFunc(made.Deps, func(m *debug.Module) bool { return m.Path == rootsFrom })
	if at < 0 {
		return bom{}, fmt.Errorf("this program does not know the version of its root certificates, %s", rootsFrom)
	}
	name := "throughline-image-" + platform.OS + "-" + platform.Architecture
	content, err := b.document(name, holder, binaries, made.Deps[at])
	return bom{name: name, content: content, subject: v1.Descriptor{MediaType: media, Size: int64(len(raw)), Digest: v1.Hash{Algorithm: "sha256", Hex: sum}}}, err
}

// archiveBOM is that of a compressed archive of binaries.
func (b builder) archiveBOM(name, file string, content []byte, binaries []binary) (bom, error) {
	holder := b.pack("archive", "throughline", b.version, "ARCHIVE", "")
	holder.PackageFileName = file
	holder.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: digest(content)}}
	text, err := b.document(name, holder, binaries)
	return bom{name: name, content: text}, err
}

// document describes holder, which contains the binaries, each of which depends on the modules that its linker wrote
// into it, and the modules that it holds beside. Equal arguments give equal bytes.
func (b builder) document(name string, holder *v2_3.Package, binaries []binary, beside ...*debug.Module) ([]byte, error) {
	doc := &v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: "DOCUMENT", DocumentName: name,
		CreationInfo: &v2_3.CreationInfo{Creators: []common.Creator{{CreatorType: "Tool", Creator: "throughline-tools-image"}}, Created: b.created.UTC().Format(time.RFC3339)},
		Packages:     []*v2_3.Package{holder},
	}
	relate := func(from common.ElementID, how string, to common.ElementID) {
		doc.Relationships = append(doc.Relationships, &v2_3.Relationship{
			RefA: common.DocElementID{ElementRefID: from}, Relationship: how, RefB: common.DocElementID{ElementRefID: to},
		})
	}
	known := map[common.ElementID]string{}
	add := func(p *v2_3.Package) error {
		key := p.PackageName + "@" + p.PackageVersion
		if other, ok := known[p.PackageSPDXIdentifier]; ok {
			if other != key {
				return fmt.Errorf("%s and %s have one SPDX identifier", other, key)
			}
			return nil
		}
		known[p.PackageSPDXIdentifier] = key
		doc.Packages = append(doc.Packages, p)
		return nil
	}
	relate("DOCUMENT", common.TypeRelationshipDescribe, holder.PackageSPDXIdentifier)
	sums := sha256.New()
	fmt.Fprintln(sums, name, b.version, holder.PackageChecksums)
	for _, program := range binaries {
		p := b.pack("program-"+program.name, program.name, b.version, "APPLICATION", "")
		p.PackageFileName = program.name
		p.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: program.sum}}
		if err := add(p); err != nil {
			return nil, err
		}
		relate(holder.PackageSPDXIdentifier, common.TypeRelationshipContains, p.PackageSPDXIdentifier)
		fmt.Fprintln(sums, program.name, program.sum)
		standard := &debug.Module{Path: "std", Version: strings.TrimPrefix(program.info.GoVersion, "go")}
		for _, module := range append([]*debug.Module{standard}, program.info.Deps...) {
			m := packageOf(module)
			if err := add(m); err != nil {
				return nil, err
			}
			relate(p.PackageSPDXIdentifier, common.TypeRelationshipDependsOn, m.PackageSPDXIdentifier)
		}
	}
	for _, module := range beside {
		m := packageOf(module)
		if err := add(m); err != nil {
			return nil, err
		}
		relate(holder.PackageSPDXIdentifier, common.TypeRelationshipContains, m.PackageSPDXIdentifier)
	}
	// A namespace has to be unique to the document, and nothing random may make it so.
	doc.DocumentNamespace = home + "/spdx/" + name + "-" + hex.EncodeToString(sums.Sum(nil))
	var out bytes.Buffer
	if err := spdxjson.Write(doc, &out, spdxjson.Indent("  "), spdxjson.EscapeHTML(false)); err != nil {
		return nil, fmt.Errorf("writing the bill of materials: %w", err)
	}
	return out.Bytes(), nil
}

// notInID is what an SPDX identifier may not have.
var notInID = regexp.MustCompile(`[^a-zA-Z0-9.-]+`)

// pack gives a package of this project.
func (b builder) pack(id, name, version, purpose, purl string) *v2_3.Package {
	p := &v2_3.Package{
		PackageSPDXIdentifier: common.ElementID(notInID.ReplaceAllString(id, "-")), PackageName: name, PackageVersion: version,
		PackageSupplier: &common.Supplier{SupplierType: "Organization", Supplier: "throughline-dev"}, PackageDownloadLocation: unstated, PackageHomePage: home,
		PackageLicenseConcluded: license, PackageLicenseDeclared: license, PackageCopyrightText: unstated, PrimaryPackagePurpose: purpose,
	}
	if b.revision != "" {
		p.PackageSourceInfo = "git commit " + b.revision
	}
	if purl != "" {
		p.PackageExternalReferences = []*v2_3.PackageExternalReference{{Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: purl}}
	}
	return p
}

// packageOf gives the package of a Go module; "std" is the standard library.
func packageOf(m *debug.Module) *v2_3.Package {
	if m.Replace != nil {
		m = m.Replace
	}
	p := &v2_3.Package{
		PackageSPDXIdentifier: common.ElementID("go-" + notInID.ReplaceAllString(m.Path+"-"+m.Version, "-")), PackageName: m.Path, PackageVersion: m.Version,
		PackageDownloadLocation: unstated, PackageLicenseConcluded: unstated, PackageLicenseDeclared: unstated, PackageCopyrightText: unstated, PrimaryPackagePurpose: "LIBRARY",
		PackageExternalReferences: []*v2_3.PackageExternalReference{{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: "pkg:golang/" + m.Path + "@" + strings.ReplaceAll(m.Version, "+", "%2B"),
		}},
	}
	if m.Sum != "" {
		p.PackageSourceInfo = "go.sum " + m.Sum
	}
	return p
}
