// Command domains makes pkg/resolve/domains.txt: the domains at which anybody can have
// a mailbox, from lists of others at pinned versions and one of our own. It fetches the
// packages with npm and pip, refuses any that are not the bytes that were looked at,
// and writes one sorted file, with where each list comes from and its licence.
//
// Usage: domains, in the root of the repository.
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// list is a package of a registry that holds a list of domains.
type list struct {
	name, version, registry, license, home string
	fetch                                  []string // the command that writes the file
	file, sha256                           string
	domains, notice                        string // members of the archive
	disposable                             bool   // all of them are; else free and disposable ones are mixed
}

var lists = []list{
	{
		name: "free-email-domains", version: "1.12.6", registry: "npm", license: "MIT", home: "https://github.com/Kikobeats/free-email-domains",
		fetch: []string{"npm", "pack", "--silent", "free-email-domains@1.12.6"}, file: "free-email-domains-1.12.6.tgz",
		sha256:  "700447871e728dca29f2bfaa86cc173602ec181771ce5b4c9e6b56a2671ba32f",
		domains: "package/domains.json", notice: "package/LICENSE.md",
	},
	{
		name: "disposable-email-domains", version: "0.0.293", registry: "PyPI", license: "MIT (the list: CC0-1.0)",
		home:  "https://github.com/disposable-email-domains/disposable-email-domains",
		fetch: []string{"pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "disposable-email-domains==0.0.293"},
		file:  "disposable_email_domains-0.0.293-py3-none-any.whl", sha256: "b03e29f3a810a012c200b944ce9ef52ce975da2ea63bcf50d08767bf9e225f8e",
		domains: "disposable_email_domains/__init__.py", notice: "disposable_email_domains-0.0.293.dist-info/licenses/LICENSE.txt",
		disposable: true,
	},
}

const (
	ours   = "tools/domains/ours.txt"
	output = "pkg/resolve/domains.txt"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "domains:", err)
		os.Exit(1)
	}
}

func run() error {
	dir, err := os.MkdirTemp("", "domains")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	disposable := map[string]bool{} // by domain
	var head bytes.Buffer
	fmt.Fprintf(&head, "# Domains at which anybody can have a mailbox; d: disposable ones, whose mail anybody can read.\n"+
		"# Made by tools/domains (make domains): do not edit.\n#\n# %s: this project's own list.\n", ours)
	text, err := os.ReadFile(ours)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			if !isDomain.MatchString(line) {
				return fmt.Errorf("%s: %q is no domain", ours, line)
			}
			disposable[line] = false
		}
	}
	for _, l := range lists {
		domains, notice, err := l.read(dir)
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		for _, d := range domains {
			if d = strings.TrimPrefix(strings.ToLower(d), "www."); isDomain.MatchString(d) {
				disposable[d] = disposable[d] || l.disposable
			}
		}
		fmt.Fprintf(&head, "# %s %s of %s, %s, %s:\n", l.name, l.version, l.registry, l.license, l.home)
		for line := range strings.Lines(strings.TrimSpace(notice)) {
			fmt.Fprintln(&head, strings.TrimRight("#   "+strings.TrimSpace(line), " "))
		}
	}
	all := make([]string, 0, len(disposable))
	for d := range disposable {
		all = append(all, d)
	}
	slices.Sort(all)
	for _, d := range all {
		if disposable[d] {
			d += " d"
		}
		fmt.Fprintln(&head, d)
	}
	return os.WriteFile(output, head.Bytes(), 0o644)
}

// isDomain takes names in their ASCII form, in lower case.
var isDomain = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])$`)

// read fetches the package and gives its domains and its licence.
func (l list) read(dir string) (domains []string, notice string, err error) {
	command := exec.Command(l.fetch[0], l.fetch[1:]...)
	command.Dir, command.Stderr = dir, os.Stderr
	if err := command.Run(); err != nil {
		return nil, "", fmt.Errorf("%s: %w", strings.Join(l.fetch, " "), err)
	}
	archive, err := os.ReadFile(filepath.Join(dir, l.file))
	if err != nil {
		return nil, "", err
	}
	if sum := sha256.Sum256(archive); hex.EncodeToString(sum[:]) != l.sha256 {
		return nil, "", fmt.Errorf("%s has the SHA-256 %x, not the one that was looked at", l.file, sum)
	}
	members, err := unpack(l.file, archive)
	if err != nil {
		return nil, "", err
	}
	if strings.HasSuffix(l.domains, ".json") {
		err = json.Unmarshal(members[l.domains], &domains)
	} else {
		for _, m := range regexp.MustCompile(`(?m)^\s*['"]([^'"\s]+\.[^'"\s]+)['"],?\s*$`).FindAllSubmatch(members[l.domains], -1) {
			domains = append(domains, string(m[1]))
		}
	}
	if err == nil && len(domains) < 1000 {
		err = errors.New("it holds hardly any domains: its form has changed")
	}
	return domains, string(members[l.notice]), err
}

func unpack(name string, archive []byte) (map[string][]byte, error) {
	members := map[string][]byte{}
	if strings.HasSuffix(name, ".tgz") {
		unzipped, err := gzip.NewReader(bytes.NewReader(archive))
		if err != nil {
			return nil, err
		}
		for r := tar.NewReader(unzipped); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				return members, nil
			}
			if err != nil {
				return nil, err
			}
			if members[h.Name], err = io.ReadAll(r); err != nil {
				return nil, err
			}
		}
	}
	z, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, err
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		if members[f.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
		r.Close()
	}
	return members, nil
}
