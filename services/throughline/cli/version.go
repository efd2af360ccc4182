package cli

import (
	"fmt"
	"runtime"

	"github.com/throughline-dev/throughline/pkg/settings"
)

type versionCommand struct{ outputFlags }

// Run is kong's.
func (c *versionCommand) Run(s *session) error {
	if c.JSON {
		return writeJSON(s, map[string]string{"version": settings.Version(), "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH})
	}
	_, err := fmt.Fprintf(s.Out, "%s %s (%s, %s/%s)\n", name, settings.Version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
