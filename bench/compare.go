package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// plan is how long the comparison takes.
type plan struct {
	connections int
	pairs       int
	time        time.Duration // of one run
	flows       int           // that the memory is measured after
}

// outcome is what a row measured.
type outcome struct {
	row    row
	series map[string]*series   // by the name of the server
	ratios map[string][]float64 // ours divided by the peer's, pair by pair
	lacks  map[string]string    // why there is none
}

// ratio is the median of the pairs; 0: it was not measured.
func (o *outcome) ratio(name string) float64 { return medianOf(o.ratios[name]) }

// comparison is all that is measured for the tables.
type comparison struct {
	outcomes   []*outcome
	alones     []*alone
	footprints []*footprint
}

// measure fills the comparison up to the first failure.
func (c *comparison) measure(ctx context.Context, w *workshop, f *flags) error {
	for _, r := range rows() {
		if !strings.Contains(r.title, f.only) {
			continue
		}
		o, err := w.compare(ctx, r, f.plan)
		if err != nil {
			return err
		}
		c.outcomes = append(c.outcomes, o)
	}
	if len(c.outcomes) == 0 {
		return fmt.Errorf("no row holds %q", f.only)
	}
	if f.only != "" {
		return nil
	}
	for _, a := range waits() {
		if err := w.alone(ctx, a, f.plan.time/2); err != nil {
			return err
		}
		c.alones = append(c.alones, a)
	}
	for _, name := range []string{ours, "node", "fosite"} {
		p, err := findProgram(name)
		if err != nil {
			return err
		}
		one, err := w.footprint(ctx, p, f.plan)
		if err != nil {
			return err
		}
		c.footprints = append(c.footprints, one)
	}
	return nil
}

// compare measures a row: ours and each peer in turn, A B A B, so that what else the
// machine does meets both. Every server is started anew, with nothing in its store.
func (w *workshop) compare(ctx context.Context, r row, p plan) (*outcome, error) {
	o, err := findOperation(r.operation)
	if err != nil {
		return nil, err
	}
	f := fleet{workshop: w, row: r, operation: o, connections: p.connections}
	out := &outcome{row: r, series: map[string]*series{}, ratios: map[string][]float64{}, lacks: map[string]string{}}
	measured := func() error {
		for _, program := range programs() {
			if err := f.join(ctx, program, out); err != nil {
				return err
			}
		}
		for _, other := range f.crews[1:] {
			progress("%s: %s beside %s", r.title, ours, other.name)
			for range p.pairs {
				first, err := f.crews[0].measure(ctx, limit{time: p.time}, out)
				if err != nil {
					return err
				}
				second, err := other.measure(ctx, limit{time: p.time}, out)
				if err != nil {
					return err
				}
				out.ratios[other.name] = append(out.ratios[other.name], first.perSecond()/second.perSecond())
			}
		}
		return nil
	}()
	return out, errors.Join(measured, f.stop())
}

// fleet are the servers of one row.
type fleet struct {
	workshop    *workshop
	row         row
	operation   operation
	connections int
	servers     []*running
	crews       []*namedCrew // ours is the first
}

type namedCrew struct {
	*crew
	name    string
	running *running
}

// warmUp is how long a server works before it is measured: V8 compiles what is hot.
const warmUp = 400 * time.Millisecond

// join starts a server and warms it up, unless it can't do the operation.
func (f *fleet) join(ctx context.Context, p program, out *outcome) error {
	if reason := f.row.leaves[p.name]; reason != "" {
		out.lacks[p.name] = reason
		return nil
	}
	r, err := f.workshop.launch(ctx, p, f.row.of(p))
	if err != nil {
		return err
	}
	f.servers = append(f.servers, r)
	if reason := f.operation.lacking(r.site); reason != "" {
		out.lacks[p.name] = reason
		return nil
	}
	c, err := newCrew(ctx, r.site, f.operation, f.connections)
	if err != nil {
		return fmt.Errorf("%s: %w%s", p.name, err, r.said())
	}
	if _, err := c.run(ctx, limit{time: warmUp}); err != nil {
		return fmt.Errorf("%s: %w%s", p.name, err, r.said())
	}
	f.crews = append(f.crews, &namedCrew{crew: c, name: p.name, running: r})
	out.series[p.name] = &series{}
	return nil
}

func (f *fleet) stop() error {
	var errs []error
	for _, r := range f.servers {
		errs = append(errs, r.stop())
	}
	return errors.Join(errs...)
}

// measure is one run.
func (c *namedCrew) measure(ctx context.Context, l limit, out *outcome) (*result, error) {
	result, err := c.run(ctx, l)
	if err != nil {
		return nil, fmt.Errorf("%s: %w%s", c.name, err, c.running.said())
	}
	out.series[c.name].add(result)
	return result, nil
}
