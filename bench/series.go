package main

import (
	"cmp"
	"slices"
	"time"

	"github.com/doorward/doorward/bench/peer"
)

// series is what the runs of one operation at one server measured.
type series struct {
	latencies
	errors    int
	err       error // the first
	perSecond []float64
	cpu       []time.Duration // for one operation
	used      usage           // the sum; of memory what was last
	stats     peer.Stats      // likewise
}

func (s *series) add(r *result) {
	s.merge(&r.latencies)
	s.errors += r.errors
	if s.err == nil {
		s.err = r.err
	}
	s.perSecond = append(s.perSecond, r.perSecond())
	s.cpu = append(s.cpu, r.cpu())
	s.used.rss, s.used.anonymous = r.used.rss, r.used.anonymous
	s.used.cpu += r.used.cpu
	s.used.written += r.used.written
	s.stats.Counted = r.stats.Counted
	s.stats.Commits += r.stats.Commits
	s.stats.Syncs += r.stats.Syncs
	s.stats.File += r.stats.File
	s.stats.Live += r.stats.Live
}

// each divides what all operations took together among them.
func (s *series) each(n float64) float64 {
	if s.total == 0 {
		return 0
	}
	return n / float64(s.total)
}

// median is the middle one, or the mean of the two in the middle; 0 of none.
func median[N cmp.Ordered](all []N, mean func(a, b N) N) N {
	var none N
	if len(all) == 0 {
		return none
	}
	sorted := slices.Sorted(slices.Values(all))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return mean(sorted[half-1], sorted[half])
}

func medianOf(all []float64) float64 {
	return median(all, func(a, b float64) float64 { return (a + b) / 2 })
}

func medianTime(all []time.Duration) time.Duration {
	return median(all, func(a, b time.Duration) time.Duration { return (a + b) / 2 })
}
