package torture

import (
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// soakColumns are the columns of a soak's file. Sizes are bytes, latencies seconds from the commit of a message to its being sent.
var soakColumns = []string{"seconds", "resident", "heap", "goroutines", "descriptors", "database", "wal", "mean", "p99"}

// soaker samples the first server.
type soaker struct {
	w      *world
	file   string         // the SQLite database; empty: it is PostgreSQL
	size   func() float64 // of the PostgreSQL database
	before delivery
}

// delivery is what a server says of its deliveries since it started.
type delivery struct {
	buckets map[float64]float64 // how many took at most so many seconds
	sum, n  float64
}

// run writes a line each few seconds until the context ends. While a server does not answer, there is none.
func (s *soaker) run(ctx context.Context, to io.Writer, every time.Duration) {
	out := csv.NewWriter(to)
	_ = out.Write(soakColumns) // Flush tells nothing either: a full disk is no reason to stop
	for pause(ctx, every) == nil {
		if line := s.sample(ctx); line != nil {
			_ = out.Write(line)
			out.Flush()
		}
	}
}

func (s *soaker) sample(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	status, body := get(ctx, "http://"+s.w.servers[0].address+"/metrics")
	if status != http.StatusOK {
		return nil
	}
	values, now := readMetrics(string(body))
	mean, p99 := now.since(s.before)
	s.before = now
	database, wal := 0.0, 0.0
	if s.file != "" {
		database, wal = sizeOf(s.file), sizeOf(s.file+"-wal")
	} else if s.size != nil {
		database = s.size()
	}
	var line []string
	for _, v := range []float64{
		math.Round(s.w.now().Seconds()), values["process_resident_memory_bytes"], values["go_memstats_heap_inuse_bytes"], values["go_goroutines"],
		values["process_open_fds"], database, wal, mean, p99,
	} {
		line = append(line, strconv.FormatFloat(v, 'g', 9, 64))
	}
	return line
}

func sizeOf(file string) float64 {
	about, err := os.Stat(file)
	if err != nil {
		return 0
	}
	return float64(about.Size())
}

// readMetrics reads the numbers without labels, and the deliveries over all transports.
func readMetrics(text string) (map[string]float64, delivery) {
	const histogram = "restante_delivery_duration_seconds"
	values, d := map[string]float64{}, delivery{buckets: map[float64]float64{}}
	for line := range strings.Lines(text) {
		name, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		v, err := strconv.ParseFloat(number, 64)
		if err != nil {
			continue
		}
		name, labels, _ := strings.Cut(name, "{")
		switch name {
		case histogram + "_sum":
			d.sum += v
		case histogram + "_count":
			d.n += v
		case histogram + "_bucket":
			_, bound, _ := strings.Cut(labels, `le="`)
			if most, err := strconv.ParseFloat(strings.TrimSuffix(bound, `"}`), 64); err == nil {
				d.buckets[most] += v
			}
		default:
			values[name] = v
		}
	}
	return values, d
}

// since returns the mean and the bound below which 99 of 100 were, of the deliveries since an earlier sample. A server that was
// started again counts from zero.
func (d delivery) since(before delivery) (mean, p99 float64) {
	if d.n < before.n {
		before = delivery{}
	}
	n := d.n - before.n
	if n == 0 {
		return 0, 0
	}
	p99 = math.Inf(1)
	for bound, below := range d.buckets {
		if below-before.buckets[bound] >= n*0.99 {
			p99 = min(p99, bound)
		}
	}
	if math.IsInf(p99, 1) {
		p99 = 60 // the last bound
	}
	return (d.sum - before.sum) / n, p99
}

// Plot draws a soak's file as SVG, one panel above the other.
func Plot(from io.Reader, to io.Writer) error {
	lines, err := csv.NewReader(from).ReadAll()
	if err != nil {
		return err
	}
	if len(lines) < 3 {
		return fmt.Errorf("%d lines are too few for a plot", len(lines))
	}
	columns := map[string][]float64{}
	for _, line := range lines[1:] {
		for i, text := range line {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return err
			}
			columns[lines[0][i]] = append(columns[lines[0][i]], v)
		}
	}
	_, err = io.WriteString(to, draw(columns))
	return err
}

// panel is one diagram of the plot.
type panel struct {
	title, unit string
	scale       float64
	series      []string
}

const (
	plotWidth, panelHeight, plotLeft, plotTop = 760, 110, 70, 24
)

func draw(columns map[string][]float64) string {
	panels := []panel{
		{"memory: resident, heap in use", "MiB", 1 << 20, []string{"resident", "heap"}},
		{"goroutines", "", 1, []string{"goroutines"}},
		{"open descriptors", "", 1, []string{"descriptors"}},
		{"database, -wal", "MiB", 1 << 20, []string{"database", "wal"}},
		{"delivery in each sample: 99 %, mean", "ms", 1e-3, []string{"p99", "mean"}},
	}
	times := columns["seconds"]
	last := max(times[len(times)-1], 1)
	var b strings.Builder
	height := len(panels)*(panelHeight+plotTop) + plotTop
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", plotWidth+plotLeft+20, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	for i, p := range panels {
		y := i*(panelHeight+plotTop) + plotTop
		most := 0.0
		for _, name := range p.series {
			for _, v := range columns[name] {
				most = max(most, v/p.scale)
			}
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d">%s</text><text x="%d" y="%d" text-anchor="end">%.4g %s</text><text x="%d" y="%d" text-anchor="end">0</text>`+"\n",
			plotLeft, y-6, p.title, plotLeft-4, y+10, most, p.unit, plotLeft-4, y+panelHeight)
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="none" stroke="#bbb"/>`+"\n", plotLeft, y, plotWidth, panelHeight)
		for j, name := range p.series {
			fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" points="`, []string{"#1f6fb4", "#d9822b"}[j])
			for k, v := range columns[name] {
				fmt.Fprintf(&b, "%.1f,%.1f ", plotLeft+times[k]/last*plotWidth, float64(y)+panelHeight*(1-v/p.scale/max(most, 1e-9)))
			}
			b.WriteString("\"/>\n")
		}
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%v</text>`+"\n</svg>\n", plotLeft+plotWidth, height-6, time.Duration(last)*time.Second)
	return b.String()
}
