package main

import (
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"unicode"

	"github.com/alecthomas/kong"

	"restante/internal/rules"
)

// variablePrefix begins the names of the variables that stand for flags. There is one more, which is OpenTelemetry's.
const variablePrefix, otlpVariable = "RESTANTE_", "OTEL_EXPORTER_OTLP_ENDPOINT"

// trimEnvironment removes white space around the values of variables that stand for flags: a secret that was made with echo
// ends with a line break. A variable without a value is unset, as ${VAR:-} has it in a compose file.
func trimEnvironment() error {
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		if !strings.HasPrefix(name, variablePrefix) && name != otlpVariable {
			continue
		}
		set := os.Setenv
		trimmed := strings.TrimSpace(value)
		if trimmed == "" {
			set = func(name, _ string) error { return os.Unsetenv(name) }
		}
		if err := set(name, trimmed); err != nil {
			return err
		}
	}
	return nil
}

// values say how values of flags are read that are lists or ranges of addresses.
func values() []kong.Option {
	ranges := kong.MapperFunc(readRange)
	known := kong.NewRegistry().RegisterDefaults().RegisterType(reflect.TypeFor[netip.Prefix](), ranges)
	return []kong.Option{kong.KindMapper(reflect.Slice, listMapper{known.ForType(reflect.TypeFor[[]string]())})}
}

// listMapper reads a list of elements with commas between them. White space around elements does not count, and neither do
// elements without a value.
type listMapper struct{ next kong.Mapper }

// Decode reads one value of a flag, which may be given again.
func (m listMapper) Decode(ctx *kong.DecodeContext, target reflect.Value) error {
	token := ctx.Scan.Peek()
	if text, is := token.Value.(string); is && ctx.Value.Flag != nil && ctx.Value.Tag.Sep != -1 {
		elements := kong.SplitEscaped(text, ctx.Value.Tag.Sep)
		for i := range elements {
			elements[i] = strings.TrimSpace(elements[i])
		}
		elements = slices.DeleteFunc(elements, func(one string) bool { return one == "" })
		ctx.Scan.Pop()
		ctx.Scan.PushTyped(kong.JoinEscaped(elements, ctx.Value.Tag.Sep), token.Type)
	}
	return m.next.Decode(ctx, target)
}

// readRange reads a range of addresses, or one address.
func readRange(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("range", &text); err != nil {
		return err
	}
	prefix, err := rules.ParseRange(text)
	if err != nil {
		return fmt.Errorf("%q is no address (192.0.2.7) and no range (192.0.2.0/24)", text)
	}
	target.Set(reflect.ValueOf(prefix))
	return nil
}

// proseFlags are texts for people, which may have several lines.
var proseFlags = []string{"motd", "signal-error"}

// checkFlags refuses control characters in flags. No address, path, token or name has one: most are line breaks of the file
// or the program that a value was taken from.
func checkFlags(flags []*kong.Flag) error {
	for _, flag := range flags {
		var texts []string
		switch value := flag.Target.Interface().(type) {
		case string:
			texts = []string{value}
		case []string:
			texts = value
		}
		bad := func(text string) bool { return strings.ContainsFunc(text, unicode.IsControl) }
		if slices.ContainsFunc(texts, bad) && !slices.Contains(proseFlags, flag.Name) {
			return fmt.Errorf("--%s has a control character in it, such as a line break", flag.Name)
		}
	}
	return nil
}
