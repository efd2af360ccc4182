package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const repositoryRoot = "../.."

// The Dockerfile makes the image that this tool makes. No engine runs it here: its text is held to the tool, and what it
// lets into the build is tried.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join(repositoryRoot, "Dockerfile"))
	require.NoError(t, err)
	text := strings.ReplaceAll(string(raw), "\\\n", "")
	text = regexp.MustCompile(` +`).ReplaceAllString(text, " ")

	require.Regexp(t, `(?m)^FROM --platform=\$BUILDPLATFORM golang:1\.\d+\.\d+ AS build$`, text)
	require.Regexp(t, `(?m)^FROM scratch$`, text)
	require.Contains(t, text, "\nENV CGO_ENABLED=0 GOWORK=off GOFLAGS= GOTOOLCHAIN=local\n")
	var packages []string
	for _, p := range programs {
		packages = append(packages, "./services/"+p)
	}
	flags := builder{version: "$VERSION"}.flags()
	flags[len(flags)-1] = `"` + flags[len(flags)-1] + `"` // of the linker, with blanks
	require.Contains(t, text, "GOOS=$TARGETOS GOARCH=$TARGETARCH go build -o /programs/ "+strings.Join(append(flags, packages...), " ")+"\n")
	require.Contains(t, text, "/image base >/base.tar && tar -x -p -f /base.tar -C /base\n")
	require.Contains(t, text, "\nCOPY --from=build /base/ /\nCOPY --from=build --chmod=0755 /programs/ /"+binDir+"/\n")
	require.Contains(t, text, "\nENV PATH=/"+binDir+"\nUSER 65532:65532\nWORKDIR /\nENTRYPOINT [\"/"+binDir+"/throughline\"]\n")
	require.Equal(t, 65532, user)

	labels := map[string]string{}
	for _, m := range regexp.MustCompile(`(org\.opencontainers[a-z.]+)="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		labels[m[1]] = m[2]
	}
	want := builder{version: "$VERSION", revision: "$REVISION", created: time.Unix(0, 0).UTC()}.labels()
	want["org.opencontainers.image.created"] = "$CREATED"
	require.Equal(t, want, labels)
}

// What .dockerignore lets in is all that the programs and this tool are made of.
func TestDockerContext(t *testing.T) {
	t.Parallel()
	ignore, err := os.ReadFile(filepath.Join(repositoryRoot, ".dockerignore"))
	require.NoError(t, err)
	dir := t.TempDir()
	patterns := 0
	for line := range strings.Lines(string(ignore)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
			patterns++
			copyContext(t, filepath.Join(repositoryRoot, name), filepath.Join(dir, name))
		}
	}
	require.Greater(t, patterns, 4)
	require.Contains(t, string(ignore), "\n**/*_test.go\n**/testdata\n", "what copyContext leaves out")
	for at, packages := range map[string][]string{".": programs, "tools/image": {""}} {
		args := []string{"list", "-deps"}
		for _, p := range packages {
			if p != "" {
				p = "services/" + p
			}
			args = append(args, "./"+p)
		}
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir, cmd.Env = filepath.Join(dir, at), append(os.Environ(), "GOWORK=off", "GOFLAGS=", "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
}

func copyContext(t *testing.T, from, to string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() == "testdata":
			return filepath.SkipDir
		case entry.IsDir() || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	}))
}
