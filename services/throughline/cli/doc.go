// Package cli is the command line that people operate Throughline with. It
// holds no rule of its own: each command reads its arguments, calls the package
// that knows, and shows what came back.
//
// All commands agree on this:
//
//   - A result goes to standard output; what is said beside it (progress, hints,
//     questions, problems) goes to standard error.
//   - --json prints one JSON object a line instead of a table.
//   - Colour, progress that moves, and questions are for terminals only;
//     NO_COLOR turns the first off.
//   - Text that came from outside cannot steer the terminal: see clean.
//   - Exit codes: 0 it did what was asked, 1 it tried and could not, 2 wrong usage
//     or configuration, 130 interrupted.
//   - An error is one line that ends with what to do.
//
// A command is a kong struct with Run(context.Context, *session) error.
package cli
