package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	svc "github.com/throughline-dev/throughline/pkg/service"
)

// maxReport is more than a service's readiness ever is.
const maxReport = 1 << 20

type readyCommand struct {
	AdminAddr string        `name:"admin-addr" env:"THROUGHLINE_ADMIN_ADDR" default:"127.0.0.1:9090" placeholder:"HOST:PORT" help:"The service's admin address (${default}), as the service itself is given it."`
	Timeout   time.Duration `name:"timeout" default:"5s" help:"Timeout (${default})."`
	outputFlags
}

// Help is kong's: what --help says beyond the summary.
func (*readyCommand) Help() string {
	return "Asks the service's /readyz. The exit code is 0 when all its parts are ready, and 1 when one is not or nobody answers: " +
		"a health check for containers without a shell."
}

// Validate is kong's.
func (c *readyCommand) Validate() error {
	if _, _, err := net.SplitHostPort(c.AdminAddr); err != nil {
		return fmt.Errorf("--admin-addr is %q: it should be like :9090 or 127.0.0.1:9090", c.AdminAddr)
	}
	return nil
}

// Run is kong's.
func (c *readyCommand) Run(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	report, err := readiness(ctx, "http://"+reachable(c.AdminAddr)+"/readyz?verbose")
	if err != nil {
		return err
	}
	err = list(s, c.JSON, report.Components, []column[svc.ComponentHealth]{
		{title: "part", text: func(h svc.ComponentHealth) string { return h.Name }},
		{title: "state", text: state},
		{title: "since", text: func(h svc.ComponentHealth) string { return stamp(h.Since) }, leave: 1},
		{title: "error or note", wide: true, text: func(h svc.ComponentHealth) string { return cmp.Or(h.Error, h.Note) }},
		{title: "what to do", wide: true, text: func(h svc.ComponentHealth) string { return h.Advice }},
	})
	switch {
	case err != nil || report.Ready:
		return err
	case len(report.Components) == 0:
		return errors.New("not ready: nothing has started yet")
	}
	return errors.New("not ready")
}

// readiness asks for a report, with the status 200 or 503.
func readiness(ctx context.Context, url string) (svc.HealthReport, error) {
	var report svc.HealthReport
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return report, fmt.Errorf("asking %s: %w", url, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} // and no proxy
	response, err := client.Do(request)
	if err != nil {
		return report, fmt.Errorf("%w: check that the service runs, and that --admin-addr (THROUGHLINE_ADMIN_ADDR) is its own", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxReport))
	if err != nil {
		return report, fmt.Errorf("reading the answer of %s: %w", url, err)
	}
	// A report has components, if none; any other JSON is another port's.
	if err := json.Unmarshal(body, &report); err != nil || report.Components == nil {
		return report, fmt.Errorf("%s answered %s, which is no readiness of a service, so this is no admin port: check --admin-addr (THROUGHLINE_ADMIN_ADDR)", url, response.Status)
	}
	return report, nil
}

// reachable gives the address to dial for one that is listened on: of all
// addresses of this machine, loopback.
func reachable(listen string) string {
	host, port, _ := net.SplitHostPort(listen) // Validate has seen it
	switch addr, err := netip.ParseAddr(host); {
	case host == "", err == nil && addr.IsUnspecified() && addr.Is4():
		host = "127.0.0.1"
	case err == nil && addr.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

func state(h svc.ComponentHealth) string {
	if h.Ready {
		return "ready"
	}
	return "not ready"
}
