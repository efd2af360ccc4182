// Package service is what every Throughline process shares: its configuration,
// log, health, metrics, traces, and an ordered start and stop.
//
// A main function is thin:
//
//	type config struct {
//		settings.Common
//		Postgres postgres.Config `embed:""`
//	}
//
//	func main() {
//		var cfg config
//		os.Exit(service.Main("sink", "Writes account events to Postgres.", &cfg, os.Args[1:],
//			func(ctx context.Context, rt *service.Runtime) error {
//				writer, reader := newWriter(rt, cfg), newReader(rt, cfg)
//				return rt.Group( // downstream first: the reader drains into the writer
//					service.Component{Name: "writer", Start: writer.Open, Stop: writer.Close},
//					service.Component{Name: "reader", Run: reader.Run},
//				).Run(ctx)
//			}))
//	}
//
// Configuration (Parse): a flag, else its environment variable, else the YAML
// file of --config, else the default. --validate prints every problem at once,
// one a line, each with the flag and the variable that mend it. A struct with
// Validate() error is asked wherever it is embedded. Secret and Secrets never
// print. Sources, known only at run time, get their settings by SourceSettings.
//
// Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
//
// The admin port (Admin) serves /livez (the process answers), /readyz (all
// components are ready; from the moment a stop begins it says 503, so traffic
// goes elsewhere while the rest drains) and /metrics.
//
// Nothing here is global. Several services run in one process, each with a
// Runtime of NewRuntime, without signals and admin ports.
package service
