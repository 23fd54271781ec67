package memory

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestSortedAgainstASlice compares the set with a plain sorted slice, through
// enough elements that runs split and vanish.
func TestSortedAgainstASlice(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	set := sorted[string]{compare: strings.Compare}
	var plain []string
	word := func() string {
		return string([]rune{rune('a' + random.IntN(26)), rune('a' + random.IntN(100)), rune('a' + random.IntN(2))})
	}
	for round := range 20_000 {
		w := word()
		at, found := slices.BinarySearch(plain, w)
		// Grow at first, then shrink to nothing.
		if grow := round < 10_000; grow == (random.IntN(10) > 0) {
			set.insert(w)
			if !found {
				plain = slices.Insert(plain, at, w)
			}
		} else {
			set.remove(w)
			if found {
				plain = slices.Delete(plain, at, at+1)
			}
		}
		if round%97 == 0 {
			compareSorted(t, &set, plain, word())
		}
	}
	for _, w := range slices.Clone(plain) {
		set.remove(w)
	}
	compareSorted(t, &set, nil, "m")
}

func compareSorted(t *testing.T, set *sorted[string], plain []string, bound string) {
	t.Helper()
	from, found := slices.BinarySearch(plain, bound)
	behind := from
	if found {
		behind++
	}
	reversed := slices.Clone(plain[:from])
	slices.Reverse(reversed)
	for name, pair := range map[string][2][]string{
		"all":    {slices.Collect(set.after(nil)), plain},
		"after":  {slices.Collect(set.after(&bound)), plain[behind:]},
		"before": {slices.Collect(set.before(&bound)), reversed},
	} {
		if !slices.Equal(pair[0], pair[1]) {
			t.Fatalf("%s %q: %d elements, want %d or others", name, bound, len(pair[0]), len(pair[1]))
		}
	}
	backward := slices.Collect(set.before(nil))
	slices.Reverse(backward)
	if !slices.Equal(backward, plain) {
		t.Fatalf("backward: %d elements, want %d", len(backward), len(plain))
	}
	if first, ok := set.first(); ok != (len(plain) > 0) || ok && first != plain[0] || set.empty() == ok {
		t.Fatalf("first is %q, %t of %d elements", first, ok, len(plain))
	}
}
