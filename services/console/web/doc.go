// Package web is the console: pages made on the server of templates (*.templ, whose *_templ.go are made by make
// generate), with modules of our own in assets/ that add keys, live tails and dialogs. Everything that is read and
// decided works without them.
//
// Pages ask package backend, as the HTTP API does, and know no SQL. Text that comes from events, vendors and people is
// written by text.go and json.go alone: control characters are shown, direction is isolated, and length is bounded.
package web
