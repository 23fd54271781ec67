package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/doorward/doorward/bench/peer"
)

// growth is a way in which the work of our server grows.
type growth struct {
	name    string
	measure func(context.Context, *workshop, *flags) (string, error)
}

func growths() []growth {
	return []growth{{"connections", growConnections}, {"clients", growClients}, {"grants", growGrants}, {"idle", growIdle}, {"size", growSize}}
}

// grow prints the tables of one growth, or of all.
func (f *flags) grow(ctx context.Context, w *workshop, out io.Writer) error {
	found := false
	page := fmt.Sprintf("Measured on %s: Doorward alone, %d connections unless the table says otherwise, %v a run.\n\n", machine(ctx, w.dir, f.load), f.plan.connections, f.plan.time)
	var names []string
	for _, g := range growths() {
		names = append(names, g.name)
		if f.growth != g.name && f.growth != "all" {
			continue
		}
		found = true
		text, err := g.measure(ctx, w, f)
		if err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		text += "\n"
		if _, err := io.WriteString(out, text); err != nil {
			return err
		}
		page += text
	}
	if !found {
		return fmt.Errorf("nothing grows by %q; write all or one of %s", f.growth, strings.Join(names, ", "))
	}
	if f.write {
		return grown.writeInto("README.md", strings.TrimSuffix(page, "\n"))
	}
	return nil
}

// with starts our server, does something with it and ends it.
func (w *workshop) with(ctx context.Context, o peer.Options, do func(*running) error) error {
	p, err := findProgram(ours)
	if err != nil {
		return err
	}
	r, err := w.launch(ctx, p, o)
	if err != nil {
		return err
	}
	err = do(r)
	if err != nil {
		err = fmt.Errorf("%w%s", err, r.said())
	}
	return errors.Join(err, r.stop())
}

// load lets callers do an operation.
func (r *running) load(ctx context.Context, name string, connections int, l limit) (*series, error) {
	o, err := findOperation(name)
	if err != nil {
		return nil, err
	}
	c, err := newCrew(ctx, r.site, o, connections)
	if err != nil {
		return nil, err
	}
	result, err := c.run(ctx, l)
	if err != nil {
		return nil, err
	}
	var s series
	s.add(result)
	return &s, nil
}

// growConnections serves 1 to 1,000 callers at once.
func growConnections(ctx context.Context, w *workshop, f *flags) (string, error) {
	var t table
	t.row("callers at once", "operation", "a second", "p50 ms", "p99 ms", "max ms", "errors", "CPU ms", "RssAnon MiB", "syncs")
	err := w.with(ctx, f.options, func(r *running) error {
		for _, n := range []int{1, 10, 32, 100, 300, 1000} {
			for _, name := range []string{"client-credentials", "signed-in", "refresh"} {
				progress("%d callers: %s", n, name)
				s, err := r.load(ctx, name, n, limit{time: f.plan.time})
				if err != nil {
					return err
				}
				t.row(strconv.Itoa(n), name, fmt.Sprintf("%.0f", medianOf(s.perSecond)), fmt.Sprintf("%.2f", ms(s.at(0.5))), fmt.Sprintf("%.2f", ms(s.at(0.99))), fmt.Sprintf("%.1f", ms(s.max)),
					strconv.Itoa(s.errors), fmt.Sprintf("%.3f", ms(medianTime(s.cpu))), fmt.Sprintf("%.1f", mib(s.used.anonymous)), fmt.Sprintf("%.3f", s.each(float64(s.stats.Syncs))))
			}
		}
		return nil
	})
	return t.String(), err
}

// growClients has few clients and many.
func growClients(ctx context.Context, w *workshop, f *flags) (string, error) {
	var t table
	t.row("clients", "ready after ms", "RssAnon at rest MiB", "client credentials a second", "CPU ms", "refreshes a second", "CPU ms")
	for _, n := range []int{10, 10_000} {
		o := f.options
		o.Clients = n - 2
		err := w.with(ctx, o, func(r *running) error {
			progress("%d clients", n)
			time.Sleep(time.Second) // what the start left behind is given back
			rest, err := r.usage()
			if err != nil {
				return err
			}
			machines, err := r.load(ctx, "client-credentials", f.plan.connections, limit{time: f.plan.time})
			if err != nil {
				return err
			}
			refreshes, err := r.load(ctx, "refresh", f.plan.connections, limit{time: f.plan.time})
			if err != nil {
				return err
			}
			t.row(strconv.Itoa(n), fmt.Sprintf("%.0f", ms(r.startup)), fmt.Sprintf("%.1f", mib(rest.anonymous)),
				fmt.Sprintf("%.0f", medianOf(machines.perSecond)), fmt.Sprintf("%.3f", ms(medianTime(machines.cpu))),
				fmt.Sprintf("%.0f", medianOf(refreshes.perSecond)), fmt.Sprintf("%.3f", ms(medianTime(refreshes.cpu))))
			return nil
		})
		if err != nil {
			return "", err
		}
	}
	return t.String(), nil
}

// firstToken is how long a start may take, until a token is there.
const firstToken = 500 * time.Millisecond

// growGrants fills the store by flows, measures, and starts the server again on the same
// file.
func growGrants(ctx context.Context, w *workshop, f *flags) (string, error) {
	var t table
	t.row("grants", "file MiB", "kept for one KiB", "client credentials a second", "refreshes a second", "introspections a second", "signed-in flows a second", "RssAnon MiB", "RSS MiB", "first token after a start")
	p, err := findProgram(ours)
	if err != nil {
		return "", err
	}
	for _, text := range strings.Split(f.grants, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return "", fmt.Errorf("-grants is %q; write numbers with commas, such as 1000,100000", f.grants)
		}
		dir, err := w.folder("grants")
		if err != nil {
			return "", err
		}
		o := f.options
		o.Dir = dir
		cells := []string{strconv.Itoa(n)}
		r, err := w.launch(ctx, p, o)
		if err != nil {
			return "", err
		}
		more, err := r.fill(ctx, n, f)
		if err := errors.Join(err, r.end()); err != nil {
			return "", err
		}
		began := time.Now()
		if r, err = w.launch(ctx, p, o); err != nil {
			return "", err
		}
		_, err = r.load(ctx, "client-credentials", 1, limit{count: 1})
		took := time.Since(began)
		if err := errors.Join(err, r.stop()); err != nil {
			return "", err
		}
		t.row(append(append(cells, more...), most(ms(took), ms(firstToken), "%.0f", " ms"))...)
	}
	return t.String(), nil
}

// fill makes grants and measures what the server does with them.
func (r *running) fill(ctx context.Context, n int, f *flags) ([]string, error) {
	progress("making %d grants by flows", n)
	flows, err := r.load(ctx, "signed-in", f.plan.connections, limit{count: n})
	if err != nil {
		return nil, err
	}
	now, err := r.stats(ctx)
	if err != nil {
		return nil, err
	}
	cells := []string{fmt.Sprintf("%.1f", mib(now.File)), fmt.Sprintf("%.2f", flows.each(float64(flows.stats.Live)/1024))}
	for _, name := range []string{"client-credentials", "refresh", "introspection", "signed-in"} {
		progress("%d grants: %s", n, name)
		s, err := r.load(ctx, name, f.plan.connections, limit{time: f.plan.time})
		if err != nil {
			return nil, err
		}
		cells = append(cells, fmt.Sprintf("%.0f", medianOf(s.perSecond)))
	}
	u, err := r.usage()
	return append(cells, fmt.Sprintf("%.1f", mib(u.anonymous)), fmt.Sprintf("%.1f", mib(u.rss))), err
}

// growSize lists how large the programs are, and how many packages they link.
func growSize(ctx context.Context, w *workshop, _ *flags) (string, error) {
	var t table
	t.row("program", "MiB", "MiB without symbols", "packages", "of them not of Go itself")
	for _, one := range []struct{ title, dir, pkg string }{
		{"the single binary, examples/idp", "..", "./examples/idp"},
		{"the least embedder, examples/minimal", "..", "./examples/minimal"},
		{"bare fosite", ".", "./peers/fosite"},
		{"go-oauth2", ".", "./peers/gooauth2"},
		{"net/http", ".", "./peers/ceiling"},
	} {
		progress("building %s", one.title)
		cells := []string{one.title}
		for _, flags := range []string{"", "-s -w"} {
			binary := filepath.Join(w.dir, "size.bin")
			if err := say(ctx, one.dir, "go", "build", "-ldflags", flags, "-o", binary, one.pkg); err != nil {
				return "", err
			}
			info, err := os.Stat(binary)
			if err != nil {
				return "", err
			}
			cells = append(cells, fmt.Sprintf("%.1f", mib(info.Size())))
		}
		all, err := ask(ctx, one.dir, "go", "list", "-deps", "-f", "{{.Standard}}", one.pkg)
		if err != nil {
			return "", err
		}
		t.row(append(cells, strconv.Itoa(strings.Count(all, "\n")), strconv.Itoa(strings.Count(all, "false\n")))...)
	}
	return t.String(), nil
}
