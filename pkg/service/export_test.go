package service

import (
	"context"

	"github.com/throughline-dev/throughline/pkg/settings"
)

// NewProvider makes spans without a collector; SoftLimit is LimitMemory without
// the process.
var (
	SoftLimit   = softLimit
	NewProvider = newProvider
)

// MainWith is Main without signals.
func MainWith(ctx context.Context, name, summary string, cfg settings.Config, args []string, run func(context.Context, *Runtime) error, opts ...settings.Option) int {
	return mainWith(ctx, nil, name, summary, cfg, args, run, opts...)
}
