package settings

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/alecthomas/kong"
)

// validator is what a configuration struct, or the type of a single value, may
// implement. Its error may join several (errors.Join): one line, one problem.
// It must name no secret.
type validator interface{ Validate() error }

// problems collects what is wrong, in the order in which it was met, each once.
type problems struct{ lines []string }

func (p *problems) add(text string) {
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" && !slices.Contains(p.lines, line) {
			p.lines = append(p.lines, line)
		}
	}
}

// recordingMapper decodes like the mapper it wraps. A value that does not
// decode is recorded, and its default taken, so that reading goes on and the
// next problem is found too.
type recordingMapper struct {
	kong.Mapper
	flag     *kong.Flag
	problems *problems
}

// Decode implements kong.Mapper. Every value of every flag passes here, whether
// it came from the command line, the environment, a file or a default.
func (m recordingMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	problem := m.trim(ctx.Scan, hidden(target))
	if err := m.Mapper.Decode(ctx, target); err != nil {
		problem = err.Error()
		if hidden(target) {
			problem = "its value is missing, or begins with a dash (then write --" + m.flag.Name + "=…)"
		}
	}
	if problem == "" {
		return nil
	}
	m.problems.add("--" + m.flag.Name + ": " + problem)
	target.SetZero()
	if m.flag.HasDefault {
		scan := kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: m.flag.Default})
		return m.Mapper.Decode(ctx.WithScanner(scan), target)
	}
	return nil
}

// trim takes the line break off the value that comes next, and says what is
// wrong with the characters of a setting. In a secret anything may stand, and in
// what a command is told and no variable sets, like a reason.
func (m recordingMapper) trim(scan *kong.Scanner, secret bool) (problem string) {
	token := scan.Peek()
	if token.Type != kong.FlagValueToken && (token.Type != kong.UntypedToken || m.flag.IsBool()) {
		return "" // what comes next is not this flag's
	}
	scan.Pop()
	token.Value = withoutLineEnd(token.Value)
	scan.PushToken(token)
	if !secret && len(m.flag.Envs) > 0 && holdsControl(token.Value) {
		return "its value holds a line break or another control character"
	}
	return ""
}

func holdsControl(value any) bool {
	switch value := value.(type) {
	case string:
		return strings.ContainsFunc(value, unicode.IsControl)
	case []any:
		return slices.ContainsFunc(value, holdsControl)
	default:
		return false
	}
}

// IsBoolFromValue keeps a switch a switch.
func (m recordingMapper) IsBoolFromValue(v reflect.Value) bool {
	if ext, ok := m.Mapper.(kong.BoolMapperExt); ok {
		return ext.IsBoolFromValue(v)
	}
	b, ok := m.Mapper.(kong.BoolMapper)
	return ok && b.IsBool()
}

// check asks everything on the chosen command's path: required flags, enums,
// validators of values and of structs.
func (p *problems) check(ctx *kong.Context) {
	for _, path := range ctx.Path {
		node := path.Node()
		if node == nil {
			continue
		}
		for _, flag := range node.Flags {
			if flag == ctx.Model.HelpFlag {
				continue
			}
			p.checkFlag(flag)
		}
		p.checkStruct(node.Target)
	}
}

func (p *problems) checkFlag(flag *kong.Flag) {
	if flag.Required && !flag.Set && len(flag.Xor) == 0 && len(flag.And) == 0 {
		p.add("--" + flag.Name + " is required")
	}
	if flag.Enum != "" {
		for _, value := range enumValues(flag.Target) {
			if !slices.Contains(flag.EnumSlice(), value) {
				p.add(fmt.Sprintf("--%s must be one of %s, but is %q", flag.Name, strings.Join(flag.EnumSlice(), ", "), value))
			}
		}
	}
	if err := validate(flag.Target); err != nil {
		for line := range strings.SplitSeq(err.Error(), "\n") {
			p.add("--" + flag.Name + ": " + line)
		}
	}
}

// checkStruct asks a struct and the structs embedded in it, the way kong finds
// flags in them. A method that an outer struct inherits answers twice; add
// keeps one.
func (p *problems) checkStruct(v reflect.Value) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	if plugins, ok := v.Interface().(kong.Plugins); ok {
		for _, plugin := range plugins {
			p.checkStruct(reflect.ValueOf(plugin))
		}
		return
	}
	if v.Kind() != reflect.Struct {
		return
	}
	if err := validate(v); err != nil {
		p.add(err.Error())
	}
	for i := range v.NumField() {
		field := v.Type().Field(i)
		_, embed := field.Tag.Lookup("embed")
		if field.IsExported() && (embed || field.Anonymous) {
			p.checkStruct(v.Field(i))
		}
	}
}

func validate(v reflect.Value) error {
	if !v.IsValid() || !v.CanInterface() {
		return nil
	}
	if v.CanAddr() {
		if check, ok := v.Addr().Interface().(validator); ok {
			return check.Validate()
		}
	}
	if check, ok := v.Interface().(validator); ok && (v.Kind() != reflect.Pointer || !v.IsNil()) {
		return check.Validate()
	}
	return nil
}

func enumValues(v reflect.Value) []string {
	switch v.Kind() {
	case reflect.Slice:
		var all []string
		for i := range v.Len() {
			all = append(all, enumValues(v.Index(i))...)
		}
		return all
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return enumValues(v.Elem())
	default:
		return []string{fmt.Sprint(v.Interface())}
	}
}

var unknownFlag = regexp.MustCompile(`^unknown flag --([a-z0-9-]+)`)

// flagOfVariable names the flag that is meant where somebody made one of a
// variable's name: THROUGHLINE_RECEIVER_LISTEN is --listen.
func flagOfVariable(problem string, root *kong.Node) string {
	m := unknownFlag.FindStringSubmatch(problem)
	if m == nil {
		return problem
	}
	typed := strings.TrimPrefix(m[1], "throughline-")
	variable := "THROUGHLINE_" + strings.ToUpper(strings.ReplaceAll(typed, "-", "_"))
	for _, flag := range allFlags(root) {
		if slices.Contains(flag.Envs, variable) {
			return m[0] + ": " + variable + " is --" + flag.Name
		}
	}
	return problem
}

// named gives the problems with both names of each setting: where a line has
// only the flag, or only the variable, it gets the other.
func (p *problems) named(root *kong.Application) []string {
	flags := allFlags(root.Node)
	slices.SortStableFunc(flags, func(a, b *kong.Flag) int { return len(b.Name) - len(a.Name) })
	lines := make([]string, 0, len(p.lines))
	for _, line := range p.lines {
		for _, flag := range flags {
			line = withBothNames(line, flag)
		}
		lines = append(lines, line)
	}
	return lines
}

func withBothNames(line string, flag *kong.Flag) string {
	if len(flag.Envs) == 0 {
		return line
	}
	option := "--" + flag.Name
	hasFlag := wordIn(line, option)
	for _, name := range flag.Envs {
		if at := wordIn(line, name); at >= 0 {
			if hasFlag >= 0 {
				return line
			}
			return line[:at] + option + " (" + name + ")" + line[at+len(name):]
		}
	}
	if hasFlag < 0 {
		return line
	}
	return line[:hasFlag] + bothNames(flag) + line[hasFlag+len(option):]
}

// bothNames gives a flag with its variables.
func bothNames(flag *kong.Flag) string {
	if len(flag.Envs) == 0 {
		return "--" + flag.Name
	}
	return "--" + flag.Name + " (" + strings.Join(flag.Envs, ", ") + ")"
}

// wordIn gives where word stands in line by itself, or -1.
func wordIn(line, word string) int {
	pattern := regexp.MustCompile(`(^|[^\w-])(` + regexp.QuoteMeta(word) + `)($|[^\w-])`)
	if at := pattern.FindStringSubmatchIndex(line); at != nil {
		return at[4]
	}
	return -1
}

// hideArguments takes out of kong's text the arguments that stand after a
// secret's flag: "--stripe-secrets a, b" would quote the second as unexpected.
func hideArguments(text string, args []string, root *kong.Application) string {
	secret := map[string]bool{}
	for _, flag := range allFlags(root.Node) {
		secret["--"+flag.Name] = hidden(flag.Target)
	}
	hide := false
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		switch {
		case strings.HasPrefix(arg, "--"):
			hide = secret[name]
		default:
			value = arg
		}
		if hide && value != "" {
			text = strings.ReplaceAll(text, value, hiddenText)
		}
	}
	return text
}
