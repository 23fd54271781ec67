package main

import (
	"context"
	"errors"
	"time"
)

// alone is what one connection waits for an operation, beside what a commit costs.
type alone struct {
	row
	commits int           // that the line allows for
	more    time.Duration // that the line allows for besides
	commit  time.Duration // the median, on this machine, in between
	servers map[string]time.Duration
	counted float64 // commits of ours for one operation
}

// line is what ours is to stay below.
func (a *alone) line() time.Duration { return time.Duration(a.commits)*a.commit + a.more }

// waits are the operations whose latency has a line.
func waits() []*alone {
	us := func(n int) time.Duration { return time.Duration(n) * time.Microsecond }
	byOperation := map[string]row{}
	for _, r := range rows() {
		if _, found := byOperation[r.operation]; !found {
			byOperation[r.operation] = r
		}
	}
	return []*alone{
		{row: byOperation["client-credentials"], commits: 1, more: us(120)},
		{row: byOperation["refresh"], commits: 1, more: us(270)},
		{row: byOperation["signed-in"], commits: 2, more: us(450)},
	}
}

// rounds is how often each takes its turn.
const rounds = 5

// alone measures one operation on one connection: a few commits, ours, the peers, and
// again.
func (w *workshop) alone(ctx context.Context, a *alone, within time.Duration) error {
	progress("%s: one connection", a.title)
	o, err := findOperation(a.operation)
	if err != nil {
		return err
	}
	f := fleet{workshop: w, row: a.row, operation: o, connections: 1}
	dir, err := w.folder("commits")
	if err != nil {
		return err
	}
	d, err := newDisk(dir)
	if err != nil {
		return err
	}
	measured := func() error {
		out := &outcome{series: map[string]*series{}, lacks: map[string]string{}}
		for _, p := range programs() {
			if p.name == ours || p.name == "node" || p.name == "fosite" {
				if err := f.join(ctx, p, out); err != nil {
					return err
				}
			}
		}
		var commits latencies
		for range rounds {
			l, err := d.commits(within)
			if err != nil {
				return err
			}
			commits.merge(l)
			for _, c := range f.crews {
				if _, err := c.measure(ctx, limit{time: within}, out); err != nil {
					return err
				}
			}
		}
		a.commit, a.servers = commits.at(0.5), map[string]time.Duration{}
		for name, s := range out.series {
			a.servers[name] = s.at(0.5)
		}
		mine := out.series[ours]
		a.counted = mine.each(float64(mine.stats.Commits))
		return nil
	}()
	return errors.Join(measured, f.stop(), d.close())
}
