package main_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestLinksLead holds that whatever a page of ours links to is there: a file, and in it the heading.
func TestLinksLead(t *testing.T) {
	t.Parallel()
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/decisions/*.md", "docs/monitoring/*.md", "web/*/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	links := 0
	for _, page := range pages {
		for _, found := range link.FindAllStringSubmatch(outsideOfCode(t, page), -1) {
			file, heading, _ := strings.Cut(found[1], "#")
			if strings.Contains(found[1], "://") || strings.HasPrefix(file, "mailto:") {
				continue
			}
			links++
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			info, err := os.Stat(target)
			if err != nil {
				t.Errorf("%s links to %s, which is not there", page, found[1])
				continue
			}
			if heading != "" && !info.IsDir() && !headings(t, target)[heading] {
				t.Errorf("%s links to %s, in which there is no such heading", page, found[1])
			}
		}
	}
	if links < 20 {
		t.Errorf("only %d links in %d pages", links, len(pages))
	}
}

// TestTheWayExists checks that the files and functions that docs/architecture.md names exist.
func TestTheWayExists(t *testing.T) {
	t.Parallel()
	text := outsideOfCode(t, "docs/architecture.md")
	file := regexp.MustCompile("`([a-z_/.]+\\.go)`((?:\\s+`[A-Za-z]+`)?)")
	stops := file.FindAllStringSubmatch(text, -1)
	if len(stops) < 20 {
		t.Errorf("only %d stops", len(stops))
	}
	for _, stop := range stops {
		source, err := parser.ParseFile(token.NewFileSet(), stop[1], nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			continue
		}
		name := strings.Trim(stop[2], "` \n")
		declared := slices.ContainsFunc(source.Decls, func(d ast.Decl) bool {
			f, is := d.(*ast.FuncDecl)
			return is && f.Name.Name == name
		})
		if name != "" && !declared {
			t.Errorf("docs/architecture.md names %s in %s, which has no such function", name, stop[1])
		}
	}
}

// TestTheWayIsShort checks that a message passes few files, and does not come back to one that it has just left.
func TestTheWayIsShort(t *testing.T) {
	t.Parallel()
	text := outsideOfCode(t, "docs/architecture.md")
	_, text, _ = strings.Cut(text, "## A message's way")
	way, _, _ := strings.Cut(text, "On PostgreSQL")
	var stops []string
	for _, stop := range regexp.MustCompile("`([a-z_/.]+\\.go)`").FindAllStringSubmatch(way, -1) {
		if last := stops[max(0, len(stops)-2):]; slices.Contains(last, stop[1]) {
			t.Errorf("the way comes back to %s at once, after %q", stop[1], last)
		}
		stops = append(stops, stop[1])
	}
	files := slices.Compact(slices.Sorted(slices.Values(stops)))
	if len(files) < 10 || len(files) > 18 {
		t.Errorf("the way passes %d files: %q", len(files), files)
	}
}

// outsideOfCode is a page without its blocks of code.
func outsideOfCode(t *testing.T, page string) string {
	t.Helper()
	text, err := fs.ReadFile(os.DirFS("."), page)
	if err != nil {
		t.Fatal(err)
	}
	var kept strings.Builder
	code := false
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
		} else if !code {
			kept.WriteString(line)
		}
	}
	return kept.String()
}

// headings are a page's, as links name them.
func headings(t *testing.T, page string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(outsideOfCode(t, page), -1) {
		name := strings.ToLower(heading[1])
		name = regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(name, "")
		found[strings.ReplaceAll(name, " ", "-")] = true
	}
	return found
}
