package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// single drives one server, or two by turns, and prints what it measured.
func (f *flags) single(ctx context.Context, w *workshop, out io.Writer) error {
	o, err := findOperation(f.operation)
	if err != nil {
		return err
	}
	var crews []*crew
	var names []string
	var started []*running
	measured := func() error {
		for _, name := range []string{f.server, f.against} {
			if name == "" {
				continue
			}
			s, r, err := f.open(ctx, w, name)
			if err != nil {
				return err
			}
			if r != nil {
				started = append(started, r)
			}
			c, err := newCrew(ctx, s, o, f.plan.connections)
			if err != nil {
				return err
			}
			crews, names = append(crews, c), append(names, name)
		}
		return f.turns(ctx, crews, names, out)
	}()
	errs := []error{measured}
	for _, r := range started {
		errs = append(errs, r.stop())
	}
	return errors.Join(errs...)
}

// turns lets the crews work by turns; one alone works once.
func (f *flags) turns(ctx context.Context, crews []*crew, names []string, out io.Writer) error {
	measured := make([]series, len(crews))
	var ratios []float64
	times := 1
	if len(crews) > 1 {
		times = f.plan.pairs
	}
	l := limit{time: f.plan.time, count: f.count, every: f.every}
	if f.count > 0 {
		l.time = 0
	}
	for range times {
		var speeds []float64
		for i, c := range crews {
			progress("%s: %s, %d connections", names[i], f.operation, f.plan.connections)
			r, err := c.run(ctx, l)
			if err != nil {
				return err
			}
			measured[i].add(r)
			speeds = append(speeds, r.perSecond())
		}
		if len(speeds) == 2 {
			ratios = append(ratios, speeds[0]/speeds[1])
		}
	}
	var t table
	t.row("server", "operations", "a second", "p50 ms", "p95 ms", "p99 ms", "max ms", "errors", "CPU ms", "RSS MiB", "RssAnon MiB", "written KiB", "kept KiB", "commits", "syncs")
	var firsts []string
	for i := range measured {
		t.row(append([]string{names[i]}, measured[i].cells(crews[i].site.process != nil)...)...)
		if measured[i].err != nil {
			firsts = append(firsts, fmt.Sprintf("\nThe first error of %s: %v\n", names[i], measured[i].err))
		}
	}
	text := t.String() + strings.Join(firsts, "")
	if len(ratios) > 0 {
		text += fmt.Sprintf("\n%s divided by %s: %.2f, the median of %d pairs\n", names[0], names[1], medianOf(ratios), len(ratios))
	}
	_, err := io.WriteString(out, text)
	return err
}

// cells are the figures of a series; those of the process when there is one to look at.
func (s *series) cells(process bool) []string {
	wait := func(d time.Duration) string { return fmt.Sprintf("%.2f", ms(d)) }
	cells := []string{fmt.Sprint(s.total), fmt.Sprintf("%.0f", medianOf(s.perSecond)), wait(s.at(0.5)), wait(s.at(0.95)), wait(s.at(0.99)), wait(s.max), fmt.Sprint(s.errors)}
	if !process {
		return append(cells, none, none, none, none, none, none, none)
	}
	cells = append(cells, fmt.Sprintf("%.3f", ms(medianTime(s.cpu))), fmt.Sprintf("%.1f", mib(s.used.rss)), fmt.Sprintf("%.1f", mib(s.used.anonymous)),
		fmt.Sprintf("%.2f", s.each(float64(s.used.written)/1024)), fmt.Sprintf("%.2f", s.each(float64(s.stats.Live)/1024)))
	if !s.stats.Counted {
		return append(cells, none, none)
	}
	return append(cells, fmt.Sprintf("%.3f", s.each(float64(s.stats.Commits))), fmt.Sprintf("%.3f", s.each(float64(s.stats.Syncs))))
}

// open finds the server of a URL, or starts the one of a name.
func (f *flags) open(ctx context.Context, w *workshop, name string) (*site, *running, error) {
	if !strings.Contains(name, "://") {
		p, err := findProgram(name)
		if err != nil {
			return nil, nil, err
		}
		r, err := w.launch(ctx, p, f.options)
		if err != nil {
			return nil, nil, err
		}
		return r.site, r, nil
	}
	s := newSite(strings.TrimSuffix(name, "/"))
	var found bool
	if s.machine.id, s.machine.secret, found = strings.Cut(f.machine, ":"); !found {
		return nil, nil, errors.New("-machine must be id:secret")
	}
	if s.web.id, s.web.secret, found = strings.Cut(f.web, ":"); !found {
		return nil, nil, errors.New("-web must be id:secret")
	}
	s.redirectURI, s.machineScope, s.webScope = f.redirect, f.scope, f.webScope
	s.person, s.password = f.person, f.password
	s.algorithm, s.jwt = f.options.Algorithm, f.options.JWT
	s.plain = !strings.Contains(" "+f.webScope+" ", " openid ")
	if f.pid > 0 {
		s.process = outsider(f.pid)
	}
	return s, nil, s.discover(ctx)
}
