package munin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// Markers are what munin-node-configure looks for in a plugin.
const Markers = "\n#%# family=auto\n#%# capabilities=autoconf suggest\n"

// prefix begins the names of the links by which the program is called as a plugin.
const prefix = "restante_"

// command is the command that prints graphs.
const command = "munin"

// Arguments returns the arguments of a program. If it was called as a plugin, by a link such as restante_active, they
// are those of the command that prints the graph.
func Arguments(arguments []string) []string {
	if len(arguments) == 0 {
		return nil
	}
	name, is := strings.CutPrefix(filepath.Base(arguments[0]), prefix)
	switch {
	case !is, name != "" && !slices.Contains(Names(), name): // the name may have a version and a system in it
		return arguments[1:]
	case name == "": // the plugin from which links are made
		return append([]string{command}, arguments[1:]...)
	}
	return append([]string{command, name}, arguments[1:]...)
}

// Plugin prints a graph.
type Plugin struct {
	Source   Source
	Versions []string            // that have a line of their own; none: those that most clients have
	Getenv   func(string) string // may set limits: FIELD_warning and FIELD_critical
	Out      io.Writer
}

// Names returns the names of all graphs.
func Names() []string {
	names := make([]string, len(graphs))
	for i, g := range graphs {
		names[i] = g.name
	}
	return names
}

// Run prints the values of a graph, or what an action asks for: config describes the graph, autoconf tells whether the
// plugin can be used here, and suggest lists the graphs. These two need no graph. If nothing can be found out, the values
// are printed as unknown, and the error is returned.
func (p *Plugin) Run(ctx context.Context, graph, action string) error {
	switch {
	case action == "" && (graph == "autoconf" || graph == "suggest"):
		graph, action = "", graph
	case graph == "" && action == "":
		return fmt.Errorf("name a graph: %s", strings.Join(Names(), ", "))
	}
	switch action {
	case "autoconf":
		if _, err := p.Source.State(ctx); err != nil {
			return p.print("no (%s)", oneLine(err.Error()))
		}
		return p.print("yes")
	case "suggest":
		return p.print("%s", strings.Join(Names(), "\n"))
	case "", "config":
	default:
		return fmt.Errorf("%q is neither config, autoconf nor suggest", action)
	}
	for _, g := range graphs {
		if g.name == graph {
			return p.draw(ctx, g, action == "config")
		}
	}
	return fmt.Errorf("there is no graph %q, only %s", graph, strings.Join(Names(), ", "))
}

// draw prints a graph's configuration or its values.
func (p *Plugin) draw(ctx context.Context, g graph, config bool) error {
	var state State
	var failed error
	switch {
	case g.name == uptake:
		var versions []Version
		versions, failed = p.Source.Versions(ctx)
		g.fields = versionFields(p.Versions, versions)
	case !config:
		state, failed = p.Source.State(ctx)
	}
	if config {
		return errors.Join(failed, p.config(g))
	}
	for _, f := range g.fields {
		value := unknown
		switch {
		case failed == nil:
			value = f.value(state)
		case f.failed != nil && (errors.Is(failed, ErrSilent) || errors.Is(failed, ErrRefused)):
			value = flag(errors.Is(failed, f.failed))
		}
		if err := p.print("%s.value %s", f.name, value); err != nil {
			return err
		}
		if failed != nil || f.extinfo == nil {
			continue
		}
		if text := f.extinfo(state); text != "" {
			if err := p.print("%s.extinfo %s", f.name, text); err != nil {
				return err
			}
		}
	}
	return failed
}

// config prints a graph's configuration.
func (p *Plugin) config(g graph) error {
	lines := []string{"graph_title " + g.title, "graph_vlabel " + g.vertical, "graph_args --base 1000 -l 0", "graph_category restante", "graph_info " + g.info}
	for _, f := range g.fields {
		lines = append(lines, f.name+".label "+f.label)
		limits := map[string]string{}
		for _, kind := range []string{"warning", "critical"} {
			limits[kind] = p.Getenv(f.name + "_" + kind)
		}
		for _, setting := range f.settings {
			name, _, _ := strings.Cut(setting, " ")
			if limits[name] == "" {
				lines = append(lines, f.name+"."+setting)
			}
		}
		for _, kind := range []string{"warning", "critical"} {
			if limits[kind] != "" {
				lines = append(lines, f.name+"."+kind+" "+oneLine(limits[kind]))
			}
		}
	}
	return p.print("%s", strings.Join(lines, "\n"))
}

func (p *Plugin) print(format string, arguments ...any) error {
	_, err := fmt.Fprintf(p.Out, format+"\n", arguments...)
	return err
}
