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
var programs = []string{"receiver", "normalizer", "sink", "quarantine", "throughline"}

const (
	binDir = "usr/local/bin"
	// user is nobody's on any system: the restricted pod security standard asks for one that is not root.
	user        = 65532
	description = "The lead-to-cash event stream: every event of a company's tools on one timeline per account"
)

// builder makes one image for several platforms.
type builder struct {
	root      string // of the repository
	version   string
	revision  string // commit; "": not known
	created   time.Time
	platforms []v1.Platform
}

// build compiles the programs and gives the image's index. tell is called before each step that takes long.
func (b builder) build(ctx context.Context, tell func(string)) (v1.ImageIndex, error) {
	dir, err := os.MkdirTemp("", "throughline-image-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for the programs: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is a temporary directory
	base, err := baseLayer()
	if err != nil {
		return nil, err
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for i, platform := range b.platforms {
		tell(fmt.Sprintf("compiling for %s (%d of %d)", platform, i+1, len(b.platforms)))
		image, err := b.image(ctx, filepath.Join(dir, platform.Architecture), platform, base)
		if err != nil {
			return nil, fmt.Errorf("building for %s: %w", platform, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &b.platforms[i]}})
	}
	annotated, ok := mutate.Annotations(index, b.labels()).(v1.ImageIndex)
	if !ok {
		return nil, fmt.Errorf("annotating the index: it is a %T", index)
	}
	return annotated, nil
}

func (b builder) image(ctx context.Context, dir string, platform v1.Platform, base v1.Layer) (v1.Image, error) {
	if err := b.compile(ctx, dir, platform); err != nil {
		return nil, err
	}
	layer, err := programLayer(dir)
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	history := v1.History{Created: v1.Time{Time: b.created}, CreatedBy: "tools/image"}
	image, err = mutate.Append(image, mutate.Addendum{Layer: base, History: history}, mutate.Addendum{Layer: layer, History: history})
	if err != nil {
		return nil, fmt.Errorf("appending the layers: %w", err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Variant, file.Created = platform.OS, platform.Architecture, platform.Variant, v1.Time{Time: b.created}
	file.Config = v1.Config{
		User: fmt.Sprintf("%d:%d", user, user), WorkingDir: "/", Env: []string{"PATH=/" + binDir}, Labels: b.labels(),
		// The image holds several programs: a container names its own. This one says what there is.
		Entrypoint: []string{"/" + binDir + "/throughline"},
	}
	return mutate.ConfigFile(image, file)
}

// compile makes static programs that hold neither paths nor times of this machine.
func (b builder) compile(ctx context.Context, dir string, platform v1.Platform) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making a directory for the programs: %w", err)
	}
	args := []string{"build", "-trimpath", "-buildvcs=false", "-tags", "timetzdata", "-o", dir + "/",
		"-ldflags", "-s -w -buildid= -X github.com/throughline-dev/throughline/pkg/settings.version=" + b.version}
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
