// Package clients has clients that others wrote read the fake APIs of this folder's
// neighbours: the vendors' own SDKs, from npm, and Singer taps, from PyPI. A fake
// that they can page is like the vendor's API where it matters.
//
// `make vendor-clients` installs the clients at the versions that are pinned here and
// runs the tests, which need Node, Python and the registries and so are built with the
// tag vendorclients only. A client is a folder:
//
//   - of an SDK: package.json, package-lock.json and client.mjs, run by node;
//   - of a tap: requirements.txt and tap.py, run by the python of its own environment.
//
// It is told where the fake is by the variable API_URL and prints JSON, one value a
// line, of what it read.
package clients
