package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// programs are the packages below services whose programs the image holds, under their own names.
var programs = []string{"receiver", "normalizer", "sink", "quarantine", "puller", "learner", "drift", "alerter", "console", "throughline"}

const (
	binDir = "usr/local/bin"
	// user is nobody's on any system: the restricted pod security standard asks for one that is not root.
	user        = 65532
	description = "The lead-to-cash event stream: every event of a company's tools on one timeline per account"
)

// builder makes the programs, and images of them.
type builder struct {
	root     string // of the repository
	version  string
	revision string // commit; "": not known
	created  time.Time
	dir      string // where programs are compiled to; it exists
}

// built is an image for several platforms, with the bill of materials of each.
type built struct {
	index v1.ImageIndex
	boms  []bom // in the order of the platforms
}

// build compiles the programs for these platforms and gives their image. tell is called before each step that takes long.
func (b builder) build(ctx context.Context, platforms []v1.Platform, tell func(string)) (*built, error) {
	files, err := baseArchive()
	if err != nil {
		return nil, err
	}
	base, err := files.layer()
	if err != nil {
		return nil, err
	}
	all := &built{}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, platform := range platforms {
		tell(fmt.Sprintf("image for %s (%d of %d)", platform, i+1, len(platforms)))
		image, bom, err := b.image(ctx, platform, base)
		if err != nil {
			return nil, fmt.Errorf("building for %s: %w", platform, err)
		}
		all.boms = append(all.boms, bom)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &platforms[i]}})
	}
	annotated, ok := mutate.Annotations(index, b.labels()).(v1.ImageIndex)
	if !ok {
		return nil, fmt.Errorf("annotating the index: it is a %T", index)
	}
	all.index = annotated
	return all, nil
}

func (b builder) image(ctx context.Context, platform v1.Platform, base v1.Layer) (v1.Image, bom, error) {
	binaries, err := b.compile(ctx, platform)
	if err != nil {
		return nil, bom{}, err
	}
	layer, err := programLayer(binaries)
	if err != nil {
		return nil, bom{}, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	history := v1.History{Created: v1.Time{Time: b.created}, CreatedBy: "tools/image"}
	image, err = mutate.Append(image, mutate.Addendum{Layer: base, History: history}, mutate.Addendum{Layer: layer, History: history})
	if err != nil {
		return nil, bom{}, fmt.Errorf("appending the layers: %w", err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, bom{}, fmt.Errorf("reading the configuration: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Variant, file.Created = platform.OS, platform.Architecture, platform.Variant, v1.Time{Time: b.created}
	file.Config = v1.Config{
		User: fmt.Sprintf("%d:%d", user, user), WorkingDir: "/", Env: []string{"PATH=/" + binDir}, Labels: b.labels(),
		// The image holds several programs: a container names its own. This one says what there is.
		Entrypoint: []string{"/" + binDir + "/throughline"},
	}
	if image, err = mutate.ConfigFile(image, file); err != nil {
		return nil, bom{}, fmt.Errorf("writing the configuration: %w", err)
	}
	bom, err := b.imageBOM(image, platform, binaries)
	return image, bom, err
}

// flags are those that every program is compiled with: it is static, and holds neither paths nor times of this machine.
func (b builder) flags() []string {
	return []string{"-trimpath", "-buildvcs=false", "-tags", "timetzdata", "-ldflags", "-s -w -buildid= -X github.com/throughline-dev/throughline/pkg/settings.version=" + b.version}
}

// compile makes the programs for a platform, once. They are in a directory of their own below b.dir.
func (b builder) compile(ctx context.Context, platform v1.Platform) ([]binary, error) {
	dir := filepath.Join(b.dir, platform.OS+"-"+platform.Architecture)
	if _, err := os.Stat(dir); err != nil {
		// Under its own name when it is whole.
		if err := b.compileInto(ctx, dir+".unfinished", platform); err != nil {
			return nil, err
		}
		if err := os.Rename(dir+".unfinished", dir); err != nil {
			return nil, fmt.Errorf("giving the programs' directory its name: %w", err)
		}
	}
	var all []binary
	for _, p := range programs {
		one, err := readBinary(filepath.Join(dir, p))
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func (b builder) compileInto(ctx context.Context, dir string, platform v1.Platform) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making a directory for the programs: %w", err)
	}
	args := append([]string{"build", "-o", dir + "/"}, b.flags()...)
	for _, p := range programs {
		args = append(args, "./services/"+p)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = b.root, os.Stderr, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=", "GOOS="+platform.OS, "GOARCH="+platform.Architecture)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("compiling: %w", err)
	}
	return nil
}

// labels are those of the OCI image specification.
func (b builder) labels() map[string]string {
	labels := map[string]string{
		"org.opencontainers.image.title": "throughline", "org.opencontainers.image.description": description,
		"org.opencontainers.image.version": b.version, "org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.created": b.created.Format(time.RFC3339),
	}
	if b.revision != "" {
		labels["org.opencontainers.image.revision"] = b.revision
	}
	return labels
}

// layerOf gives the layer of what is in the tar archive.
func layerOf(archive []byte) (v1.Layer, error) {
	layer, err := tarball.LayerFromOpener(opener(archive), tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, fmt.Errorf("making a layer: %w", err)
	}
	return layer, nil
}
