package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/mod/semver"
)

// released are the platforms of a release; the image is for those of Linux.
var released = []v1.Platform{
	{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64"},
	{OS: "darwin", Architecture: "amd64"}, {OS: "darwin", Architecture: "arm64"},
}

// sumsFile has the SHA-256 of each other file, as sha256sum writes and reads it.
const sumsFile = "SHA256SUMS"

// release makes one folder of all that is published of a version.
type release struct {
	root    string // of the repository
	version string // v1.2.3
	helm    string // the program
	tell    func(string)
}

func runRelease(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("name one version, such as v1.2.3: image release VERSION")
	}
	r := release{root: ".", version: args[0], helm: filepath.Join("bin", "helm4"), tell: tell}
	dir := filepath.Join("dist", "release", r.version)
	if err := r.check(ctx, dir); err != nil {
		return err
	}
	began := time.Now()
	if err := r.make(ctx, dir); err != nil {
		return err
	}
	r.tell(fmt.Sprintf("%s is complete, after %s", dir, time.Since(began).Round(time.Second)))
	return nil
}

// number is the version as charts and tags of images have it.
func (r release) number() string { return strings.TrimPrefix(r.version, "v") }

// check gives every reason not to make this release in dir.
func (r release) check(ctx context.Context, dir string) error {
	// A tag of an image has no "+", so there is no build metadata.
	if !semver.IsValid(r.version) || semver.Canonical(r.version) != r.version {
		return fmt.Errorf("VERSION is %q: it should be like v1.2.3 or v1.2.3-rc.1", r.version)
	}
	var problems []error
	if _, err := os.Lstat(filepath.Join(r.root, dir)); err == nil {
		problems = append(problems, fmt.Errorf("%s is there already: remove it, or choose another VERSION", dir))
	}
	changed, err := r.git(ctx, "status", "--porcelain")
	if err != nil {
		return err
	}
	if changed != "" {
		first, more, _ := strings.Cut(changed, "\n")
		what := strings.TrimSpace(first[2:])
		if more != "" {
			what += fmt.Sprintf(" and %d more", strings.Count(more, "\n")+1)
		}
		problems = append(problems, fmt.Errorf("the working tree has what is not committed (%s): commit, stash or remove it", what))
	}
	head, err := r.git(ctx, "rev-parse", "HEAD")
	if err != nil {
		return err
	}
	if tagged, err := r.git(ctx, "rev-parse", "--verify", "--quiet", "refs/tags/"+r.version+"^{commit}"); err == nil && tagged != head {
		problems = append(problems, fmt.Errorf("the tag %s is another commit, %.12s: check that out, or choose another VERSION", r.version, tagged))
	}
	return errors.Join(problems...)
}

func (r release) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	var errs bytes.Buffer
	cmd.Dir, cmd.Stderr = r.root, &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running git %s: %w: %s", args[0], err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimRight(string(out), "\n"), nil
}

// make fills a folder beside dir, and gives it dir's name when it is whole.
func (r release) make(ctx context.Context, dir string) (err error) {
	b, err := r.builder(ctx)
	if err != nil {
		return err
	}
	dir = filepath.Join(r.root, dir)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("making the folder of releases: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), ".unfinished-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	b.dir = filepath.Join(work, "programs")
	files := filepath.Join(work, "files")
	if err := os.Mkdir(files, 0o755); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	for i, platform := range released {
		r.tell(fmt.Sprintf("programs for %s (%d of %d)", platform, i+1, len(released)))
		if err := r.archive(ctx, b, platform, files); err != nil {
			return fmt.Errorf("programs for %s: %w", platform, err)
		}
	}
	if err := r.image(ctx, b, files); err != nil {
		return err
	}
	r.tell("chart")
	if err := r.chart(ctx, files); err != nil {
		return fmt.Errorf("packaging the chart: %w", err)
	}
	if err := r.notes(files); err != nil {
		return err
	}
	r.tell("checksums")
	if err := writeSums(files); err != nil {
		return err
	}
	if err := os.Rename(files, dir); err != nil {
		return fmt.Errorf("giving the folder its name: %w", err)
	}
	return nil
}

func (r release) builder(ctx context.Context) (builder, error) {
	b := builder{root: r.root, version: r.version}
	var err error
	if b.revision, err = r.git(ctx, "rev-parse", "HEAD"); err != nil {
		return b, err
	}
	seconds, err := r.git(ctx, "log", "-1", "--format=%ct")
	if err != nil {
		return b, err
	}
	epoch, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return b, fmt.Errorf("reading the time of the commit: %w", err)
	}
	b.created = time.Unix(epoch, 0).UTC()
	return b, nil
}

// archive writes the programs of a platform, and what they are made of.
func (r release) archive(ctx context.Context, b builder, platform v1.Platform, files string) error {
	binaries, err := b.compile(ctx, platform)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("throughline_%s_%s_%s", r.version, platform.OS, platform.Architecture)
	a := newArchive()
	if err := a.dir(name, 0o755); err != nil {
		return fmt.Errorf("adding %s: %w", name, err)
	}
	text, err := os.ReadFile(filepath.Join(r.root, "LICENSE"))
	if err != nil {
		return fmt.Errorf("reading the license: %w", err)
	}
	if err := a.file(path.Join(name, "LICENSE"), 0o644, text); err != nil {
		return fmt.Errorf("adding the license: %w", err)
	}
	for _, one := range binaries {
		if err := a.program(path.Join(name, one.name), one); err != nil {
			return err
		}
	}
	content, err := a.compressed()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(files, name+".tar.gz"), content, 0o644); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	bom, err := b.archiveBOM(name, name+".tar.gz", content, binaries)
	if err != nil {
		return err
	}
	return bom.write(files)
}

// image writes the image layout as one file, and what the images are made of.
func (r release) image(ctx context.Context, b builder, files string) error {
	var platforms []v1.Platform
	for _, p := range released {
		if p.OS == "linux" {
			platforms = append(platforms, p)
		}
	}
	built, err := b.build(ctx, platforms, r.tell)
	if err != nil {
		return err
	}
	dir := filepath.Join(b.dir, "image")
	if err := built.write(dir, r.version); err != nil {
		return err
	}
	for _, bom := range built.boms {
		if err := bom.write(files); err != nil {
			return err
		}
	}
	a := newArchive()
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error { // in lexical order
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return a.dir(filepath.ToSlash(name), 0o755)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return a.file(filepath.ToSlash(name), 0o644, content)
	})
	if err != nil {
		return fmt.Errorf("writing the image's archive: %w", err)
	}
	content, err := a.bytes()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(files, fmt.Sprintf("throughline_%s_image.tar", r.version)), content, 0o644); err != nil {
		return fmt.Errorf("writing the image's archive: %w", err)
	}
	return nil
}

// chart writes the chart's package. Helm gives its files the time of now, so it is packed again.
func (r release) chart(ctx context.Context, files string) error {
	dir, err := os.MkdirTemp("", "throughline-chart-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(ctx, r.helm, "package", "helm/throughline", "--version", r.number(), "--app-version", r.number(), "--destination", dir)
	cmd.Dir = r.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(out))
	}
	name := "throughline-" + r.number() + ".tgz"
	packed, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	content, err := repack(packed)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(files, name), content, 0o644) //nolint:gosec // the version was checked
}

// repack gives a compressed archive the times and the order that ours have.
func repack(packed []byte) ([]byte, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	contents := map[string][]byte{}
	var names []string
	for from := tar.NewReader(unzipped); ; {
		header, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if contents[header.Name], err = io.ReadAll(from); err != nil {
			return nil, err
		}
		names = append(names, header.Name)
	}
	// Helm wants Chart.yaml to come first.
	slices.SortFunc(names, func(a, b string) int {
		if first := path.Base(b) == "Chart.yaml"; first != (path.Base(a) == "Chart.yaml") {
			if first {
				return 1
			}
			return -1
		}
		return strings.Compare(a, b)
	})
	to := newArchive()
	for _, name := range names {
		if err := to.file(name, 0o644, contents[name]); err != nil {
			return nil, err
		}
	}
	return to.compressed()
}

// notes writes the version's section of the changelog, if there is one.
func (r release) notes(files string) error {
	log, err := os.ReadFile(filepath.Join(r.root, "CHANGELOG.md"))
	if err != nil {
		return fmt.Errorf("reading the changelog: %w", err)
	}
	section := sectionOf(string(log), r.number())
	if section == "" {
		r.tell("CHANGELOG.md has no section " + r.number() + ": the release has no notes")
		return nil
	}
	if err := os.WriteFile(filepath.Join(files, "CHANGELOG.md"), []byte(section), 0o644); err != nil {
		return fmt.Errorf("writing the changelog: %w", err)
	}
	return nil
}

// sectionOf gives the section of a version ("## 1.2.3 - 2026-01-31", "## [v1.2.3]") with its heading; "" when there is none.
func sectionOf(log, number string) string {
	var section strings.Builder
	for line := range strings.Lines(log) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			if section.Len() > 0 {
				break
			}
			word, _, _ := strings.Cut(strings.TrimSpace(heading), " ")
			if strings.TrimPrefix(strings.Trim(word, "[]"), "v") == number {
				section.WriteString(line)
			}
			continue
		}
		if section.Len() > 0 {
			section.WriteString(line)
		}
	}
	if section.Len() == 0 {
		return ""
	}
	return strings.TrimSpace(section.String()) + "\n"
}

// writeSums writes the checksums of all files in dir.
func writeSums(dir string) error {
	entries, err := os.ReadDir(dir) // in the order of their names
	if err != nil {
		return fmt.Errorf("listing the files of the release: %w", err)
	}
	var sums strings.Builder
	for _, entry := range entries {
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return fmt.Errorf("reading %s: %w", entry.Name(), err)
		}
		fmt.Fprintf(&sums, "%s  %s\n", digest(content), entry.Name())
	}
	if err := os.WriteFile(filepath.Join(dir, sumsFile), []byte(sums.String()), 0o644); err != nil {
		return fmt.Errorf("writing the checksums: %w", err)
	}
	return nil
}
