// Image builds the container image of Throughline without a container engine: every program and the command line,
// static, with the root certificates and nothing else, for each platform. Two builds of one commit give one digest. A
// bill of materials (SPDX 2.3) of each platform's image is written beside it and refers to it in the registry.
//
// Usage, in the root of the repository:
//
//	image [-out DIR] [-version V] [-platforms LIST] [-push REPOSITORY:TAG]
//	image release VERSION
//	image base >FILE.tar
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1) //nolint:gocritic // nothing waits for stop
	}
}

// tell says what is done now.
func tell(line string) { fmt.Fprintln(os.Stderr, line) }

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) > 0 && args[0] == "release":
		return runRelease(ctx, args[1:])
	case len(args) == 1 && args[0] == "base":
		return writeBase(os.Stdout)
	}
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	out := flags.String("out", "dist/image", "write the OCI image layout to this directory, which must not exist, and the bills of materials beside it")
	version := flags.String("version", "dev", "version of the programs and of the image's label")
	platformList := flags.String("platforms", "linux/amd64,linux/arm64", "comma-separated platforms")
	revision := flags.String("revision", "", "commit, for the image's label")
	epoch := flags.String("epoch", "0", "time of the image, in Unix seconds: the commit's, so that two builds are one image")
	push := flags.String("push", "", "push the image to this reference, for example registry.example/throughline:1.2.3")
	if err := flags.Parse(args); err != nil {
		return err
	}
	created, err := strconv.ParseInt(*epoch, 10, 64)
	if err != nil {
		return fmt.Errorf("-epoch is %q: it should be Unix seconds", *epoch)
	}
	platforms, err := parsePlatforms(*platformList)
	if err != nil {
		return fmt.Errorf("-platforms: %w", err)
	}
	var to name.Tag
	if *push != "" {
		if to, err = name.NewTag(*push, name.StrictValidation); err != nil {
			return fmt.Errorf("-push: %w", err)
		}
	}
	dir, err := os.MkdirTemp("", "throughline-image-")
	if err != nil {
		return fmt.Errorf("making a directory for the programs: %w", err)
	}
	defer os.RemoveAll(dir)
	b := builder{root: ".", version: *version, revision: *revision, created: time.Unix(created, 0).UTC(), dir: dir}
	built, err := b.build(ctx, platforms, tell)
	if err != nil {
		return err
	}
	if err := built.write(*out, *version); err != nil {
		return err
	}
	for _, bom := range built.boms {
		if err := bom.write(filepath.Dir(*out)); err != nil {
			return err
		}
	}
	digest, err := built.index.Digest()
	if err != nil {
		return fmt.Errorf("computing the digest: %w", err)
	}
	fmt.Fprintf(os.Stdout, "%s  %s\n", digest, *out)
	if *push == "" {
		return nil
	}
	if err := built.push(ctx, to); err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "%s@%s\n", to.Context(), digest)
	return nil
}

// writeBase writes what the image holds beside the programs, for the Dockerfile.
func writeBase(to io.Writer) error {
	files, err := baseArchive()
	if err != nil {
		return err
	}
	content, err := files.bytes()
	if err != nil {
		return err
	}
	if _, err := to.Write(content); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	return nil
}

func parsePlatforms(list string) ([]v1.Platform, error) {
	var platforms []v1.Platform
	for text := range strings.SplitSeq(list, ",") {
		platform, err := v1.ParsePlatform(text)
		if err != nil {
			return nil, err
		}
		platforms = append(platforms, *platform)
	}
	return platforms, nil
}
