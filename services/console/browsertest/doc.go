// Package browsertest uses the console's pages in a real browser, as people do: make browser. It is no part of make
// test, as it needs Debian's chromium, and axe-core from npm.
package browsertest
