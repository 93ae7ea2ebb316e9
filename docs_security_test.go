package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestThreatsHaveTests checks that each threat in docs/security.md names a test file, and that those exist and have tests.
func TestThreatsHaveTests(t *testing.T) {
	text, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "| attacker | wants | what holds | shown by |\n|---|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")
	if len(rows) < 15 {
		t.Fatalf("the table has %d rows", len(rows))
	}
	file := regexp.MustCompile("`([^`]+_test\\.go)`")
	for _, row := range rows {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		named := file.FindAllStringSubmatch(cells[len(cells)-1], -1)
		if len(cells) != 4 || len(named) == 0 {
			t.Errorf("this threat names no test: %s", row)
		}
		for _, path := range named {
			code, err := os.ReadFile(path[1])
			if err != nil || !strings.Contains(string(code), "\nfunc Test") && !strings.Contains(string(code), "\nfunc Fuzz") {
				t.Errorf("%s is no test (%v): %s", path[1], err, row)
			}
		}
	}
}
