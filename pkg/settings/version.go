package settings

import "runtime/debug"

// version is set by a release build:
// -ldflags "-X github.com/throughline-dev/throughline/pkg/settings.version=1.2.3".
var version string

// Version gives the release's number; for a build from a checkout devel+ and
// the commit, with -dirty when the tree had changes; devel when nothing is known.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "devel"
	}
	return versionOf(info)
}

func versionOf(info *debug.BuildInfo) string {
	var revision, dirty string
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	switch {
	case revision != "":
		return "devel+" + revision[:min(12, len(revision))] + dirty
	case info.Main.Version != "" && info.Main.Version != "(devel)":
		return info.Main.Version
	default:
		return "devel"
	}
}
