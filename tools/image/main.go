// Image builds the container image of Throughline without a container engine: every program and the command line,
// static, with the root certificates and nothing else, for each platform. Two builds of one commit give one digest.
//
// Usage: image [-out DIR] [-version V] [-platforms LIST] [-push REPOSITORY:TAG], in the root of the repository.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1) //nolint:gocritic // nothing waits for stop
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	out := flags.String("out", "dist/image", "write the OCI image layout to this directory, which must not exist")
	version := flags.String("version", "dev", "version of the programs and of the image's label")
	platforms := flags.String("platforms", "linux/amd64,linux/arm64", "comma-separated platforms")
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
	b := builder{root: ".", version: *version, revision: *revision, created: time.Unix(created, 0).UTC()}
	for text := range strings.SplitSeq(*platforms, ",") {
		platform, err := v1.ParsePlatform(text)
		if err != nil {
			return fmt.Errorf("-platforms: %w", err)
		}
		b.platforms = append(b.platforms, *platform)
	}
	index, err := b.build(ctx, func(line string) { fmt.Fprintln(os.Stderr, line) })
	if err != nil {
		return err
	}
	if err := os.Mkdir(*out, 0o755); err != nil {
		return fmt.Errorf("making the directory of the image: %w", err)
	}
	path, err := layout.Write(*out, index)
	if err != nil {
		return fmt.Errorf("writing the image layout: %w", err)
	}
	digest, err := index.Digest()
	if err != nil {
		return fmt.Errorf("computing the digest: %w", err)
	}
	fmt.Printf("%s  %s\n", digest, path)
	if *push == "" {
		return nil
	}
	to, err := name.NewTag(*push, name.StrictValidation)
	if err != nil {
		return fmt.Errorf("-push: %w", err)
	}
	if err := remote.WriteIndex(to, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("pushing to %s: %w", to, err)
	}
	fmt.Printf("%s@%s\n", to.Context(), digest)
	return nil
}
