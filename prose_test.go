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
	"unicode"
	"unicode/utf8"
)

// maxLine is how many characters a line of Markdown may have. Tables and code cannot be wrapped, so they are exempt.
const maxLine = 120

// vague matches words that hide the subject of a sentence: a client, a side, a replica, an operator.
var vague = regexp.MustCompile(`(?i)\b(who(m)?ever|whom|somebody|nobody)\b`)

// quoted matches the texts of the page, which documents repeat as they are: *The other side is here*.
var quoted = regexp.MustCompile(`\*[A-Z][^*]*\*`)

// A remark says what is wrong with a text, and in which line.
type remark struct {
	line int
	says string
}

// TestProse holds comments and documents to the rules of CONTRIBUTING.md, as far as a program can.
func TestProse(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == "dist" || path != "." && strings.HasPrefix(entry.Name(), ".")):
			return filepath.SkipDir
		}
		kind := filepath.Ext(path)
		check, known := map[string]func(*testing.T, string) []remark{
			".md": inMarkdown, ".go": inGo, ".ts": inTypeScript, ".yaml": inText,
		}[kind]
		if entry.IsDir() || !known || strings.Contains(entry.Name(), ".gen.") || entry.Name() == "prose_test.go" {
			return nil
		}
		seen[kind]++
		text, err := os.ReadFile(path) // #nosec G122 -- the tree is our own
		if err != nil {
			return err
		}
		for _, r := range check(t, string(text)) {
			t.Errorf("%s:%d: %s", path, r.line, r.says)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen[".md"] < 10 || seen[".go"] < 100 || seen[".yaml"] < 2 {
		t.Errorf("only %v files", seen)
	}
}

func inText(_ *testing.T, text string) (found []remark) {
	for i, line := range strings.Split(text, "\n") {
		if word := vague.FindString(quoted.ReplaceAllString(line, "")); word != "" {
			found = append(found, remark{i + 1, "say what is meant by " + word})
		}
	}
	return found
}

func inMarkdown(t *testing.T, text string) []remark {
	found := inText(t, text)
	code := false
	for i, line := range strings.Split(text, "\n") {
		start := strings.TrimSpace(line)
		if strings.HasPrefix(start, "```") {
			code = !code
		}
		if !code && !strings.HasPrefix(start, "|") && utf8.RuneCountInString(line) > maxLine {
			found = append(found, remark{i + 1, "the line is longer than 120 characters"})
		}
	}
	return found
}

var tsComment = regexp.MustCompile(`//[^\n]*|/\*(?s:.*?)\*/`)

func inTypeScript(t *testing.T, text string) (found []remark) {
	for _, at := range tsComment.FindAllStringIndex(text, -1) {
		before := strings.Count(text[:at[0]], "\n")
		for _, r := range inText(t, text[at[0]:at[1]]) {
			found = append(found, remark{before + r.line, r.says})
		}
	}
	return found
}

func inGo(t *testing.T, text string) (found []remark) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "", text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	if ast.IsGenerated(file) {
		return nil
	}
	for _, group := range file.Comments {
		for _, comment := range group.List {
			line := files.Position(comment.Pos()).Line
			for _, r := range inText(t, comment.Text) {
				found = append(found, remark{line + r.line - 1, r.says})
			}
		}
	}
	named := func(doc *ast.CommentGroup, names ...string) {
		if doc != nil && empty(doc.Text(), names) {
			found = append(found, remark{files.Position(doc.Pos()).Line, "the comment says no more than the name"})
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.FuncDecl:
			names := []string{n.Name.Name}
			if n.Recv != nil {
				ast.Inspect(n.Recv, func(node ast.Node) bool {
					if name, is := node.(*ast.Ident); is {
						names = append(names, name.Name)
					}
					return true
				})
			}
			named(n.Doc, names...)
		case *ast.GenDecl:
			for _, spec := range n.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					named(n.Doc, s.Name.Name)
					named(s.Doc, s.Name.Name)
				case *ast.ValueSpec:
					named(s.Doc, s.Names[0].Name)
					named(n.Doc, s.Names[0].Name)
				}
			}
		}
		return true
	})
	return found
}

// filler are words that say nothing by themselves.
var filler = strings.Fields("a an and are for has in is it its of on our s that the this to which returns return gets get sets set type method function")

// empty reports whether a comment has no word but those of the names, and fillers.
func empty(comment string, names []string) bool {
	known := slices.Clone(filler)
	for _, name := range names {
		known = append(known, strings.ToLower(name))
		known = append(known, camelWords(name)...)
	}
	words := strings.FieldsFunc(strings.ToLower(comment), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for _, word := range words {
		if !slices.Contains(known, word) && !slices.Contains(known, strings.TrimSuffix(word, "s")) {
			return false
		}
	}
	return len(words) > 0
}

// camelWords returns the words of a name in lower case: sendContract has send and contract.
func camelWords(name string) (words []string) {
	begin := 0
	for i, r := range name {
		if i > 0 && unicode.IsUpper(r) {
			words = append(words, strings.ToLower(name[begin:i]))
			begin = i
		}
	}
	return append(words, strings.ToLower(name[begin:]))
}

func TestProseCanFail(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("word ", 30)
	for name, tt := range map[string]struct {
		check func(*testing.T, string) []remark
		text  string
		line  int // of the only remark; 0 if there is none
	}{
		"a vague word":               {inMarkdown, "Fine.\n\nThen whoever is woken reads.\n", 3},
		"a person":                   {inMarkdown, "A person who uses it.\n", 0},
		"a long line":                {inMarkdown, "\n" + long + "\n", 2},
		"a long row":                 {inMarkdown, "| " + long + " |\n", 0},
		"long code":                  {inMarkdown, "```\n" + long + "\n```\n", 0},
		"a long line after code":     {inMarkdown, "```\n```\n" + long, 3},
		"a vague comment":            {inGo, "package p\n\n// f answers.\n// Nobody else does.\nfunc f() {}\n", 4},
		"a vague text":               {inGo, "package p\n\nvar s = \"nobody\"\n", 0},
		"a comment that is a name":   {inGo, "package p\n\ntype T int\n\n// Close is the T's close.\nfunc (T) Close() {}\n", 5},
		"a comment that says more":   {inGo, "package p\n\ntype T int\n\n// Close ends the T's life.\nfunc (T) Close() {}\n", 0},
		"a type's name":              {inGo, "package p\n\n// A sendQueue is a queue to send.\ntype sendQueue int\n", 3},
		"a value's name":             {inGo, "package p\n\n// limit is the limit.\nconst limit = 3\n", 3},
		"a vague script":             {inTypeScript, "let a = 'nobody';\n/* Calls\n * whom it knows. */\n", 3},
		"a vague line of a script":   {inTypeScript, "let a = 1; // somebody's\n", 1},
		"a vague word of a contract": {inText, "description: For whoever asks.\n", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := tt.check(t, tt.text)
			if tt.line == 0 && len(found) > 0 || tt.line > 0 && (len(found) != 1 || found[0].line != tt.line) {
				t.Errorf("%v, want one in line %d", found, tt.line)
			}
		})
	}
}
