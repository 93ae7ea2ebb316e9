package munin_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"restante/internal/munin"
)

// fake is a source of what a test says.
type fake struct {
	state    munin.State
	versions []munin.Version
	err      error
}

func (f fake) State(context.Context) (munin.State, error) { return f.state, f.err }

func (f fake) Versions(context.Context) ([]munin.Version, error) { return f.versions, f.err }

func draw(t *testing.T, p munin.Plugin, graph, action string) ([]string, error) {
	t.Helper()
	var out strings.Builder
	p.Out = &out
	if p.Getenv == nil {
		p.Getenv = func(string) string { return "" }
	}
	err := p.Run(t.Context(), graph, action)
	return strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n"), err
}

func TestArguments(t *testing.T) {
	for _, tt := range []struct{ called, want []string }{
		{[]string{"/usr/bin/restante", "serve"}, []string{"serve"}},
		{[]string{"/etc/munin/plugins/restante_active"}, []string{"munin", "active"}},
		{[]string{"restante_event_rate", "config"}, []string{"munin", "event_rate", "config"}},
		{[]string{"/usr/share/munin/plugins/restante_", "suggest"}, []string{"munin", "suggest"}},
		{[]string{"./restante_1.0.0_linux_amd64", "serve"}, []string{"serve"}},
		{nil, nil},
	} {
		if got := munin.Arguments(tt.called); !slices.Equal(got, tt.want) {
			t.Errorf("%q: %q, want %q", tt.called, got, tt.want)
		}
	}
}

func TestStaleness(t *testing.T) {
	state := munin.State{Answers: true, Updated: 90 * time.Second, Pruned: new(time.Hour), Recorded: new(7 * time.Second), Failing: &[]string{"mailbox 3 of a: fault, é\nx", "log 1"}}
	got, err := draw(t, munin.Plugin{Source: fake{state: state}}, "staleness", "")
	want := []string{"updated.value 90", "pruned.value 3600", "recorded.value 7", "failing.value 2", "failing.extinfo mailbox 3 of a: fault,   x; log 1", "silent.value 0", "refused.value 0"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q (%v), want %q", got, err, want)
	}
	for _, tt := range []struct {
		err             error
		silent, refused string
	}{{fmt.Errorf("%w: EOF", munin.ErrSilent), "1", "0"}, {fmt.Errorf("%w: 401", munin.ErrRefused), "0", "1"}, {errors.New("other"), "U", "U"}} {
		got, err = draw(t, munin.Plugin{Source: fake{err: tt.err}}, "staleness", "")
		if want := []string{"updated.value U", "pruned.value U", "recorded.value U", "failing.value U", "silent.value " + tt.silent, "refused.value " + tt.refused}; !errors.Is(err, tt.err) || !slices.Equal(got, want) {
			t.Errorf("%q (%v), want %q", got, err, want)
		}
	}
}

func TestRefusedIsNotSilent(t *testing.T) {
	state := munin.State{Refused: "the server answers 401", Updated: 90 * time.Second}
	got, err := draw(t, munin.Plugin{Source: fake{state: state}}, "staleness", "")
	if want := []string{"silent.value 0", "refused.value 1", "refused.extinfo the server answers 401"}; err != nil || len(got) < 3 || !slices.Equal(got[len(got)-3:], want) {
		t.Errorf("%q (%v), want %q at the end", got, err, want)
	}
}

func TestLimitsOfTheOperator(t *testing.T) {
	limits := map[string]string{"updated_critical": "7", "happy_warning": "5:"}
	p := munin.Plugin{Source: fake{}, Getenv: func(name string) string { return limits[name] }}
	got, err := draw(t, p, "staleness", "config")
	if err != nil || !slices.Contains(got, "updated.critical 7") || slices.Contains(got, "updated.critical 900") || !slices.Contains(got, "updated.warning 300") {
		t.Errorf("%q (%v)", got, err)
	}
	if got, err = draw(t, p, "events", "config"); err != nil || !slices.Contains(got, "happy.warning 5:") {
		t.Errorf("%q (%v)", got, err)
	}
}

func TestVersionUptake(t *testing.T) {
	versions := []munin.Version{
		{"python", "0.12", 3},
		{"python", "0.12", 2},
		{"python", "0.13", 4},
		{"", "", 1},
		{"go", "1", 6},
	}
	for i := range 9 {
		versions = append(versions, munin.Version{"rare", fmt.Sprint(i), int64(i % 2)})
	}
	for name, tt := range map[string]struct{ named, want []string }{
		"by default": {nil, []string{"v_unknown.value 1", "v_other.value 0", "v_go_1.value 6", "v_python_0_12.value 5", "v_python_0_13.value 4"}},
		"named":      {[]string{"python/0.13", "python", "rust"}, []string{"v_unknown.value 1", "v_other.value 10", "v_python_0_13.value 4", "v_python.value 5", "v_rust.value 0"}},
		"alike":      {[]string{"go/1", "go_1"}, []string{"v_unknown.value 1", "v_other.value 13", "v_go_1.value 6", "v_go_1_2.value 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := munin.Plugin{Source: fake{versions: versions}, Versions: tt.named}
			got, err := draw(t, p, "version_uptake", "")
			if len(tt.named) == 0 {
				got = slices.DeleteFunc(got, func(line string) bool { return strings.HasPrefix(line, "v_rare_") })
			}
			if err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("%q (%v), want %q", got, err, tt.want)
			}
			config, err := draw(t, p, "version_uptake", "config")
			if err != nil || !slices.Contains(config, "v_unknown.draw AREA") || !slices.Contains(config, "v_other.draw STACK") {
				t.Errorf("%q (%v)", config, err)
			}
		})
	}
}
