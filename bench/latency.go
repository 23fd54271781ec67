package main

import (
	"math/bits"
	"time"
)

// latencies counts durations in buckets that are 1.6 % wide, so that a long run takes no
// more memory than a short one.
type latencies struct {
	counts [bucketsPerDoubling * 40]uint32
	total  int
	max    time.Duration
}

const bucketsPerDoubling = 64

func bucket(d time.Duration) int {
	n := uint64(max(d, 1))
	if n < bucketsPerDoubling {
		return int(n)
	}
	shift := bits.Len64(n) - 7 // leaves the top seven bits, the first of which is set
	return min((shift+1)*bucketsPerDoubling+int(n>>shift)-bucketsPerDoubling, bucketsPerDoubling*40-1)
}

// middle is the duration in the middle of a bucket.
func middle(i int) time.Duration {
	if i < bucketsPerDoubling {
		return time.Duration(i)
	}
	shift := i/bucketsPerDoubling - 1
	low := uint64(i%bucketsPerDoubling+bucketsPerDoubling) << shift
	return time.Duration(low + (1<<shift)/2)
}

func (l *latencies) add(d time.Duration) {
	l.counts[bucket(d)]++
	l.total++
	l.max = max(l.max, d)
}

func (l *latencies) merge(other *latencies) {
	for i, n := range other.counts {
		l.counts[i] += n
	}
	l.total += other.total
	l.max = max(l.max, other.max)
}

// at returns the duration that a share of all was not slower than; 0 when there was none.
func (l *latencies) at(share float64) time.Duration {
	if l.total == 0 {
		return 0
	}
	rest := int(share * float64(l.total))
	for i, n := range l.counts {
		if rest -= int(n); rest < 0 {
			return min(middle(i), l.max)
		}
	}
	return l.max
}
