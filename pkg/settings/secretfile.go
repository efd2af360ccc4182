package settings

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"

	"github.com/alecthomas/kong"
)

// maxSecretBytes bounds a secret's file; a larger one is another file by mistake.
const maxSecretBytes = 64 << 10

// secretFiles are the flags that name a file to read a secret from, by the flag
// of the secret: --kafka-password-file for --kafka-password.
type secretFiles map[*kong.Flag]*kong.Flag

// addSecretFiles gives each secret of a program and of its commands a second
// flag, variable and YAML key, which names a file that holds the value. They do
// not stand in --help by themselves: the secret's own line names them.
func addSecretFiles(node *kong.Node) secretFiles {
	files := secretFiles{}
	paths := kong.NewRegistry().RegisterDefaults()
	add := func(node *kong.Node) {
		for _, flag := range slices.Clone(node.Flags) {
			if !mayBeFile(flag) {
				continue
			}
			path := reflect.New(reflect.TypeFor[string]()).Elem()
			file := &kong.Flag{PlaceHolder: "FILE", Group: flag.Group, Hidden: true, Value: &kong.Value{
				Name: flag.Name + fileSuffix, Help: "File that holds --" + flag.Name + ".", Tag: &kong.Tag{},
				Mapper: paths.ForValue(path), Target: path, DefaultValue: path,
			}}
			file.Flag = file
			if len(flag.Envs) > 0 {
				file.Envs = []string{flag.Envs[0] + fileEnvSuffix}
			}
			node.Flags = append(node.Flags, file)
			files[flag] = file
		}
	}
	eachNode(node, add)
	return files
}

const (
	fileSuffix    = "-file"
	fileEnvSuffix = "_FILE"
)

// mayBeFile reports whether a flag's value can be given as a file: secrets, and
// what else its tag says so of.
func mayBeFile(flag *kong.Flag) bool {
	switch flag.Target.Interface().(type) {
	case Secret, Secrets:
		return true
	}
	return flag.Tag.Has("file")
}

// readSecret gives the content of a secret's file. The errors name the file and
// never what is in it.
func readSecret(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("names a file that cannot be read: %s: %s", path, cause(err))
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxSecretBytes+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("names a file that cannot be read: %s: %s", path, cause(err))
	case len(content) > maxSecretBytes:
		return "", fmt.Errorf("names a file that is no secret: %s is larger than %d bytes", path, maxSecretBytes)
	case withoutLineEnd(string(content)) == "":
		return "", fmt.Errorf("names a file that is empty: %s", path)
	}
	return string(content), nil
}

// fromSecretFile gives a secret's value when a file for it is named and nothing
// else sets it.
func (r *resolver) fromSecretFile(ctx *kong.Context, parent *kong.Path, secret *kong.Flag) (string, bool) {
	file, ok := r.parser.files[secret]
	if !ok {
		return "", false
	}
	path, _ := ctx.FlagValue(file).(string)
	if path == "" {
		value, _ := r.direct(parent, file)
		path, _ = withoutLineEnd(value).(string)
	}
	if path == "" {
		return "", false
	}
	r.parser.readSecrets = append(r.parser.readSecrets, secret)
	r.parser.onRead(path)
	content, err := readSecret(path)
	if err != nil {
		r.parser.problems.add("--" + file.Name + " " + err.Error())
		return "", false
	}
	return content, true
}

// checkSecretFiles finds the secrets of the chosen command that are given twice.
func (p *parser) checkSecretFiles(ctx *kong.Context) {
	for _, path := range ctx.Path {
		node := path.Node()
		if node == nil {
			continue
		}
		for _, secret := range node.Flags {
			file, ok := p.files[secret]
			if ok && file.Target.String() != "" && !slices.Contains(p.readSecrets, secret) {
				p.problems.add(fmt.Sprintf("%s and %s are both set: keep one of them", bothNames(secret), bothNames(file)))
			}
		}
	}
}
