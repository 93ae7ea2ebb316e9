package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestCommandsAreDocumented checks that docs/reference.md has a table of the flags of each command, with every flag, its
// default, and no other, and that a page tells what each is for.
func TestCommandsAreDocumented(t *testing.T) {
	t.Parallel()
	var cli commands
	parser, err := kong.New(&cli)
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	reference, all := read("docs/reference.md"), pages(t)
	_, reference, _ = strings.Cut(reference, "\n## All commands\n")
	reference, _, _ = strings.Cut(reference, "\n## ")
	for _, command := range parser.Model.Children {
		if slices.Contains([]string{"serve", "version", "bench", "conformance"}, command.Name) {
			continue // it has a table of its own, no flags, or is for developers
		}
		if !strings.Contains(all, "restante "+command.Name) {
			t.Errorf("no page says what restante %s is for", command.Name)
		}
		_, table, _ := strings.Cut(reference, "\n### restante "+command.Name+"\n")
		table, _, _ = strings.Cut(table, "\n### ")
		documented := map[string]string{}
		for _, row := range regexp.MustCompile("(?m)^\\| `--([a-z0-9-]+)` \\| `?([^|`]*)`? \\|").FindAllStringSubmatch(table, -1) {
			documented[row[1]] = row[2]
		}
		for _, f := range command.Flags {
			if byDefault, is := documented[f.Name]; !is || byDefault != f.Default {
				t.Errorf("--%s of restante %s is documented with the default %q (%v), want %q", f.Name, command.Name, byDefault, is, f.Default)
			}
			delete(documented, f.Name)
		}
		for name := range documented {
			t.Errorf("--%s of restante %s is documented, and there is none", name, command.Name)
		}
	}
}
