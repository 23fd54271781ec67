package memory

import (
	"iter"
	"slices"
	"sort"
)

// maxRun bounds how many elements an insertion has to move.
const maxRun = 512

// sorted is a set of elements in the order of compare, kept in runs of bounded
// length so that an insertion stays cheap among many records. No run is empty.
type sorted[E any] struct {
	compare func(a, b E) int
	runs    [][]E
}

// insert adds e; an element that is there already stays the only one.
func (s *sorted[E]) insert(e E) {
	if len(s.runs) == 0 {
		s.runs = [][]E{{e}}
		return
	}
	i := min(s.run(e), len(s.runs)-1)
	at, found := slices.BinarySearchFunc(s.runs[i], e, s.compare)
	if found {
		return
	}
	run := slices.Insert(s.runs[i], at, e)
	s.runs[i] = run
	if len(run) > maxRun {
		half := len(run) / 2
		s.runs = slices.Insert(s.runs, i+1, slices.Clone(run[half:]))
		clear(run[half:])
		s.runs[i] = run[:half]
	}
}

// remove takes e out, if it is there.
func (s *sorted[E]) remove(e E) {
	i := s.run(e)
	if i == len(s.runs) {
		return
	}
	at, found := slices.BinarySearchFunc(s.runs[i], e, s.compare)
	if !found {
		return
	}
	s.runs[i] = slices.Delete(s.runs[i], at, at+1)
	if len(s.runs[i]) == 0 {
		s.runs = slices.Delete(s.runs, i, i+1)
	}
}

func (s *sorted[E]) empty() bool { return len(s.runs) == 0 }

// first returns the smallest element.
func (s *sorted[E]) first() (e E, ok bool) {
	if s.empty() {
		return e, false
	}
	return s.runs[0][0], true
}

// run returns the first run whose last element is not before e, or len(s.runs).
func (s *sorted[E]) run(e E) int {
	return sort.Search(len(s.runs), func(i int) bool {
		run := s.runs[i]
		return s.compare(run[len(run)-1], e) >= 0
	})
}

// after yields the elements behind *bound, smallest first; all with a nil bound.
// The set must not change meanwhile.
func (s *sorted[E]) after(bound *E) iter.Seq[E] {
	return func(yield func(E) bool) {
		i, at := 0, 0
		if bound != nil {
			if i = s.run(*bound); i == len(s.runs) {
				return
			}
			var found bool
			if at, found = slices.BinarySearchFunc(s.runs[i], *bound, s.compare); found {
				at++
			}
		}
		for ; i < len(s.runs); i, at = i+1, 0 {
			for _, e := range s.runs[i][at:] {
				if !yield(e) {
					return
				}
			}
		}
	}
}

// before yields the elements ahead of *bound, largest first; all with a nil
// bound. The set must not change meanwhile.
func (s *sorted[E]) before(bound *E) iter.Seq[E] {
	return func(yield func(E) bool) {
		last := len(s.runs) - 1
		if bound != nil {
			last = min(s.run(*bound), last)
		}
		for i := last; i >= 0; i-- {
			run := s.runs[i]
			if bound != nil {
				at, _ := slices.BinarySearchFunc(run, *bound, s.compare)
				run = run[:at]
			}
			for _, e := range slices.Backward(run) {
				if !yield(e) {
					return
				}
			}
		}
	}
}
