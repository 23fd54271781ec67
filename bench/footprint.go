package main

import (
	"context"
	"errors"
	"time"

	"github.com/doorward/doorward/bench/peer"
)

// footprint is the memory of a server, and what its flows left on the disk.
type footprint struct {
	name     string
	atRest   usage
	after    usage
	flows    series
	machines series
	disk     bool
}

// footprint measures a server at rest, and after as many flows and client credentials.
func (w *workshop) footprint(ctx context.Context, p program, how plan) (*footprint, error) {
	progress("%s: memory and disk after %d client credentials and %d flows", p.name, how.flows, how.flows)
	r, err := w.launch(ctx, p, peer.Options{Algorithm: "ES256"})
	if err != nil {
		return nil, err
	}
	f := &footprint{name: p.name, disk: r.dir != ""}
	measured := func() error {
		time.Sleep(time.Second) // what the start left behind is given back
		if f.atRest, err = r.usage(); err != nil {
			return err
		}
		for _, part := range []struct {
			operation string
			into      *series
		}{{"client-credentials", &f.machines}, {"signed-in", &f.flows}} {
			o, err := findOperation(part.operation)
			if err != nil {
				return err
			}
			c, err := newCrew(ctx, r.site, o, how.connections)
			if err != nil {
				return err
			}
			result, err := c.run(ctx, limit{count: how.flows})
			if err != nil {
				return err
			}
			part.into.add(result)
		}
		f.after, err = r.usage()
		return err
	}()
	return f, errors.Join(measured, r.stop())
}
