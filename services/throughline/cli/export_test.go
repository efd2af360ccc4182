package cli

// ShownLines gives the command lines that --help shows, by the path of their command.
func ShownLines() map[string][]string {
	lines := map[string][]string{}
	for path, list := range examples() {
		for _, l := range list {
			lines[path] = append(lines[path], l.line)
		}
	}
	return lines
}
